//! The record of the first mount, and its file (spec 3.6).

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Area, Local, read_file};
use crate::error::{Error, Result};
use crate::names::{PRIVATE, StampedName};
use crate::retention::Retention;
use crate::store::Kind;
use crate::store::beneath::{self, Beneath, Dir};
use crate::store::first_mount::{FirstMount, is_hidden};
use crate::store::open_error::OpenError;

/// The record of the first mount.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) now: FirstMount,
    /// What is on disk is older, because writing it failed.
    unwritten: bool,
}

/// Reads the record, or makes it where this is the first mount; says whether it is to be written.
pub(super) fn read(
    root: &Beneath,
    private: &Dir<'_>,
    adopt: bool,
    retention: Retention,
    now: SystemTime,
) -> std::result::Result<(Record, bool), OpenError> {
    let first_mount = OsStr::new("first-mount");
    match beneath::stat(private, first_mount) {
        Ok(meta) if meta.kind != Kind::File => {
            return Err(OpenError::Part(first_mount.to_owned()));
        }
        _ => {}
    }
    let (record, changed) = match read_file(private, first_mount)? {
        Some(bytes) => {
            let mut record = FirstMount::from_bytes(&bytes).ok_or(OpenError::Record)?;
            let gone = record.retain(|path| is_there(root, path));
            let adopted = adopt && record.adopt_all();
            if adopted {
                note_expired(root, &mut record, retention, now)?;
            }
            (record, gone || adopted)
        }
        None => {
            let entries = beneath::list(root.dir(Path::new(""))?)?;
            let mut record = FirstMount::over(&entries, adopt, retention, now);
            if adopt {
                note_expired(root, &mut record, retention, now)?;
            }
            (record, true)
        }
    };
    let record = Record {
        now: record,
        unwritten: false,
    };
    Ok((record, changed))
}

impl Local {
    /// Was this path there before the first mount, and is it ordinary (spec 3.6)?
    pub fn is_ordinary(&self, path: &Path) -> bool {
        self.record.lock().now.is_ordinary(path)
    }

    /// See [`FirstMount::may_delete`].
    pub fn may_delete(&self, path: &Path, retention: Retention, now: SystemTime) -> bool {
        self.record.lock().now.may_delete(path, retention, now)
    }

    /// A name is ordinary from now on.
    pub fn ordinary_made(&self, path: &Path) -> Result<()> {
        self.change_record(|record| record.make_ordinary(path))
    }

    /// A name is ordinary no longer: what had it is gone. After a power cut it must not be there again and the record
    /// not know it: it would be taken for a stray.
    pub fn ordinary_gone(&self, path: &Path) -> Result<()> {
        if self.record.lock().now.knows(path) {
            self.sync_name(path)?;
        }
        self.change_record(|record| {
            let known = record.knows(path);
            record.forget(path);
            known
        })
    }

    /// As [`Local::ordinary_gone`], of what has another name now.
    pub fn ordinary_moved(&self, from: &Path, to: &Path) -> Result<()> {
        if self.record.lock().now.knows(from) {
            self.sync_name(to)?;
        }
        self.ordinary_gone(from)
    }

    /// Makes durable what a path means.
    fn sync_name(&self, path: &Path) -> Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if !self.durable {
            return Ok(());
        }
        match self.sync(Area::Backing, parent) {
            // It is gone with all that was in it.
            Err(Error::NotFound) => Ok(()),
            synced => synced,
        }
    }

    /// Changes the record, and writes it. Where writing fails the change counts all the same, for as long as this program
    /// runs, and the next change or sweep writes it.
    pub(super) fn change_record(&self, change: impl FnOnce(&mut FirstMount) -> bool) -> Result<()> {
        let mut record = self.record.lock();
        let changed = change(&mut record.now);
        if changed || record.unwritten {
            record.unwritten = true;
            self.with_room(|| self.write_record(&record))?;
            record.unwritten = false;
        }
        Ok(())
    }

    pub(super) fn write_record(&self, record: &Record) -> Result<()> {
        let private = self.root.dir(Path::new(PRIVATE))?;
        let temporary = OsStr::new("first-mount.new");
        let _ = beneath::unlink(&private, temporary);
        let mut file = beneath::create(&private, temporary, 0o600)?;
        file.write_all(&record.now.to_bytes())?;
        if self.durable {
            file.sync_all()?;
        }
        beneath::rename(&private, temporary, &private, OsStr::new("first-mount"))?;
        if self.durable {
            rustix::fs::fsync(&private)?;
        }
        Ok(())
    }
}

/// Is anything called so? Where that cannot be told, it is.
fn is_there(root: &Beneath, path: &Path) -> bool {
    let found = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => root.dir(parent).and_then(|dir| beneath::stat(dir, name)),
        _ => return true,
    };
    !matches!(found, Err(Error::NotFound | Error::NotDirectory))
}

/// Notes the expired files in the directories that `--adopt` makes queues (spec 3.6).
fn note_expired(
    root: &Beneath,
    record: &mut FirstMount,
    retention: Retention,
    now: SystemTime,
) -> Result<()> {
    let mut left = vec![PathBuf::new()];
    while let Some(queue) = left.pop() {
        let entries = match root.dir(&queue).and_then(beneath::list) {
            // It must not shut the others.
            Err(error) if !queue.as_os_str().is_empty() => {
                log::warn!(
                    "{}: cannot be read ({error}); what has expired in it is not noted",
                    queue.display()
                );
                continue;
            }
            entries => entries?,
        };
        for (name, meta) in entries {
            let path = queue.join(&name);
            match meta.kind {
                Kind::Directory if !is_hidden(&name) => left.push(path),
                Kind::File => {
                    let done = StampedName::parse(&name).is_some_and(|name| !name.is_pending());
                    if done && retention.expired(meta.mtime, now) {
                        record.found_expired(&path);
                    }
                }
                Kind::Directory | Kind::Other => {}
            }
        }
    }
    Ok(())
}
