//! System calls relative to one directory descriptor, and beneath it only.
//!
//! The descriptor is opened before the mount covers the directory. A path would come back through the mount
//! and wait for ourselves, so no path is ever used: every directory is opened from the descriptor, component by
//! component and without following a symbolic link, and every file by its single name in such a directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, SeekFrom, Statx, StatxFlags,
    StatxTimestamp, Timespec, Timestamps,
};
use rustix::io::{Errno, ReadWriteFlags};

use super::{Access, Entry, Kind, Meta};
use crate::error::{Error, Result};

/// The descriptor under which everything lives.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
    has_openat2: AtomicBool,
}

/// A directory beneath the root, open.
#[derive(Debug)]
pub enum Dir<'a> {
    /// The root itself.
    Root(BorrowedFd<'a>),
    /// A directory below it.
    Sub(OwnedFd),
    /// One that is kept open.
    Kept(Arc<OwnedFd>),
}

impl AsFd for Dir<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Dir::Root(fd) => *fd,
            Dir::Sub(fd) => fd.as_fd(),
            Dir::Kept(fd) => fd.as_fd(),
        }
    }
}

const DIR_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Beneath {
    /// Everything beneath `root`, a directory.
    pub fn new(root: OwnedFd) -> Beneath {
        Beneath {
            root,
            has_openat2: AtomicBool::new(true),
        }
    }

    /// Opens the directory at `path`, which is relative; the empty path is the root. By hand, for cap-std follows
    /// symbolic links that stay beneath.
    pub fn dir(&self, path: &Path) -> Result<Dir<'_>> {
        if path.as_os_str().is_empty() {
            return Ok(Dir::Root(self.root.as_fd()));
        }
        if self.has_openat2.load(Ordering::Relaxed) {
            let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match rustix::fs::openat2(&self.root, path, DIR_FLAGS, Mode::empty(), how) {
                // Kernels before 5.6 do not have the call; sandboxes may forbid it.
                Err(Errno::NOSYS | Errno::PERM) => self.has_openat2.store(false, Ordering::Relaxed),
                Err(errno) => return Err(errno.into()),
                Ok(fd) => return Ok(Dir::Sub(fd)),
            }
        }
        let mut dir: Option<OwnedFd> = None;
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(Error::Invalid);
            };
            let at = dir.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            dir = Some(rustix::fs::openat(at, name, DIR_FLAGS, Mode::empty())?);
        }
        dir.map(Dir::Sub).ok_or(Error::Invalid)
    }

    /// Opens the directory at `path`, making it and its parents (mode 0700) where missing. With `durable`, a
    /// directory that was made survives a power cut.
    pub fn make_dirs(&self, path: &Path, durable: bool) -> Result<Dir<'_>> {
        match self.dir(path) {
            Err(Error::NotFound) => {}
            found => return found,
        }
        let parent = path.parent().ok_or(Error::Invalid)?;
        let name = path.file_name().ok_or(Error::Invalid)?;
        let above = self.make_dirs(parent, durable)?;
        match rustix::fs::mkdirat(&above, name, Mode::RWXU) {
            Ok(()) if durable => {
                if let Err(error) = rustix::fs::fsync(&above) {
                    // Found the next time, it would be taken for durable.
                    let _ = rustix::fs::unlinkat(&above, name, AtFlags::REMOVEDIR);
                    return Err(error.into());
                }
            }
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.dir(path)
    }
}

/// Everything in a directory but `.` and `..`; what a directory entry does not tell is not asked.
pub fn names(dir: impl AsFd) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::read_from(&dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let (kind, meta) = match entry.file_type() {
            // Some filesystems do not tell.
            FileType::Unknown => match stat(&dir, name) {
                Ok(meta) => (meta.kind, Some(meta)),
                // Removed while we looked.
                Err(Error::NotFound) => continue,
                Err(error) => return Err(error),
            },
            file_type => (kind(file_type), None),
        };
        let name = name.into();
        entries.push(Entry { name, kind, meta });
    }
    Ok(entries)
}

/// The same, with what stat(2) says of each.
pub fn list(dir: impl AsFd) -> Result<Vec<(OsString, Meta)>> {
    let mut entries = Vec::new();
    for Entry { name, meta, .. } in names(&dir)? {
        match meta.map_or_else(|| stat(&dir, &name), Ok) {
            Ok(meta) => entries.push((name.to_os_string(), meta)),
            // Removed while we looked.
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        _ => Kind::Other,
    }
}

/// stat(2) of one name, not following a symbolic link.
pub fn stat(dir: impl AsFd, name: &OsStr) -> Result<Meta> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(meta(&rustix::fs::statx(
        dir,
        name,
        flags,
        StatxFlags::BASIC_STATS,
    )?))
}

/// stat(2) of an open file.
pub fn stat_file(file: impl AsFd) -> Result<Meta> {
    let flags = AtFlags::EMPTY_PATH;
    Ok(meta(&rustix::fs::statx(
        file,
        "",
        flags,
        StatxFlags::BASIC_STATS,
    )?))
}

fn meta(stat: &Statx) -> Meta {
    let mode = u32::from(stat.stx_mode);
    Meta {
        ino: stat.stx_ino,
        kind: kind(FileType::from_raw_mode(mode)),
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        mode: mode & 0o7777,
        nlink: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        atime: system_time(&stat.stx_atime),
        mtime: system_time(&stat.stx_mtime),
        ctime: system_time(&stat.stx_ctime),
    }
}

fn system_time(time: &StatxTimestamp) -> SystemTime {
    let whole = Duration::from_secs(time.tv_sec.unsigned_abs());
    let base = if time.tv_sec < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    base.and_then(|base| base.checked_add(Duration::from_nanos(time.tv_nsec.into())))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Opens an existing regular file.
pub fn open(dir: impl AsFd, name: &OsStr, access: Access) -> Result<File> {
    open_known(dir, name, access).map(|(file, _)| file)
}

/// Opens an existing regular file, and answers what is known of it.
pub fn open_known(dir: impl AsFd, name: &OsStr, access: Access) -> Result<(File, Meta)> {
    let mode = match (access.read, access.write) {
        (false, false) => OFlags::PATH,
        (true, false) => OFlags::RDONLY,
        (false, true) => OFlags::WRONLY,
        (true, true) => OFlags::RDWR,
    };
    // NONBLOCK: a fifo that was put here meanwhile must not hold us up. It says nothing to a regular file.
    let flags = mode | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
    let meta = stat_file(&file)?;
    match meta.kind {
        Kind::File => Ok((file, meta)),
        Kind::Directory => Err(Error::IsDirectory),
        Kind::Other => Err(Error::NotFound),
    }
}

/// Makes a new file with exactly these permission bits, open for reading and writing.
pub fn create(dir: impl AsFd, name: &OsStr, mode: u32) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode & 0o7777);
    Ok(File::from(rustix::fs::openat(dir, name, flags, mode)?))
}

/// Renames over whatever is there.
pub fn rename(from: impl AsFd, name: &OsStr, to: impl AsFd, new_name: &OsStr) -> Result<()> {
    Ok(rustix::fs::renameat(from, name, to, new_name)?)
}

/// Renames unless something is there.
pub fn rename_new(from: impl AsFd, name: &OsStr, to: impl AsFd, new_name: &OsStr) -> Result<()> {
    match rustix::fs::renameat_with(&from, name, &to, new_name, RenameFlags::NOREPLACE) {
        // Some network filesystems lack the flag: link(2) is as atomic and replaces nothing either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(&from, name, &to, new_name, AtFlags::empty())?;
            Ok(rustix::fs::unlinkat(from, name, AtFlags::empty())?)
        }
        answer => Ok(answer?),
    }
}

/// Exchanges two names; false where the filesystem cannot.
pub fn exchange(from: impl AsFd, name: &OsStr, to: impl AsFd, new_name: &OsStr) -> Result<bool> {
    match rustix::fs::renameat_with(from, name, to, new_name, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS) => Ok(false),
        answer => {
            answer?;
            Ok(true)
        }
    }
}

/// Removes a file.
pub fn unlink(dir: impl AsFd, name: &OsStr) -> Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Sets the times that are given, leaves the others. The file need not be open for anything.
pub fn set_times(
    file: impl AsFd,
    atime: Option<SystemTime>,
    mtime: Option<SystemTime>,
) -> Result<()> {
    // bindfs and encfs ignore a call that omits one of the two (spec 3.5), so the other is set to what it is.
    let (atime, mtime) = match (atime, mtime) {
        (Some(atime), Some(mtime)) => (atime, mtime),
        (Some(atime), None) => (atime, stat_file(&file)?.mtime),
        (None, Some(mtime)) => (stat_file(&file)?.atime, mtime),
        (None, None) => return Ok(()),
    };
    let name = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let times = timestamps(atime, mtime);
    Ok(rustix::fs::utimensat(CWD, name, &times, AtFlags::empty())?)
}

/// Sets both times of a name, not following a symbolic link. The file need not be readable.
pub fn set_times_of(dir: impl AsFd, name: &OsStr, time: SystemTime) -> Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let times = timestamps(time, time);
    Ok(rustix::fs::utimensat(dir, name, &times, flags)?)
}

fn timestamps(atime: SystemTime, mtime: SystemTime) -> Timestamps {
    Timestamps {
        last_access: timespec(atime),
        last_modification: timespec(mtime),
    }
}

fn timespec(time: SystemTime) -> Timespec {
    let (seconds, nanos) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (after.as_secs() as i64, i64::from(after.subsec_nanos())),
        Err(before) => {
            let before = before.duration();
            let seconds = 0i64.saturating_sub_unsigned(before.as_secs());
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds.saturating_sub(1), 1_000_000_000 - i64::from(nanos)),
            }
        }
    };
    Timespec {
        tv_sec: seconds,
        tv_nsec: nanos,
    }
}

/// Copies all of one file to another: by reference where the filesystem can, else byte for byte but for the holes.
/// By hand, for std::io::copy fills the holes.
pub fn copy(from: &File, to: &File) -> Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let size = stat_file(from)?.size;
    let mut buffer = vec![0; 1 << 17];
    let mut offset = 0;
    while offset < size {
        offset = match rustix::fs::seek(from, SeekFrom::Data(offset)) {
            Err(Errno::NXIO) => break,
            // A filesystem that knows of no holes.
            Err(Errno::INVAL) => offset,
            data => data?,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(offset)).unwrap_or(size);
        while offset < end.min(size) {
            let want = buffer.len().min((end - offset) as usize);
            let n = rustix::io::pread(from, &mut buffer[..want], offset)?;
            if n == 0 {
                // It was cut meanwhile.
                return Ok(());
            }
            to.write_all_at(&buffer[..n], offset)?;
            offset += n as u64;
        }
    }
    Ok(to.set_len(size)?)
}

/// Writes some of `data`, at an offset or at the end, wherever that is by then; answers how much.
pub fn write(file: &File, data: &[u8], offset: Option<u64>) -> Result<usize> {
    Ok(match offset {
        Some(offset) => rustix::io::pwrite(file, data, offset)?,
        // The offset counts for nothing here.
        None => rustix::io::pwritev2(file, &[IoSlice::new(data)], 0, ReadWriteFlags::APPEND)?,
    })
}
