//! Open files and directories.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::docs::{DocId, PlainId};
use super::list::Listing;
use super::snapshot::Reading;
use super::types::{Handle as HandleId, NodeId};
use crate::session::Process;

/// What is open, and what is known of its use.
#[derive(Debug)]
pub(super) enum Open {
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
    Merge(Arc<Reading>),
    /// `.status.json`.
    Bytes(Arc<[u8]>),
    /// A directory as it was when reading it began.
    Dir(Arc<Listing>),
}

/// A handle of a handoff.
#[derive(Debug, Clone)]
pub(super) struct OpenDoc {
    pub(super) doc: DocId,
    pub(super) file: Arc<File>,
    pub(super) write: bool,
    /// Whose reading of it counts for an edit (spec 4.4).
    pub(super) reader: Option<Process>,
    /// Written since it was last made durable; by this thread.
    pub(super) dirty: Option<u32>,
    /// How often it was written: what comes while a FLUSH makes durable what was there is not meant by it.
    pub(super) writes: u64,
    /// Closed once since it was last written, as far as a FLUSH tells: its RELEASE may be on its way.
    pub(super) flushed: bool,
}

/// A handle and its node.
#[derive(Debug)]
pub(super) struct OpenNode {
    pub(super) node: NodeId,
    pub(super) open: Open,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Handles {
    open: HashMap<HandleId, OpenNode>,
    last: u64,
}

impl Handles {
    pub(super) fn insert(&mut self, node: NodeId, open: Open) -> HandleId {
        self.last += 1;
        let id = HandleId(self.last);
        self.open.insert(id, OpenNode { node, open });
        id
    }

    pub(super) fn get(&self, id: HandleId) -> Option<&OpenNode> {
        self.open.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: HandleId) -> Option<&mut OpenNode> {
        self.open.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: HandleId) -> Option<OpenNode> {
        self.open.remove(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &OpenNode> {
        self.open.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut OpenNode> {
        self.open.values_mut()
    }
}
