//! The private directory: checks of its owner and parts, its lock, and its small files.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::area::Area;
use super::dirfd::{self, Beneath, Dir};
use super::open_error::{OpenError, OpenResult};
use super::types::{Access, Kind};
use crate::error::{Error, Result};

/// Checks that the private directory and its parts are directories of this user. Another user who owns such a directory, or
/// may write to it, could choose the content of the next handoff.
pub(super) fn check(root: &Beneath, private: &Dir) -> OpenResult<()> {
    let backing = dirfd::stat_file(root.dir(Path::new(""))?)?;
    let me = rustix::process::geteuid().as_raw();
    let meta = dirfd::stat_file(private)?;
    if meta.uid != me && meta.uid != backing.uid {
        return Err(OpenError::Foreign { uid: meta.uid });
    }
    if meta.mode & 0o077 != 0 {
        // Another program has given other users access.
        rustix::fs::fchmod(private, Mode::RWXU).map_err(Error::from)?;
    }
    for part in Area::PARTS {
        check_part(private, OsStr::new(part), Kind::Directory)?;
    }
    Ok(())
}

/// Checks that a part of the private directory is of this kind, or is missing.
pub(super) fn check_part(private: &Dir, name: &OsStr, kind: Kind) -> OpenResult<()> {
    match dirfd::stat(private, name) {
        Ok(meta) if meta.kind != kind => Err(OpenError::Part(name.to_owned())),
        Ok(_) | Err(Error::NotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The file that a running daemon keeps locked.
const LOCK: &str = "lock";

/// Takes the lock that only one daemon can have, and writes this process's pid into the file.
pub(super) fn lock(private: &Dir) -> OpenResult<File> {
    let name = OsStr::new(LOCK);
    // The kind is checked before the open, because opening a device may have an effect on the device.
    check_part(private, name, Kind::File)?;
    // Opened for reading only: a file that is open for writing would keep its disk from being remounted read-only. But some
    // network filesystems lock only files that are open for writing.
    let mut file = open(private, name, OFlags::RDONLY)?;
    let exclusive = FlockOperation::NonBlockingLockExclusive;
    let mut locked = rustix::fs::flock(&file, exclusive);
    if locked == Err(Errno::BADF) {
        file = open(private, name, OFlags::RDWR)?;
        locked = rustix::fs::flock(&file, exclusive);
    }
    let mut last = String::new();
    let _ = file.read_to_string(&mut last);
    let mut pids = last.lines().map(|line| line.parse().ok());
    match locked {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let pid = pids.next().flatten();
            return Err(OpenError::Locked { pid });
        }
        Err(errno) => return Err(OpenError::Private(errno.into())),
    }
    // The supervisor's pid stays: this daemon may end before the mount, and then `unmount` must find the supervisor.
    write_pids(private, pids.nth(1).flatten())?;
    Ok(file)
}

fn open(private: &Dir, name: &OsStr, access: OFlags) -> Result<File> {
    let flags = access | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(rustix::fs::openat(private, name, flags, mode)?.into())
}

/// Writes the pids of this process and of its supervisor into the lock file.
pub(super) fn write_pids(private: &Dir, supervisor: Option<u32>) -> Result<()> {
    let mut text = format!("{}\n", process::id());
    if let Some(pid) = supervisor {
        text.push_str(&format!("{pid}\n"));
    }
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = File::from(rustix::fs::openat(private, LOCK, flags, Mode::empty())?);
    lock.write_all_at(text.as_bytes(), 0)?;
    Ok(lock.set_len(text.len() as u64)?)
}

/// All of a small file.
pub(super) fn read_file(dir: &Dir, name: &OsStr) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    dirfd::open(dir, name, Access::READ)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a small file atomically; with `durable`, the new content survives a power cut.
pub(super) fn write_file(dir: &Dir, name: &OsStr, bytes: &[u8], durable: bool) -> Result<()> {
    let mut new = OsString::from(name);
    new.push(".new");
    let _ = dirfd::unlink(dir, &new);
    let mut file = dirfd::create(dir, &new, 0o600)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_all()?;
    }
    dirfd::rename(dir, &new, dir, name)?;
    if durable {
        rustix::fs::fsync(dir)?;
    }
    Ok(())
}
