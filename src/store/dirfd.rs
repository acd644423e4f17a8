//! System calls beneath one directory descriptor.
//!
//! The descriptor is opened before the mount covers the directory. A path would lead back into the mount, and the daemon
//! would wait for itself. So every directory is opened from the descriptor, without following a symbolic link, and every
//! file by its single name in such a directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, SeekFrom, Statx, StatxFlags,
    StatxTimestamp, Timespec, Timestamps,
};
use rustix::io::{Errno, ReadWriteFlags};

use super::types::{Access, Entry, Kind, Meta};
use crate::error::{Error, Result};

/// An open directory.
pub type Dir = Arc<OwnedFd>;

/// The root of the backing directory; all paths are relative to it and lead beneath it.
#[derive(Debug)]
pub struct Beneath(Dir);

const DIR_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Beneath {
    /// Everything beneath `root`, a directory.
    pub fn new(root: OwnedFd) -> Beneath {
        Beneath(Arc::new(root))
    }

    /// Opens the directory at a relative path; the empty path is the root. cap-std would follow a symbolic link that stays
    /// beneath the root; this method follows none.
    pub fn dir(&self, path: &Path) -> Result<Dir> {
        if path.as_os_str().is_empty() {
            return Ok(self.0.clone());
        }
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.0, path, DIR_FLAGS, Mode::empty(), how) {
            // Kernels before 5.6 do not have the call; sandboxes may forbid it.
            Err(Errno::NOSYS | Errno::PERM) => self.walk(path),
            opened => Ok(Arc::new(opened?)),
        }
    }

    fn walk(&self, path: &Path) -> Result<Dir> {
        let mut dir = self.0.clone();
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(Error::Invalid);
            };
            dir = rustix::fs::openat(&dir, name, DIR_FLAGS, Mode::empty())?.into();
        }
        Ok(dir)
    }

    /// The stat(2) of the name at a path other than the root, not following a symbolic link.
    pub fn stat(&self, path: &Path) -> Result<Meta> {
        let parent = path.parent().ok_or(Error::Invalid)?;
        let name = path.file_name().ok_or(Error::Invalid)?;
        stat(self.dir(parent)?, name)
    }

    /// Opens the directory at `path`; makes the directory and its parents (mode 0700) if they are missing. With `durable`, a
    /// directory that was made survives a power cut.
    pub fn make_dirs(&self, path: &Path, durable: bool) -> Result<Dir> {
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
                    // The next call would find the directory, and assume that it is durable.
                    let _ = remove_dir(&above, name);
                    return Err(error.into());
                }
            }
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.dir(path)
    }
}

/// All entries of a directory but `.` and `..`, without a stat(2) of each name.
pub fn names(dir: impl AsFd) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::read_from(&dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let (kind, meta) = match entry.file_type() {
            // Some filesystems list no types.
            FileType::Unknown => match stat(&dir, name) {
                Ok(meta) => (meta.kind, Some(meta)),
                // The file was removed after the name was listed.
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

/// All entries of a directory, with the stat(2) of each.
pub fn list(dir: impl AsFd) -> Result<Vec<(OsString, Meta)>> {
    let mut entries = Vec::new();
    for Entry { name, meta, .. } in names(&dir)? {
        match meta.map_or_else(|| stat(&dir, &name), Ok) {
            Ok(meta) => entries.push((name.to_os_string(), meta)),
            // The file was removed after the name was listed.
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

/// The stat(2) of a name, not following a symbolic link.
pub fn stat(dir: impl AsFd, name: &OsStr) -> Result<Meta> {
    let (flags, wanted) = (AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    Ok(meta(&rustix::fs::statx(dir, name, flags, wanted)?))
}

/// The stat(2) of an open file.
pub fn stat_file(file: impl AsFd) -> Result<Meta> {
    let (flags, wanted) = (AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
    Ok(meta(&rustix::fs::statx(file, "", flags, wanted)?))
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
    let second = match time.tv_sec {
        ..0 => SystemTime::UNIX_EPOCH.checked_sub(whole),
        0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
    };
    let nanos = Duration::from_nanos(time.tv_nsec.into());
    second.map_or(SystemTime::UNIX_EPOCH, |second| second + nanos)
}

/// Opens an existing regular file.
pub fn open(dir: impl AsFd, name: &OsStr, access: Access) -> Result<File> {
    open_known(dir, name, access).map(|(file, _)| file)
}

/// Opens an existing regular file, with its stat(2).
pub fn open_known(dir: impl AsFd, name: &OsStr, access: Access) -> Result<(File, Meta)> {
    let mode = match (access.read, access.write) {
        (false, false) => OFlags::PATH,
        (true, false) => OFlags::RDONLY,
        (false, true) => OFlags::WRONLY,
        (true, true) => OFlags::RDWR,
    };
    // NONBLOCK: another process may have made a fifo of this name, whose open would wait. Regular files ignore the flag.
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

/// Renames a file, and replaces the file that has the new name.
pub fn rename(from: impl AsFd, name: &OsStr, to: impl AsFd, new_name: &OsStr) -> Result<()> {
    Ok(rustix::fs::renameat(from, name, to, new_name)?)
}

/// Renames a file; [`Error::Exists`] if the new name is taken.
pub fn rename_new(from: impl AsFd, name: &OsStr, to: impl AsFd, new_name: &OsStr) -> Result<()> {
    match rustix::fs::renameat_with(&from, name, &to, new_name, RenameFlags::NOREPLACE) {
        // Some network filesystems lack the flag. link(2) is atomic, too, and replaces no file either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            link(&from, name, &to, new_name)?;
            unlink(from, name)
        }
        answer => Ok(answer?),
    }
}

/// Exchanges two names; false if the filesystem does not support that.
pub fn exchange(from: impl AsFd, name: &OsStr, to: impl AsFd, new_name: &OsStr) -> Result<bool> {
    match rustix::fs::renameat_with(from, name, to, new_name, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS) => Ok(false),
        answer => Ok(answer.map(|()| true)?),
    }
}

/// Removes a file.
pub fn unlink(dir: impl AsFd, name: &OsStr) -> Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
}

/// Removes an empty directory.
pub fn remove_dir(dir: impl AsFd, name: &OsStr) -> Result<()> {
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

/// Gives a file a second name; [`Error::Exists`] if the name is taken.
pub fn link(from: impl AsFd, name: &OsStr, to: impl AsFd, new_name: &OsStr) -> Result<()> {
    let flags = AtFlags::empty();
    Ok(rustix::fs::linkat(from, name, to, new_name, flags)?)
}

/// Sets the times that are given, and leaves the others. The file need not be open for reading or writing.
pub fn set_times(
    file: impl AsFd,
    atime: Option<SystemTime>,
    mtime: Option<SystemTime>,
) -> Result<()> {
    // bindfs and encfs ignore a call that omits one of the times (spec 3.5), so that time is set to its old value.
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
    let length = |duration: Duration| Timespec::try_from(duration).unwrap_or_default();
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => length(after),
        Err(before) => Timespec::default() - length(before.duration()),
    }
}

/// Copies a whole file: by reference if the filesystem supports that, else every byte that is not in a hole. (std::io::copy
/// would fill the holes.)
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
            // This filesystem does not list holes.
            Err(Errno::INVAL) => offset,
            data => data?,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(offset)).unwrap_or(size);
        while offset < end.min(size) {
            let want = buffer.len().min((end - offset) as usize);
            let n = rustix::io::pread(from, &mut buffer[..want], offset)?;
            if n == 0 {
                // Another process truncated the file.
                return Ok(());
            }
            to.write_all_at(&buffer[..n], offset)?;
            offset += n as u64;
        }
    }
    Ok(to.set_len(size)?)
}

/// Writes a part of `data` at an offset, or at the current end of the file; returns the number of bytes written.
pub fn write(file: &File, data: &[u8], offset: Option<u64>) -> Result<usize> {
    Ok(match offset {
        Some(offset) => rustix::io::pwrite(file, data, offset)?,
        // The kernel ignores the offset of an append.
        None => rustix::io::pwritev2(file, &[IoSlice::new(data)], 0, ReadWriteFlags::APPEND)?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// spec 8.4a: no symbolic link is followed and nothing above is reached, also without openat2(2)
    #[test]
    fn only_beneath() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        symlink("b", dir.path().join("a/link")).unwrap();
        let beneath = Beneath::new(File::open(dir.path()).unwrap().into());
        for path in ["a", "a/b"] {
            let (opened, walked) = (beneath.dir(path.as_ref()), beneath.walk(path.as_ref()));
            let ino = |dir: Dir| stat_file(dir).unwrap().ino;
            assert_eq!(opened.map(ino), walked.map(ino), "{path}");
        }
        for path in ["a/link", "a/link/..", "..", "a/../..", "/", "a/missing"] {
            assert!(beneath.dir(path.as_ref()).is_err(), "{path}");
            assert!(beneath.walk(path.as_ref()).is_err(), "{path}");
        }
    }

    /// spec 7.2b: a file may have any time, before 1970 too
    #[test]
    fn any_time_is_set() {
        let file = tempfile::tempfile().unwrap();
        let nanos = Duration::from_nanos(1_500_000_001);
        for time in [
            SystemTime::UNIX_EPOCH + nanos,
            SystemTime::UNIX_EPOCH,
            SystemTime::UNIX_EPOCH - nanos,
        ] {
            set_times(&file, None, Some(time)).unwrap();
            assert_eq!(stat_file(&file).unwrap().mtime, time);
        }
    }

    /// spec 3.9a: a copy has every byte and the whole length, holes included
    #[test]
    fn copies_are_whole() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(b"x", 3 << 20).unwrap();
        from.set_len(5 << 20).unwrap();
        copy(&from, &to).unwrap();
        let (old, new) = (stat_file(&from).unwrap(), stat_file(&to).unwrap());
        assert_eq!(old.size, new.size);
        let mut byte = [0];
        to.read_exact_at(&mut byte, 3 << 20).unwrap();
        assert_eq!(byte, *b"x");
    }
}
