//! The state that handoffs may use and change: everything below the sessions.

use std::fs::File;
use std::sync::Arc;

use crate::fs::ctx::Ctx;
use crate::fs::handoff::table::Files;
use crate::fs::inode::handles::Handles;
use crate::fs::inode::table::Nodes;
use crate::fs::queue::cache::Queues;

/// Drafts, edits and publishing, over the tables that they change.
pub struct Handoffs<'a> {
    pub ctx: &'a Ctx,
    pub queues: &'a mut Queues,
    pub nodes: &'a mut Nodes,
    pub handles: &'a Handles,
    pub files: &'a mut Files,
    pub readers: &'a mut dyn Pins,
}

/// The readers of snapshots. They go on reading a file's old content when the file is changed or removed (spec 6.2b).
pub trait Pins {
    /// The file with this inode number is about to change or to go: snapshots that show the file read `file` from now on.
    fn pin(&mut self, ino: u64, file: &Arc<File>);
}
