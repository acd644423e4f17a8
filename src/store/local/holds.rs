//! Whether a directory is known to be a queue that holds handoffs, whatever else it has become (spec 3.6).
//!
//! A queue in which a handoff was begun has a directory among the drafts; that is the mark. A directory that only has
//! files with stamped names, such as a repository's, has none.

use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;

use super::{Area, Local};
use crate::error::{Error, Result};
use crate::names::StampedName;
use crate::store::first_mount::is_hidden;
use crate::store::{Kind, dirfd};

/// Which handoffs count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counts {
    /// All.
    All,
    /// Those that wait for a reader.
    Pending,
}

impl Local {
    /// Is this directory marked as a queue, and does it, or a directory below it, hold a handoff?
    pub fn holds_handoffs(&self, path: &Path, counts: Counts) -> Result<bool> {
        match self.dir(Area::Drafts, path) {
            Ok(_) => Ok(self.has_handoff(Area::Drafts, path, counts)?
                || self.has_handoff(Area::Backing, path, counts)?),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Marks a directory as a queue.
    pub fn mark_queue(&self, path: &Path) -> Result<()> {
        self.make_dir(Area::Drafts, path).map(drop)
    }

    /// Takes the mark off a directory, and off those below it; one with unpublished drafts keeps it.
    pub fn unmark_queue(&self, path: &Path) {
        let mut found = vec![path.to_owned()];
        let mut at = 0;
        while let Some(dir) = found.get(at).cloned() {
            let entries = self.list(Area::Drafts, &dir).unwrap_or_default();
            let below = entries.iter().filter(|it| it.1.kind == Kind::Directory);
            found.extend(below.map(|(name, _)| dir.join(name)));
            at += 1;
        }
        self.forget_drafts();
        for dir in found.iter().rev() {
            if let (Some(parent), Some(name)) = (dir.parent(), dir.file_name())
                && let Ok(above) = self.root.dir(&Area::Drafts.path(parent))
            {
                let _ = rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR);
            }
        }
    }

    fn has_handoff(&self, area: Area, path: &Path, counts: Counts) -> Result<bool> {
        let mut left: Vec<PathBuf> = vec![path.to_owned()];
        while let Some(dir) = left.pop() {
            let entries = match self.root.dir(&area.path(&dir)).and_then(dirfd::names) {
                // Gone meanwhile, or nobody may read it: nothing of it was ever delivered.
                Err(Error::NotFound | Error::NotDirectory | Error::AccessDenied) => continue,
                entries => entries?,
            };
            for entry in entries {
                match entry.kind {
                    Kind::File => {
                        let name = StampedName::parse(&entry.name);
                        if name.is_some_and(|it| counts == Counts::All || it.is_pending()) {
                            return Ok(true);
                        }
                    }
                    Kind::Directory if !is_hidden(&entry.name) => {
                        left.push(dir.join(&*entry.name));
                    }
                    Kind::Directory | Kind::Other => {}
                }
            }
        }
        Ok(false)
    }
}
