//! Opening the file that a node shows.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::ids::{FileId, NodeId};
use crate::fs::inode::handles::{Open, OpenFile};
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::Opened;
use crate::fs::inode::types::Request;
use crate::fs::resolve::flags::Flags;
use crate::fs::state::{Fs, State};
use crate::store::dirfd::stat_file;

impl Fs {
    /// Opens what the node shows: the draft where the node has the draft's inode number, else the stored file in place.
    pub(in crate::fs) fn open_shown(
        &self,
        state: &mut State,
        request: Request,
        node: NodeId,
        id: FileId,
        flags: Flags,
    ) -> Result<Opened> {
        let shown = state.nodes.get(node).ok_or(Error::Stale)?;
        let NodeTarget::File { ino, .. } = shown.what else {
            return Err(Error::Stale);
        };
        let file = state.files.known(id)?;
        let open = if file.is_gone() {
            shown.file().ok_or(Error::Stale)?.clone()
        } else {
            let open = file.open_seen(&state.queues, ino, flags.access())?;
            self.ctx.admit(&open)?;
            if stat_file(&*open)?.ino != ino {
                // Replaced since the look-up: by us, or below the mount.
                return Err(Error::Stale);
            }
            open
        };
        if flags.truncate {
            self.empty(state, id, &open)?;
        }
        self.opened(state, request, node, id, open, flags)
    }

    /// O_TRUNC. The content of a handoff that is emptied in place was kept before.
    fn empty(&self, state: &mut State, id: FileId, open: &Arc<File>) -> Result<()> {
        let file = state.files.known_mut(id)?;
        let (handoff, gone) = (file.is_handoff(), file.is_gone());
        if let Some(draft) = file.draft_of(open) {
            // A copy that is emptied is a copy no more.
            if stat_file(&**open)?.size > 0 {
                draft.progress.change();
            }
            open.set_len(0)?;
            draft.progress.heal();
            return Ok(());
        }
        if handoff && gone {
            // Its file is among the removed or replaced ones, which keep what they hold.
            return Ok(());
        }
        open.set_len(0)?;
        if handoff {
            // A writer that dies from here on leaves a part only (spec 4.9).
            file.handoff.unfinished = true;
            let (dir, name) = (file.dir, file.name.to_os_string());
            state.queues.changed(dir, &name);
        }
        Ok(())
    }

    /// A handle of a file that is open now.
    pub(in crate::fs) fn opened(
        &self,
        state: &mut State,
        request: Request,
        node: NodeId,
        id: FileId,
        open: Arc<File>,
        flags: Flags,
    ) -> Result<Opened> {
        let now = self.ctx.clock.now();
        if flags.write {
            let file = state.files.known_mut(id)?;
            if file.writers == 0 {
                (file.pid, file.since) = (request.tid, now);
            }
            file.writers += 1;
            if let Some(draft) = file.draft_of(&open) {
                draft.writers += 1;
            }
            file.flushed = None;
            if flags.truncate {
                file.handoff.read_by.clear();
            }
        }
        let file = state.files.known(id)?;
        // A truncation is a change to publish at the close, where there was something to truncate.
        let emptied = flags.truncate
            && file.is_published_by_close()
            && file.draft().is_none_or(|draft| draft.progress.is_changed());
        state.nodes.opened(node, Some(&open));
        let open = OpenFile {
            id,
            file: open,
            write: flags.write,
            reader: None,
            dirty: emptied.then_some(request.tid),
            writes: 0,
            flushed: false,
        };
        Ok(Opened {
            handle: state.handles.insert(node, Open::File(open)),
            // A file that is written may be renamed, and so be a handoff by the time it is closed.
            flush: flags.write,
        })
    }
}
