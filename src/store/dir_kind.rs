//! Which directories are ordinary throughout, because of what they are or where they lie (spec 3.6).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, StatxFlags};

use super::dirfd::{self, Beneath, Dir};
use super::first_mount::is_hidden;
use crate::error::{Error, Result};
use crate::names::Archives;

/// Why a directory is no queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Its name begins with a dot.
    Hidden,
    /// It is called `*.lock`.
    Lock,
    /// Its name is that of an archive.
    Archive,
    /// It lies on another filesystem, or another mount: nothing can be renamed into it from the private directory.
    Elsewhere,
    /// It has a `.git`.
    Git,
}

/// Why the directory at `path`, not the root, is ordinary by itself; `None` for a queue. What lies above it is not
/// asked. Names are free; for the rest the directory is opened.
pub(super) fn why_ordinary(
    root: &Beneath,
    archives: &Archives,
    path: &Path,
) -> Result<Option<Why>> {
    if let Some(why) = path.file_name().and_then(|name| by_name(archives, name)) {
        return Ok(Some(why));
    }
    let dir = match root.dir(path) {
        // Nobody can read what is in it, so nothing of it can be delivered or adopted.
        Err(Error::AccessDenied) => return Ok(None),
        dir => dir?,
    };
    if mount_of(&dir)? != mount_of(&root.dir(Path::new(""))?)? {
        return Ok(Some(Why::Elsewhere));
    }
    match dirfd::stat(&dir, OsStr::new(GIT)) {
        // A directory, or the file of a worktree or submodule.
        Ok(_) => Ok(Some(Why::Git)),
        Err(Error::NotFound | Error::AccessDenied) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What makes its directory a repository.
pub const GIT: &str = ".git";

fn by_name(archives: &Archives, name: &OsStr) -> Option<Why> {
    if is_hidden(name) {
        Some(Why::Hidden)
    } else if name.as_bytes().ends_with(b".lock") {
        Some(Why::Lock)
    } else if archives.contains(name) {
        Some(Why::Archive)
    } else {
        None
    }
}

/// Device and mount of a directory: rename(2) fails with EXDEV where either differs. Kernels before 5.8 tell no mount.
fn mount_of(dir: &Dir<'_>) -> Result<(u32, u32, u64)> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(dir, "", AtFlags::EMPTY_PATH, wanted)?;
    let told = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    let mount = if told { stat.stx_mnt_id } else { 0 };
    Ok((stat.stx_dev_major, stat.stx_dev_minor, mount))
}
