//! Opening through an alias, and `pending.md` for writing: which handoff is meant, and whether it is a new one (spec
//! 4.1, 4.3, 4.4, 4.7).

use std::ffi::OsStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::handoff::draft::Naming;
use crate::fs::handoff::state::{Content, Origin};
use crate::fs::ids::{DirId, DocId, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::table::{AliasName, NodeTarget};
use crate::fs::inode::types::Opened;
use crate::fs::resolve::flags::Flags;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::{Fs, Request, State};
use crate::names::{self, NameClass, Slug};
use crate::programs::Role;
use crate::session::Caller;
use crate::store::dirfd::stat_file;

impl Fs {
    pub(in crate::fs) fn open_alias(
        &self,
        request: Request,
        node: NodeId,
        doc: DocId,
        alias: &AliasName,
        ino: u64,
        flags: Flags,
    ) -> Result<Opened> {
        let (dir, name) = (alias.0, alias.1.as_os_str());
        let caller = self.caller_of(request, dir, name);
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.replays.is_for(request.tid, doc) {
            self.keep_promise(state, request, dir, name, &caller, doc);
            return self.open_draft(state, request, node, doc, flags);
        }
        if !flags.write {
            let opened = self.open_draft(state, request, node, doc, flags)?;
            let agent = self.plays(&caller, Role::Agent) || self.plays(&caller, Role::StreamEditor);
            if agent
                && let Some(Open::Doc(open)) = state
                    .handles
                    .get_mut(opened.handle)
                    .map(|handle| &mut handle.open)
            {
                open.reader = caller.process;
            }
            return Ok(opened);
        }
        let target = match self.decide(state, request, doc, (dir, name), &caller, flags)? {
            Decision::AsItIs => return self.open_draft(state, request, node, doc, flags),
            Decision::Draft => doc,
            Decision::Fork(new) => new,
        };
        let seen = state.docs.get(target).ok_or(Error::Stale)?.ino_seen(true);
        if target == doc && seen == ino {
            return self.open_draft(state, request, node, doc, flags);
        }
        // The node stands for another file than the one that is to be written, and others may have it open. The
        // kernel looks the name up again, on this thread, and is given another node.
        if request.tid == 0 && self.redirect(state, node, target, alias) {
            self.keep_promise(state, request, dir, name, &caller, target);
            return self.open_draft(state, request, node, target, flags);
        }
        state.replays.add(
            request.tid,
            dir,
            name,
            ReplayTarget::Doc(target),
            Some(&caller),
        );
        Err(Error::Stale)
    }

    /// Lets the node stand for what is to be written. For callers outside our PID namespace, to whom no promise can be
    /// made: nothing tells them apart.
    fn redirect(&self, state: &mut State, node: NodeId, doc: DocId, alias: &AliasName) -> bool {
        let Some(ino) = state.docs.get(doc).map(|doc| doc.ino_seen(true)) else {
            return false;
        };
        let alias = Some(Arc::new(alias.clone()));
        state
            .nodes
            .redirect(node, NodeTarget::Doc { doc, alias, ino })
    }

    /// What opening an alias for writing means (spec 4.1, 4.3, 4.4).
    pub(in crate::fs) fn decide(
        &self,
        state: &mut State,
        request: Request,
        id: DocId,
        alias: (DirId, &OsStr),
        caller: &Caller,
        flags: Flags,
    ) -> Result<Decision> {
        let doc = state.docs.get(id).ok_or(Error::Stale)?;
        let consumed = doc.is_stored() && !doc.name.is_pending();
        if !consumed && !doc.is_gone() {
            if flags.append && !flags.truncate {
                return Ok(Decision::AsItIs);
            }
            let unused = doc.writers == 0;
            let reopens = doc.maker.is_some() && doc.maker == caller.process;
            let empty = (unused || reopens) && self.is_empty(state, id);
            let edits = self.edits(caller, doc);
            match doc.content {
                Content::Reserved(_) | Content::New(_) if empty || edits => {
                    return Ok(Decision::AsItIs);
                }
                // Its maker still has it open, and writes in place.
                Content::Stored if empty && !unused => return Ok(Decision::AsItIs),
                Content::Editing(_) if edits => return Ok(Decision::Draft),
                Content::Stored if empty || edits => {
                    self.begin_edit(state, id, !flags.truncate)?;
                    return Ok(Decision::Draft);
                }
                _ => {}
            }
        }
        let slug = match names::classify(alias.1) {
            NameClass::Stamped(stamped) => stamped.slug().clone(),
            _ => Slug::from_written(alias.1),
        };
        // What is appended to a consumed handoff is a new one without the old text, which has been delivered.
        let copy = !flags.truncate && !flags.append && !doc.is_gone();
        let new = if doc.is_gone() {
            self.new_draft(state, request, alias.0, &Naming::Stamp(slug), 0o600)?
        } else {
            self.fork(state, request, alias.0, slug, id, copy)?
        };
        Ok(Decision::Fork(new))
    }

    /// Has the doc, as its own session sees it, not a byte?
    pub(in crate::fs) fn is_empty(&self, state: &State, id: DocId) -> bool {
        let Some(doc) = state.docs.get(id) else {
            return false;
        };
        let meta = match doc.draft() {
            Some(draft) => stat_file(&*draft.file),
            None => state
                .dirs
                .path(doc.dir)
                .ok_or(Error::NotFound)
                .and_then(|path| self.store.stat(&path, &doc.name.to_os_string())),
        };
        meta.is_ok_and(|meta| meta.size == 0)
    }

    pub(in crate::fs) fn set_alias(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        caller: &Caller,
        doc: DocId,
    ) {
        let before = state.aliases.write(dir, name, &caller.session, doc);
        // The alias of what began as a copy may yet go back.
        let origin = state.docs.get(doc).map(|doc| doc.origin.clone());
        let copied = |of| origin == Some(Origin::CopyOf(of));
        if let Some(before) = before.filter(|before| *before != doc && !copied(*before))
            && let Some(before) = state.docs.get_mut(before)
        {
            before.superseded();
        }
        if let Some(doc) = state.docs.get_mut(doc) {
            doc.aliased = true;
        }
    }

    /// The open that a draft was made for has come.
    pub(in crate::fs) fn keep_promise(
        &self,
        state: &mut State,
        request: Request,
        dir: DirId,
        name: &OsStr,
        caller: &Caller,
        doc: DocId,
    ) {
        state.replays.forget(request.tid, ReplayTarget::Doc(doc));
        if let Some(made) = state.docs.get_mut(doc) {
            made.claimed();
        }
        state.index.generation += 1;
        self.set_alias(state, dir, name, caller, doc);
    }

    /// Opening `pending.md` for writing: a handoff of its own (spec 4.7).
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
                .docs
                .get(*id)
                .is_some_and(|doc| !doc.is_gone() && doc.name.is_pending())
        });
        let doc = match own {
            Some(doc) if flags.append && !flags.truncate => doc,
            _ => {
                let naming = Naming::Stamp(Slug::pending());
                // The mode that pending.md itself shows; an open does not say the caller's umask.
                let doc = self.reserve_draft(state, request, dir, &naming, 0o600)?;
                if let Some(made) = state.docs.get_mut(doc) {
                    made.origin = Origin::PendingMd;
                }
                doc
            }
        };
        let alias = (dir, name.to_owned());
        if request.tid == 0 && self.redirect(state, node, doc, &alias) {
            self.keep_promise(state, request, dir, name, &caller, doc);
            return self.open_draft(state, request, node, doc, flags);
        }
        state.replays.add(
            request.tid,
            dir,
            name,
            ReplayTarget::Doc(doc),
            Some(&caller),
        );
        Err(Error::Stale)
    }
}

/// See [`Fs::decide`].
pub(in crate::fs) enum Decision {
    /// Open what the node shows.
    AsItIs,
    /// Open the draft of the same doc.
    Draft,
    /// Open this new doc.
    Fork(DocId),
}
