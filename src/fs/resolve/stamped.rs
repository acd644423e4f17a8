//! Opening a stamped name for writing: in place, or as an edit (spec 4.5).

use std::ffi::OsStr;

use parking_lot::MutexGuard;

use crate::error::Result;
use crate::fs::handoff::state::{Content, RegularFile};
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::types::Opened;
use crate::fs::inode::types::Request;
use crate::fs::resolve::flags::Flags;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::programs::Role;

impl Fs {
    pub(in crate::fs) fn open_stamped(
        &self,
        request: Request,
        node: NodeId,
        id: FileId,
        ino: u64,
        flags: Flags,
    ) -> Result<Opened> {
        let in_place = flags.write && !flags.truncate && !flags.append;
        let idle = |doc: &RegularFile| matches!(doc.content, Content::Stored) && doc.writers == 0;
        // Asked only where it matters, because the answer reads /proc.
        let editor = in_place && self.lock().files.get(id).is_some_and(idle) && {
            let caller = self.caller(request);
            let roles = [Role::Editor, Role::Agent, Role::StreamEditor];
            roles.iter().any(|role| self.ctx.plays(&caller, *role))
        };
        let mut guard = self.lock();
        if flags.write && self.edits_stamped(&mut guard, id, flags, editor)? {
            let state = &mut *guard;
            let doc = state.files.known(id)?;
            if doc.ino_seen(true) != ino {
                // The node shows the stored file.
                let (dir, name) = (doc.dir, doc.name.to_os_string());
                let to = ReplayTarget::File(id);
                return Err(state.replays.look_again(request.tid, dir, &name, to, None));
            }
            state.replays.forget_stamped(request.tid, id);
        }
        self.open_shown(&mut guard, request, node, id, flags)
    }

    /// Does a writer of the stamped name get the draft of an edit? An edit is begun unless somebody writes in place. A handoff
    /// that is about to be emptied in place is kept first.
    pub(in crate::fs) fn edits_stamped(
        &self,
        guard: &mut MutexGuard<'_, State>,
        id: FileId,
        flags: Flags,
        editor: bool,
    ) -> Result<bool> {
        let doc = guard.files.known(id)?;
        match doc.content {
            Content::Editing(_) => return Ok(true),
            Content::Stored if doc.writers == 0 && (flags.truncate || editor) => {
                guard.handoffs().begin_edit(id, !flags.truncate)?;
                return Ok(true);
            }
            Content::Stored if flags.truncate => self.keep_version_apart(guard, id)?,
            Content::Stored | Content::Reserved(_) | Content::New(_) | Content::Gone => {}
        }
        Ok(false)
    }

    /// A thread that has emptied and closed a stamped name must find it empty at its next look-up, even if the RELEASE that
    /// publishes the edit has not come yet.
    pub(in crate::fs) fn publish_emptied(
        &self,
        state: &mut State,
        request: Request,
        dir: DirId,
        name: &OsStr,
    ) -> Result<()> {
        let stamped = StampedName::parse(name);
        let id = stamped.and_then(|stamped| state.files.named(dir, &stamped));
        let closed = |doc: &RegularFile| {
            let edit = matches!(&doc.content, Content::Editing(draft) if draft.writers > 0 && draft.progress.is_changed());
            edit && doc.flushed.is_some() && doc.pid == request.tid
        };
        if let Some(id) = id
            && state.files.get(id).is_some_and(closed)
        {
            state.handoffs().publish(id)?;
        }
        Ok(())
    }
}
