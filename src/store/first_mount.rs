//! What the first mount found, so that it is left as it was (spec 3.6).
//!
//! One small file in the private directory: the time of the first mount, the ordinary files and directories that
//! were there before, and the `_done` files that had expired already. It is written at the first mount and when
//! one of those is renamed or removed; everything else is read off names and mtimes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Kind, Meta};
use crate::names::{self, NameClass, StampedName};
use crate::retention::Retention;

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstMount {
    /// When it was.
    pub at: SystemTime,
    ordinary: BTreeSet<PathBuf>,
    expired: BTreeSet<PathBuf>,
}

const MAGIC: &[u8] = b"handoff-fs first mount 1";

impl FirstMount {
    /// The record of a first mount over a directory that holds `entries`; with `adopt` nothing of it is ordinary.
    pub fn over(
        entries: &[(OsString, Meta)],
        adopt: bool,
        retention: Retention,
        now: SystemTime,
    ) -> FirstMount {
        let mut record = FirstMount {
            at: now,
            ordinary: BTreeSet::new(),
            expired: BTreeSet::new(),
        };
        for (name, meta) in entries {
            match meta.kind {
                Kind::Directory if !adopt && !is_hidden(name) => {
                    record.ordinary.insert(name.into());
                }
                Kind::File if !adopt && is_stray(name) => {
                    record.ordinary.insert(name.into());
                }
                Kind::File => {
                    let done = StampedName::parse(name).is_some_and(|name| !name.is_pending());
                    if done && retention.expired(meta.mtime, now) {
                        record.expired.insert(name.into());
                    }
                }
                Kind::Directory | Kind::Other => {}
            }
        }
        record
    }

    /// Was this file or directory there before the first mount, and is it ordinary?
    pub fn is_ordinary(&self, path: &Path) -> bool {
        self.ordinary.contains(path)
    }

    /// May this expired file be deleted now? One that was found expired is given the retention time from the
    /// first mount on.
    pub fn may_delete(&self, path: &Path, retention: Retention, now: SystemTime) -> bool {
        !self.expired.contains(path) || retention.expired(self.at, now)
    }

    /// Notes that a file or directory is about to be renamed: it is ordinary under either name, until [`forget`] is told
    /// which of them is gone. True when that changed the record.
    ///
    /// [`forget`]: FirstMount::forget
    pub fn renaming(&mut self, from: &Path, to: &Path) -> bool {
        let moved = self.ordinary.iter().filter_map(|path| {
            let rest = path.strip_prefix(from).ok()?;
            Some(to.components().chain(rest.components()).collect())
        });
        let moved: Vec<PathBuf> = moved.collect();
        let before = self.ordinary.len();
        self.ordinary.extend(moved);
        before != self.ordinary.len()
    }

    /// Notes that a name is ordinary from now on; true when that changed the record.
    pub fn make_ordinary(&mut self, path: &Path) -> bool {
        self.ordinary.insert(path.to_owned())
    }

    /// Notes an expired file that was found in a directory that becomes a queue; true when that changed the record.
    pub fn found_expired(&mut self, path: &Path) -> bool {
        self.expired.insert(path.to_owned())
    }

    /// Forgets what is not there any more: whoever makes a file of that name later makes a handoff. True when that
    /// changed the record.
    pub fn retain(&mut self, is_there: impl Fn(&Path) -> bool) -> bool {
        let before = self.ordinary.len() + self.expired.len();
        self.ordinary.retain(|path| is_there(path));
        self.expired.retain(|path| is_there(path));
        before != self.ordinary.len() + self.expired.len()
    }

    /// Is there anything to forget of a name?
    pub fn knows(&self, path: &Path) -> bool {
        self.ordinary.iter().any(|known| known.starts_with(path))
    }

    /// Notes that a name is ordinary no longer, nor anything below it.
    pub fn forget(&mut self, path: &Path) {
        self.ordinary.retain(|known| !known.starts_with(path));
    }

    /// Makes everything that was there before a handoff or a queue (`--adopt`); true when that changed the record.
    pub fn adopt_all(&mut self) -> bool {
        let had = !self.ordinary.is_empty();
        self.ordinary.clear();
        had
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
        for (mark, paths) in [(b'o', &self.ordinary), (b'x', &self.expired)] {
            for path in paths {
                bytes.push(mark);
                bytes.extend_from_slice(path.as_os_str().as_bytes());
                bytes.push(0);
            }
        }
        bytes
    }

    /// Reads what [`FirstMount::to_bytes`] wrote; `None` for anything else, such as a part of it.
    pub fn from_bytes(bytes: &[u8]) -> Option<FirstMount> {
        let mut fields = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        if fields.next() != Some(MAGIC) {
            return None;
        }
        let seconds = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let mut record = FirstMount {
            at: SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?,
            ordinary: BTreeSet::new(),
            expired: BTreeSet::new(),
        };
        for field in fields {
            let (mark, path) = match field.split_first() {
                Some((mark, path)) => (*mark, OsString::from_vec(path.to_vec())),
                None => continue,
            };
            match mark {
                b'o' => record.ordinary.insert(path.into()),
                b'x' => record.expired.insert(path.into()),
                _ => return None,
            };
        }
        Some(record)
    }
}

/// Would a file of this name be adopted if it turned up (spec 3.7)? `pending.md` is: somebody wrote it while
/// nothing was mounted.
pub fn is_stray(name: &OsStr) -> bool {
    names::is_adoptable(name) || names::classify(name) == NameClass::Pending
}

/// A name that `ls` does not show.
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec 3.6: the record survives, whatever bytes the names hold.
    #[test]
    fn round_trip() {
        let record = FirstMount {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_821_381),
            ordinary: [
                PathBuf::from("notes.md"),
                OsString::from_vec(b"a\n\xff b".to_vec()).into(),
            ]
            .into(),
            expired: [PathBuf::from("2020-01-01_000000_x_done.md")].into(),
        };
        let bytes = record.to_bytes();
        assert_eq!(FirstMount::from_bytes(&bytes), Some(record));
        assert_eq!(FirstMount::from_bytes(b"something else"), None);
        assert_eq!(FirstMount::from_bytes(&bytes[..bytes.len() - 3]), None);
    }

    /// spec 3.6: what was ordinary stays so under its new name.
    #[test]
    fn renamed_with_everything_below() {
        let mut record = FirstMount {
            at: SystemTime::UNIX_EPOCH,
            ordinary: ["old", "old/keep", "older"].map(PathBuf::from).into(),
            expired: BTreeSet::new(),
        };
        assert!(record.renaming(Path::new("old"), Path::new("q/new")));
        assert!(record.is_ordinary(Path::new("old/keep")));
        record.forget(Path::new("old"));
        assert!(record.is_ordinary(Path::new("q/new")));
        assert!(record.is_ordinary(Path::new("q/new/keep")));
        assert!(record.is_ordinary(Path::new("older")));
        assert!(!record.is_ordinary(Path::new("old")));
    }
}
