//! Whether a directory is a queue: decided here alone, once for each directory that becomes known, and again when it is
//! renamed or a `.git` turns up in it (spec 3.6).

use std::ffi::OsStr;
use std::path::Path;

use crate::error::Result;
use crate::fs::ids::DirId;
use crate::fs::inode::dirs::DirKind;
use crate::fs::queue::cache::Queues;
use crate::store::dir_kind::{GIT, Why};
use crate::store::first_mount::is_hidden;
use crate::store::local::{Area, Counts};

impl Queues {
    /// The directory of this name, which has this inode number.
    pub fn enter_dir(&mut self, parent: DirId, name: &OsStr, ino: u64) -> Result<DirId> {
        if let Some(dir) = self.dirs.known(parent, name, ino) {
            return Ok(dir);
        }
        let kind = self.kind_of_dir(parent, name)?;
        Ok(self.dirs.enter(parent, name, ino, kind))
    }

    /// What a directory of this name in `parent` is to us.
    fn kind_of_dir(&self, parent: DirId, name: &OsStr) -> Result<DirKind> {
        if self.dirs.kind(parent) == DirKind::Plain {
            return Ok(DirKind::Plain);
        }
        let path = self.join(parent, name)?;
        if self.ctx.local.is_ordinary(&path) {
            return Ok(DirKind::Plain);
        }
        let Some(why) = self.ctx.local.why_ordinary(&path)? else {
            return Ok(DirKind::Queue);
        };
        // A queue that holds handoffs stays one. In an archive those that were read are where they belong.
        let stays = match why {
            Why::Hidden | Why::Elsewhere => false,
            Why::Archive => self.ctx.local.holds_handoffs(&path, Counts::Pending)?,
            Why::Lock | Why::Git => self.ctx.local.holds_handoffs(&path, Counts::All)?,
        };
        if stays {
            return Ok(DirKind::Queue);
        }
        if why == Why::Git {
            // For good: without its .git its files would be strays.
            self.note_ordinary(&path);
        }
        Ok(DirKind::Plain)
    }

    fn note_ordinary(&self, path: &Path) {
        if let Err(error) = self.ctx.local.ordinary_made(path) {
            log::warn!(
                "{}: it cannot be noted that it is ordinary ({error}); the next sweep tries again",
                path.display()
            );
        }
    }

    /// A name has changed in a directory: if it is `.git`, the directory may be ordinary from now on.
    pub fn git_seen(&mut self, dir: DirId, name: &OsStr) {
        if name != GIT || dir == DirId::ROOT || !self.is_queue(dir) {
            return;
        }
        let Ok(path) = self.path(dir) else {
            return;
        };
        // Until now it was a queue, so what it holds are handoffs, also those that somebody else put there.
        if let Err(error) = self.ctx.local.mark_queue(&path) {
            log::warn!(
                "{}: it cannot be noted that it is a queue ({error})",
                path.display()
            );
        }
        self.judge_again(dir);
        if !self.is_queue(dir) {
            self.ctx.local.unmark_queue(&path);
        }
    }

    /// Decides again of a directory, and of all below it.
    fn judge_again(&mut self, top: DirId) {
        for dir in self.dirs.below(top) {
            let Some(name) = self.dirs.name(dir).map(OsStr::to_owned) else {
                continue;
            };
            match self.kind_of_dir(self.dirs.parent(dir), &name) {
                Ok(kind) => {
                    if self.dirs.set_kind(dir, kind) {
                        self.drop_queue(dir);
                        self.generation += 1;
                    }
                }
                Err(error) => log::warn!(
                    "{}: it cannot be told whether it is a queue ({error}); it stays what it was",
                    name.display()
                ),
            }
        }
    }

    /// Must a directory that is about to be renamed be noted as ordinary, lest its files become strays? Not if it was
    /// hidden: then it was passed through, and is a queue once it is shown.
    pub fn before_dir_rename(&self, dir: DirId) -> Result<()> {
        let path = self.path(dir)?;
        let hidden = path.iter().any(is_hidden);
        if self.is_queue(dir) || hidden || self.ctx.local.is_ordinary(&path) {
            return Ok(());
        }
        match self.ctx.local.list(Area::Backing, &path)?.is_empty() {
            true => Ok(()),
            false => self.ctx.local.ordinary_made(&path),
        }
    }

    /// A directory has another name.
    pub fn dir_renamed(&mut self, dir: DirId, parent: DirId, name: &OsStr) {
        let was_queue = self.is_queue(dir);
        self.dirs.renamed(dir, parent, name);
        if was_queue && let Ok(path) = self.path(dir) {
            // Whoever calls a queue an archive, or hides it, means it.
            let by_name = self.ctx.local.why_ordinary(&path);
            if matches!(by_name, Ok(Some(Why::Hidden | Why::Archive | Why::Lock)))
                || !self.is_queue(parent)
            {
                self.ctx.local.unmark_queue(&path);
            }
        }
        self.judge_again(dir);
    }
}
