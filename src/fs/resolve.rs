//! What a name means to a caller: which file, and whether a write edits it or makes a new handoff (spec 4.1, 4.4).

pub(super) mod alias;
pub(super) mod attrs;
pub(super) mod flags;
pub(super) mod name;
pub(super) mod opened;
pub(super) mod ordinary;
pub(super) mod resolved;
pub(super) mod scratch;
pub(super) mod stamped;
