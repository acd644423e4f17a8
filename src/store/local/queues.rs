//! Directories of the mount, and the directories that areas have for each of them.
//!
//! A queue in which a handoff was begun has a directory among the drafts. That directory marks the queue: it stays a queue
//! while it holds handoffs (spec 3.6f). A directory that only has files with stamped names, such as a repository's, has no
//! mark.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use super::files::Local;
use crate::error::{Error, Result};
use crate::names::{PRIVATE, StampedName, is_hidden};
use crate::store::area::{Area, SESSIONS};
use crate::store::dirfd::{self, Beneath};
use crate::store::types::Kind;

/// The handoffs for which a queue stays a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counts {
    /// All handoffs.
    All,
    /// Pending handoffs.
    Pending,
}

impl Local {
    /// Makes a directory in the backing directory, durably, because handoffs will be published there.
    pub fn make_queue(&self, parent: &Path, name: &OsStr, mode: u32) -> Result<()> {
        let dir = self.dir(Area::Backing, parent)?;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        self.with_room(|| Ok(rustix::fs::mkdirat(&dir, name, mode)?))?;
        if self.durable
            && let Err(error) = rustix::fs::fsync(&dir)
        {
            // The caller sees an error, and may try again.
            let _ = dirfd::remove_dir(&dir, name);
            return Err(error.into());
        }
        Ok(())
    }

    /// Makes the directory of a queue, and its parents, for a recovered draft whose queue was removed.
    pub fn restore_queue(&self, queue: &Path) -> Result<()> {
        self.root.make_dirs(queue, self.durable).map(drop)
    }

    /// Removes an empty directory, and the areas' directories for it.
    pub fn remove_queue(&self, parent: &Path, name: &OsStr) -> Result<()> {
        dirfd::remove_dir(self.dir(Area::Backing, parent)?, name)?;
        self.forget_drafts();
        for area in self.following() {
            if let Ok(dir) = self.dir(area, parent) {
                let _ = dirfd::remove_dir(dir, name);
            }
        }
        Ok(())
    }

    /// Renames a directory and the areas' directories for it. A crash between the renames leaves drafts under the old path;
    /// the next mount recovers them there.
    pub fn rename_queue(
        &self,
        from: (&Path, &OsStr),
        to: (&Path, &OsStr),
        replace: bool,
    ) -> Result<()> {
        let old = self.dir(Area::Backing, from.0)?;
        let new = self.dir(Area::Backing, to.0)?;
        let (from_path, to_path) = (from.0.join(from.1), to.0.join(to.1));
        let before = self.record.lock().now.clone();
        // The record is changed first: after a crash an ordinary file with an unlisted name would be a stray.
        let renamed = self
            .change_record(|record| record.renaming(&from_path, &to_path))
            .and_then(|()| match replace {
                true => dirfd::rename(&old, from.1, &new, to.1),
                false => dirfd::rename_new(&old, from.1, &new, to.1),
            });
        if let Err(error) = renamed {
            let _ =
                self.change_record(|record| std::mem::replace(record, before.clone()) != before);
            return Err(error);
        }
        self.forget_drafts();
        for area in self.following() {
            match self.rename((area, from.0, from.1), (area, to.0, to.1)) {
                Ok(()) | Err(Error::NotFound) => {}
                Err(error) => log::warn!(
                    "{}: the directory was renamed, but not its part of {area:?} ({error}); the next mount recovers the files \
                     under the old name",
                    from_path.display()
                ),
            }
        }
        if let Err(error) = self.ordinary_moved(&from_path, &to_path) {
            log::warn!(
                "{}: the directory was renamed, but its old name cannot be removed from the record of the first mount ({error}); \
                 the next sweep tries again",
                from_path.display()
            );
        }
        Ok(())
    }

    /// The areas of all sessions that have or had scratch files.
    pub fn owned(&self) -> Result<Vec<Area>> {
        let sessions = match self.root.dir(&Path::new(PRIVATE).join(SESSIONS)) {
            Err(Error::NotFound) => return Ok(Vec::new()),
            dir => dirfd::names(dir?)?,
        };
        let session = |name: &OsStr| name.to_str()?.parse().ok();
        let sessions = sessions.iter().filter_map(|entry| session(&entry.name));
        Ok(sessions.map(Area::Own).collect())
    }

    /// The areas whose directories follow when a queue is renamed. Replaced versions stay where they were kept.
    fn following(&self) -> Vec<Area> {
        let owned = self.owned().inspect_err(|error| {
            log::warn!("the scratch files of sessions cannot be listed ({error}); they stay under their queue's old name");
        });
        let mut areas = vec![Area::Drafts, Area::Edits, Area::Scratch];
        areas.extend(owned.unwrap_or_default());
        areas
    }

    /// Does this directory have a mark, and is there a handoff in it or below?
    pub fn holds_handoffs(&self, path: &Path, counts: Counts) -> Result<bool> {
        match self.dir(Area::Drafts, path) {
            Ok(_) => Ok(self.has_handoff(Area::Drafts, path, counts)?
                || self.has_handoff(Area::Backing, path, counts)?),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn has_handoff(&self, area: Area, path: &Path, counts: Counts) -> Result<bool> {
        let is_counted = |name: &OsStr| {
            let name = StampedName::parse(name);
            name.is_some_and(|name| counts == Counts::All || name.is_pending())
        };
        let mut left: Vec<PathBuf> = vec![path.to_owned()];
        while let Some(dir) = left.pop() {
            let entries = match self.root.dir(&area.path(&dir)).and_then(dirfd::names) {
                // The directory is gone, or this program may not read it: no handoff in it was ever delivered.
                Err(Error::NotFound | Error::NotDirectory | Error::AccessDenied) => continue,
                entries => entries?,
            };
            for entry in entries {
                match entry.kind {
                    Kind::File if is_counted(&entry.name) => return Ok(true),
                    Kind::Directory if !is_hidden(&entry.name) => left.push(dir.join(&*entry.name)),
                    _ => {}
                }
            }
        }
        Ok(false)
    }

    /// Marks a directory as a queue.
    pub fn mark_queue(&self, path: &Path) -> Result<()> {
        self.make_dir(Area::Drafts, path).map(drop)
    }

    /// Removes the marks of a directory and of those below it. A directory with unpublished drafts keeps its mark.
    pub fn unmark_queue(&self, path: &Path) {
        self.forget_drafts();
        let _ = remove_empty_dirs(&self.root, &Area::Drafts.path(path));
    }

    /// Removes an area's directories that have no file in them or below.
    pub fn remove_empty_dirs(&self, area: Area) -> Result<()> {
        remove_empty_dirs(&self.root, &area.path(Path::new("")))
    }
}

/// Removes a directory and those below it, but no directory with a file in it or below.
fn remove_empty_dirs(root: &Beneath, path: &Path) -> Result<()> {
    for entry in dirfd::names(root.dir(path)?)? {
        if entry.kind == Kind::Directory {
            remove_empty_dirs(root, &path.join(&*entry.name))?;
        }
    }
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
        // A directory with files in it stays.
        let _ = dirfd::remove_dir(root.dir(parent)?, name);
    }
    Ok(())
}
