//! Opening an alias, and `pending.md` for writing: which handoff is meant, and whether that is a new one (spec 4.1, 4.3,
//! 4.4, 4.7).

use std::ffi::OsStr;

use crate::error::Result;
use crate::fs::handoff::queue_names::Naming;
use crate::fs::handoff::state::{Content, Origin};
use crate::fs::ids::{DirId, FileId};
use crate::fs::inode::types::{Opened, Request};
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::flags::Flags;
use crate::fs::resolve::opened::Opening;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, Slug};
use crate::programs::Role;
use crate::session::Caller;

impl Fs {
    /// OPEN of a handoff under an alias. `ino` is the inode number of the node.
    pub(in crate::fs) fn open_alias(
        &self,
        opening: Opening,
        id: FileId,
        alias: Place<'_>,
        ino: u64,
    ) -> Result<Opened> {
        let Opening { request, flags, .. } = opening;
        let caller = self.caller_of(request, alias.dir, alias.name);
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.replays.is_for(request.tid, id) {
            state.draft_opened(request, alias, &caller, id);
            return state.open_shown(opening, id);
        }
        if !flags.write {
            let opened = state.open_shown(opening, id)?;
            let may_edit_later = [Role::Agent, Role::StreamEditor];
            if self.ctx.plays_any(&caller, &may_edit_later)
                && let Some(open) = state.handles.file_mut(opened.handle)
            {
                open.reader = caller.process;
            }
            return Ok(opened);
        }
        let target = match state.decide(request, id, alias, &caller, flags)? {
            Decision::AsItIs => return state.open_shown(opening, id),
            Decision::Draft => id,
            Decision::Fork(new) => new,
        };
        if target == id && state.files.known(id)?.ino_seen(true) == ino {
            return state.open_shown(opening, id);
        }
        state.open_instead(opening, target, alias, &caller)
    }

    /// Opens `pending.md` for writing: a new handoff, or for an append the session's own one (spec 4.7).
    pub(in crate::fs) fn write_pending(&self, opening: Opening, dir: DirId) -> Result<Opened> {
        let Opening { request, flags, .. } = opening;
        let name = OsStr::new(names::PENDING);
        let caller = self.caller_of(request, dir, name);
        let mut guard = self.lock();
        let state = &mut *guard;
        self.note_pending_written(state, Some(&caller));
        let own = state.aliases.written(dir, name, &caller.session);
        let own = own.filter(|id| {
            let file = state.files.get(*id);
            file.is_some_and(|file| !file.is_gone() && file.name.is_pending())
        });
        let target = match own {
            Some(own) if flags.only_appends() => own,
            _ => {
                let naming = Naming::Stamp(Slug::pending());
                // The mode that pending.md itself shows. An open does not say the caller's umask.
                let mut handoffs = state.handoffs();
                let new = handoffs.reserve_draft(request, dir, &naming, 0o600)?;
                state.files.known_mut(new)?.handoff.origin = Origin::PendingMd;
                new
            }
        };
        state.open_instead(opening, target, Place { dir, name }, &caller)
    }
}

impl State {
    /// Opens another file than the node shows: a new handoff, or the draft of an edit.
    fn open_instead(
        &mut self,
        opening: Opening,
        target: FileId,
        alias: Place<'_>,
        caller: &Caller,
    ) -> Result<Opened> {
        let Opening { request, node, .. } = opening;
        // Threads outside our PID namespace all have the number 0, so that none can be recognized after ESTALE.
        if request.tid == 0 {
            let what = self.view(target, Some(alias))?;
            if self.nodes.redirect(node, what) {
                self.draft_opened(request, alias, caller, target);
                return self.open_shown(opening, target);
            }
        }
        let to = ReplayTarget::File(target);
        let Place { dir, name } = alias;
        let replays = &mut self.replays;
        Err(replays.look_again(request.tid, dir, name, to, Some(caller)))
    }

    /// Decides what opening an alias for writing means, and makes the draft that the open needs (spec 4.1, 4.3, 4.4).
    pub fn decide(
        &mut self,
        request: Request,
        id: FileId,
        alias: Place<'_>,
        caller: &Caller,
        flags: Flags,
    ) -> Result<Decision> {
        let file = self.files.known(id)?;
        let is_gone = file.is_gone();
        let consumed = file.is_stored() && !file.name.is_pending();
        if !consumed && !is_gone {
            if flags.only_appends() {
                return Ok(Decision::AsItIs);
            }
            let unused = file.writers == 0;
            let reopens = file.handoff.maker.is_some() && file.handoff.maker == caller.process;
            let empty = (unused || reopens) && self.files.is_empty(&self.queues, id);
            let edits = self.edits(caller, file);
            match file.content {
                Content::Reserved(_) | Content::New(_) if empty || edits => {
                    return Ok(Decision::AsItIs);
                }
                // The process that made the handoff with O_EXCL still has it open. Its second open writes in place, too.
                Content::Stored if empty && !unused => return Ok(Decision::AsItIs),
                Content::Editing(_) if edits => return Ok(Decision::Draft),
                Content::Stored if empty || edits => {
                    self.handoffs().begin_edit(id, !flags.truncate)?;
                    return Ok(Decision::Draft);
                }
                _ => {}
            }
        }
        let slug = match names::classify(alias.name) {
            NameClass::Stamped(stamped) => stamped.slug().clone(),
            _ => Slug::from_written(alias.name),
        };
        let mut handoffs = self.handoffs();
        let new = if is_gone {
            handoffs.new_draft(request, alias.dir, &Naming::Stamp(slug), 0o600)?
        } else {
            // An append to a consumed handoff makes a new one without the old text, which was delivered.
            handoffs.fork(request, alias.dir, slug, id, flags.needs_old_bytes())?
        };
        Ok(Decision::Fork(new))
    }

    /// Makes a name the alias of a handoff for the caller's session.
    pub fn set_alias(&mut self, alias: Place<'_>, caller: &Caller, id: FileId) {
        let session = &caller.session;
        let before = self.aliases.write(alias.dir, alias.name, session, id);
        // A copy that is never written gives its alias back, so that the original must stay as it is.
        let origin = self.files.get(id).map(|file| file.handoff.origin.clone());
        let copied = |of| origin == Some(Origin::CopyOf(of));
        if let Some(before) = before.filter(|before| *before != id && !copied(*before))
            && let Some(before) = self.files.get_mut(before)
        {
            before.superseded();
        }
        if let Some(file) = self.files.get_mut(id) {
            file.handoff.aliased = true;
        }
    }
}

/// What an open of an alias for writing opens. See [`State::decide`].
pub enum Decision {
    /// The file that the node shows.
    AsItIs,
    /// The draft of the same handoff.
    Draft,
    /// This new handoff.
    Fork(FileId),
}
