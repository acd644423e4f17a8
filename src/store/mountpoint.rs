//! The note of where a backing directory was mounted last, if the mountpoint is another directory (spec 3.7b).
//!
//! That directory was empty at the first mount, so its files of now were put there while nothing was mounted.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::dirfd::Beneath;
use super::private::{read_file, write_file};
use crate::error::Result;
use crate::names::PRIVATE;

const NOTE: &str = "mountpoint";

/// The last mountpoint; `None` if there is none, or if the note cannot be read.
pub fn last(root: &Beneath) -> Option<PathBuf> {
    let private = root.dir(Path::new(PRIVATE)).ok()?;
    let path = read_file(&private, OsStr::new(NOTE)).ok()?;
    Some(OsString::from_vec(path).into())
}

/// Notes the mountpoint of the coming mount.
pub(super) fn note(root: &Beneath, mountpoint: &Path, durable: bool) -> Result<()> {
    if last(root).is_some_and(|last| last == mountpoint) {
        return Ok(());
    }
    let private = root.dir(Path::new(PRIVATE))?;
    let path = mountpoint.as_os_str().as_bytes();
    write_file(&private, OsStr::new(NOTE), path, durable)
}
