//! What is cached of one name of a queue.

use std::ffi::OsStr;
use std::time::SystemTime;

use crate::names;
use crate::store::{Kind, Meta};

/// See the [module](self).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheEntry {
    pub mtime: SystemTime,
    pub ino: u64,
    /// In bytes.
    pub size: u64,
    /// Nanoseconds since 1970. Every change of the file moves it, also one that puts the mtime back.
    pub(super) ctime: i64,
    pub kind: Kind,
    /// Whether the last byte is a newline, once that was read.
    pub newline: Option<bool>,
    /// Published, or last written, through the mount: no process outside the mount can be writing it (spec 3.7).
    pub(super) ours: bool,
    /// Whether stat(2) has filled the entry; until then only the kind means anything.
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
}

/// The entry of a file of which stat(2) says this.
pub(super) fn known(meta: &Meta) -> CacheEntry {
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

/// Do both entries say the same of the file below?
pub(super) fn same(old: &CacheEntry, new: &CacheEntry) -> bool {
    let of = |known: &CacheEntry| CacheEntry {
        newline: None,
        ours: false,
        ..*known
    };
    of(old) == of(new)
}

pub(super) fn is_never_shown(name: &OsStr, kind: Kind) -> bool {
    kind == Kind::Other || name == names::PRIVATE
}

/// Is this a real `pending.md` without a byte? It says nothing, and its name is the virtual file's (spec 3.6a).
pub fn is_empty_pending_md(name: &OsStr, known: &CacheEntry) -> bool {
    name == names::PENDING && known.looked && known.size == 0
}
