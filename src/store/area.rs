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
    /// Copies of files that writers are changing in place, until the writers close.
    Rewriting,
    /// Replaced versions.
    Replaced,
    /// Pending handoffs that were removed.
    Removed,
    /// Notes about the handoffs that a read is consuming, until the read is answered.
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

    /// The area's directory for a queue, relative to the backing directory.
    pub(super) fn path(self, queue: &Path) -> PathBuf {
        let part = match self {
            Area::Backing => return queue.to_owned(),
            Area::Drafts => "drafts",
            Area::Edits => "edits",
            Area::Scratch => "scratch",
            Area::Own(session) => &format!("{SESSIONS}/{session}"),
            Area::Rewriting => "rewriting",
            Area::Replaced => "replaced",
            Area::Removed => "removed",
            Area::Consuming => "consuming",
        };
        Path::new(PRIVATE).join(part).join(queue)
    }
}
