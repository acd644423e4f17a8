//! Names that are looked at again before the next use.

use std::collections::HashMap;
use std::ffi::OsString;

use crate::fs::ids::DirId;

/// Strays that are not adopted yet, and changed names that could not be looked at, because the disk had an error or no
/// descriptor was left.
pub(super) type Retries = HashMap<(DirId, OsString), Seen>;

/// How a change was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) ours: Ours,
    /// Seen by listing the queue, so that the time of the change is not known.
    pub(super) listed: bool,
    /// The log says already that the file cannot be adopted.
    pub(super) logged: bool,
}

impl Seen {
    /// A change that the store has told, or that the mount has made.
    pub(super) fn told(ours: Ours) -> Seen {
        Seen {
            ours,
            listed: false,
            logged: false,
        }
    }
}

/// Which file was put under a name through the mount.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ours {
    /// Whichever file has the name.
    Any,
    /// The file with this inode number, if any.
    Only(Option<u64>),
}
