//! Replaced versions and removed handoffs, kept for the retention time (spec 3.9).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use super::files::Local;
use super::kept_name::{Kept, kept_at, kept_name, version_of};
use crate::error::{Error, Result};
use crate::retention::Retention;
use crate::store::area::{Area, AreaFile};
use crate::store::dirfd::{self, stat_file};

/// At most this many replaced versions of one handoff are kept.
const VERSIONS: usize = 16;

/// This many bytes are freed at a time if the disk is full: more than one write needs.
const ROOM: u64 = 1 << 20;

impl Local {
    /// Keeps a copy, with times and mode, of a file that a write is about to replace. A copy in [`Area::Rewriting`] stays
    /// there until the write has ended and the caller calls [`Local::keep_rewritten`].
    pub fn keep_copy(
        &self,
        file: &File,
        area: Area,
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<(File, Kept)> {
        let meta = stat_file(file)?;
        let fill = |copy: &File| {
            dirfd::copy(file, copy)?;
            dirfd::set_times(copy, Some(meta.atime), Some(meta.mtime))
        };
        let (copy, name) =
            self.create_filled(area, queue, || kept_name(name, now), meta.mode, fill)?;
        if area == Area::Replaced {
            self.drop_oldest_of(queue, &name);
        }
        let queue = queue.to_owned();
        Ok((copy, Kept { queue, name }))
    }

    /// Moves a copy from [`Area::Rewriting`] to the replaced versions, because the write has ended.
    pub fn keep_rewritten(&self, kept: &Kept) -> Result<()> {
        let Kept { queue, name } = kept;
        let copy = (Area::Rewriting, queue.as_path(), name.as_os_str());
        self.rename_new(copy, (Area::Replaced, queue, name))?;
        self.drop_oldest_of(queue, name);
        Ok(())
    }

    /// Keeps a file that was left in an area as a version of its own name.
    pub fn keep(&self, area: Area, queue: &Path, name: &OsStr, now: SystemTime) -> Result<()> {
        self.keep_as((area, queue, name), queue, name, now)
    }

    /// Keeps a replaced file as a version of `name` in `queue`.
    pub fn keep_as(
        &self,
        file: AreaFile<'_>,
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<()> {
        let kept = self.set_aside(file, (Area::Replaced, queue, name), now)?;
        self.drop_oldest_of(queue, &kept);
        Ok(())
    }

    /// Keeps a removed pending handoff in [`Area::Removed`].
    pub fn keep_pending(
        &self,
        area: Area,
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<()> {
        self.set_aside((area, queue, name), (Area::Removed, queue, name), now)
            .map(drop)
    }

    /// Keeps a removed ordinary file with the replaced versions; returns its name there.
    pub fn keep_ordinary_removed(
        &self,
        queue: &Path,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<OsString> {
        let file = (Area::Backing, queue, name);
        self.set_aside(file, (Area::Replaced, queue, name), now)
    }

    /// Moves a file to another area, as a version of the name there; returns the version's own name.
    fn set_aside(&self, file: AreaFile<'_>, to: AreaFile<'_>, now: SystemTime) -> Result<OsString> {
        loop {
            let kept = kept_name(to.2, now);
            match self.rename_new(file, (to.0, to.1, &kept)) {
                Err(Error::Exists) => {}
                done => return done.map(|()| kept),
            }
        }
    }

    /// Removes all but the latest versions of the handoff that has the version `kept`.
    fn drop_oldest_of(&self, queue: &Path, kept: &OsStr) {
        let of = version_of(kept).map(|(of, _)| of);
        let listed = self.dir(Area::Replaced, queue).and_then(dirfd::names);
        let listed = listed.unwrap_or_default();
        let versions = listed.iter().filter_map(|entry| {
            let (name, nanos) = version_of(&entry.name)?;
            (Some(name) == of).then_some((nanos, &*entry.name))
        });
        let mut versions: Vec<_> = versions.collect();
        versions.sort();
        for (_, name) in versions.iter().rev().skip(VERSIONS) {
            if let Err(error) = self.remove(Area::Replaced, queue, name) {
                log::warn!(
                    "{}: this old replaced version cannot be removed ({error})",
                    queue.join(name).display()
                );
            }
        }
    }

    /// Runs `act`. If the disk is full, removes replaced versions and runs `act` again, until no version is left.
    pub fn with_room<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match act() {
                Err(Error::Os(libc::ENOSPC | libc::EDQUOT)) if self.make_room() => {}
                done => return done,
            }
        }
    }

    /// Removes replaced versions, the oldest first; false if there was none.
    fn make_room(&self) -> bool {
        let mut versions = self.list_all(Area::Replaced).unwrap_or_default();
        versions.sort_by_key(|(_, name, _)| kept_at(name));
        let (mut freed, mut removed) = (0, 0);
        for (queue, name, meta) in versions {
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

    /// Removes replaced versions and removed handoffs past the retention time.
    pub fn sweep(&self, retention: Retention, now: SystemTime) -> Result<()> {
        self.write_changes(&mut self.record.lock())?;
        for area in [Area::Removed, Area::Replaced] {
            for (queue, name, _) in self.list_all(area)? {
                if kept_at(&name).is_some_and(|at| retention.expired(at, now)) {
                    self.remove(area, &queue, &name)?;
                }
            }
        }
        Ok(())
    }
}
