//! What writes, edits and renames have replaced, kept for the retention time (spec 3.9).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{Area, Local};
use crate::error::{Error, Result};
use crate::retention::Retention;
use crate::store::beneath;

impl Local {
    /// Keeps what a write is about to replace: a copy of `file`.
    pub fn keep_copy(
        &self,
        file: &File,
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<File> {
        let dir = self.make_dir(Area::Replaced, queue)?;
        let (kept, name) = loop {
            let name = replaced_name(name, unique_nanos(now));
            match beneath::create(&dir, &name, 0o600) {
                Err(Error::Exists) => {}
                kept => break (kept?, name),
            }
        };
        let copied = beneath::copy(file, &kept).and_then(|()| {
            if self.durable {
                kept.sync_all()?;
                rustix::fs::fsync(&dir)?;
            }
            Ok(())
        });
        match copied {
            Ok(()) => Ok(kept),
            Err(error) => {
                // Half a version is none, and takes room that is wanted.
                let _ = beneath::unlink(&dir, &name);
                Err(error)
            }
        }
    }

    /// Keeps a left-over of an area, of which nobody knows any more.
    pub fn keep(&self, area: Area, queue: &Path, name: &OsStr, now: SystemTime) -> Result<()> {
        self.keep_as((area, queue, name), queue, name, now)
    }

    /// Keeps what a write has replaced, the file itself, as a version of `name` in `queue`.
    pub fn keep_as(
        &self,
        file: (Area, &Path, &OsStr),
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<()> {
        let (old, new) = (
            self.dir(file.0, file.1)?,
            self.make_dir(Area::Replaced, queue)?,
        );
        loop {
            match beneath::rename_new(&old, file.2, &new, &replaced_name(name, unique_nanos(now))) {
                Err(Error::Exists) => {}
                done => return done,
            }
        }
    }

    /// Removes a file, and keeps it among the replaced versions; answers its name there.
    pub fn keep_removed(&self, queue: &Path, name: &OsStr, now: SystemTime) -> Result<OsString> {
        let new = self.make_dir(Area::Replaced, queue)?;
        let old = self.dir(Area::Backing, queue)?;
        loop {
            let kept = replaced_name(name, unique_nanos(now));
            match beneath::rename_new(&old, name, &new, &kept) {
                Err(Error::Exists) => {}
                done => return done.map(|()| kept),
            }
        }
    }

    /// Removes replaced versions and scratch files past the retention time.
    pub fn sweep(&self, retention: Retention, now: SystemTime) -> Result<()> {
        self.change_record(|_| false)?;
        for (queue, name, _) in self.list_all(Area::Replaced)? {
            if replaced_at(&name).is_some_and(|at| retention.expired(at, now)) {
                self.remove(Area::Replaced, &queue, &name)?;
            }
        }
        for (queue, name, meta) in self.list_all(Area::Scratch)? {
            // Reading a file does not touch it; writing, renaming or changing it does.
            if retention.expired(meta.mtime.max(meta.ctime), now) {
                self.remove(Area::Scratch, &queue, &name)?;
            }
        }
        Ok(())
    }
}

fn replaced_name(name: &OsStr, nanos: u128) -> OsString {
    // 20 digits are enough until the year 5000; a dot and they must fit 255 bytes.
    let bytes = name.as_bytes();
    let mut kept = OsStr::from_bytes(&bytes[..bytes.len().min(230)]).to_owned();
    kept.push(format!(".{nanos}"));
    kept
}

fn replaced_at(name: &OsStr) -> Option<SystemTime> {
    let digits = name.as_bytes().rsplit(|byte| *byte == b'.').next()?;
    let nanos: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
}

/// Nanoseconds since 1970, never the same twice in one process, whatever the clock does.
pub(super) fn unique_nanos(now: SystemTime) -> u128 {
    static LAST: Mutex<u128> = Mutex::new(0);
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let mut last = LAST.lock();
    *last = if *last >= now && *last - now < 1_000_000 {
        *last + 1
    } else {
        now
    };
    *last
}
