//! One handoff of a merge. The queue keeps it with the name for as long as the file does not change.

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

/// One handoff of a merge, as it was when the merge was planned. There may be a hundred thousand of them: it is small.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::fs) struct MergeEntry {
    pub(in crate::fs) ino: u64,
    pub(in crate::fs) size: u64,
    pub(in crate::fs) mtime: SystemTime,
    /// Of the time zone in which `mtime` is shown.
    offset: FixedOffset,
    pub(in crate::fs) dir: DirId,
    pub(in crate::fs) stamp: Stamp,
    /// Its path from the queue that is read, and what it is called once it is consumed.
    names: Box<[u8]>,
    /// Where in them the one ends and the other begins.
    split: u32,
    /// How long the lines about it are but for its number, in bytes.
    pub(in crate::fs) line: u32,
    pub(in crate::fs) newline: bool,
}

impl MergeEntry {
    pub(in crate::fs) fn new(
        dir: DirId,
        stamp: Stamp,
        shown: &OsStr,
        stays_as: &OsStr,
        known: &CacheEntry,
        written: DateTime<FixedOffset>,
    ) -> MergeEntry {
        let mut item = MergeEntry {
            ino: known.ino,
            size: known.size,
            mtime: known.mtime,
            offset: *written.offset(),
            dir,
            stamp,
            names: [shown.as_bytes(), stays_as.as_bytes()].concat().into(),
            // No path is longer than that tells.
            split: shown.len() as u32,
            line: 0,
            // Where that cannot be told, one more does no harm.
            newline: known.newline.unwrap_or(false),
        };
        item.line = item.entry().line_len() as u32;
        item
    }

    pub(in crate::fs) fn entry(&self) -> merge::Entry<'_> {
        merge::Entry {
            path: self.shown(),
            size: self.size,
            written: calendar(self.mtime).with_timezone(&self.offset),
            stays_as: self.stays_as(),
            ends_with_newline: self.newline,
        }
    }

    /// Its path from the queue that is read.
    pub(in crate::fs) fn shown(&self) -> &OsStr {
        OsStr::from_bytes(&self.names[..self.split as usize])
    }

    /// What it is called once it is consumed.
    pub(in crate::fs) fn stays_as(&self) -> &OsStr {
        OsStr::from_bytes(&self.names[self.split as usize..])
    }

    pub(in crate::fs) fn file_name(&self) -> &OsStr {
        Path::new(self.shown()).file_name().unwrap_or_default()
    }

    pub(in crate::fs) fn name(&self) -> Option<StampedName> {
        StampedName::parse(self.file_name())
    }
}

#[cfg(test)]
impl MergeEntry {
    /// An entry of the root queue for tests: two bytes, in a file with this inode number, which is its second as well.
    pub(in crate::fs) fn numbered(ino: u64) -> std::sync::Arc<MergeEntry> {
        let name = format!("2026-01-02_0304{ino:02}_x.md");
        let stamped = StampedName::parse(OsStr::new(&name)).unwrap();
        let known = CacheEntry {
            ino,
            size: 2,
            newline: Some(true),
            ..CacheEntry::unlooked(crate::store::Kind::File)
        };
        let written = calendar(known.mtime).fixed_offset();
        let (name, done) = (OsStr::new(&name), stamped.consumed().to_os_string());
        MergeEntry::new(DirId::ROOT, stamped.stamp(), name, &done, &known, written).into()
    }
}
