//! The answer to a name.

use crate::fs::ids::{DirId, FileId};

/// What a name means to a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolved {
    Dir(DirId),
    /// A handoff, which `own` tells is found through the caller's alias.
    Handoff {
        doc: FileId,
        own: bool,
    },
    /// An ordinary or a scratch file.
    Other(FileId),
    /// `pending.md`.
    Pending,
    /// `.peek.md`.
    Peek,
    /// `.status.json`.
    Status,
}
