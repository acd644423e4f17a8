//! The kernel's calls to the disks of a rack, and a note of each that changed one.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::disk::{Disk, Edit, Ino, Inode, ROOT, Result};
use crate::mount::{Disks, Shared, Step};

/// An answer to the kernel.
type Answer<T> = std::result::Result<T, Errno>;

/// Where the number of a disk begins in a node's.
const DISK: u32 = 32;

/// The inode of a node, on its disk.
fn inside(node: INodeNo) -> Ino {
    node.0 & u64::from(u32::MAX)
}

fn attr(ino: u64, inode: &Inode, links: u32) -> FileAttr {
    let now = &inode.now;
    FileAttr {
        ino: INodeNo(ino),
        size: now.data.len() as u64,
        blocks: (now.data.len() as u64).div_ceil(512),
        atime: now.mtime,
        mtime: now.mtime,
        ctime: inode.ctime,
        crtime: inode.ctime,
        kind: if inode.is_dir {
            FileType::Directory
        } else {
            FileType::RegularFile
        },
        perm: u16::try_from(now.mode).unwrap(),
        nlink: links,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// The kernel keeps nothing: what it is told is what lies there.
const TTL: Duration = Duration::ZERO;

pub struct Adapter(pub Arc<Disks>);

impl Adapter {
    /// The disk of a node, and its inode there.
    fn find(&self, node: INodeNo) -> Answer<(Arc<Shared>, Ino)> {
        let disk = self.0.lock().get(&(node.0 >> DISK)).cloned();
        disk.map(|disk| (disk, inside(node))).ok_or(Errno::ESTALE)
    }

    /// Does something to a disk and notes it.
    fn step<T>(
        &self,
        node: INodeNo,
        what: impl FnOnce(&Disk, Ino) -> String,
        change: impl FnOnce(&mut Disk, Ino) -> Result<T>,
    ) -> Answer<T> {
        let (shared, ino) = self.find(node)?;
        let mut disk = shared.disk.lock();
        let what = what(&disk, ino);
        let answer = change(&mut disk, ino).map_err(Errno::from_i32)?;
        let after = disk.clone();
        shared.steps.lock().push(Step { what, after });
        Ok(answer)
    }

    fn attr(&self, node: INodeNo) -> Answer<FileAttr> {
        if node == INodeNo::ROOT {
            return Ok(attr(node.0, &Inode::new(true, 0o700), 2));
        }
        let (shared, ino) = self.find(node)?;
        let disk = shared.disk.lock();
        let inode = disk.get(ino).map_err(Errno::from_i32)?;
        Ok(attr(node.0, inode, disk.links(ino)))
    }

    /// The attributes of another inode of the same disk.
    fn beside(&self, node: INodeNo, ino: Ino) -> Answer<FileAttr> {
        self.attr(INodeNo(node.0 >> DISK << DISK | ino))
    }

    fn look_up(&self, parent: INodeNo, name: &OsStr) -> Answer<FileAttr> {
        if parent == INodeNo::ROOT {
            let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
            let number = number.ok_or(Errno::ENOENT)?;
            return self.attr(INodeNo(number << DISK | ROOT));
        }
        let (shared, ino) = self.find(parent)?;
        let found = shared.disk.lock().lookup(ino, name);
        self.beside(parent, found.map_err(Errno::from_i32)?)
    }
}

fn entry(reply: ReplyEntry, found: Answer<FileAttr>) {
    match found {
        Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn attributes(reply: ReplyAttr, found: Answer<FileAttr>) {
    match found {
        Ok(attr) => reply.attr(&TTL, &attr),
        Err(errno) => reply.error(errno),
    }
}

fn empty(reply: ReplyEmpty, done: Answer<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Adapter {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.look_up(parent, name));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        attributes(reply, self.attr(ino));
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mtime = mtime.map(|mtime| match mtime {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => SystemTime::now(),
        });
        let done = self.step(
            ino,
            |disk, ino| format!("attributes of {}", disk.describe_inode(ino)),
            |disk, ino| {
                if let Some(size) = size {
                    disk.edit(ino, Edit::Length(size))?;
                }
                disk.set(ino, mode, mtime)
            },
        );
        attributes(reply, done.and_then(|()| self.attr(ino)));
    }

    fn mkdir(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self.step(
            parent,
            |disk, ino| format!("mkdir {}", disk.describe(ino, name)),
            |disk, ino| disk.make(ino, name, true, mode & !umask),
        );
        entry(reply, made.and_then(|ino| self.beside(parent, ino)));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.step(
            parent,
            |disk, ino| format!("unlink {}", disk.describe(ino, name)),
            |disk, ino| disk.remove(ino, name, false),
        );
        empty(reply, done);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.step(
            parent,
            |disk, ino| format!("rmdir {}", disk.describe(ino, name)),
            |disk, ino| disk.remove(ino, name, true),
        );
        empty(reply, done);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.step(
            parent,
            |disk, ino| {
                let how = match flags.bits() {
                    libc::RENAME_EXCHANGE => "exchange",
                    _ => "rename",
                };
                let from = disk.describe(ino, name);
                format!(
                    "{how} {from} → {}",
                    disk.describe(inside(newparent), newname)
                )
            },
            |disk, ino| disk.rename((ino, name), (inside(newparent), newname), flags.bits()),
        );
        empty(reply, done);
    }

    fn link(
        &self,
        _req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let done = self.step(
            newparent,
            |disk, parent| format!("link {}", disk.describe(parent, newname)),
            |disk, parent| disk.link(inside(ino), parent, newname),
        );
        entry(reply, done.and_then(|()| self.attr(ino)));
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.step(
            parent,
            |disk, ino| format!("create {}", disk.describe(ino, name)),
            |disk, ino| disk.make(ino, name, false, mode & !umask),
        );
        match made.and_then(|ino| self.beside(parent, ino)) {
            Ok(attr) => reply.created(
                &TTL,
                &attr,
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let found = self.find(ino).and_then(|(shared, ino)| {
            let disk = shared.disk.lock();
            let inode = disk.get(ino).map_err(Errno::from_i32)?;
            Ok(inode.now.data.clone())
        });
        match found {
            Ok(data) => {
                let start = (offset as usize).min(data.len());
                let end = (start + size as usize).min(data.len());
                reply.data(&data[start..end]);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let done = self.step(
            ino,
            |disk, ino| format!("write {}", disk.describe_inode(ino)),
            |disk, ino| disk.edit(ino, Edit::Write(offset, data.into())),
        );
        match done {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap()),
            Err(errno) => reply.error(errno),
        }
    }

    fn fsync(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let done = self.step(
            ino,
            |disk, ino| format!("fsync {}", disk.describe_inode(ino)),
            |disk, ino| disk.sync(ino),
        );
        empty(reply, done);
    }

    fn fsyncdir(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.fsync(req, ino, fh, datasync, reply);
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Ok((shared, inside)) = self.find(ino) else {
            return reply.error(Errno::ESTALE);
        };
        let disk = shared.disk.lock();
        let entries = disk.inodes[&inside].entries.iter().enumerate();
        for (i, (name, entry)) in entries.skip(offset as usize) {
            let kind = attr(*entry, &disk.inodes[entry], 1).kind;
            if reply.add(INodeNo(*entry), i as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
