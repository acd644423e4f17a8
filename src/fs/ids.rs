//! The numbers that stand for nodes, handles, directories and files.

/// The kernel's number of a node. The root is 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root of the mount.
    pub const ROOT: NodeId = NodeId(1);

    /// The node with the inode number of the file below: readdir can name such a node before any LOOKUP. `None` if the number
    /// stands for another node.
    pub(super) fn of_file(ino: u64) -> Option<NodeId> {
        (ino > NodeId::ROOT.0 && ino < FIRST_VIEW).then_some(NodeId(ino))
    }
}

/// Numbers below this are inode numbers of the backing filesystem; aliases, directories and virtual files have higher ones.
pub(super) const FIRST_VIEW: u64 = 1 << 62;

/// An open file or directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle(pub u64);

/// A directory, for as long as the daemon runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(super) struct DirId(pub(super) u32);

impl DirId {
    /// The root queue.
    pub(super) const ROOT: DirId = DirId(0);
}

/// A regular file, for as long as anything refers to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);
