//! What the first mount found, so that it is left as it was (spec 3.6).
//!
//! One small file in the private directory: the time of the first mount, the ordinary files and directories, and the
//! `_done` files that had expired already. It is written at the first mount and when one of those is renamed or
//! removed; everything else is read off names and mtimes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::ops::Bound;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use crate::names::{is_hidden, is_stray};

/// What becomes of the text files that are found in the root (spec 3.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Adopt {
    /// They stay ordinary.
    #[default]
    Nothing,
    /// The first mount makes handoffs of them; later mounts leave them alone.
    AtFirst,
    /// Every mount makes handoffs of them.
    Always,
}

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstMount {
    /// When it was.
    pub at: SystemTime,
    /// How many files became handoffs.
    pub adopted: u64,
    /// Files, and the directories that are ordinary throughout.
    ordinary: BTreeSet<PathBuf>,
    expired: BTreeSet<PathBuf>,
}

/// The version before this one listed ordinary directories without what is in them.
const MAGIC_1: &[u8] = b"handoff-fs first mount 1";
const MAGIC: &[u8] = b"handoff-fs first mount 2";

/// A record as it was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Of this version.
    Current(FirstMount),
    /// Of version 1: its directories were ordinary because they were there.
    Version1(FirstMount),
}

impl FirstMount {
    /// The record of a first mount that has found nothing yet.
    pub fn at(now: SystemTime) -> FirstMount {
        FirstMount {
            at: now,
            adopted: 0,
            ordinary: BTreeSet::new(),
            expired: BTreeSet::new(),
        }
    }

    /// Is this file or directory ordinary, because it was there before the first mount or came of what was?
    pub fn is_ordinary(&self, path: &Path) -> bool {
        self.ordinary.contains(path)
    }

    /// Was this consumed handoff found expired? Such a one is never deleted.
    pub fn found_expired(&self, path: &Path) -> bool {
        self.expired.contains(path)
    }

    /// How many paths are known.
    pub fn len(&self) -> usize {
        self.ordinary.len() + self.expired.len()
    }

    /// Is no path known?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many consumed handoffs were found expired, and are there still.
    pub fn expired(&self) -> usize {
        self.expired.len()
    }

    /// Notes that a file or directory is about to be renamed: it is known under either name, until [`forget`] is told
    /// which of them is gone. True when that changed the record.
    ///
    /// [`forget`]: FirstMount::forget
    pub fn renaming(&mut self, from: &Path, to: &Path) -> bool {
        let mut changed = false;
        for set in [&mut self.ordinary, &mut self.expired] {
            let moved = below(set, from).filter_map(|path| {
                let rest = path.strip_prefix(from).ok()?;
                Some(to.components().chain(rest.components()).collect())
            });
            let moved: Vec<PathBuf> = moved.collect();
            let before = set.len();
            set.extend(moved);
            changed |= before != set.len();
        }
        changed
    }

    /// Notes that a name is ordinary from now on; true when that changed the record.
    pub fn make_ordinary(&mut self, path: &Path) -> bool {
        self.ordinary.insert(path.to_owned())
    }

    /// Notes that a name is ordinary no longer, whatever lies below it; true when that changed the record.
    pub fn adopt(&mut self, path: &Path) -> bool {
        self.ordinary.remove(path)
    }

    /// Notes a consumed handoff that is found expired; true when that changed the record.
    pub fn find_expired(&mut self, path: &Path) -> bool {
        self.expired.insert(path.to_owned())
    }

    /// Forgets what is not there any more: whoever makes a file of that name later makes a handoff. True when that
    /// changed the record.
    pub fn retain(&mut self, is_there: impl Fn(&Path) -> bool) -> bool {
        let before = self.len();
        self.ordinary.retain(|path| is_there(path));
        self.expired.retain(|path| is_there(path));
        before != self.len()
    }

    /// Is there anything to forget of a name?
    pub fn knows(&self, path: &Path) -> bool {
        let mut sets = [&self.ordinary, &self.expired].into_iter();
        sets.any(|set| below(set, path).next().is_some())
    }

    /// Forgets a name, and everything below it.
    pub fn forget(&mut self, path: &Path) {
        for set in [&mut self.ordinary, &mut self.expired] {
            let gone: Vec<PathBuf> = below(set, path).cloned().collect();
            for path in gone {
                set.remove(&path);
            }
        }
    }

    /// The ordinary paths.
    pub fn ordinary(&self) -> impl Iterator<Item = &Path> {
        self.ordinary.iter().map(PathBuf::as_path)
    }

    /// The bytes of the file: NUL-terminated fields, because a name may hold anything else.
    pub fn to_bytes(&self) -> Vec<u8> {
        let seconds = self
            .at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let mut bytes = MAGIC.to_vec();
        bytes.push(0);
        bytes.extend_from_slice(seconds.to_string().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(format!("a{}", self.adopted).as_bytes());
        bytes.push(0);
        for (mark, paths) in [(b'o', &self.ordinary), (b'x', &self.expired)] {
            for path in paths {
                bytes.push(mark);
                bytes.extend_from_slice(path.as_os_str().as_bytes());
                bytes.push(0);
            }
        }
        bytes
    }

    /// Reads what [`FirstMount::to_bytes`] of this version or of the one before wrote; `None` for anything else, such as a
    /// part of it.
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
            let path = || OsString::from_vec(rest.to_vec()).into();
            match mark {
                b'o' => drop(record.ordinary.insert(path())),
                b'x' => drop(record.expired.insert(path())),
                b'a' => record.adopted = number(rest)?,
                _ => return None,
            }
        }
        match magic {
            MAGIC => Some(Read::Current(record)),
            MAGIC_1 => Some(Read::Version1(record)),
            _ => None,
        }
    }
}

/// A path, and everything below it: components are compared one by one, so they stand next to each other.
fn below<'a>(set: &'a BTreeSet<PathBuf>, path: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
    let from = (Bound::Included(path), Bound::Unbounded);
    set.range::<Path, _>(from)
        .take_while(move |known| known.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec 3.6a, 3.6j: the record survives, whatever bytes the names hold.
    #[test]
    fn round_trip() {
        let record = FirstMount {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_821_381),
            adopted: 7,
            ordinary: [
                PathBuf::from("notes.md"),
                OsString::from_vec(b"a\n\xff b".to_vec()).into(),
            ]
            .into(),
            expired: [PathBuf::from("2020-01-01_000000_x_done.md")].into(),
        };
        let bytes = record.to_bytes();
        assert_eq!(FirstMount::from_bytes(&bytes), Some(Read::Current(record)));
        assert_eq!(FirstMount::from_bytes(b"something else"), None);
        assert_eq!(FirstMount::from_bytes(&bytes[..bytes.len() - 3]), None);
    }

    /// spec 3.6a, 3.6j: what was ordinary stays so under its new name.
    #[test]
    fn renamed_with_everything_below() {
        let mut record = FirstMount {
            ordinary: ["old", "old/keep", "older"].map(PathBuf::from).into(),
            expired: [PathBuf::from("old/2020-01-01_000000_x_done.md")].into(),
            ..FirstMount::at(SystemTime::UNIX_EPOCH)
        };
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
