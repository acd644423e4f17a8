//! Changes that are not taken in yet.

use std::ffi::{OsStr, OsString};

use super::super::dirs::DirId;
use super::Index;

/// A change that could not be taken in: the disk had an error, or there was no descriptor left.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) dir: DirId,
    pub(super) name: OsString,
    pub(super) seen: Seen,
}

/// What is known of a change besides the name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Made below the mount and not closed yet.
    pub(super) in_the_making: bool,
    pub(super) ours: Ours,
    /// Tried before, in vain: it was said already.
    pub(super) tried: bool,
}

/// Which file of the name was put there by us.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ours {
    /// Whichever it is.
    Any,
    /// The one with this inode number, if any.
    Only(Option<u64>),
}

/// What becomes of a listed name.
pub(super) enum Settled {
    /// It is known under this name.
    As(OsString),
    /// A stray that could not be adopted just now.
    NotYet,
    NeverShown,
}

impl Index {
    /// This is to be looked at again.
    pub(super) fn doubt(&mut self, dir: DirId, name: &OsStr, seen: Seen) {
        self.doubts
            .retain(|doubt| (doubt.dir, doubt.name.as_os_str()) != (dir, name));
        let name = name.to_owned();
        self.doubts.push(Doubt { dir, name, seen });
    }
}
