//! Who calls, and under which names a session finds its handoffs (spec 4.3, 5).

pub(super) mod aliases;
pub(super) mod callers;
pub(super) mod estale_replay;
pub(super) mod released_names;
