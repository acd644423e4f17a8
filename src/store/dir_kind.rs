//! Why a directory is ordinary and not a queue: its name, place or content (spec 3.6g, 3.6h).

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, StatxFlags};

use super::dirfd::{self, Beneath};
use crate::error::{Error, Result};
use crate::names::{Archives, is_hidden};

/// Why a directory is no queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The name begins with a dot.
    Hidden,
    /// The name is `*.lock`.
    Lock,
    /// The name is an archive's.
    Archive,
    /// The directory is on another filesystem or mount, where rename(2) from the private directory fails.
    Elsewhere,
    /// The directory has a `.git`.
    Git,
}

/// Why the directory at `path` is ordinary, apart from the directories above it; `None` for a queue and for the root. The
/// checks of the name need no system call; the others open the directory.
pub(super) fn why_ordinary(
    root: &Beneath,
    archives: &Archives,
    path: &Path,
) -> Result<Option<Why>> {
    let Some(name) = path.file_name() else {
        return Ok(None);
    };
    if is_hidden(name) {
        return Ok(Some(Why::Hidden));
    }
    if name.as_bytes().ends_with(b".lock") {
        return Ok(Some(Why::Lock));
    }
    if archives.contains(name) {
        return Ok(Some(Why::Archive));
    }
    let dir = match root.dir(path) {
        // This program cannot read the directory, so no file in it can be delivered or adopted.
        Err(Error::AccessDenied) => return Ok(None),
        dir => dir?,
    };
    if mount_of(&dir)? != mount_of(&root.dir(Path::new(""))?)? {
        return Ok(Some(Why::Elsewhere));
    }
    match dirfd::stat(&dir, OsStr::new(GIT)) {
        // `.git` is a directory in a repository, and a file in a worktree or submodule. Both count.
        Ok(_) => Ok(Some(Why::Git)),
        Err(Error::NotFound | Error::AccessDenied) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The entry that makes its directory a repository.
pub const GIT: &str = ".git";

/// Device and mount of a directory: if either differs, rename(2) fails with EXDEV. Kernels before 5.8 do not know the mount.
fn mount_of(dir: impl AsFd) -> Result<(u32, u32, u64)> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(dir, "", AtFlags::EMPTY_PATH, wanted)?;
    let has_mount = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    let mount = if has_mount { stat.stx_mnt_id } else { 0 };
    Ok((stat.stx_dev_major, stat.stx_dev_minor, mount))
}
