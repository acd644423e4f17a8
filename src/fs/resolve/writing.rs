//! What goes with a write: the bytes that the write destroys are kept first, and a close makes the new bytes durable and
//! publishes them. Copies and fsyncs take long, so they are made without the state lock.

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
    /// Makes an open file durable, and publishes the file if it is a draft. `killed` says that a signal ended the writer
    /// before it had finished (spec 4.9).
    ///
    /// The fsyncs are made without the lock, so that writers do not wait for each other. A second writer that closes meanwhile
    /// finds the draft published already, and makes it durable again.
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
            let known = state.files.get(id);
            if let Some(known) = known
                && known.draft().is_some()
                && !known.is_draft(file)
            {
                // This writer wrote in place. The draft is another writer's edit, which that writer publishes (spec 4.4).
                state.queues.path(known.dir).ok()
            } else {
                if killed {
                    state.handoffs().unfinished(id)?;
                }
                state.handoffs().publish(id)?
            }
        };
        self.ctx.sync_names(published.as_slice())
    }

    /// Called before a file is changed through an open handle. `destroys` says that bytes will be lost; they are kept first.
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
        let known = state.files.note_mut(id)?;
        known.handoff.read_by.clear();
        known.handoff.last = None;
        if !known.is_draft(file) {
            let FileName::Handoff(name) = &known.name else {
                return Ok(());
            };
            state.queues.forget_newline(known.dir, name);
        }
        state.nodes.dentries.lock().changed();
        let known = state.files.note_mut(id)?;
        let stored_ino = known.ino;
        if let Some(draft) = known.draft_of(file) {
            draft.progress.change();
        } else if destroys && stat_file(&**file)?.ino == stored_ino {
            // A file with another inode number was replaced earlier, and its content was kept then.
            self.keep_version_apart(guard, id)?;
            // If the writer dies from now on, the handoff is only a part of what was meant (spec 4.9).
            let known = guard.files.known_mut(id)?;
            known.handoff.unfinished |= known.writers > 0;
        }
        Ok(())
    }

    /// Keeps the content that a write in place is about to destroy, once between two closes. Readers of a snapshot go on
    /// reading the kept copy (spec 6.2). The lock is released while bytes are copied, so the state may change meanwhile.
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
