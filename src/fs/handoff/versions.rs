//! What a write in place is about to destroy is kept first (spec 3.9, 4.5).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::error::Result;
use crate::fs::handoff::state::{FileName, RegularFile, Version};
use crate::fs::ids::FileId;
use crate::fs::state::{Fs, State};
use crate::store::dirfd::stat_file;
use crate::store::local::{Area, Kept};
use crate::store::{Access, DraftFile, Meta};

/// A file of which a copy is wanted.
struct Wanted {
    queue: PathBuf,
    name: OsString,
    file: File,
    meta: Meta,
    /// [`HandoffState::rewrites`](crate::fs::handoff::state::HandoffState::rewrites) when the file was opened.
    rewrites: u64,
}

impl Fs {
    /// A file is about to change through a handle; `destroys` tells whether bytes of it are lost by that.
    pub(in crate::fs) fn before_change(
        &self,
        guard: &mut MutexGuard<'_, State>,
        id: FileId,
        file: &Arc<File>,
        destroys: bool,
    ) -> Result<()> {
        let state = &mut **guard;
        if state.files.known(id)?.flushed.is_some() {
            state.files.known_mut(id)?.flushed = None;
        }
        let doc = state.files.note_mut(id)?;
        doc.handoff.read_by.clear();
        doc.handoff.last = None;
        if !doc.is_draft(file) {
            let FileName::Handoff(name) = &doc.name else {
                return Ok(());
            };
            state.queues.forget_newline(doc.dir, name);
        }
        state.nodes.dentries.lock().changed();
        let doc = state.files.note_mut(id)?;
        let stored = doc.ino;
        match doc.draft_of(file) {
            Some(draft) => {
                draft.progress.change();
                Ok(())
            }
            // A file that has no longer its name was kept when it was replaced.
            None if destroys && stat_file(&**file)?.ino == stored => self.begin_rewrite(guard, id),
            None => Ok(()),
        }
    }

    /// A handoff is about to be written anew in place. A writer that dies from here on leaves a part only (spec 4.9).
    fn begin_rewrite(&self, guard: &mut MutexGuard<'_, State>, id: FileId) -> Result<()> {
        self.keep_version_apart(guard, id)?;
        let doc = guard.files.known_mut(id)?;
        doc.handoff.unfinished |= doc.writers > 0;
        Ok(())
    }

    /// Keeps what a write in place is about to destroy, once between two closes; readers of a snapshot go on reading what was
    /// kept (spec 6.2). The lock is let go while bytes are copied, so anything may have changed when this returns.
    pub(in crate::fs) fn keep_version_apart(
        &self,
        guard: &mut MutexGuard<'_, State>,
        id: FileId,
    ) -> Result<()> {
        while let Some(wanted) = self.version_wanted(guard, id)? {
            let copied =
                MutexGuard::unlocked(guard, || self.copy_version(&wanted, Area::Rewriting))?;
            self.version_copied(guard, id, &wanted, copied);
        }
        Ok(())
    }

    /// Keeps a copy of what is about to be moved out of the way, and then probably removed.
    pub(in crate::fs) fn keep_moved(&self, state: &mut State, id: FileId) -> Result<()> {
        if let Some(wanted) = self.version_wanted(state, id)?
            && let Some((file, _)) = self.copy_version(&wanted, Area::Replaced)?
        {
            state.readers.pin(wanted.meta.ino, &Arc::new(file));
        }
        Ok(())
    }

    fn version_wanted(&self, state: &State, id: FileId) -> Result<Option<Wanted>> {
        let doc = state.files.known(id)?;
        if !doc.is_stored() || !matches!(doc.handoff.version, Version::Whole) {
            return Ok(None);
        }
        let queue = state.queues.path(doc.dir)?;
        let name = doc.name.to_os_string();
        let file = self.open_stored(state, doc, Access::READ)?;
        Ok(Some(Wanted {
            meta: stat_file(&file)?,
            queue,
            name,
            file,
            rewrites: doc.handoff.rewrites,
        }))
    }

    /// An empty version needs no copy.
    fn copy_version(&self, wanted: &Wanted, area: Area) -> Result<Option<(File, Kept)>> {
        let Wanted {
            queue, name, file, ..
        } = wanted;
        if wanted.meta.size == 0 {
            return Ok(None);
        }
        let now = self.ctx.clock.now();
        let copy = || self.ctx.local.keep_copy(file, area, queue, name, now);
        self.ctx.local.with_room(copy).map(Some)
    }

    fn version_copied(
        &self,
        state: &mut State,
        id: FileId,
        wanted: &Wanted,
        copied: Option<(File, Kept)>,
    ) {
        let (file, kept) = copied.unzip();
        let doc = state.files.get_mut(id);
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
            state.readers.pin(wanted.meta.ino, &Arc::new(file));
        }
    }

    /// A close has made the content durable: from now on it is a version of its own, which the next rewrite keeps.
    pub(in crate::fs) fn version_written(&self, state: &mut State, id: FileId) {
        let Some(doc) = state.files.get_mut(id) else {
            return;
        };
        if let Version::Kept(kept) = &mut doc.handoff.version {
            let kept = kept.take();
            doc.handoff.version = Version::Whole;
            self.keep_rewritten(kept);
        }
    }

    /// The last writer is gone. If its rewriting was cut short and left nothing, what was kept comes back.
    pub(in crate::fs) fn version_left(&self, state: &mut State, id: FileId) {
        let doc = state.files.get_mut(id);
        let version = doc.map(|doc| std::mem::take(&mut doc.handoff.version));
        match version {
            Some(Version::CutShort(kept)) => match self.put_back_handoff(state, id, &kept) {
                Ok(true) => {}
                Ok(false) => self.keep_rewritten(Some(kept)),
                // The copy stays where the next mount looks for it.
                Err(error) => log::error!(
                    "{}: its rewriting was cut short, and what it held cannot be put back ({error}); the next mount \
                     tries again",
                    kept.name.display()
                ),
            },
            Some(Version::Kept(kept)) => self.keep_rewritten(kept),
            Some(Version::Whole) | None => {}
        }
    }

    fn keep_rewritten(&self, kept: Option<Kept>) {
        if let Some(kept) = kept
            && let Err(error) = self.ctx.local.keep_rewritten(&kept)
        {
            log::warn!(
                "{}: cannot be moved to the replaced versions ({error}); the next mount tries again",
                kept.name.display()
            );
        }
    }

    fn put_back_handoff(&self, state: &mut State, id: FileId, kept: &Kept) -> Result<bool> {
        let kept_of_handoff = |doc: &&RegularFile| doc.is_handoff() && doc.is_stored();
        let Some(doc) = state.files.get(id).filter(kept_of_handoff) else {
            return Ok(false);
        };
        let (dir, name) = (doc.dir, doc.name.to_os_string());
        let queue = state.queues.path(dir)?;
        let Some(ino) = self.put_back(kept, &queue, &name)? else {
            return Ok(false);
        };
        if let Some(doc) = state.files.get_mut(id) {
            doc.ino = ino;
        }
        state.queues.changed(dir, &name);
        Ok(true)
    }

    /// Gives an empty file its kept content back; answers the inode number that it has then, or `None` if it is not empty.
    pub(in crate::fs) fn put_back(
        &self,
        kept: &Kept,
        queue: &Path,
        name: &OsStr,
    ) -> Result<Option<u64>> {
        match self.ctx.store.stat(queue, name) {
            Ok(meta) if meta.size == 0 => {}
            Err(error) if !error.is_absence() => return Err(error),
            _ => return Ok(None),
        }
        let dir = self.ctx.local.dir(Area::Rewriting, &kept.queue)?;
        let draft = DraftFile {
            dir: &dir,
            name: &kept.name,
        };
        self.ctx.store.replace(draft, queue, name)?;
        self.ctx
            .local
            .remove(Area::Rewriting, &kept.queue, &kept.name)?;
        if self.ctx.options.sync {
            self.ctx.store.sync(queue)?;
        }
        Ok(Some(self.ctx.store.stat(queue, name)?.ino))
    }
}
