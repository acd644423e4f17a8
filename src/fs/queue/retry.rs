//! What is to be looked at again before the next use.

use std::collections::HashMap;
use std::ffi::OsString;

use crate::fs::ids::DirId;

/// Strays that are not adopted yet, and changes that could not be taken in: the disk had an error, or there was no
/// descriptor left.
pub(super) type Retries = HashMap<(DirId, OsString), Seen>;

/// What is known of a change besides the name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) ours: Ours,
    /// Found by listing the queue: when it was changed last, nobody was told.
    pub(super) listed: bool,
    /// Tried before, in vain: it was said already.
    pub(super) tried: bool,
}

impl Seen {
    /// The store has told of a change.
    pub(super) fn told(ours: Ours) -> Seen {
        Seen {
            ours,
            listed: false,
            tried: false,
        }
    }
}

/// Which file of the name was put there by us.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ours {
    /// Whichever it is.
    Any,
    /// The one with this inode number, if any.
    Only(Option<u64>),
}
