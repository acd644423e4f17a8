//! Opening the file that a node shows.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::ids::{FileId, NodeId};
use crate::fs::inode::handles::{Open, OpenFile};
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::{Opened, Request};
use crate::fs::resolve::flags::Flags;
use crate::fs::state::State;
use crate::store::dirfd::stat_file;

/// An OPEN: who opens which node, and how.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    pub request: Request,
    pub node: NodeId,
    pub flags: Flags,
}

impl State {
    /// Opens what the node shows: the draft where the node has the draft's inode number, else the stored file in place.
    pub fn open_shown(&mut self, opening: Opening, id: FileId) -> Result<Opened> {
        let Opening { node, flags, .. } = opening;
        let shown = self.nodes.get(node).ok_or(Error::Stale)?;
        let NodeTarget::File { ino, .. } = shown.what else {
            return Err(Error::Stale);
        };
        let file = self.files.known(id)?;
        let open = if file.is_gone() {
            shown.file().ok_or(Error::Stale)?.clone()
        } else {
            let open = file.open_seen(&self.queues, ino, flags.access())?;
            self.ctx.admit(&open)?;
            if stat_file(&*open)?.ino != ino {
                // The file was replaced since the look-up, by us or below the mount.
                return Err(Error::Stale);
            }
            open
        };
        if flags.truncate {
            self.empty(id, &open)?;
        }
        self.opened(opening, id, open)
    }

    /// Empties a file that is opened with O_TRUNC. The content of a handoff that is emptied in place was kept before.
    fn empty(&mut self, id: FileId, open: &Arc<File>) -> Result<()> {
        let file = self.files.known_mut(id)?;
        if let Some(draft) = file.draft_of(open) {
            // A copy that is emptied is a copy no more.
            if stat_file(&**open)?.size > 0 {
                draft.progress.change();
            }
            open.set_len(0)?;
            draft.progress.heal();
            return Ok(());
        }
        if !file.is_handoff() {
            return Ok(open.set_len(0)?);
        }
        if file.is_gone() {
            // The file was removed or replaced, and is kept: its content must stay.
            return Ok(());
        }
        open.set_len(0)?;
        // If the writer dies from now on, the handoff is only a part of what was meant (spec 4.9).
        file.handoff.unfinished = true;
        let (dir, name) = (file.dir, file.name.to_os_string());
        self.queues.changed(dir, &name);
        Ok(())
    }

    /// Makes a handle of an open file.
    pub fn opened(&mut self, opening: Opening, id: FileId, open: Arc<File>) -> Result<Opened> {
        let Opening { request, flags, .. } = opening;
        if flags.write {
            let file = self.files.known_mut(id)?;
            if file.writers == 0 {
                (file.pid, file.since) = (request.tid, self.ctx.clock.now());
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
        let file = self.files.known(id)?;
        // A truncation is a change that a close publishes, unless the draft was empty before.
        let emptied = flags.truncate
            && file.is_published_by_close()
            && file.draft().is_none_or(|draft| draft.progress.is_changed());
        self.nodes.opened(opening.node, Some(&open));
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
            handle: self.handles.insert(opening.node, Open::File(open)),
            // A file that is open for writing may be renamed, and be a handoff when it is closed.
            flush: flags.write,
        })
    }
}
