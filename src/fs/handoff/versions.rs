//! Before a write in place destroys content, a copy of the file is kept (spec 3.9, 4.5).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::fs::ctx::Ctx;
use crate::fs::handoff::below::Handoffs;
use crate::fs::handoff::state::Version;
use crate::fs::ids::FileId;
use crate::store::dirfd::stat_file;
use crate::store::local::{Area, Kept};
use crate::store::{Access, DraftFile, Meta};

/// A stored handoff of which a copy is to be kept.
pub struct Wanted {
    queue: PathBuf,
    name: OsString,
    file: File,
    meta: Meta,
    /// [`HandoffState::rewrites`](crate::fs::handoff::state::HandoffState::rewrites) when the file was opened.
    rewrites: u64,
}

impl Ctx {
    /// Copies a version to an area, if the version is not empty.
    pub fn copy_version(&self, wanted: &Wanted, area: Area) -> Result<Option<(File, Kept)>> {
        if wanted.meta.size == 0 {
            return Ok(None);
        }
        self.keep_copy(&wanted.file, area, &wanted.queue, &wanted.name)
            .map(Some)
    }

    /// Copies a file to an area, as a version of `name`.
    pub fn keep_copy(
        &self,
        file: &File,
        area: Area,
        queue: &Path,
        name: &OsStr,
    ) -> Result<(File, Kept)> {
        let now = self.clock.now();
        let copy = || self.local.keep_copy(file, area, queue, name, now);
        self.local.with_room(copy)
    }

    /// Moves an edit that will not be published to the replaced versions.
    pub fn keep_edit(&self, queue: &Path, name: &OsStr) -> Result<()> {
        let now = self.clock.now();
        self.local.keep(Area::Edits, queue, name, now)
    }

    /// The file was rewritten whole: the copy of its old content is a replaced version now.
    fn keep_rewritten(&self, kept: &Kept) {
        if let Err(error) = self.local.keep_rewritten(kept) {
            log::warn!(
                "{}: cannot be moved to the replaced versions ({error}); the next mount tries again",
                kept.name.display()
            );
        }
    }

    /// Gives an empty file its kept content back; returns the inode number that the file has then. If the file is not
    /// empty, the kept content becomes a replaced version.
    pub fn put_back(&self, kept: &Kept, queue: &Path, name: &OsStr) -> Result<Option<u64>> {
        match self.store.stat(queue, name) {
            Ok(meta) if meta.size == 0 => {}
            Err(error) if !error.is_absence() => return Err(error),
            _ => return self.local.keep_rewritten(kept).map(|()| None),
        }
        let dir = &self.local.dir(Area::Rewriting, &kept.queue)?;
        let draft = DraftFile {
            dir,
            name: &kept.name,
        };
        self.store.replace(draft, queue, name)?;
        self.local
            .remove(Area::Rewriting, &kept.queue, &kept.name)?;
        if self.options.sync {
            self.store.sync(queue)?;
        }
        Ok(Some(self.store.stat(queue, name)?.ino))
    }
}

impl Handoffs<'_> {
    /// Keeps a copy of a handoff that is about to be renamed to a backup, which its writer will probably remove.
    pub fn keep_moved(&mut self, id: FileId) -> Result<()> {
        if let Some(wanted) = self.version_wanted(id)?
            && let Some((file, _)) = self.ctx.copy_version(&wanted, Area::Replaced)?
        {
            self.readers.pin(wanted.meta.ino, &Arc::new(file));
        }
        Ok(())
    }

    /// The version that a write in place is about to destroy, unless a copy of it was kept.
    pub fn version_wanted(&self, id: FileId) -> Result<Option<Wanted>> {
        let file = self.files.known(id)?;
        if !file.is_stored() || !matches!(file.handoff.version, Version::Whole) {
            return Ok(None);
        }
        let opened = file.open(self.queues, Access::READ)?;
        Ok(Some(Wanted {
            queue: self.queues.path(file.dir)?,
            name: file.name.to_os_string(),
            meta: stat_file(&opened)?,
            file: opened,
            rewrites: file.handoff.rewrites,
        }))
    }

    /// A version was copied to [`Area::Rewriting`], without the lock. Readers of a snapshot go on reading the copy.
    pub fn version_copied(&mut self, id: FileId, wanted: &Wanted, copied: Option<(File, Kept)>) {
        let (file, kept) = copied.unzip();
        let handoff = self.files.get_mut(id).map(|file| &mut file.handoff);
        let Some(handoff) = handoff.filter(|handoff| handoff.rewrites == wanted.rewrites) else {
            // Another writer kept a copy first, and has written by now: this copy may hold old and new bytes.
            if let Some(Kept { queue, name }) = kept {
                let _ = self.ctx.local.remove(Area::Rewriting, &queue, &name);
            }
            return;
        };
        handoff.rewrites += 1;
        handoff.version = Version::Kept(kept);
        if let Some(file) = file {
            self.readers.pin(wanted.meta.ino, &Arc::new(file));
        }
    }

    /// A close has made the content durable: the content is a version of its own now, which the next rewrite keeps.
    pub fn version_written(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(id)
            && let Version::Kept(kept) = &mut file.handoff.version
        {
            let kept = kept.take();
            file.handoff.version = Version::Whole;
            if let Some(kept) = kept {
                self.ctx.keep_rewritten(&kept);
            }
        }
    }

    /// The last writer has closed. If its rewrite was cut short and left the file empty, the kept content comes back.
    pub fn version_left(&mut self, id: FileId) {
        self.version_written(id);
        let Some(file) = self.files.get_mut(id) else {
            return;
        };
        if let Version::CutShort(kept) = std::mem::take(&mut file.handoff.version)
            && let Err(error) = self.put_back_handoff(id, &kept)
        {
            // The copy stays where the next mount looks for it.
            log::error!(
                "{}: its rewrite was cut short, and the kept content cannot be put back ({error}); the next mount \
                 tries again",
                kept.name.display()
            );
        }
    }

    fn put_back_handoff(&mut self, id: FileId, kept: &Kept) -> Result<()> {
        let file = self.files.known(id)?;
        if !file.is_handoff() || !file.is_stored() {
            return self.ctx.local.keep_rewritten(kept);
        }
        let (dir, name) = (file.dir, file.name.to_os_string());
        let queue = self.queues.path(dir)?;
        if let Some(ino) = self.ctx.put_back(kept, &queue, &name)? {
            self.files.known_mut(id)?.ino = ino;
            self.queues.changed(dir, &name);
        }
        Ok(())
    }
}
