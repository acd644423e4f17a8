//! The storage below the filesystem's logic.
//!
//! [`Store`] holds *published* handoffs. All other files are always local and belong to [`local::Local`]: drafts, scratch
//! files, replaced versions, ordinary files.
//!
//! Nothing here knows a session's aliases or a node. Paths of queues are relative to the root queue, which is the empty
//! path; names are single components.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::names::StampedName;

pub mod area;
pub mod dir;
pub mod dir_kind;
pub mod dirfd;
pub mod first_mount;
pub mod lease;
pub mod local;
pub mod mountpoint;
pub mod open_error;
mod private;
mod types;

pub use types::{Access, Change, Changes, Entry, Kind, Meta, Watch, What};

/// A draft: an open directory, and a name in it.
#[derive(Clone, Copy)]
pub struct DraftFile<'a> {
    /// The directory that holds the draft.
    pub dir: &'a dirfd::Dir,
    /// Its name there.
    pub name: &'a OsStr,
}

/// Published handoffs.
///
/// Errors are those of the storage below.
pub trait Store: Send + Sync {
    /// Everything in a queue, in no order.
    fn list(&self, queue: &Path) -> Result<Vec<Entry>>;

    /// stat(2) of one file.
    fn stat(&self, queue: &Path, name: &OsStr) -> Result<Meta>;

    /// Opens a stored file.
    fn open(&self, queue: &Path, name: &OsStr, access: Access) -> Result<File> {
        self.open_known(queue, name, access).map(|(file, _)| file)
    }

    /// As [`Store::open`], with the stat(2) of the opened file.
    fn open_known(&self, queue: &Path, name: &OsStr, access: Access) -> Result<(File, Meta)>;

    /// Moves a draft to `name`, or to the next free suffix of it, never over another file; returns the new name (spec 3.3,
    /// 4.2). The name is durable once [`Store::sync`] has returned.
    fn publish(
        &self,
        draft: DraftFile<'_>,
        queue: &Path,
        name: &StampedName,
    ) -> Result<StampedName>;

    /// Puts a draft in the place of a stored file, atomically. The replaced file gets the draft's name, under which the
    /// caller finds and keeps it (spec 3.9).
    fn replace(&self, draft: DraftFile<'_>, queue: &Path, name: &OsStr) -> Result<()>;

    /// Renames a stored file, never over another one.
    fn rename(&self, from: (&Path, &OsStr), to: (&Path, &OsStr)) -> Result<()>;

    /// Sets both times of a stored file, whatever its mode.
    fn set_times(&self, queue: &Path, name: &OsStr, time: SystemTime) -> Result<()> {
        let file = self.open(queue, name, Access::NONE)?;
        dirfd::set_times(&file, Some(time), Some(time))
    }

    /// Renames a pending handoff to `done`, or to the next free suffix of it, and sets both of its times to `now` (spec
    /// 3.5); returns the new name.
    fn consume(
        &self,
        queue: &Path,
        name: &StampedName,
        done: &StampedName,
        now: SystemTime,
    ) -> Result<StampedName>;

    /// Deletes a stored file.
    fn remove(&self, queue: &Path, name: &OsStr) -> Result<()>;

    /// Makes every change of names in a queue durable.
    fn sync(&self, queue: &Path) -> Result<()>;

    /// Begins to watch a queue; `None` where the storage cannot report the changes of other processes.
    fn watch(&self, queue: &Path) -> Option<Watch>;

    /// The changes of watched queues since the last call. A change that another process saw succeed before this call is in
    /// the answer.
    fn changes(&self) -> Changes;
}

/// At most this many suffixes are tried.
const SUFFIXES: u32 = 100_000;

/// This many suffixes are tried first. Then the search goes on after the suffix of the last search.
const TRIED_FIRST: u32 = 16;

/// Runs `attempt` with `name` and then with its suffixes `_2`, `_3`, … until a name is free (spec 3.3).
pub(crate) fn first_free(
    name: &StampedName,
    attempt: impl FnMut(&StampedName) -> Result<()>,
) -> Result<StampedName> {
    first_free_after(name, 0, attempt).map(|(name, _)| name)
}

/// As [`first_free`], after a search that ended with suffix `last`; returns the new suffix, too. Most suffixes up to `last`
/// are not tried again, because ten thousand files of one name would take fifty million attempts.
pub(crate) fn first_free_after(
    name: &StampedName,
    last: u32,
    mut attempt: impl FnMut(&StampedName) -> Result<()>,
) -> Result<(StampedName, u32)> {
    let skipped = TRIED_FIRST.max(last);
    let rest = skipped.saturating_add(1)..skipped.saturating_add(SUFFIXES);
    for n in (1..=TRIED_FIRST).chain(rest) {
        let candidate = name.with_suffix(n);
        match attempt(&candidate) {
            Err(Error::Exists) => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok((candidate, n)),
        }
    }
    Err(Error::Exists)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ffi::OsStr;

    use super::*;

    fn take(taken: &mut HashSet<StampedName>, name: &StampedName) -> Result<()> {
        match taken.insert(name.clone()) {
            true => Ok(()),
            false => Err(Error::Exists),
        }
    }

    /// spec 3.3: names stay different, and the ten-thousandth costs hardly more attempts than the twentieth.
    #[test]
    fn many_that_want_one_name() {
        let name = StampedName::parse(OsStr::new("2026-01-02_030405_x.md")).unwrap();
        let mut taken = HashSet::new();
        let mut last = 0;
        for wanted in 1..10_000 {
            let mut attempts = 0;
            let (got, n) = first_free_after(&name, last, |candidate| {
                attempts += 1;
                take(&mut taken, candidate)
            })
            .unwrap();
            last = n;
            assert_eq!((got, n), (name.with_suffix(wanted), wanted));
            assert!(attempts <= TRIED_FIRST + 1, "{attempts}");
        }
        taken.remove(&name.with_suffix(2));
        assert_eq!(first_free_after(&name, last, |_| Ok(())).unwrap().1, 1);
        let reused = first_free_after(&name, last, |candidate| take(&mut taken, candidate));
        assert_eq!(reused.unwrap().1, 2);
    }
}
