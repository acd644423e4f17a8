//! The private directory as it is found: whose it is, what its parts are, and whether another daemon has it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::Kind;
use super::area::Area;
use super::dirfd::{self, Beneath, Dir};
use super::open_error::OpenError;
use crate::error::{Error, Result};

/// The private directory and its parts must be directories, and nobody else's: whoever owns one, or may write to it, could
/// put in it what is published next.
pub(super) fn check(root: &Beneath, private: &Dir<'_>) -> std::result::Result<(), OpenError> {
    let backing = dirfd::stat_file(root.dir(Path::new(""))?)?;
    let me = rustix::process::geteuid().as_raw();
    let meta = dirfd::stat_file(private)?;
    if meta.uid != me && meta.uid != backing.uid {
        return Err(OpenError::Foreign { uid: meta.uid });
    }
    if meta.mode & 0o077 != 0 {
        // Somebody has opened it to others since it was made.
        rustix::fs::fchmod(private, Mode::RWXU).map_err(Error::from)?;
    }
    for part in Area::PARTS {
        let name = OsStr::new(part);
        match dirfd::stat(private, name) {
            Ok(meta) if meta.kind == Kind::Directory => {}
            Err(Error::NotFound) => {}
            Ok(_) => return Err(OpenError::Part(name.to_owned())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The file that the one daemon has locked.
const LOCK: &str = "lock";

/// Takes the lock of the one daemon, and says in it which process that is.
pub(super) fn lock(private: &Dir<'_>) -> std::result::Result<File, OpenError> {
    let name = OsStr::new(LOCK);
    // Looked at before it is opened: that alone would do something to a device.
    match dirfd::stat(private, name) {
        Ok(meta) if meta.kind != Kind::File => {
            return Err(OpenError::Part(name.to_owned()));
        }
        Ok(_) | Err(Error::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    // What is held for as long as the mount lives is open for reading only: a file open for writing would keep the disk from
    // being made read-only. Network filesystems that know other locks only want it otherwise.
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
    // A daemon that does not get as far as its mount leaves its supervisor to be found.
    write_pids(private, pids.nth(1).flatten())?;
    Ok(file)
}

fn open(private: &Dir<'_>, name: &OsStr, access: OFlags) -> std::result::Result<File, OpenError> {
    let flags = access | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(private, name, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|errno| OpenError::Private(errno.into()))
}

/// Writes into the lock which process this is, and who supervises it.
pub(super) fn write_pids(private: &Dir<'_>, supervisor: Option<u32>) -> Result<()> {
    let mut text = format!("{}\n", process::id());
    if let Some(pid) = supervisor {
        text.push_str(&format!("{pid}\n"));
    }
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = File::from(rustix::fs::openat(private, LOCK, flags, Mode::empty())?);
    lock.write_all_at(text.as_bytes(), 0)?;
    Ok(lock.set_len(text.len() as u64)?)
}
