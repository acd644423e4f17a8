//! Open files and directories.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use crate::fs::ids::{FileId, Handle as HandleId, NodeId};
use crate::fs::inode::listing::Listing;
use crate::fs::inode::open_merge::OpenMerge;
use crate::session::Process;

/// What a handle has open.
#[derive(Debug)]
pub enum Open {
    /// A regular file.
    File(OpenFile),
    /// `pending.md` or `.peek.md`.
    Merge(Arc<OpenMerge>),
    /// `.status.json`.
    Bytes(Arc<[u8]>),
    /// A directory as it was when reading it began.
    Dir(Arc<Listing>),
}

/// A handle of a regular file.
#[derive(Debug)]
pub struct OpenFile {
    pub id: FileId,
    /// The file below.
    pub file: Arc<File>,
    /// Whether it may be written.
    pub write: bool,
    /// The process whose reads by this handle let the process edit the handoff (spec 4.4).
    pub reader: Option<Process>,
    /// The thread that wrote last, if the write was not made durable since. Always `None` where a close publishes nothing.
    pub dirty: Option<u32>,
    /// How many writes there were: a FLUSH does not make durable the bytes that are written meanwhile.
    pub writes: u64,
    /// A FLUSH came after the last write, so a close has begun: the RELEASE may be on its way.
    pub flushed: bool,
}

/// A handle and its node.
#[derive(Debug)]
pub struct OpenNode {
    pub node: NodeId,
    pub open: Open,
}

impl OpenNode {
    fn file_mut(&mut self) -> Option<&mut OpenFile> {
        match &mut self.open {
            Open::File(open) => Some(open),
            _ => None,
        }
    }
}

/// All open handles.
#[derive(Debug, Default)]
pub struct Handles {
    open: HashMap<HandleId, OpenNode>,
    last: u64,
}

impl Handles {
    pub fn insert(&mut self, node: NodeId, open: Open) -> HandleId {
        self.last += 1;
        let id = HandleId(self.last);
        self.open.insert(id, OpenNode { node, open });
        id
    }

    pub fn get(&self, id: HandleId) -> Option<&OpenNode> {
        self.open.get(&id)
    }

    pub fn get_mut(&mut self, id: HandleId) -> Option<&mut OpenNode> {
        self.open.get_mut(&id)
    }

    /// The open regular file of this handle, if it has one.
    pub fn file_mut(&mut self, id: HandleId) -> Option<&mut OpenFile> {
        self.open.get_mut(&id)?.file_mut()
    }

    pub fn remove(&mut self, id: HandleId) -> Option<OpenNode> {
        self.open.remove(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &OpenNode> {
        self.open.values()
    }

    /// Every open regular file.
    pub fn files(&self) -> impl Iterator<Item = &OpenFile> {
        self.open.values().filter_map(|handle| match &handle.open {
            Open::File(open) => Some(open),
            _ => None,
        })
    }

    /// As [`Handles::files`], to change them.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut OpenFile> {
        self.open.values_mut().filter_map(OpenNode::file_mut)
    }
}
