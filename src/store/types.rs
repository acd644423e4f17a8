//! The types of the store's answers.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::SystemTime;

/// The type of a directory entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link or special file, which is never shown (spec 3.6, 4.10).
    Other,
}

/// The stat(2) of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// Inode number in the backing filesystem.
    pub ino: u64,
    /// Its type.
    pub kind: Kind,
    /// Length in bytes.
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: SystemTime,
    /// Last modification.
    pub mtime: SystemTime,
    /// Last change of the inode.
    pub ctime: SystemTime,
}

/// A name in a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name, shared with the caches.
    pub name: Arc<OsStr>,
    /// The type of the file.
    pub kind: Kind,
    /// The stat(2), if the listing needed one.
    pub meta: Option<Meta>,
}

/// The access for which a stored file is opened. Attributes can be read and changed without any, whatever the file's mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
}

impl Access {
    /// Reading only.
    pub const READ: Access = Access::new(true, false);
    /// Writing only.
    pub const WRITE: Access = Access::new(false, true);
    /// Neither reading nor writing.
    pub const NONE: Access = Access::new(false, false);

    const fn new(read: bool, write: bool) -> Access {
        Access { read, write }
    }
}

/// One change of a watched queue, made by any process, this one included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The watched queue.
    pub watch: Watch,
    /// The name that changed; empty for a change of the queue itself. The watch of a removed queue ends.
    pub name: OsString,
    /// The kind of change.
    pub what: What,
}

/// The kind of change of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Removed, not moved away.
    Removed,
    /// Changed in any other way, such as made, written, closed by a writer, or moved: look again.
    Touched,
}

/// The number of a watched queue, from `Store::watch`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Watch(pub i32);

/// The changes since the last call.
#[derive(Debug, PartialEq, Eq)]
pub enum Changes {
    /// All changes, in order.
    These(Vec<Change>),
    /// The kernel has dropped some changes: list again.
    Overflow,
}
