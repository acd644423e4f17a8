//! The note of the last mountpoint of a backing directory, if the two are different directories (spec 3.7b).
//!
//! The mountpoint was empty at the first mount, so programs wrote its files while nothing was mounted.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::dirfd::Beneath;
use super::private::{read_file, write_file};
use crate::error::Result;
use crate::names::PRIVATE;

const NOTE: &str = "mountpoint";

/// The last mountpoint; `None` if there is no note, or if the note cannot be read.
pub fn last(root: &Beneath) -> Option<PathBuf> {
    let private = root.dir(Path::new(PRIVATE)).ok()?;
    let path = read_file(&private, OsStr::new(NOTE)).ok()?;
    Some(OsString::from_vec(path).into())
}

/// Notes the mountpoint of the next mount.
pub(super) fn note(root: &Beneath, mountpoint: &Path, durable: bool) -> Result<()> {
    if last(root).is_some_and(|last| last == mountpoint) {
        return Ok(());
    }
    let private = root.dir(Path::new(PRIVATE))?;
    let path = mountpoint.as_os_str().as_bytes();
    write_file(&private, OsStr::new(NOTE), path, durable)
}
