//! What is cached of one name of a queue.

use std::ffi::OsStr;
use std::time::SystemTime;

use crate::error::Result;
use crate::names;
use crate::store::{Kind, Meta};

/// See the [module](self).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheEntry {
    pub mtime: SystemTime,
    pub ino: u64,
    /// In bytes.
    pub size: u64,
    /// Nanoseconds since 1970. Every change of the file moves the ctime, also a change that puts the mtime back.
    pub(super) ctime: i64,
    pub kind: Kind,
    /// Whether the last byte is a newline; `None` until that byte is read.
    pub newline: Option<bool>,
    /// Published, or last written, through the mount: no process outside the mount can be writing the file (spec 3.7).
    pub(super) ours: bool,
    /// Whether stat(2) has filled the entry. Until then only the kind means anything.
    pub looked: bool,
}

impl CacheEntry {
    /// An entry of which only the kind is known.
    pub(super) fn unlooked(kind: Kind) -> CacheEntry {
        CacheEntry {
            mtime: SystemTime::UNIX_EPOCH,
            ino: 0,
            size: 0,
            ctime: 0,
            kind,
            newline: None,
            ours: false,
            looked: false,
        }
    }

    /// The entry of a file with this stat(2).
    pub(super) fn of(meta: &Meta) -> CacheEntry {
        let since = meta.ctime.duration_since(SystemTime::UNIX_EPOCH);
        CacheEntry {
            mtime: meta.mtime,
            ino: meta.ino,
            size: meta.size,
            ctime: since.map_or(0, |since| since.as_nanos() as i64),
            looked: true,
            ..CacheEntry::unlooked(meta.kind)
        }
    }

    /// The entry of a name with this stat(2); `None` if the name is gone, or is never shown.
    pub(super) fn shown(name: &OsStr, meta: Result<Meta>) -> Result<Option<CacheEntry>> {
        match meta {
            Ok(meta) if is_never_shown(name, meta.kind) => Ok(None),
            Ok(meta) => Ok(Some(CacheEntry::of(&meta))),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Do both entries say the same of the file below?
    pub(super) fn is_same_file(&self, other: &CacheEntry) -> bool {
        let other = CacheEntry {
            newline: self.newline,
            ours: self.ours,
            ..*other
        };
        *self == other
    }
}

pub(super) fn is_never_shown(name: &OsStr, kind: Kind) -> bool {
    kind == Kind::Other || name == names::PRIVATE
}

/// Is this a real `pending.md` without a byte? Such a file says nothing, and the virtual file has its name (spec 3.6a).
pub fn is_empty_pending_md(name: &OsStr, entry: &CacheEntry) -> bool {
    name == names::PENDING && entry.looked && entry.size == 0
}
