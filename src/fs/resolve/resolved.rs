//! The answer to a name.

use crate::fs::ids::{DirId, DocId, PlainId};

/// What a name means to a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::fs) enum Resolved {
    Dir(DirId),
    Doc {
        doc: DocId,
        own: bool,
    },
    Plain(PlainId),
    /// `pending.md`.
    Pending,
    /// `.peek.md`.
    Peek,
    /// `.status.json`.
    Status,
}
