//! Opening a stamped name for writing: in place, or as an edit (spec 4.5).

use std::ffi::OsStr;

use parking_lot::MutexGuard;

use crate::error::Result;
use crate::fs::handoff::state::{Content, RegularFile};
use crate::fs::ids::{DirId, FileId};
use crate::fs::inode::types::{Opened, Request};
use crate::fs::resolve::flags::Flags;
use crate::fs::resolve::opened::Opening;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::programs::Role;

impl Fs {
    /// OPEN of a handoff under its stamped name. `ino` is the inode number of the node.
    pub(in crate::fs) fn open_stamped(
        &self,
        opening: Opening,
        id: FileId,
        ino: u64,
    ) -> Result<Opened> {
        let Opening { request, flags, .. } = opening;
        let in_place = flags.write && flags.needs_old_bytes();
        let idle =
            |file: &RegularFile| file.writers == 0 && matches!(file.content, Content::Stored);
        // The program is looked up only where it matters, because that reads /proc.
        let editor = in_place && self.lock().files.get(id).is_some_and(idle) && {
            let roles = [Role::Editor, Role::Agent, Role::StreamEditor];
            self.ctx.plays_any(&self.caller(request), &roles)
        };
        let mut guard = self.lock();
        if flags.write && self.edits_stamped(&mut guard, id, flags, editor)? {
            let state = &mut *guard;
            let file = state.files.known(id)?;
            if file.ino_seen(true) != ino {
                // The node shows the stored file, and not the draft.
                let (dir, name) = (file.dir, file.name.to_os_string());
                let to = ReplayTarget::File(id);
                return Err(state.replays.look_again(request.tid, dir, &name, to, None));
            }
            state.replays.forget_stamped(request.tid, id);
        }
        guard.open_shown(opening, id)
    }

    /// Does a writer of the stamped name get the draft of an edit? An edit is begun unless a writer is writing in place. A
    /// handoff that is about to be emptied in place is kept first.
    pub(in crate::fs) fn edits_stamped(
        &self,
        guard: &mut MutexGuard<'_, State>,
        id: FileId,
        flags: Flags,
        editor: bool,
    ) -> Result<bool> {
        let file = guard.files.known(id)?;
        match file.content {
            Content::Editing(_) => return Ok(true),
            Content::Stored if file.writers == 0 && (flags.truncate || editor) => {
                guard.handoffs().begin_edit(id, !flags.truncate)?;
                return Ok(true);
            }
            Content::Stored if flags.truncate => self.keep_version_apart(guard, id)?,
            Content::Stored | Content::Reserved(_) | Content::New(_) | Content::Gone => {}
        }
        Ok(false)
    }
}

impl State {
    /// A thread that has emptied and closed a stamped name must find the file empty at its next look-up, even if the RELEASE
    /// that publishes the edit has not come yet.
    pub fn publish_emptied(&mut self, request: Request, dir: DirId, name: &OsStr) -> Result<()> {
        let stamped = StampedName::parse(name);
        let Some(id) = stamped.and_then(|stamped| self.files.named(dir, &stamped)) else {
            return Ok(());
        };
        let file = self.files.known(id)?;
        if let Content::Editing(draft) = &file.content
            && draft.writers > 0
            && draft.progress.is_changed()
            && file.flushed.is_some()
            && file.pid == request.tid
        {
            self.handoffs().publish(id)?;
        }
        Ok(())
    }
}
