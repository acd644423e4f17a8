//! Whether a directory is a queue (spec 3.6). Only this file decides that: when a directory becomes known, when it is renamed,
//! and when a `.git` turns up in it.

use std::ffi::OsStr;

use crate::error::Result;
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::fs::queue::dirs::DirKind;
use crate::names::is_hidden;
use crate::store::dir_kind::{GIT, Why};
use crate::store::local::{Area, Counts};

impl Queues {
    /// The directory of this name and inode number.
    pub fn enter_dir(&mut self, parent: DirId, name: &OsStr, ino: u64) -> Result<DirId> {
        if let Some(dir) = self.dirs.known(parent, name, ino) {
            return Ok(dir);
        }
        let kind = self.kind_of_dir(parent, name)?;
        Ok(self.dirs.add(parent, name, ino, kind))
    }

    /// Whether a directory of this name in `parent` is a queue.
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
        // A queue that holds handoffs stays a queue. Consumed handoffs in an archive are where they belong.
        let stays = match why {
            Why::Hidden | Why::Elsewhere => false,
            Why::Archive => self.ctx.local.holds_handoffs(&path, Counts::Pending)?,
            Why::Lock | Why::Git => self.ctx.local.holds_handoffs(&path, Counts::All)?,
        };
        if stays {
            return Ok(DirKind::Queue);
        }
        if why == Why::Git {
            // Ordinary for good: if the `.git` goes, the files beside it must not become strays.
            if let Err(error) = self.ctx.local.ordinary_made(&path) {
                log::warn!(
                    "{}: cannot be put on the list of ordinary directories ({error}); the next sweep tries again",
                    path.display()
                );
            }
        }
        Ok(DirKind::Plain)
    }

    /// A name has changed in a directory. If the name is `.git`, the directory may be ordinary from now on.
    pub fn git_seen(&mut self, dir: DirId, name: &OsStr) {
        if name != GIT || dir == DirId::ROOT || !self.is_queue(dir) {
            return;
        }
        let Ok(path) = self.path(dir) else {
            return;
        };
        // Until now the directory was a queue: its files are handoffs, also those that other programs put there.
        if let Err(error) = self.ctx.local.mark_queue(&path) {
            log::warn!(
                "{}: cannot be put on the list of queues ({error}); its handoffs may be taken for ordinary files",
                path.display()
            );
        }
        self.decide_again(dir);
        if !self.is_queue(dir) {
            self.ctx.local.unmark_queue(&path);
        }
    }

    /// Decides again for a directory and all below it.
    fn decide_again(&mut self, top: DirId) {
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
                    "{}: cannot be checked for being a queue ({error}); it stays what it was before",
                    name.display()
                ),
            }
        }
    }

    /// Puts an ordinary directory that is about to be renamed on the list of ordinary ones: its files must not become strays
    /// under the new name. A hidden directory is not listed: it becomes a queue when it gets a name that is shown.
    pub fn before_dir_rename(&self, dir: DirId) -> Result<()> {
        let path = self.path(dir)?;
        let hidden = path.iter().any(is_hidden);
        if self.is_queue(dir) || hidden || self.ctx.local.is_ordinary(&path) {
            return Ok(());
        }
        if self.ctx.local.list(Area::Backing, &path)?.is_empty() {
            return Ok(());
        }
        self.ctx.local.ordinary_made(&path)
    }

    /// A directory was renamed.
    pub fn dir_renamed(&mut self, dir: DirId, parent: DirId, name: &OsStr) {
        let was_queue = self.is_queue(dir);
        self.dirs.renamed(dir, parent, name);
        for below in self.dirs.below(dir) {
            if let Some(queue) = self.queue_mut(below) {
                queue.path_changed();
            }
        }
        if was_queue && let Ok(path) = self.path(dir) {
            // The user has chosen a name of an archive, of a lock, or a hidden one: the directory becomes ordinary.
            let by_name = self.ctx.local.why_ordinary(&path);
            if matches!(by_name, Ok(Some(Why::Hidden | Why::Archive | Why::Lock)))
                || !self.is_queue(parent)
            {
                self.ctx.local.unmark_queue(&path);
            }
        }
        self.decide_again(dir);
    }
}
