//! The life of a handoff: drafts, edits, publishing, kept versions, recovery (spec 3.8, 4.2, 4.4, 4.5).

pub(super) mod consumed;
pub(super) mod draft;
pub(super) mod left;
pub(super) mod publish;
pub(super) mod recover;
pub(super) mod state;
pub(super) mod stored;
pub(super) mod table;
pub(super) mod unanswered;
pub(super) mod versions;
