//! The note of where a backing directory was mounted last, if that is a directory of its own (spec 3.7).
//!
//! What lies in that directory now was put there while nothing was mounted: it was empty when it was mounted over first.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::Access;
use super::dirfd::{self, Beneath};
use crate::error::Result;
use crate::names::PRIVATE;

const NOTE: &str = "mountpoint";

/// Where it was mounted last; `None` if it was not, or if that cannot be told.
pub fn last(root: &Beneath) -> Option<PathBuf> {
    let private = root.dir(Path::new(PRIVATE)).ok()?;
    let mut note = dirfd::open(&private, OsStr::new(NOTE), Access::READ).ok()?;
    let mut path = Vec::new();
    note.read_to_end(&mut path).ok()?;
    Some(OsString::from_vec(path).into())
}

/// Notes where it is about to be mounted.
pub(super) fn note(root: &Beneath, mountpoint: &Path, durable: bool) -> Result<()> {
    if last(root).is_some_and(|last| last == mountpoint) {
        return Ok(());
    }
    let private = root.dir(Path::new(PRIVATE))?;
    let new = OsStr::new("mountpoint.new");
    let _ = dirfd::unlink(&private, new);
    let mut file = dirfd::create(&private, new, 0o600)?;
    file.write_all(mountpoint.as_os_str().as_bytes())?;
    if durable {
        file.sync_all()?;
    }
    dirfd::rename(&private, new, &private, OsStr::new(NOTE))?;
    if durable {
        rustix::fs::fsync(&private)?;
    }
    Ok(())
}
