//! The adapter between the kernel and [`crate::fs`]: typed arguments in, one call, one reply out. The adapter decides nothing.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::thread;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents,
    PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use self::adapter::guarded;
use self::convert::{
    answer, entry_attr, errno, handle, kind, node, reply_attr, reply_created, reply_empty,
    reply_entry, reply_open, reply_statfs, reply_xattr, time, who,
};
use crate::error::Error;
use crate::fs::{LookedAt, Outcome, SetAttr};

mod adapter;
mod convert;

pub use adapter::Adapter;

/// One entry for each kernel request: the filesystem, the FUSE request header, the arguments. The macro adds the guard against
/// panics to every entry.
macro_rules! requests {
    ($($request:ident($fs:ident, $caller:ident $(, $argument:ident: $type:ty)*) $serve:block)*) => {
        $(fn $request(&self, $caller: &Request, $($argument: $type),*) {
            let $fs = &self.fs;
            guarded(stringify!($request), || $serve);
        })*
    };
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            // O_TRUNC comes with the OPEN request; an open with O_TRUNC can then be told from truncate(2).
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_PARALLEL_DIROPS,
            // Programs can map files into memory, although the files bypass the page cache.
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ] {
            if let Err(missing) = config.add_capabilities(wanted) {
                log::info!("this kernel does not offer {missing:?}");
            }
        }
        // The kernel caches the dentries that READDIRPLUS returns, so READDIRPLUS needs a way to drop them again.
        if config.kernel_abi() >= adapter::INC_EPOCH_SINCE {
            let plus = InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO;
            let _ = config.add_capabilities(plus);
        }
        // Limits the length of a WRITE request, and so the memory that a worker holds.
        let _ = config.set_max_write(1 << 20);
        Ok(())
    }

    fn destroy(&mut self) {
        self.fs.connect(None);
    }

    requests! {
        lookup(fs, req, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
            reply_entry(reply, fs.lookup(who(req), node(parent), name));
        }

        forget(fs, _req, ino: INodeNo, nlookup: u64) {
            fs.forget(node(ino), nlookup);
        }

        getattr(fs, _req, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
            reply_attr(reply, fs.getattr(node(ino)));
        }

        setattr(
            fs, req, ino: INodeNo,
            mode: Option<u32>, uid: Option<u32>, gid: Option<u32>, size: Option<u64>,
            atime: Option<TimeOrNow>, mtime: Option<TimeOrNow>, _ctime: Option<SystemTime>,
            fh: Option<FileHandle>, _crtime: Option<SystemTime>, _chgtime: Option<SystemTime>,
            _bkuptime: Option<SystemTime>, _flags: Option<BsdFileFlags>, reply: ReplyAttr
        ) {
            let (atime, mtime) = (atime.map(time), mtime.map(time));
            let set = SetAttr { mode, uid, gid, size, atime, mtime };
            reply_attr(reply, fs.setattr(who(req), node(ino), fh.map(handle), set));
        }

        mknod(
            fs, req, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _rdev: u32,
            reply: ReplyEntry
        ) {
            reply_entry(reply, fs.mknod(who(req), node(parent), name, mode & !umask));
        }

        mkdir(fs, req, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
            reply_entry(reply, fs.mkdir(who(req), node(parent), name, mode & !umask));
        }

        unlink(fs, req, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
            reply_empty(reply, fs.unlink(who(req), node(parent), name));
        }

        rmdir(fs, _req, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
            reply_empty(reply, fs.rmdir(node(parent), name));
        }

        symlink(_fs, _req, _parent: INodeNo, _name: &OsStr, _target: &Path, reply: ReplyEntry) {
            reply.error(errno(Error::NotPermitted));
        }

        rename(
            fs, req, parent: INodeNo, name: &OsStr, newparent: INodeNo, newname: &OsStr,
            flags: RenameFlags, reply: ReplyEmpty
        ) {
            let (from, to) = ((node(parent), name), (node(newparent), newname));
            reply_empty(reply, fs.rename(who(req), from, to, flags.bits()));
        }

        link(fs, req, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
            reply_entry(reply, fs.link(who(req), node(ino), node(newparent), newname));
        }

        open(fs, req, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
            match fs.open_node(who(req), node(ino), flags.0) {
                Outcome::Ready(opened) => reply_open(reply, opened),
                // The open waits for the RELEASE of another reader. A worker that waited could not serve that RELEASE.
                Outcome::Later(waiting) => {
                    let waiter = thread::Builder::new().name("turn".into()).stack_size(256 << 10);
                    let finish = || guarded("open", || reply_open(reply, waiting.finish()));
                    if let Err(error) = waiter.spawn(finish) {
                        log::error!(
                            "an open that had to wait for another reader of pending.md got an I/O error, because no \
                             thread can be started ({error})"
                        );
                    }
                }
            }
        }

        create(
            fs, req, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, flags: i32,
            reply: ReplyCreate
        ) {
            let created = fs.create(who(req), node(parent), name, mode & !umask, flags);
            reply_created(reply, created);
        }

        read(
            fs, req, _ino: INodeNo, fh: FileHandle, offset: u64, size: u32, _flags: OpenFlags,
            lock_owner: Option<LockOwner>, reply: ReplyData
        ) {
            let cached = lock_owner.is_none();
            let read = fs.read(who(req), handle(fh), offset, size, cached);
            answer!(reply, read, read => reply.data(&read.bytes));
        }

        write(
            fs, req, _ino: INodeNo, fh: FileHandle, offset: u64, data: &[u8],
            _write_flags: WriteFlags, flags: OpenFlags, _lock_owner: Option<LockOwner>,
            reply: ReplyWrite
        ) {
            let append = flags.0 & libc::O_APPEND != 0;
            let written = fs.write(who(req), handle(fh), offset, data, append);
            answer!(reply, written, length => reply.written(length));
        }

        flush(
            fs, req, _ino: INodeNo, fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty
        ) {
            reply_empty(reply, fs.flush(who(req), handle(fh)));
        }

        release(
            fs, _req, _ino: INodeNo, fh: FileHandle, _flags: OpenFlags,
            _lock_owner: Option<LockOwner>, _flush: bool, reply: ReplyEmpty
        ) {
            fs.release(handle(fh));
            reply.ok();
        }

        fsync(fs, _req, _ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
            reply_empty(reply, fs.fsync(handle(fh)));
        }

        opendir(fs, _req, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
            let opened = fs.opendir(node(ino));
            answer!(reply, opened, fh => reply.opened(FileHandle(fh.0), FopenFlags::empty()));
        }

        readdir(fs, _req, _ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory) {
            let mut reply = reply;
            answer!(reply, fs.readdir(handle(fh), offset), listing => {
                for (next, entry) in listing.from(offset) {
                    let is_full = reply.add(INodeNo(entry.ino), next, kind(entry.kind), entry.name);
                    if is_full {
                        break;
                    }
                }
                reply.ok();
            });
        }

        readdirplus(
            fs, _req, _ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus
        ) {
            let mut reply = reply;
            let add = |found: LookedAt<'_>| {
                let attr = entry_attr(&found.entry);
                !reply.add(attr.ino, found.next, found.name, &found.ttl, &attr, Generation(0))
            };
            answer!(reply, fs.readdir_plus(handle(fh), offset, add), () => reply.ok());
        }

        releasedir(
            fs, _req, _ino: INodeNo, fh: FileHandle, _flags: OpenFlags, reply: ReplyEmpty
        ) {
            fs.releasedir(handle(fh));
            reply.ok();
        }

        fsyncdir(fs, _req, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
            reply_empty(reply, fs.fsyncdir(node(ino)));
        }

        statfs(fs, _req, _ino: INodeNo, reply: ReplyStatfs) {
            reply_statfs(reply, fs.statfs());
        }

        setxattr(
            fs, _req, ino: INodeNo, name: &OsStr, value: &[u8], flags: i32, _position: u32,
            reply: ReplyEmpty
        ) {
            reply_empty(reply, fs.setxattr(node(ino), name, value, flags));
        }

        getxattr(fs, _req, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
            reply_xattr(reply, size, fs.getxattr(node(ino), name));
        }

        listxattr(fs, _req, ino: INodeNo, size: u32, reply: ReplyXattr) {
            reply_xattr(reply, size, fs.listxattr(node(ino)));
        }

        removexattr(fs, _req, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
            reply_empty(reply, fs.removexattr(node(ino), name));
        }

        access(fs, _req, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
            reply_empty(reply, fs.access(node(ino), mask.bits()));
        }

        fallocate(
            fs, req, _ino: INodeNo, fh: FileHandle, offset: u64, length: u64, mode: i32,
            reply: ReplyEmpty
        ) {
            reply_empty(reply, fs.fallocate(who(req), handle(fh), offset, length, mode));
        }

        lseek(fs, _req, _ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
            answer!(reply, fs.lseek(handle(fh), offset, whence), at => reply.offset(at));
        }

        ioctl(
            _fs, _req, _ino: INodeNo, _fh: FileHandle, _flags: IoctlFlags, _cmd: u32,
            _in_data: &[u8], _out_size: u32, reply: ReplyIoctl
        ) {
            // isatty(3) sends an ioctl to every file that a program asks about.
            reply.error(Errno::ENOTTY);
        }

        poll(
            _fs, _req, _ino: INodeNo, _fh: FileHandle, _ph: PollNotifier, _events: PollEvents,
            _flags: PollFlags, reply: ReplyPoll
        ) {
            // After ENOSYS the kernel answers poll(2) without asking: regular files are always ready.
            reply.error(Errno::ENOSYS);
        }

        copy_file_range(
            _fs, _req, _ino_in: INodeNo, _fh_in: FileHandle, _offset_in: u64,
            _ino_out: INodeNo, _fh_out: FileHandle, _offset_out: u64, _len: u64,
            _flags: CopyFileRangeFlags, reply: ReplyWrite
        ) {
            // After ENOSYS the kernel copies with READ and WRITE requests.
            reply.error(Errno::ENOSYS);
        }
    }
}
