//! The names of a directory at the time when a process began to read it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::store::Kind;

/// One entry of a listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed<'a> {
    /// Its name.
    pub name: &'a OsStr,
    /// Its inode number.
    pub ino: u64,
    /// File or directory.
    pub kind: Kind,
}

/// All entries of a listing. 100,000 names take some five megabytes, as long as the directory is open.
#[derive(Debug, Default)]
pub struct Listing {
    pub(in crate::fs) entries: Vec<Packed>,
    /// All the names, one after the other.
    names: Vec<u8>,
    /// How many entries the first answer of READDIRPLUS has; see `ops/readdirplus.rs`.
    pub(in crate::fs) first: u64,
    /// May the kernel use the names without asking?
    pub(in crate::fs) cacheable: bool,
}

/// One entry; its name lies in [`Listing::names`].
#[derive(Clone, Copy, Debug)]
pub(in crate::fs) struct Packed {
    ino: u64,
    start: u32,
    len: u8,
    kind: Kind,
}

impl Listing {
    pub(in crate::fs) fn push(&mut self, name: &OsStr, ino: u64, kind: Kind) {
        // No name is longer than 255 bytes, and no directory holds four gigabytes of names.
        let (Ok(start), Ok(len)) = (u32::try_from(self.names.len()), u8::try_from(name.len()))
        else {
            return;
        };
        self.names.extend_from_slice(name.as_bytes());
        self.entries.push(Packed {
            ino,
            start,
            len,
            kind,
        });
    }

    /// Sorts all but `.` and `..`.
    pub(in crate::fs) fn sort(&mut self) {
        let names = &self.names;
        if let Some(entries) = self.entries.get_mut(2..) {
            entries.sort_by(|a, b| name_in(names, *a).cmp(name_in(names, *b)));
        }
    }

    /// The entries from this offset on, each with the offset of the next entry.
    pub fn from(&self, offset: u64) -> impl Iterator<Item = (u64, Listed<'_>)> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.entries.get(from..).unwrap_or_default();
        rest.iter().enumerate().map(move |(i, entry)| {
            let listed = Listed {
                name: name_in(&self.names, *entry),
                ino: entry.ino,
                kind: entry.kind,
            };
            ((from + i) as u64 + 1, listed)
        })
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = Listed<'_>> {
        self.from(0).map(|(_, listed)| listed)
    }
}

fn name_in(names: &[u8], entry: Packed) -> &OsStr {
    let start = entry.start as usize;
    let name = names.get(start..start + usize::from(entry.len));
    OsStr::from_bytes(name.unwrap_or_default())
}
