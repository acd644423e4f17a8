//! Where handoffs are kept: the boundary between the filesystem's logic and the storage below it.
//!
//! [`Store`] holds *published* handoffs. What is not published yet, and what is no handoff at all (drafts,
//! scratch files, replaced versions, ordinary files), is always local and belongs to [`local::Local`].
//!
//! Nothing here knows a session, an alias or a node. Paths of queues are relative to the root queue, which is
//! the empty path; names are single components.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
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

/// What a directory entry is; symbolic links and special files are `Other` and never shown (spec 3.6, 4.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What stat(2) says of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// Inode number in the backing filesystem.
    pub ino: u64,
    /// What it is.
    pub kind: Kind,
    /// Length in bytes.
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: SystemTime,
    /// Last modification.
    pub mtime: SystemTime,
    /// Last change of the inode.
    pub ctime: SystemTime,
}

/// What a listing tells of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name, to be shared by whoever keeps it.
    pub name: Arc<OsStr>,
    /// What has it.
    pub kind: Kind,
    /// What stat(2) says, where that was to be had without asking for each name.
    pub meta: Option<Meta>,
}

/// How a stored file is opened. Neither for reading nor for writing, it can be looked at and have its attributes changed,
/// whatever its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
}

impl Access {
    /// Reading only.
    pub const READ: Access = Access {
        read: true,
        write: false,
    };
    /// Writing only.
    pub const WRITE: Access = Access {
        read: false,
        write: true,
    };
    /// Neither.
    pub const NONE: Access = Access {
        read: false,
        write: false,
    };
}

/// One observed change of a watched queue, made by anyone, this program included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What [`Store::watch`] answered for the queue.
    pub watch: Watch,
    /// The name that changed; empty when something happened to the queue itself, which is watched no more if it was removed.
    pub name: OsString,
    /// What happened to it.
    pub what: What,
}

/// See [`Change`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Removed, not moved away.
    Removed,
    /// Made, written, closed by a writer, moved, or changed in any other way: look again.
    Touched,
}

/// Identifies a watched queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Watch(pub i32);

/// What happened since the last question.
#[derive(Debug, PartialEq, Eq)]
pub enum Changes {
    /// These, in order.
    These(Vec<Change>),
    /// So much that it was not kept: list again.
    Overflow,
}

/// A draft as the storage sees it: an open local file and its place.
#[derive(Clone, Copy)]
pub struct DraftFile<'a> {
    /// The directory that holds the draft.
    pub dir: &'a dyn AsFdDyn,
    /// Its name there.
    pub name: &'a OsStr,
}

/// [`AsFd`] that can be a trait object.
pub trait AsFdDyn: Send + Sync {
    /// The descriptor.
    fn fd(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd + Send + Sync> AsFdDyn for T {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}

/// Published handoffs.
///
/// Errors are those of the storage below; [`Error::NotFound`] and
/// [`Error::Exists`] mean what they say.
pub trait Store: Send + Sync {
    /// Everything in a queue, in no order.
    fn list(&self, queue: &Path) -> Result<Vec<Entry>>;

    /// What is known of one file.
    fn stat(&self, queue: &Path, name: &OsStr) -> Result<Meta>;

    /// Opens a stored file.
    fn open(&self, queue: &Path, name: &OsStr, access: Access) -> Result<File>;

    /// As [`Store::open`], with what is known of the file that was opened.
    fn open_known(&self, queue: &Path, name: &OsStr, access: Access) -> Result<(File, Meta)> {
        let file = self.open(queue, name, access)?;
        let meta = dirfd::stat_file(&file)?;
        Ok((file, meta))
    }

    /// Moves a draft under `name`, or under the next free suffix of it, never over another file; answers the
    /// name it got (spec 3.3, 4.2). The name is durable once [`Store::sync`] has returned.
    fn publish(
        &self,
        draft: DraftFile<'_>,
        queue: &Path,
        name: &StampedName,
    ) -> Result<StampedName>;

    /// Puts a draft in the place of a stored file, atomically. What it replaced is afterwards found in the
    /// draft's place, for the caller to keep (spec 3.9).
    fn replace(&self, draft: DraftFile<'_>, queue: &Path, name: &OsStr) -> Result<()>;

    /// Renames a stored file, never over another one.
    fn rename(&self, from: (&Path, &OsStr), to: (&Path, &OsStr)) -> Result<()>;

    /// Sets both times of a stored file.
    fn set_times(&self, queue: &Path, name: &OsStr, time: SystemTime) -> Result<()> {
        let file = self.open(queue, name, Access::READ)?;
        dirfd::set_times(&file, Some(time), Some(time))
    }

    /// Renames a pending handoff to `done` (or its next free suffix) and sets its times to `now` (spec 3.5);
    /// answers the name it got.
    fn consume(
        &self,
        queue: &Path,
        name: &StampedName,
        done: &StampedName,
        now: SystemTime,
    ) -> Result<StampedName>;

    /// Deletes a stored file: an expired one, or one that its owner removed.
    fn remove(&self, queue: &Path, name: &OsStr) -> Result<()>;

    /// Makes every change of names in a queue durable.
    fn sync(&self, queue: &Path) -> Result<()>;

    /// Begins to watch a queue; `None` where the storage cannot tell what others change.
    fn watch(&self, queue: &Path) -> Option<Watch>;

    /// What has changed in watched queues since the last call. Complete: a change that another process saw
    /// succeed before this call is in the answer.
    fn changes(&self) -> Changes;
}

/// How often a taken name is tried again with the next suffix before we give up.
const SUFFIXES: u32 = 100_000;

/// Where many names have been taken, how many are tried before the search goes on where the last one ended.
const TRIED_FIRST: u32 = 16;

/// Runs `attempt` with `name` and then with its suffixes `_2`, `_3`, … until one is free (spec 3.3).
pub(crate) fn first_free(
    name: &StampedName,
    attempt: impl FnMut(&StampedName) -> Result<()>,
) -> Result<StampedName> {
    first_free_after(name, 0, attempt).map(|(name, _)| name)
}

/// As [`first_free`], where names up to the `last`th were taken when somebody looked: those are not all tried again, or
/// ten thousand files that want one name would take fifty million attempts. Answers which of them it got, too.
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

    /// spec 3.3: names stay different, and the ten-thousandth costs hardly more to find than the twentieth.
    #[test]
    fn many_that_want_one_name() {
        let name = StampedName::parse(OsStr::new("2026-01-02_030405_x.md")).unwrap();
        let mut taken = HashSet::new();
        let mut last = 0;
        for wanted in 1..10_000 {
            let mut attempts = 0;
            let (got, n) = first_free_after(&name, last, |candidate| {
                attempts += 1;
                match taken.insert(candidate.clone()) {
                    true => Ok(()),
                    false => Err(Error::Exists),
                }
            })
            .unwrap();
            last = n;
            assert_eq!((got, n), (name.with_suffix(wanted), wanted));
            assert!(attempts <= TRIED_FIRST + 1, "{attempts}");
        }
        taken.remove(&name.with_suffix(2));
        assert_eq!(first_free_after(&name, last, |_| Ok(())).unwrap().1, 1);
        let reused = |candidate: &StampedName| match taken.insert(candidate.clone()) {
            true => Ok(()),
            false => Err(Error::Exists),
        };
        assert_eq!(first_free_after(&name, last, reused).unwrap().1, 2);
    }
}
