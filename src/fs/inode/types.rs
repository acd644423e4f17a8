//! The arguments and answers of the filesystem's logic.

use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

use crate::fs::ids::{Handle, NodeId};
use crate::fs::queue::snapshot::Plan;
use crate::store::{Kind, Meta};

/// The sender of a request, as FUSE names it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The calling *thread*; 0 for callers outside our PID namespace.
    pub tid: u32,
    /// The calling user.
    pub uid: u32,
}

/// stat(2) of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// The inode number that users see.
    pub ino: u64,
    /// Everything else.
    pub meta: Meta,
}

impl Attr {
    /// stat(2) of `pending.md`, or of `.peek.md`.
    pub(in crate::fs) fn of_merge(plan: &Plan, peek: bool) -> Attr {
        let ino = if peek { VIRTUAL_INO } else { PENDING_INO };
        Attr::made_up(ino, plan.size(), 0o600, plan.mtime)
    }

    /// A file of the mount's owner that is nowhere on disk.
    pub(in crate::fs) fn made_up(ino: u64, size: u64, mode: u32, time: SystemTime) -> Attr {
        Attr {
            ino,
            meta: Meta {
                ino,
                kind: Kind::File,
                size,
                blocks: size.div_ceil(512),
                mode,
                nlink: 1,
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                atime: time,
                mtime: time,
                ctime: time,
            },
        }
    }
}

/// The inode number of every `pending.md`.
pub const PENDING_INO: u64 = (1 << 63) - 1;

/// The inode number of `.peek.md` and `.status.json`.
pub const VIRTUAL_INO: u64 = PENDING_INO - 1;

/// A name that was found.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its node.
    pub node: NodeId,
    /// Its attributes.
    pub attr: Attr,
}

/// A file that was opened.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// Its handle.
    pub handle: Handle,
    /// Whether a FLUSH at each close is of any use.
    pub flush: bool,
}

/// A file that was made and opened.
#[derive(Clone, Copy, Debug)]
pub struct Created {
    /// The file.
    pub entry: Entry,
    /// The handle.
    pub opened: Opened,
}

/// One entry of a listing, with the answer that a look-up of its name would get.
#[derive(Clone, Copy, Debug)]
pub struct LookedAt<'a> {
    /// Its name.
    pub name: &'a OsStr,
    /// The answer, counted as a look-up.
    pub entry: Entry,
    /// How long the kernel may keep the answer.
    pub ttl: Duration,
    /// The offset of the next entry.
    pub next: u64,
}

/// The attributes that a setattr changes; `None` for those that stay.
#[derive(Clone, Copy, Default, Debug)]
pub struct SetAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<SystemTime>,
    /// Last modification.
    pub mtime: Option<SystemTime>,
}
