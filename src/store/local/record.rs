//! The record of the first mount, and its file (spec 3.6).

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Area, Local, read_file};
use crate::error::{Error, Result};
use crate::names::{self, Archives, PRIVATE, StampedName};
use crate::retention::Retention;
use crate::store::dir_kind::{self, Why};
use crate::store::dirfd::{self, Beneath, Dir};
use crate::store::first_mount::{Adopt, FirstMount, Read, is_hidden};
use crate::store::open_error::OpenError;
use crate::store::{Kind, Meta};

/// Its file in the private directory.
pub const FIRST_MOUNT: &str = "first-mount";

/// How the first mount judges what it finds, and when that is.
#[derive(Clone, Copy, Debug)]
pub struct FirstLook<'a> {
    /// What becomes of text files in the root.
    pub adopt: Adopt,
    /// Which directories are archives.
    pub archives: &'a Archives,
    /// From when on consumed handoffs are hidden.
    pub retention: Retention,
    /// Now.
    pub now: SystemTime,
}

/// The record of the first mount.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) now: FirstMount,
    /// This is the first mount.
    first: bool,
    /// So many changes are not on disk, because writing them failed or can wait.
    unwritten: usize,
}

/// The record is written when one of so many of its names has been forgotten.
const FORGOTTEN: usize = 64;

impl Drop for Local {
    fn drop(&mut self) {
        if let Err(error) = self.change_record(|_| false) {
            log::warn!("the record of the first mount cannot be written ({error})");
        }
    }
}

/// Reads the record, or makes it where this is the first mount; says whether it is to be written.
pub(super) fn read(
    root: &Beneath,
    private: &Dir<'_>,
    look: FirstLook<'_>,
) -> std::result::Result<(Record, bool), OpenError> {
    let first_mount = OsStr::new(FIRST_MOUNT);
    match dirfd::stat(private, first_mount) {
        Ok(meta) if meta.kind != Kind::File => {
            return Err(OpenError::Part(first_mount.to_owned()));
        }
        _ => {}
    }
    let bytes = read_file(private, first_mount)?;
    let first = bytes.is_none();
    let (mut record, upgraded) = match bytes.map(|bytes| FirstMount::from_bytes(&bytes)) {
        None => (find(root, look)?, true),
        Some(Some(Read::Current(record))) => (record, false),
        Some(Some(Read::Version1(record))) => (upgrade(root, look.archives, &record)?, true),
        Some(None) => return Err(OpenError::Record),
    };
    let gone = !first && record.retain(|path| is_there(root, path));
    let adopted = !first && look.adopt == Adopt::Always && adopt_root(root, &mut record)?;
    let record = Record {
        now: record,
        first,
        unwritten: 0,
    };
    Ok((record, upgraded || gone || adopted))
}

impl Local {
    /// Was this path there before the first mount, and is it ordinary (spec 3.6)?
    pub fn is_ordinary(&self, path: &Path) -> bool {
        self.record.lock().now.is_ordinary(path)
    }

    /// See [`FirstMount::found_expired`].
    pub fn found_expired(&self, path: &Path) -> bool {
        self.record.lock().now.found_expired(path)
    }

    /// Whether this is the first mount, how many files the first one adopted, and how many consumed handoffs it found
    /// expired that are there still.
    pub fn first_mount(&self) -> (bool, u64, usize) {
        let record = self.record.lock();
        (record.first, record.now.adopted, record.now.expired())
    }

    /// See `dir_kind::why_ordinary`.
    pub fn why_ordinary(&self, path: &Path) -> Result<Option<Why>> {
        dir_kind::why_ordinary(&self.root, &self.archives, path)
    }

    /// A name is ordinary from now on.
    pub fn ordinary_made(&self, path: &Path) -> Result<()> {
        self.change_record(|record| record.make_ordinary(path))
    }

    /// A name, and what is below it, is gone. After a power cut it must not be there again and the record not know it: it
    /// would be taken for a stray.
    pub fn ordinary_gone(&self, path: &Path) -> Result<()> {
        if !self.record.lock().now.knows(path) {
            return Ok(());
        }
        self.sync_name(path)?;
        let mut record = self.record.lock();
        record.now.forget(path);
        // Whoever removes thousands of files must not wait for as many writes of a long record. A name that is forgotten
        // too late does harm only if a file of that name turns up before the next mount.
        record.unwritten += 1;
        match record.unwritten * FORGOTTEN >= record.now.len() {
            true => self.write_changes(&mut record),
            false => Ok(()),
        }
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
        if change(&mut record.now) {
            record.unwritten += 1;
        }
        self.write_changes(&mut record)
    }

    fn write_changes(&self, record: &mut Record) -> Result<()> {
        if record.unwritten > 0 {
            self.with_room(|| self.write_record(record))?;
            record.unwritten = 0;
        }
        Ok(())
    }

    pub(super) fn write_record(&self, record: &Record) -> Result<()> {
        let private = self.root.dir(Path::new(PRIVATE))?;
        let temporary = OsStr::new("first-mount.new");
        let _ = dirfd::unlink(&private, temporary);
        let mut file = dirfd::create(&private, temporary, 0o600)?;
        file.write_all(&record.now.to_bytes())?;
        if self.durable {
            file.sync_all()?;
        }
        dirfd::rename(&private, temporary, &private, OsStr::new(FIRST_MOUNT))?;
        if self.durable {
            rustix::fs::fsync(&private)?;
        }
        Ok(())
    }
}

/// Is anything called so? Where that cannot be told, it is.
fn is_there(root: &Beneath, path: &Path) -> bool {
    let found = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => root.dir(parent).and_then(|dir| dirfd::stat(dir, name)),
        _ => return true,
    };
    !matches!(found, Err(Error::NotFound | Error::NotDirectory))
}

/// The record of a first mount over what is there now.
fn find(root: &Beneath, look: FirstLook<'_>) -> Result<FirstMount> {
    let mut record = FirstMount::at(look.now);
    let adopts = look.adopt != Adopt::Nothing;
    let top = vec![PathBuf::new()];
    walk(
        root,
        look.archives,
        &mut record,
        top,
        |record, dir, files| {
            for (name, meta) in files {
                let path = dir.join(name);
                let done = StampedName::parse(name).is_some_and(|name| !name.is_pending());
                if done && look.retention.expired(meta.mtime, look.now) {
                    record.find_expired(&path);
                } else if name == names::PENDING {
                    // The virtual file takes its name: with content it becomes a handoff.
                    record.adopted += u64::from(meta.size > 0);
                } else if names::is_adoptable(name) {
                    match adopts && dir.as_os_str().is_empty() {
                        true => record.adopted += 1,
                        false => drop(record.make_ordinary(&path)),
                    }
                }
            }
            true
        },
    )?;
    log::info!(
        "first mount: {} files become handoffs, {} stay ordinary, {} consumed ones are hidden",
        record.adopted,
        record.len() - record.expired(),
        record.expired()
    );
    Ok(record)
}

/// Makes a record of this version of one of version 1, where the directories that were there were ordinary. Now they are
/// queues with ordinary files; but one in which anything would become pending, or would expire, stays what it was.
fn upgrade(root: &Beneath, archives: &Archives, old: &FirstMount) -> Result<FirstMount> {
    let (mut record, mut directories) = (old.clone(), Vec::new());
    for path in old.ordinary() {
        if is_directory(root, path) {
            record.adopt(path);
            directories.push(path.to_owned());
        }
    }
    walk(
        root,
        archives,
        &mut record,
        directories,
        |record, dir, files| {
            let plain = |(name, _): &&(OsString, Meta)| {
                StampedName::parse(name).is_none() && name != names::PENDING
            };
            if !files.iter().all(|file| plain(&file)) {
                return false;
            }
            for (name, _) in files.iter().filter(|(name, _)| names::is_adoptable(name)) {
                record.make_ordinary(&dir.join(name));
            }
            true
        },
    )?;
    Ok(record)
}

/// `--adopt` at a later mount: ordinary text files of the root are handoffs from now on.
fn adopt_root(root: &Beneath, record: &mut FirstMount) -> Result<bool> {
    let mut adopted = false;
    for (name, meta) in dirfd::list(root.dir(Path::new(""))?)? {
        if meta.kind == Kind::File && names::is_adoptable(&name) && record.adopt(name.as_ref()) {
            record.adopted += 1;
            adopted = true;
        }
    }
    Ok(adopted)
}

/// Goes through directories and the queues below them. `visit` is given the files of each, and answers whether it is a
/// queue. Directories that are ordinary for what is in them are noted.
fn walk(
    root: &Beneath,
    archives: &Archives,
    record: &mut FirstMount,
    mut left: Vec<PathBuf>,
    mut visit: impl FnMut(&mut FirstMount, &Path, &[(OsString, Meta)]) -> bool,
) -> Result<()> {
    while let Some(dir) = left.pop() {
        let is_root = dir.as_os_str().is_empty();
        let why = match is_root {
            true => Ok(None),
            false => dir_kind::why_ordinary(root, archives, &dir),
        };
        let listed = match why {
            Ok(None) => root.dir(&dir).and_then(dirfd::list),
            Ok(Some(Why::Git)) => {
                record.make_ordinary(&dir);
                continue;
            }
            Ok(Some(_)) => continue,
            Err(error) => Err(error),
        };
        let entries = match listed {
            Ok(entries) => entries,
            // One that cannot be read must not shut the others. What is in it is found later on.
            Err(error) if !is_root => {
                log::warn!(
                    "{}: cannot be read ({error}); it stays an ordinary directory",
                    dir.display()
                );
                record.make_ordinary(&dir);
                continue;
            }
            Err(error) => return Err(error),
        };
        let (directories, others): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|(_, meta)| meta.kind == Kind::Directory);
        let files: Vec<_> = others
            .into_iter()
            .filter(|(_, meta)| meta.kind == Kind::File)
            .collect();
        if !visit(record, &dir, &files) {
            record.make_ordinary(&dir);
            continue;
        }
        let shown = directories.iter().filter(|(name, _)| !is_hidden(name));
        left.extend(shown.map(|(name, _)| dir.join(name)));
    }
    Ok(())
}

/// Is this path a directory? What cannot be told is none: it stays as the record has it.
fn is_directory(root: &Beneath, path: &Path) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return false;
    };
    let found = root.dir(parent).and_then(|dir| dirfd::stat(dir, name));
    found.is_ok_and(|meta| meta.kind == Kind::Directory)
}
