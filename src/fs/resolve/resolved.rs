//! What a name can mean.

use crate::fs::ids::{DirId, FileId};

/// What a name means to one caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolved {
    /// A directory.
    Dir(DirId),
    /// A handoff. `own` says that the name is an alias of the caller's session.
    Handoff { doc: FileId, own: bool },
    /// An ordinary or a scratch file.
    Other(FileId),
    /// `pending.md`.
    Pending,
    /// `.peek.md`.
    Peek,
    /// `.status.json`.
    Status,
}
