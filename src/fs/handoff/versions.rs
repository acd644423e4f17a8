//! What a write in place is about to destroy is kept first (spec 3.9, 4.5).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::fs::ctx::Ctx;
use crate::fs::handoff::below::Handoffs;
use crate::fs::handoff::state::{RegularFile, Version};
use crate::fs::ids::FileId;
use crate::store::dirfd::stat_file;
use crate::store::local::{Area, Kept};
use crate::store::{Access, DraftFile, Meta};

/// A file of which a copy is wanted.
pub struct Wanted {
    queue: PathBuf,
    name: OsString,
    file: File,
    meta: Meta,
    /// [`HandoffState::rewrites`](crate::fs::handoff::state::HandoffState::rewrites) when the file was opened.
    rewrites: u64,
}

impl Ctx {
    /// An empty version needs no copy.
    pub fn copy_version(&self, wanted: &Wanted, area: Area) -> Result<Option<(File, Kept)>> {
        let Wanted {
            queue, name, file, ..
        } = wanted;
        if wanted.meta.size == 0 {
            return Ok(None);
        }
        let now = self.clock.now();
        let copy = || self.local.keep_copy(file, area, queue, name, now);
        self.local.with_room(copy).map(Some)
    }

    fn keep_rewritten(&self, kept: Option<Kept>) {
        if let Some(kept) = kept
            && let Err(error) = self.local.keep_rewritten(&kept)
        {
            log::warn!(
                "{}: cannot be moved to the replaced versions ({error}); the next mount tries again",
                kept.name.display()
            );
        }
    }

    /// Gives an empty file its kept content back; answers the inode number that it has then, or `None` if it is not empty.
    pub fn put_back(&self, kept: &Kept, queue: &Path, name: &OsStr) -> Result<Option<u64>> {
        match self.store.stat(queue, name) {
            Ok(meta) if meta.size == 0 => {}
            Err(error) if !error.is_absence() => return Err(error),
            _ => return Ok(None),
        }
        let dir = self.local.dir(Area::Rewriting, &kept.queue)?;
        let draft = DraftFile {
            dir: &dir,
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
    /// Keeps a copy of what is about to be moved out of the way, and then probably removed.
    pub fn keep_moved(&mut self, id: FileId) -> Result<()> {
        if let Some(wanted) = self.version_wanted(id)?
            && let Some((file, _)) = self.ctx.copy_version(&wanted, Area::Replaced)?
        {
            self.readers.pin(wanted.meta.ino, &Arc::new(file));
        }
        Ok(())
    }

    pub fn version_wanted(&self, id: FileId) -> Result<Option<Wanted>> {
        let doc = self.files.known(id)?;
        if !doc.is_stored() || !matches!(doc.handoff.version, Version::Whole) {
            return Ok(None);
        }
        let queue = self.queues.path(doc.dir)?;
        let name = doc.name.to_os_string();
        let file = doc.open(self.queues, Access::READ)?;
        Ok(Some(Wanted {
            meta: stat_file(&file)?,
            queue,
            name,
            file,
            rewrites: doc.handoff.rewrites,
        }))
    }

    pub fn version_copied(&mut self, id: FileId, wanted: &Wanted, copied: Option<(File, Kept)>) {
        let (file, kept) = copied.unzip();
        let doc = self.files.get_mut(id);
        let Some(doc) = doc.filter(|doc| doc.handoff.rewrites == wanted.rewrites) else {
            // Another writer kept a copy first, and has written by now: this copy may hold old and new bytes.
            if let Some(kept) = kept {
                let _ = self
                    .ctx
                    .local
                    .remove(Area::Rewriting, &kept.queue, &kept.name);
            }
            return;
        };
        doc.handoff.rewrites += 1;
        doc.handoff.version = Version::Kept(kept);
        if let Some(file) = file {
            self.readers.pin(wanted.meta.ino, &Arc::new(file));
        }
    }

    /// A close has made the content durable: from now on it is a version of its own, which the next rewrite keeps.
    pub fn version_written(&mut self, id: FileId) {
        let Some(doc) = self.files.get_mut(id) else {
            return;
        };
        if let Version::Kept(kept) = &mut doc.handoff.version {
            let kept = kept.take();
            doc.handoff.version = Version::Whole;
            self.ctx.keep_rewritten(kept);
        }
    }

    /// The last writer is gone. If its rewriting was cut short and left nothing, what was kept comes back.
    pub fn version_left(&mut self, id: FileId) {
        let doc = self.files.get_mut(id);
        let version = doc.map(|doc| std::mem::take(&mut doc.handoff.version));
        match version {
            Some(Version::CutShort(kept)) => match self.put_back_handoff(id, &kept) {
                Ok(true) => {}
                Ok(false) => self.ctx.keep_rewritten(Some(kept)),
                // The copy stays where the next mount looks for it.
                Err(error) => log::error!(
                    "{}: its rewriting was cut short, and what it held cannot be put back ({error}); the next mount \
                     tries again",
                    kept.name.display()
                ),
            },
            Some(Version::Kept(kept)) => self.ctx.keep_rewritten(kept),
            Some(Version::Whole) | None => {}
        }
    }

    fn put_back_handoff(&mut self, id: FileId, kept: &Kept) -> Result<bool> {
        let kept_of_handoff = |doc: &&RegularFile| doc.is_handoff() && doc.is_stored();
        let Some(doc) = self.files.get(id).filter(kept_of_handoff) else {
            return Ok(false);
        };
        let (dir, name) = (doc.dir, doc.name.to_os_string());
        let queue = self.queues.path(dir)?;
        let Some(ino) = self.ctx.put_back(kept, &queue, &name)? else {
            return Ok(false);
        };
        if let Some(doc) = self.files.get_mut(id) {
            doc.ino = ino;
        }
        self.queues.changed(dir, &name);
        Ok(true)
    }
}
