//! The adapter between the kernel and [`crate::fs`]: typed arguments in, one call, one reply out. It decides nothing.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::thread;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use self::adapter::guarded;
use self::convert::{
    entry_attr, errno, handle, kind, node, reply_attr, reply_created, reply_empty, reply_entry,
    reply_open, reply_statfs, reply_xattr, time, who,
};
use crate::error::Error;
use crate::fs::{LookedAt, Outcome, SetAttr};

mod adapter;
mod convert;

pub use adapter::Adapter;

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            // Truncation by open comes with the open, and can be told from truncate(2).
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_PARALLEL_DIROPS,
            // Files that go past the page cache can be mapped even so.
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ] {
            if let Err(missing) = config.add_capabilities(wanted) {
                log::info!("this kernel does not offer {missing:?}");
            }
        }
        // Names that come with their attributes may be cached, if the kernel can be made to look them up again.
        if config.kernel_abi() >= adapter::INC_EPOCH_SINCE {
            let plus = InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO;
            let _ = config.add_capabilities(plus);
        }
        // One write request is at most this long, and so is what a worker holds in memory.
        let _ = config.set_max_write(1 << 20);
        Ok(())
    }

    fn destroy(&mut self) {
        self.fs.connect(None);
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        guarded("lookup", || {
            reply_entry(reply, self.fs.lookup(who(req), node(parent), name));
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        guarded("forget", || self.fs.forget(node(ino), nlookup));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        guarded("getattr", || reply_attr(reply, self.fs.getattr(node(ino))));
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        guarded("setattr", || {
            let set = SetAttr {
                mode,
                uid,
                gid,
                size,
                atime: atime.map(time),
                mtime: mtime.map(time),
            };
            reply_attr(
                reply,
                self.fs.setattr(who(req), node(ino), fh.map(handle), set),
            );
        });
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        guarded("mknod", || {
            reply_entry(
                reply,
                self.fs.mknod(who(req), node(parent), name, mode & !umask),
            );
        });
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        guarded("mkdir", || {
            reply_entry(
                reply,
                self.fs.mkdir(who(req), node(parent), name, mode & !umask),
            );
        });
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        guarded("unlink", || {
            reply_empty(reply, self.fs.unlink(who(req), node(parent), name));
        });
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        guarded("rmdir", || {
            reply_empty(reply, self.fs.rmdir(node(parent), name));
        });
    }

    fn symlink(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _target: &Path,
        reply: ReplyEntry,
    ) {
        reply.error(errno(Error::NotPermitted));
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        guarded("rename", || {
            let (from, to) = ((node(parent), name), (node(newparent), newname));
            reply_empty(reply, self.fs.rename(who(req), from, to, flags.bits()));
        });
    }

    fn link(
        &self,
        req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        guarded("link", || {
            reply_entry(
                reply,
                self.fs.link(who(req), node(ino), node(newparent), newname),
            );
        });
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        guarded("open", || {
            match self.fs.open_node(who(req), node(ino), flags.0) {
                Outcome::Ready(opened) => reply_open(reply, opened),
                // A worker that waited would keep the RELEASE from coming that it waits for.
                Outcome::Later(waiting) => {
                    let waiter = thread::Builder::new()
                        .name("turn".into())
                        .stack_size(256 << 10);
                    let spawned = waiter.spawn(move || {
                        guarded("open", || reply_open(reply, waiting.finish()));
                    });
                    if let Err(error) = spawned {
                        log::error!(
                            "no thread to wait for a turn in ({error}); the open was answered with an I/O error"
                        );
                    }
                }
            }
        });
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        guarded("create", || {
            let created = self
                .fs
                .create(who(req), node(parent), name, mode & !umask, flags);
            reply_created(reply, created);
        });
    }

    fn read(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        guarded("read", || {
            let read = self
                .fs
                .read(who(req), handle(fh), offset, size, lock_owner.is_none());
            match read {
                Ok(answer) => reply.data(&answer.bytes),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn write(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        guarded("write", || {
            let append = flags.0 & libc::O_APPEND != 0;
            match self.fs.write(who(req), handle(fh), offset, data, append) {
                Ok(written) => reply.written(written),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn flush(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        guarded("flush", || {
            reply_empty(reply, self.fs.flush(who(req), handle(fh)));
        });
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        guarded("release", || {
            self.fs.release(handle(fh));
            reply.ok();
        });
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        guarded("fsync", || reply_empty(reply, self.fs.fsync(handle(fh))));
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        guarded("opendir", || match self.fs.opendir(node(ino)) {
            Ok(opened) => reply.opened(FileHandle(opened.0), FopenFlags::empty()),
            Err(error) => reply.error(errno(error)),
        });
    }

    fn readdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        guarded("readdir", || match self.fs.readdir(handle(fh), offset) {
            Ok(listing) => {
                for (next, entry) in listing.from(offset) {
                    if reply.add(INodeNo(entry.ino), next, kind(entry.kind), entry.name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(errno(error)),
        });
    }

    fn readdirplus(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        guarded("readdirplus", || {
            let add = |found: LookedAt<'_>| {
                let attr = entry_attr(&found.entry);
                !reply.add(
                    attr.ino,
                    found.next,
                    found.name,
                    &found.ttl,
                    &attr,
                    Generation(0),
                )
            };
            let listed = self.fs.readdir_plus(handle(fh), offset, add);
            match listed {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        guarded("releasedir", || {
            self.fs.releasedir(handle(fh));
            reply.ok();
        });
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        guarded("fsyncdir", || {
            reply_empty(reply, self.fs.fsyncdir(node(ino)));
        });
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        guarded("statfs", || reply_statfs(reply, self.fs.statfs()));
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        guarded("setxattr", || {
            reply_empty(reply, self.fs.setxattr(node(ino), name, value, flags));
        });
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        guarded("getxattr", || {
            reply_xattr(reply, size, self.fs.getxattr(node(ino), name));
        });
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        guarded("listxattr", || {
            reply_xattr(reply, size, self.fs.listxattr(node(ino)));
        });
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        guarded("removexattr", || {
            reply_empty(reply, self.fs.removexattr(node(ino), name));
        });
    }

    fn access(&self, _req: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        guarded("access", || {
            reply_empty(reply, self.fs.access(node(ino), mask.bits()));
        });
    }

    fn fallocate(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        guarded("fallocate", || {
            let done = self
                .fs
                .fallocate(who(req), handle(fh), offset, length, mode);
            reply_empty(reply, done);
        });
    }

    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        guarded("lseek", || {
            match self.fs.lseek(handle(fh), offset, whence) {
                Ok(at) => reply.offset(at),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: fuser::IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: fuser::ReplyIoctl,
    ) {
        // isatty(3) asks every file it is given.
        reply.error(Errno::ENOTTY);
    }

    fn poll(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _ph: fuser::PollNotifier,
        _events: fuser::PollEvents,
        _flags: fuser::PollFlags,
        reply: fuser::ReplyPoll,
    ) {
        // The kernel answers by itself from now on: regular files are always ready.
        reply.error(Errno::ENOSYS);
    }

    fn readlink(&self, _req: &Request, _ino: INodeNo, reply: ReplyData) {
        reply.error(errno(Error::Invalid));
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        _fh_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        _len: u64,
        _flags: fuser::CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The kernel copies by itself then, through read and write requests.
        reply.error(Errno::ENOSYS);
    }
}
