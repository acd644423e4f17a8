//! Open files and directories.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use crate::fs::ids::{FileId, Handle as HandleId, NodeId};
use crate::fs::inode::listing::Listing;
use crate::fs::inode::open_merge::OpenMerge;
use crate::session::Process;

/// What is open, and what is known of its use.
#[derive(Debug)]
pub(in crate::fs) enum Open {
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
pub(in crate::fs) struct OpenFile {
    pub(in crate::fs) id: FileId,
    /// The file below.
    pub(in crate::fs) file: Arc<File>,
    /// Whether it may be written.
    pub(in crate::fs) write: bool,
    /// Whose reading of it counts for an edit (spec 4.4).
    pub(in crate::fs) reader: Option<Process>,
    /// The thread that wrote it last, if that was not made durable since. Always `None` where a close publishes nothing.
    pub(in crate::fs) dirty: Option<u32>,
    /// How often it was written: a FLUSH does not make durable what is written meanwhile.
    pub(in crate::fs) writes: u64,
    /// Closed once since it was last written, as far as a FLUSH tells: its RELEASE may be on its way.
    pub(in crate::fs) flushed: bool,
}

/// A handle and its node.
#[derive(Debug)]
pub(in crate::fs) struct OpenNode {
    pub(in crate::fs) node: NodeId,
    pub(in crate::fs) open: Open,
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::fs) struct Handles {
    open: HashMap<HandleId, OpenNode>,
    last: u64,
}

impl Handles {
    pub(in crate::fs) fn insert(&mut self, node: NodeId, open: Open) -> HandleId {
        self.last += 1;
        let id = HandleId(self.last);
        self.open.insert(id, OpenNode { node, open });
        id
    }

    pub(in crate::fs) fn get(&self, id: HandleId) -> Option<&OpenNode> {
        self.open.get(&id)
    }

    pub(in crate::fs) fn get_mut(&mut self, id: HandleId) -> Option<&mut OpenNode> {
        self.open.get_mut(&id)
    }

    /// The regular file that is open, if it is one.
    pub(in crate::fs) fn file_mut(&mut self, id: HandleId) -> Option<&mut OpenFile> {
        match &mut self.open.get_mut(&id)?.open {
            Open::File(open) => Some(open),
            _ => None,
        }
    }

    pub(in crate::fs) fn remove(&mut self, id: HandleId) -> Option<OpenNode> {
        self.open.remove(&id)
    }

    pub(in crate::fs) fn iter(&self) -> impl Iterator<Item = &OpenNode> {
        self.open.values()
    }

    /// Every open regular file.
    pub(in crate::fs) fn files(&self) -> impl Iterator<Item = &OpenFile> {
        self.open.values().filter_map(|handle| match &handle.open {
            Open::File(open) => Some(open),
            _ => None,
        })
    }

    /// As [`Handles::files`], to change them.
    pub(in crate::fs) fn files_mut(&mut self) -> impl Iterator<Item = &mut OpenFile> {
        self.open
            .values_mut()
            .filter_map(|handle| match &mut handle.open {
                Open::File(open) => Some(open),
                _ => None,
            })
    }
}
