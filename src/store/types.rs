//! What the store tells of files and directories.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::SystemTime;

/// The type of a directory entry. `Other`, that is symbolic links and special files, is never shown (spec 3.6, 4.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What stat(2) says of a file.
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
    /// The name, which others may keep without a copy.
    pub name: Arc<OsStr>,
    /// The type of the file that has it.
    pub kind: Kind,
    /// What stat(2) says, where listing needed one anyway.
    pub meta: Option<Meta>,
}

/// How a stored file is opened. A file that is open for neither reading nor writing has attributes that can be read and
/// changed, whatever its mode.
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
    /// The name that changed; empty for a change of the queue itself, whose watch ends if it was removed.
    pub name: OsString,
    /// How the name changed.
    pub what: What,
}

/// How a name changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Removed, not moved away.
    Removed,
    /// Changed in any other way, such as made, written, closed by a writer, or moved: look again.
    Touched,
}

/// A watched queue, as `Store::watch` answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Watch(pub i32);

/// The changes since the last question.
#[derive(Debug, PartialEq, Eq)]
pub enum Changes {
    /// These, in order.
    These(Vec<Change>),
    /// The kernel has dropped some: list again.
    Overflow,
}
