//! One name of a queue, as it is remembered.

use std::time::SystemTime;

use crate::store::{Kind, Meta};

/// One name of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::fs) struct CacheEntry {
    pub(in crate::fs) mtime: SystemTime,
    pub(in crate::fs) ino: u64,
    pub(in crate::fs) size: u64,
    /// Moves with whatever happens to it, also when its mtime is put back. In nanoseconds since 1970; only compared.
    pub(super) ctime: i64,
    pub(in crate::fs) kind: Kind,
    /// Whether its last byte is a newline, once somebody asked.
    pub(in crate::fs) newline: Option<bool>,
    /// Published, or last written, through the mount: no process outside of it is asked about (spec 3.7).
    pub(super) ours: bool,
    /// Whether number, size and times were asked; until then only the name and the kind mean anything.
    pub(in crate::fs) looked: bool,
}

impl CacheEntry {
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

pub(super) fn known(meta: &Meta) -> CacheEntry {
    let since = meta.ctime.duration_since(SystemTime::UNIX_EPOCH);
    CacheEntry {
        mtime: meta.mtime,
        ino: meta.ino,
        size: meta.size,
        ctime: since.map_or(0, |since| since.as_nanos() as i64),
        kind: meta.kind,
        newline: None,
        ours: false,
        looked: true,
    }
}

pub(super) fn same(old: &CacheEntry, new: &CacheEntry) -> bool {
    let of = |known: &CacheEntry| CacheEntry {
        newline: None,
        ours: false,
        ..*known
    };
    of(old) == of(new)
}
