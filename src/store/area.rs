//! The parts of the backing directory.

use std::path::{Path, PathBuf};

use crate::names::PRIVATE;
use crate::session::Session;

/// The part of the private directory that holds the scratch files of single sessions.
pub(super) const SESSIONS: &str = "sessions";

/// A part of the backing directory.
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
    /// What writes in place are replacing, until they have ended.
    Rewriting,
    /// What writes replaced.
    Replaced,
    /// Pending handoffs that were removed.
    Removed,
    /// What is being consumed by reads that have not been answered yet.
    Consuming,
}

impl Area {
    /// The parts of the private directory that hold areas.
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

    /// Does it hold scratch files?
    pub fn is_scratch(self) -> bool {
        matches!(self, Area::Scratch | Area::Own(_))
    }

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
