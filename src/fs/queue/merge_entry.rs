//! One handoff of a merge. The queue caches the entry until the file changes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, FixedOffset};

use crate::clock::calendar;
use crate::fs::ids::DirId;
use crate::fs::queue::entry::CacheEntry;
use crate::merge;
use crate::names::{Stamp, StampedName};

/// One handoff as it was when the merge was planned. Small, because there may be a hundred thousand of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::fs) struct MergeEntry {
    pub ino: u64,
    pub size: u64,
    pub mtime: SystemTime,
    /// The time zone in which `mtime` is shown.
    offset: FixedOffset,
    pub dir: DirId,
    pub stamp: Stamp,
    /// The path from the queue that is read, and the name once consumed, in one allocation.
    names: Box<[u8]>,
    /// Where in `names` the consumed name begins.
    split: u32,
    /// How long the header line is without its number, in bytes.
    pub line: u32,
    pub newline: bool,
}

impl MergeEntry {
    pub fn new(
        dir: DirId,
        stamp: Stamp,
        shown: &OsStr,
        stays_as: &OsStr,
        cached: &CacheEntry,
        written: DateTime<FixedOffset>,
    ) -> MergeEntry {
        let mut entry = MergeEntry {
            ino: cached.ino,
            size: cached.size,
            mtime: cached.mtime,
            offset: *written.offset(),
            dir,
            stamp,
            names: [shown.as_bytes(), stays_as.as_bytes()].concat().into(),
            // A path is at most 4096 bytes long.
            split: shown.len() as u32,
            line: 0,
            // Where the last byte is not known, one newline too many does no harm.
            newline: cached.newline.unwrap_or(false),
        };
        entry.line = entry.entry().line_len() as u32;
        entry
    }

    pub fn entry(&self) -> merge::Entry<'_> {
        merge::Entry {
            path: self.shown(),
            size: self.size,
            written: calendar(self.mtime).with_timezone(&self.offset),
            stays_as: self.stays_as(),
            ends_with_newline: self.newline,
        }
    }

    /// The path from the queue that is read.
    pub fn shown(&self) -> &OsStr {
        OsStr::from_bytes(&self.names[..self.split as usize])
    }

    /// The name once consumed.
    pub fn stays_as(&self) -> &OsStr {
        OsStr::from_bytes(&self.names[self.split as usize..])
    }

    pub fn file_name(&self) -> &OsStr {
        Path::new(self.shown()).file_name().unwrap_or_default()
    }

    pub fn name(&self) -> Option<StampedName> {
        StampedName::parse(self.file_name())
    }
}

#[cfg(test)]
impl MergeEntry {
    /// An entry of the root queue for tests: a file of two bytes with this inode number, which is the second of its stamp, too.
    pub fn numbered(ino: u64) -> std::sync::Arc<MergeEntry> {
        let name = format!("2026-01-02_0304{ino:02}_x.md");
        let stamped = StampedName::parse(OsStr::new(&name)).unwrap();
        let cached = CacheEntry {
            ino,
            size: 2,
            newline: Some(true),
            ..CacheEntry::unlooked(crate::store::Kind::File)
        };
        let written = calendar(cached.mtime).fixed_offset();
        let (name, done) = (OsStr::new(&name), stamped.consumed().to_os_string());
        MergeEntry::new(DirId::ROOT, stamped.stamp(), name, &done, &cached, written).into()
    }
}
