//! Open files and directories.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use crate::fs::ids::{DocId, Handle as HandleId, NodeId, PlainId};
use crate::fs::inode::listing::Listing;
use crate::fs::pending::open_merge::OpenMerge;
use crate::session::Process;

/// What is open, and what is known of its use.
#[derive(Debug)]
pub(in crate::fs) enum Open {
    /// A handoff.
    Doc(OpenDoc),
    /// A file that is no handoff.
    Plain {
        /// Which one.
        plain: PlainId,
        /// The file below.
        file: Arc<File>,
        /// Whether it may be written.
        write: bool,
        /// Closed once since it was last written: see [`OpenDoc::flushed`].
        flushed: bool,
    },
    /// `pending.md` or `.peek.md`.
    Merge(Arc<OpenMerge>),
    /// `.status.json`.
    Bytes(Arc<[u8]>),
    /// A directory as it was when reading it began.
    Dir(Arc<Listing>),
}

/// A handle of a handoff.
#[derive(Debug, Clone)]
pub(in crate::fs) struct OpenDoc {
    pub(in crate::fs) doc: DocId,
    pub(in crate::fs) file: Arc<File>,
    pub(in crate::fs) write: bool,
    /// Whose reading of it counts for an edit (spec 4.4).
    pub(in crate::fs) reader: Option<Process>,
    /// Written since it was last made durable; by this thread.
    pub(in crate::fs) dirty: Option<u32>,
    /// How often it was written: what comes while a FLUSH makes durable what was there is not meant by it.
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

    pub(in crate::fs) fn remove(&mut self, id: HandleId) -> Option<OpenNode> {
        self.open.remove(&id)
    }

    pub(in crate::fs) fn iter(&self) -> impl Iterator<Item = &OpenNode> {
        self.open.values()
    }

    pub(in crate::fs) fn iter_mut(&mut self) -> impl Iterator<Item = &mut OpenNode> {
        self.open.values_mut()
    }
}
