//! Opening through an alias, and `pending.md` for writing: which handoff is meant, and whether it is a new one (spec
//! 4.1, 4.3, 4.4, 4.7).

use std::ffi::OsStr;
use std::sync::Arc;

use crate::error::Result;
use crate::fs::handoff::free_name::Naming;
use crate::fs::handoff::state::{Content, Origin};
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::table::{AliasName, NodeTarget};
use crate::fs::inode::types::Opened;
use crate::fs::inode::types::Request;
use crate::fs::resolve::flags::Flags;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, Slug};
use crate::programs::Role;
use crate::session::Caller;

impl Fs {
    pub(in crate::fs) fn open_alias(
        &self,
        request: Request,
        node: NodeId,
        doc: FileId,
        alias: &AliasName,
        ino: u64,
        flags: Flags,
    ) -> Result<Opened> {
        let (dir, name) = (alias.0, alias.1.as_os_str());
        let caller = self.caller_of(request, dir, name);
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.replays.is_for(request.tid, doc) {
            self.draft_opened(state, request, (dir, name), &caller, doc);
            return self.open_shown(state, request, node, doc, flags);
        }
        if !flags.write {
            let opened = self.open_shown(state, request, node, doc, flags)?;
            let agent =
                self.ctx.plays(&caller, Role::Agent) || self.ctx.plays(&caller, Role::StreamEditor);
            if agent && let Some(open) = state.handles.file_mut(opened.handle) {
                open.reader = caller.process;
            }
            return Ok(opened);
        }
        let target = match self.decide(state, request, doc, (dir, name), &caller, flags)? {
            Decision::AsItIs => return self.open_shown(state, request, node, doc, flags),
            Decision::Draft => doc,
            Decision::Fork(new) => new,
        };
        let seen = state.files.known(target)?.ino_seen(true);
        if target == doc && seen == ino {
            return self.open_shown(state, request, node, doc, flags);
        }
        self.open_instead(state, request, node, (target, alias), &caller, flags)
    }

    /// Opens another handoff, or the draft of the same one, than the node shows.
    fn open_instead(
        &self,
        state: &mut State,
        request: Request,
        node: NodeId,
        (target, alias): (FileId, &AliasName),
        caller: &Caller,
        flags: Flags,
    ) -> Result<Opened> {
        let (dir, name) = (alias.0, alias.1.as_os_str());
        // Callers outside our PID namespace are all thread 0, so none of them can be told to look again.
        if request.tid == 0 && self.redirect(state, node, target, alias) {
            self.draft_opened(state, request, (dir, name), caller, target);
            return self.open_shown(state, request, node, target, flags);
        }
        let to = ReplayTarget::File(target);
        Err(state
            .replays
            .look_again(request.tid, dir, name, to, Some(caller)))
    }

    /// Lets a node that nobody has open stand for the file that is to be written.
    fn redirect(&self, state: &mut State, node: NodeId, file: FileId, alias: &AliasName) -> bool {
        let Some(ino) = state.files.get(file).map(|file| file.ino_seen(true)) else {
            return false;
        };
        let alias = Some(Arc::new(alias.clone()));
        state
            .nodes
            .redirect(node, NodeTarget::File { file, alias, ino })
    }

    /// What opening an alias for writing means (spec 4.1, 4.3, 4.4).
    pub(in crate::fs) fn decide(
        &self,
        state: &mut State,
        request: Request,
        id: FileId,
        alias: (DirId, &OsStr),
        caller: &Caller,
        flags: Flags,
    ) -> Result<Decision> {
        let doc = state.files.known(id)?;
        let consumed = doc.is_stored() && !doc.name.is_pending();
        if !consumed && !doc.is_gone() {
            if flags.append && !flags.truncate {
                return Ok(Decision::AsItIs);
            }
            let unused = doc.writers == 0;
            let reopens = doc.handoff.maker.is_some() && doc.handoff.maker == caller.process;
            let empty = (unused || reopens) && state.files.is_empty(&state.queues, id);
            let edits = self.edits(caller, doc);
            match doc.content {
                Content::Reserved(_) | Content::New(_) if empty || edits => {
                    return Ok(Decision::AsItIs);
                }
                // The maker has it open, and goes on writing in place.
                Content::Stored if empty && !unused => return Ok(Decision::AsItIs),
                Content::Editing(_) if edits => return Ok(Decision::Draft),
                Content::Stored if empty || edits => {
                    state.handoffs().begin_edit(id, !flags.truncate)?;
                    return Ok(Decision::Draft);
                }
                _ => {}
            }
        }
        let slug = match names::classify(alias.1) {
            NameClass::Stamped(stamped) => stamped.slug().clone(),
            _ => Slug::from_written(alias.1),
        };
        // Appending to a consumed handoff makes a new one without the old text, which has been delivered.
        let copy = !flags.truncate && !flags.append && !doc.is_gone();
        let new = if doc.is_gone() {
            state
                .handoffs()
                .new_draft(request, alias.0, &Naming::Stamp(slug), 0o600)?
        } else {
            state.handoffs().fork(request, alias.0, slug, id, copy)?
        };
        Ok(Decision::Fork(new))
    }

    pub(in crate::fs) fn set_alias(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        caller: &Caller,
        doc: FileId,
    ) {
        let before = state.aliases.write(dir, name, &caller.session, doc);
        // A draft that began as a copy may give its alias back.
        let origin = state.files.get(doc).map(|doc| doc.handoff.origin.clone());
        let copied = |of| origin == Some(Origin::CopyOf(of));
        if let Some(before) = before.filter(|before| *before != doc && !copied(*before))
            && let Some(before) = state.files.get_mut(before)
        {
            before.superseded();
        }
        if let Some(doc) = state.files.get_mut(doc) {
            doc.handoff.aliased = true;
        }
    }

    /// The open that a draft was made for has come.
    pub(in crate::fs) fn draft_opened(
        &self,
        state: &mut State,
        request: Request,
        (dir, name): (DirId, &OsStr),
        caller: &Caller,
        doc: FileId,
    ) {
        state.replays.forget(request.tid, doc);
        if let Some(made) = state.files.get_mut(doc) {
            made.claimed();
        }
        self.set_alias(state, dir, name, caller, doc);
    }

    /// Opening `pending.md` for writing makes a handoff, or appends to the session's own (spec 4.7).
    pub(in crate::fs) fn write_pending(
        &self,
        request: Request,
        node: NodeId,
        dir: DirId,
        flags: Flags,
    ) -> Result<Opened> {
        let name = OsStr::new(names::PENDING);
        let caller = self.caller_of(request, dir, name);
        let mut guard = self.lock();
        let state = &mut *guard;
        self.note_pending_written(state, Some(&caller));
        let own = state.aliases.written(dir, name, &caller.session);
        let own = own.filter(|id| {
            state
                .files
                .get(*id)
                .is_some_and(|doc| !doc.is_gone() && doc.name.is_pending())
        });
        let doc = match own {
            Some(doc) if flags.append && !flags.truncate => doc,
            _ => {
                let naming = Naming::Stamp(Slug::pending());
                // The mode that pending.md itself shows; an open does not say the caller's umask.
                let doc = state
                    .handoffs()
                    .reserve_draft(request, dir, &naming, 0o600)?;
                state.files.known_mut(doc)?.handoff.origin = Origin::PendingMd;
                doc
            }
        };
        let alias = (dir, name.to_owned());
        self.open_instead(state, request, node, (doc, &alias), &caller, flags)
    }
}

/// See [`Fs::decide`].
pub(in crate::fs) enum Decision {
    /// Open what the node shows.
    AsItIs,
    /// Open the draft of the same handoff.
    Draft,
    /// Open this new handoff.
    Fork(FileId),
}
