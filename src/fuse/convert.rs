//! Converts between fuser's types and those of [`crate::fs`].

use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyCreate,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request, TimeOrNow,
};
use rustix::fs::StatVfs;

use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, Result};
use crate::fs::{self, Attr, Created, Entry, HandleId, NodeId, Opened};
use crate::store::Kind;

/// How long the kernel may cache an answer: not at all. One name means different files to different sessions (spec 4.3), and
/// reading `pending.md` renames other files (spec 6.3). Only listings have a lifetime of their own.
const TTL: Duration = Duration::ZERO;

/// The thread and the user that sent a request.
pub(super) fn who(request: &Request) -> fs::Request {
    fs::Request {
        tid: request.pid(),
        uid: request.uid(),
    }
}

pub(super) fn node(ino: INodeNo) -> NodeId {
    NodeId(ino.0)
}

pub(super) fn handle(fh: FileHandle) -> HandleId {
    HandleId(fh.0)
}

pub(super) fn errno(error: Error) -> Errno {
    log::debug!("answered {error}");
    Errno::from_i32(error.errno())
}

pub(super) fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File | Kind::Other => FileType::RegularFile,
    }
}

fn attr(attr: &Attr) -> FileAttr {
    let meta = &attr.meta;
    FileAttr {
        ino: INodeNo(attr.ino),
        size: meta.size,
        blocks: meta.blocks,
        atime: meta.atime,
        mtime: meta.mtime,
        ctime: meta.ctime,
        crtime: meta.ctime,
        kind: kind(meta.kind),
        perm: u16::try_from(meta.mode & 0o7777).unwrap_or(0),
        nlink: meta.nlink,
        uid: meta.uid,
        gid: meta.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// The attributes in the reply to a LOOKUP, with the node id as the inode number. Programs see the inode number of the GETATTR that
/// follows, because the kernel caches nothing.
pub(super) fn entry_attr(entry: &Entry) -> FileAttr {
    FileAttr {
        ino: INodeNo(entry.node.0),
        ..attr(&entry.attr)
    }
}

/// Every open file bypasses the page cache, so that readers never see stale pages. Memory maps still work.
fn open_flags(opened: &Opened) -> FopenFlags {
    match opened.flush {
        true => FopenFlags::FOPEN_DIRECT_IO,
        false => FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NOFLUSH,
    }
}

/// Sends one reply: the value as the given call sends it, or the errno of the error.
macro_rules! answer {
    ($reply:ident, $result:expr, $value:pat => $send:expr) => {
        match $result {
            Ok($value) => $send,
            Err(error) => $reply.error(errno(error)),
        }
    };
}
pub(super) use answer;

pub(super) fn reply_entry(reply: ReplyEntry, found: Result<Entry>) {
    answer!(reply, found, entry => reply.entry(&TTL, &entry_attr(&entry), Generation(0)));
}

pub(super) fn reply_attr(reply: ReplyAttr, found: Result<Attr>) {
    answer!(reply, found, found => reply.attr(&TTL, &attr(&found)));
}

pub(super) fn reply_open(reply: ReplyOpen, opened: Result<Opened>) {
    answer!(reply, opened, opened => {
        reply.opened(FileHandle(opened.handle.0), open_flags(&opened));
    });
}

pub(super) fn reply_created(reply: ReplyCreate, created: Result<Created>) {
    answer!(reply, created, Created { entry, opened } => {
        let (attr, handle) = (entry_attr(&entry), FileHandle(opened.handle.0));
        reply.created(&TTL, &attr, Generation(0), handle, open_flags(&opened));
    });
}

pub(super) fn reply_statfs(reply: ReplyStatfs, room: Result<StatVfs>) {
    let size = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    answer!(reply, room, room => reply.statfs(
        room.f_blocks,
        room.f_bfree,
        room.f_bavail,
        room.f_files,
        room.f_ffree,
        size(room.f_bsize),
        size(room.f_namemax),
        size(room.f_frsize),
    ));
}

pub(super) fn reply_empty(reply: ReplyEmpty, done: Result<()>) {
    answer!(reply, done, () => reply.ok());
}

pub(super) fn reply_xattr(reply: ReplyXattr, size: u32, value: Result<Vec<u8>>) {
    match value {
        Err(error) => reply.error(errno(error)),
        Ok(value) if size == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
    }
}

pub(super) fn time(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => match SystemTime::UNIX_EPOCH.duration_since(time) {
            // For a time before 1970, fuser 0.18 subtracts the nanoseconds, although they must be added.
            Ok(before) => time + 2 * Duration::from_nanos(before.subsec_nanos().into()),
            Err(_) => time,
        },
        // A caller of utimensat(2) that passes UTIME_NOW means the machine's clock.
        TimeOrNow::Now => SystemClock.now(),
    }
}
