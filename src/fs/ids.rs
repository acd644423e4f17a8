//! The numbers that stand for nodes, handles, directories and files.

/// What the kernel calls a node id. The root is 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root of the mount.
    pub const ROOT: NodeId = NodeId(1);

    /// The node that has the number of the file below, so that a listing can name it by that; `None` where the number
    /// stands for something else.
    pub(super) fn of_file(ino: u64) -> Option<NodeId> {
        (ino > NodeId::ROOT.0 && ino < FIRST_VIEW).then_some(NodeId(ino))
    }
}

/// Inode numbers from here on are given to views of files, and to what is no file.
pub(super) const FIRST_VIEW: u64 = 1 << 62;

/// An open file or directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle(pub u64);

/// A directory, for as long as this program runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(super) struct DirId(pub(super) u32);

impl DirId {
    /// The root queue.
    pub(super) const ROOT: DirId = DirId(0);
}

/// A regular file, for as long as anything refers to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);
