//! What a write does besides writing: it keeps the bytes that it destroys, and a close makes its bytes durable and publishes
//! them. Copies and fsyncs are made without the state lock: they take long.

use std::fs::File;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::error::Result;
use crate::fs::handoff::state::FileName;
use crate::fs::ids::FileId;
use crate::fs::state::{Fs, State};
use crate::store::dirfd::stat_file;
use crate::store::local::Area;

impl Fs {
    /// Makes what was written through `file` durable, and publishes it if it is a draft. `killed` tells that its
    /// writer has not finished (spec 4.9).
    ///
    /// The fsyncs are done without the lock: they take long, and writers that come together must not wait for each
    /// other. A second one that comes in between finds the draft published already, and makes it durable again.
    pub(in crate::fs) fn publish_written(
        &self,
        id: FileId,
        file: &Arc<File>,
        killed: bool,
    ) -> Result<()> {
        if self.ctx.options.sync
            && let Err(error) = file.sync_all()
        {
            // The kernel reports a failed fsync once. A later close must not take this draft for whole.
            self.lock().damage(id, file);
            return Err(error.into());
        }
        let published = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let draft = state.files.get(id).and_then(|doc| doc.draft());
            if draft.is_some_and(|draft| !Arc::ptr_eq(&draft.file, file)) {
                // This writer has written in place. The draft belongs to an edit of another one, who publishes it (spec 4.4).
                state
                    .files
                    .get(id)
                    .and_then(|doc| state.queues.path(doc.dir).ok())
            } else {
                if killed {
                    state.handoffs().unfinished(id)?;
                }
                state.handoffs().publish(id)?
            }
        };
        self.ctx.sync_names(published.as_slice())
    }

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
        while let Some(wanted) = guard.handoffs().version_wanted(id)? {
            let copied =
                MutexGuard::unlocked(guard, || self.ctx.copy_version(&wanted, Area::Rewriting))?;
            guard.handoffs().version_copied(id, &wanted, copied);
        }
        Ok(())
    }
}
