//! The record of the first mount, which leaves the files that it finds as they are (spec 3.6).
//!
//! A small file in the private directory has the time of the first mount, the ordinary files and directories, and the
//! `_done` files that had expired before. The file is written at the first mount, and when a listed path is renamed or removed.
//! All other state is in names and mtimes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Bound;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Which mounts make handoffs of the text files in the root (spec 3.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Adopt {
    /// No mount: the files stay ordinary.
    #[default]
    Nothing,
    /// The first mount.
    AtFirst,
    /// Every mount.
    Always,
}

/// The record of the first mount: see the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstMount {
    /// The time of the first mount.
    pub at: SystemTime,
    /// How many files became handoffs.
    pub adopted: u64,
    listed: BTreeMap<PathBuf, Found>,
}

/// The state in which the first mount found a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// A file, or a directory that is ordinary throughout.
    Ordinary,
    /// A consumed handoff past the retention time.
    Expired,
}

/// Version 1 listed ordinary directories without the files in them.
const MAGIC_1: &[u8] = b"handoff-fs first mount 1";
const MAGIC: &[u8] = b"handoff-fs first mount 2";

/// A record from a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A record of this version.
    Current(FirstMount),
    /// A record of version 1, in which every directory that the first mount found is ordinary.
    Version1(FirstMount),
}

impl FirstMount {
    /// An empty record.
    pub fn at(now: SystemTime) -> FirstMount {
        FirstMount {
            at: now,
            adopted: 0,
            listed: BTreeMap::new(),
        }
    }

    /// Is this file or directory ordinary, because it was there, under this or an older name, before the first mount?
    pub fn is_ordinary(&self, path: &Path) -> bool {
        self.listed.get(path) == Some(&Found::Ordinary)
    }

    /// Was this consumed handoff found expired? Such a handoff is never deleted.
    pub fn found_expired(&self, path: &Path) -> bool {
        self.listed.get(path) == Some(&Found::Expired)
    }

    /// The number of listed paths.
    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }

    /// The number of consumed handoffs that were found expired, and are still there.
    pub fn expired(&self) -> usize {
        let found = self.listed.values();
        found.filter(|found| **found == Found::Expired).count()
    }

    /// Call before a rename: lists the new name in addition to the old one. After the rename, call
    /// [`forget`](FirstMount::forget) with the name that is gone. True if the record changed.
    pub fn renaming(&mut self, from: &Path, to: &Path) -> bool {
        let moved = self.below(from).filter_map(|(path, found)| {
            let rest = path.strip_prefix(from).ok()?;
            Some((to.components().chain(rest.components()).collect(), *found))
        });
        let moved: Vec<(PathBuf, Found)> = moved.collect();
        let mut changed = false;
        for (path, found) in moved {
            changed |= self.listed.insert(path, found) != Some(found);
        }
        changed
    }

    /// Lists a path as ordinary; true if the record changed.
    pub fn make_ordinary(&mut self, path: &Path) -> bool {
        self.listed.insert(path.to_owned(), Found::Ordinary) != Some(Found::Ordinary)
    }

    /// Makes a path ordinary no longer, but no path below it; true if the record changed.
    pub fn adopt(&mut self, path: &Path) -> bool {
        self.is_ordinary(path) && self.listed.remove(path).is_some()
    }

    /// Lists a consumed handoff as found expired.
    pub fn find_expired(&mut self, path: &Path) {
        self.listed.insert(path.to_owned(), Found::Expired);
    }

    /// Drops the paths that are gone, because a new file of such a name is a handoff. True if the record changed.
    pub fn retain(&mut self, is_there: impl Fn(&Path) -> bool) -> bool {
        let before = self.len();
        self.listed.retain(|path, _| is_there(path));
        before != self.len()
    }

    /// Is this path listed, or any path below it?
    pub fn lists(&self, path: &Path) -> bool {
        self.below(path).next().is_some()
    }

    /// Drops a path and all paths below it.
    pub fn forget(&mut self, path: &Path) {
        let gone: Vec<PathBuf> = self.below(path).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.listed.remove(&path);
        }
    }

    /// The ordinary paths.
    pub fn ordinary(&self) -> impl Iterator<Item = &Path> {
        let ordinary = |path: &&PathBuf| self.is_ordinary(path);
        self.listed.keys().filter(ordinary).map(PathBuf::as_path)
    }

    /// A path and all paths below it: paths are ordered by their components, so these paths are neighbours.
    fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a Found)> {
        let from = (Bound::Included(path), Bound::Unbounded);
        self.listed
            .range::<Path, _>(from)
            .take_while(move |(below, _)| below.starts_with(path))
    }

    /// The bytes of the file: NUL-terminated fields, because a name may hold any other byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        let at = self.at.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = at.unwrap_or_default().as_secs();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(format!("\0{seconds}\0a{}\0", self.adopted).as_bytes());
        for (path, found) in &self.listed {
            bytes.push(match found {
                Found::Ordinary => b'o',
                Found::Expired => b'x',
            });
            bytes.extend_from_slice(path.as_os_str().as_bytes());
            bytes.push(0);
        }
        bytes
    }

    /// Reads the bytes that [`FirstMount::to_bytes`] of this version or of version 1 wrote; `None` for any other bytes, such
    /// as a half-written record.
    pub fn from_bytes(bytes: &[u8]) -> Option<Read> {
        let mut fields = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let magic = fields.next()?;
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
        let at = Duration::from_secs(number(fields.next()?)?);
        let mut record = FirstMount::at(SystemTime::UNIX_EPOCH.checked_add(at)?);
        for field in fields {
            let Some((mark, rest)) = field.split_first() else {
                continue;
            };
            let found = match mark {
                b'o' => Found::Ordinary,
                b'x' => Found::Expired,
                b'a' => {
                    record.adopted = number(rest)?;
                    continue;
                }
                _ => return None,
            };
            let path = OsString::from_vec(rest.to_vec());
            record.listed.insert(path.into(), found);
        }
        match magic {
            MAGIC => Some(Read::Current(record)),
            MAGIC_1 => Some(Read::Version1(record)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec 3.6a, 3.6j: the record reads back, with any bytes in its names.
    #[test]
    fn round_trip() {
        let record = FirstMount {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_821_381),
            adopted: 7,
            listed: [
                (PathBuf::from("notes.md"), Found::Ordinary),
                (
                    OsString::from_vec(b"a\n\xff b".to_vec()).into(),
                    Found::Ordinary,
                ),
                (PathBuf::from("2020-01-01_000000_x_done.md"), Found::Expired),
            ]
            .into(),
        };
        let bytes = record.to_bytes();
        assert_eq!(FirstMount::from_bytes(&bytes), Some(Read::Current(record)));
        assert_eq!(FirstMount::from_bytes(b"something else"), None);
        assert_eq!(FirstMount::from_bytes(&bytes[..bytes.len() - 3]), None);
    }

    /// spec 3.6a, 3.6j: an ordinary file stays ordinary under its new name.
    #[test]
    fn renamed_with_everything_below() {
        let mut record = FirstMount::at(SystemTime::UNIX_EPOCH);
        for path in ["old", "old/keep", "older"] {
            assert!(record.make_ordinary(Path::new(path)));
            assert!(!record.make_ordinary(Path::new(path)));
        }
        record.find_expired(Path::new("old/2020-01-01_000000_x_done.md"));
        assert!(record.renaming(Path::new("old"), Path::new("q/new")));
        assert!(record.is_ordinary(Path::new("old/keep")));
        record.forget(Path::new("old"));
        assert!(record.is_ordinary(Path::new("q/new")));
        assert!(record.is_ordinary(Path::new("q/new/keep")));
        assert!(record.is_ordinary(Path::new("older")));
        assert!(!record.is_ordinary(Path::new("old")));
        assert!(record.found_expired(Path::new("q/new/2020-01-01_000000_x_done.md")));
        assert_eq!(record.expired(), 1);
    }
}
