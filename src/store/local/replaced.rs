//! What writes, edits and renames have replaced, kept for the retention time (spec 3.9).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{Area, Local};
use crate::error::{Error, Result};
use crate::retention::Retention;
use crate::store::dirfd::{self, stat_file};

/// Of one handoff so many replaced versions are kept, the latest.
const VERSIONS: usize = 16;

/// What is freed at a time where the disk is full, in bytes: more than one writer needs at once.
const ROOM: u64 = 1 << 20;

/// A version that is kept: a file of an area.
#[derive(Debug)]
pub struct Kept {
    /// The queue that it is of.
    pub queue: PathBuf,
    /// Its own name there: see [`version_of`].
    pub name: OsString,
}

impl Local {
    /// Keeps what a write is about to replace, as a copy in this area with the times and the mode of `file`. In
    /// [`Area::Rewriting`] the copy waits for the end of that write, and for [`Local::keep_rewritten`].
    pub fn keep_copy(
        &self,
        file: &File,
        area: Area,
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<(File, Kept)> {
        let meta = stat_file(file)?;
        let dir = self.make_dir(area, queue)?;
        let (copy, name) = loop {
            let name = replaced_name(name, unique_nanos(now));
            match dirfd::create(&dir, &name, meta.mode) {
                Err(Error::Exists) => {}
                copy => break (copy?, name),
            }
        };
        let copied = dirfd::copy(file, &copy).and_then(|()| {
            dirfd::set_times(&copy, Some(meta.atime), Some(meta.mtime))?;
            if self.durable {
                copy.sync_all()?;
                rustix::fs::fsync(&dir)?;
            }
            Ok(())
        });
        if let Err(error) = copied {
            // Half a version is none, and takes room that is wanted.
            let _ = dirfd::unlink(&dir, &name);
            return Err(error);
        }
        if area == Area::Replaced {
            self.drop_oldest_of(queue, &name);
        }
        let queue = queue.to_owned();
        Ok((copy, Kept { queue, name }))
    }

    /// The write that replaced this version has ended.
    pub fn keep_rewritten(&self, kept: &Kept) -> Result<()> {
        let Kept { queue, name } = kept;
        self.make_dir(Area::Replaced, queue)?;
        let place = |area| (area, queue.as_path(), name.as_os_str());
        self.rename_new(place(Area::Rewriting), place(Area::Replaced))?;
        self.drop_oldest_of(queue, name);
        Ok(())
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
            let kept = replaced_name(name, unique_nanos(now));
            match dirfd::rename_new(&old, file.2, &new, &kept) {
                Err(Error::Exists) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.drop_oldest_of(queue, &kept);
                    return Ok(());
                }
            }
        }
    }

    /// Removes all but the latest versions of the handoff that this one is of.
    fn drop_oldest_of(&self, queue: &Path, kept: &OsStr) {
        let of = version_of(kept).map(|(of, _)| of);
        let listed = self.dir(Area::Replaced, queue).and_then(dirfd::names);
        let mut versions: Vec<_> = listed
            .unwrap_or_default()
            .into_iter()
            .filter_map(|entry| {
                let (name, nanos) = version_of(&entry.name)?;
                (Some(name) == of).then(|| (nanos, entry.name.clone()))
            })
            .collect();
        versions.sort();
        for (_, name) in versions.iter().rev().skip(VERSIONS) {
            if let Err(error) = self.remove(Area::Replaced, queue, name) {
                log::warn!("{}: cannot be removed ({error})", name.display());
            }
        }
    }

    /// Does something that may need room; again where the disk is full, for as long as replaced versions can make some.
    pub fn with_room<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match act() {
                Err(Error::Os(libc::ENOSPC | libc::EDQUOT)) if self.make_room() => {}
                done => return done,
            }
        }
    }

    /// Removes replaced versions, the oldest first; false where there are none.
    fn make_room(&self) -> bool {
        let mut versions: Vec<_> = self
            .list_all(Area::Replaced)
            .unwrap_or_default()
            .into_iter()
            .map(|(queue, name, meta)| (version_of(&name).map(|it| it.1), queue, name, meta))
            .collect();
        versions.sort_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)));
        let (mut freed, mut removed) = (0, 0);
        for (_, queue, name, meta) in versions {
            if freed < ROOM && self.remove(Area::Replaced, &queue, &name).is_ok() {
                freed += (meta.blocks * 512).max(4096);
                removed += 1;
            }
        }
        if removed > 0 {
            log::warn!("the disk is full: the {removed} oldest replaced versions were removed");
        }
        removed > 0
    }

    /// Removes a file, and keeps it among the replaced versions; answers its name there.
    pub fn keep_ordinary_removed(
        &self,
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<OsString> {
        let new = self.make_dir(Area::Replaced, queue)?;
        let old = self.dir(Area::Backing, queue)?;
        loop {
            let kept = replaced_name(name, unique_nanos(now));
            match dirfd::rename_new(&old, name, &new, &kept) {
                Err(Error::Exists) => {}
                done => return done.map(|()| kept),
            }
        }
    }

    /// Removes replaced versions and removed handoffs past the retention time.
    pub fn sweep(&self, retention: Retention, now: SystemTime) -> Result<()> {
        self.change_record(|_| false)?;
        self.sweep_removed(retention, now)?;
        for (queue, name, _) in self.list_all(Area::Replaced)? {
            if replaced_at(&name).is_some_and(|at| retention.expired(at, now)) {
                self.remove(Area::Replaced, &queue, &name)?;
            }
        }
        Ok(())
    }
}

pub(super) fn replaced_name(name: &OsStr, nanos: u128) -> OsString {
    // 20 digits are enough until the year 5000; a dot and they must fit 255 bytes.
    let bytes = name.as_bytes();
    let mut kept = OsStr::from_bytes(&bytes[..bytes.len().min(230)]).to_owned();
    kept.push(format!(".{nanos}"));
    kept
}

/// What a version is a version of, and the nanoseconds since 1970 when it was replaced.
pub fn version_of(kept: &OsStr) -> Option<(&OsStr, u64)> {
    let bytes = kept.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.')?;
    let nanos = std::str::from_utf8(&bytes[dot + 1..]).ok()?.parse().ok()?;
    Some((OsStr::from_bytes(&bytes[..dot]), nanos))
}

pub(super) fn replaced_at(name: &OsStr) -> Option<SystemTime> {
    let (_, nanos) = version_of(name)?;
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
