//! The areas of the backing directory: itself, and the parts of its private directory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::names::PRIVATE;
use crate::session::Session;

/// The part of the private directory with the scratch files of single sessions.
pub(super) const SESSIONS: &str = "sessions";

/// An area of the backing directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Area {
    /// The backing directory itself: ordinary files and directories.
    Backing,
    /// New handoffs, unpublished.
    Drafts,
    /// New content of published handoffs.
    Edits,
    /// Scratch files that all sessions share.
    Scratch,
    /// Scratch files of one session.
    Own(Session),
    /// Copies of handoffs that writes in place are changing, until the writers close.
    Rewriting,
    /// Replaced versions.
    Replaced,
    /// Pending handoffs that were removed.
    Removed,
    /// Notes of what reads are consuming, until they are answered.
    Consuming,
}

/// A file of an area: the area, the queue, and the name.
pub type AreaFile<'a> = (Area, &'a Path, &'a OsStr);

impl Area {
    /// The names of all parts of the private directory that hold areas.
    pub(super) const PARTS: [&str; 8] = [
        "drafts",
        "edits",
        "scratch",
        SESSIONS,
        "rewriting",
        "replaced",
        "removed",
        "consuming",
    ];

    /// Does the area hold scratch files?
    pub fn is_scratch(self) -> bool {
        matches!(self, Area::Scratch | Area::Own(_))
    }

    /// The area's directory of a queue, beneath the backing directory.
    pub(super) fn path(self, queue: &Path) -> PathBuf {
        let private = Path::new(PRIVATE);
        let area = match self {
            Area::Backing => return queue.to_owned(),
            Area::Drafts => private.join("drafts"),
            Area::Edits => private.join("edits"),
            Area::Scratch => private.join("scratch"),
            Area::Own(session) => private.join(SESSIONS).join(session.to_string()),
            Area::Rewriting => private.join("rewriting"),
            Area::Replaced => private.join("replaced"),
            Area::Removed => private.join("removed"),
            Area::Consuming => private.join("consuming"),
        };
        area.join(queue)
    }
}
