//! Names to files, files to nodes, nodes to attributes.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::handoff::state::{Content, FileName, RegularFile};
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::Entry;
use crate::fs::inode::types::Request;
use crate::fs::queue::dirs::DirKind;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::{area_for, is_own_name};
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, StampedName};
use crate::session::Caller;
use crate::store::Kind;
use crate::store::local::Area;

/// The longest name of a file, in bytes.
const NAME_MAX: usize = 255;

pub(in crate::fs) fn check_name(name: &OsStr) -> Result<()> {
    if name.len() > NAME_MAX {
        return Err(Error::NameTooLong);
    }
    Ok(())
}

/// EEXIST if a look-up has found anything.
pub(in crate::fs) fn must_be_free(found: &Result<Resolved>) -> Result<()> {
    match found {
        Ok(_) => Err(Error::Exists),
        Err(Error::NotFound) => Ok(()),
        Err(error) => Err(*error),
    }
}

/// May this name, given to a file, become an alias?
pub(in crate::fs) fn may_become_alias(state: &State, dir: DirId, name: &OsStr) -> bool {
    state.queues.is_queue(dir)
        && match names::classify(name) {
            NameClass::Stamped(stamped) => stamped.to_os_string() != name,
            NameClass::Unstamped | NameClass::Backup | NameClass::Pending => true,
            _ => false,
        }
}

/// Where a file that is renamed to this name in a queue is kept under it; `None` where the name makes a handoff.
pub(in crate::fs) fn area_of_name(name: &OsStr, caller: Option<&Caller>) -> Option<Area> {
    match names::classify(name) {
        NameClass::Scratch | NameClass::SharedScratch => Some(area_for(name, caller)),
        NameClass::Hidden | NameClass::Ordinary | NameClass::Backup => Some(Area::Backing),
        _ => None,
    }
}

/// As [`area_of_name`], of a file that is made or linked: the name of a backup makes a handoff then.
pub(in crate::fs) fn area_of_new_name(name: &OsStr, caller: Option<&Caller>) -> Option<Area> {
    match names::classify(name) {
        NameClass::Backup => None,
        _ => area_of_name(name, caller),
    }
}

impl Fs {
    /// Finds a name and counts the look-up.
    pub fn lookup(&self, request: Request, parent: NodeId, name: &OsStr) -> Result<Entry> {
        check_name(name)?;
        {
            let mut guard = self.lock();
            let state = &mut *guard;
            let dir = state.dir(parent)?;
            if is_own_name(state, dir, name) {
                // The caller matters if several sessions have a scratch file of this name.
                self.load_scratch(state, dir)?;
            }
            self.drop_expired_replays(state);
            match state.replays.take(request.tid, dir, name) {
                Some((ReplayTarget::File(to), caller)) if state.files.get(to).is_some() => {
                    let looked_up = &mut state.looked_up;
                    looked_up.note(request.tid, dir, name, caller.as_ref(), false);
                    let handoff = state.files.get(to).is_some_and(RegularFile::is_handoff);
                    return match caller.filter(|_| handoff) {
                        Some(_) => self.enter_alias(state, to, (dir, name)),
                        None => self.enter_edit(state, to),
                    };
                }
                Some((ReplayTarget::Scratch(own), _)) => self.keep_own(state, dir, name, own)?,
                _ => {}
            }
            self.publish_emptied(state, request, dir, name)?;
            // The look-up that this thread made before is over.
            state.looked_up.note(request.tid, dir, name, None, false);
        }
        let caller = self.caller_of_alias(request, parent, name);
        if let Some(caller) = caller.as_ref().filter(|_| name == names::PENDING) {
            self.end_second_look_of_ended(caller);
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let dir = state.dir(parent)?;
        let found = self.resolve(state, dir, name, caller.as_ref());
        let absent = matches!(found, Err(Error::NotFound));
        let looked_up = &mut state.looked_up;
        looked_up.note(request.tid, dir, name, caller.as_ref(), absent);
        let object = found?;
        if object == Resolved::Pending {
            if state.replays.take_unlinked_pending(request.tid, dir) {
                return Err(Error::NotFound);
            }
            return self.enter_merge(state, request, dir, caller.as_ref());
        }
        if let Resolved::Dir(child) = object
            && !state.nodes.knows_dir(child)
            && state.nodes.dentries.lock().must_look_up_again(request.tid)
        {
            return Err(Error::Stale);
        }
        match object {
            // Callers outside our PID namespace cannot be told apart, and so not be told to look again. Each look-up gets a
            // node of its own, which can stand for another file when it is opened.
            Resolved::Handoff { doc, own: true } if request.tid == 0 => {
                let what = self.view(state, doc, Some((dir, name)))?;
                let attr = self.attr_of(state, &what)?;
                let node = state.nodes.look_up_alone(what);
                Ok(Entry { node, attr })
            }
            object => self.enter(state, dir, name, &object),
        }
    }

    /// Finds what a name means to this caller; `None` stands for one without any alias.
    pub(in crate::fs) fn resolve(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Resolved> {
        if state.queues.dirs.kind(dir) == DirKind::Plain {
            return self.resolve_backing(state, dir, name);
        }
        match names::classify(name) {
            NameClass::Pending => Ok(Resolved::Pending),
            NameClass::Peek => Ok(Resolved::Peek),
            NameClass::Status if dir == DirId::ROOT => Ok(Resolved::Status),
            NameClass::Private => Err(Error::NotFound),
            // A stamped name with another extension is an alias, an old file, or a directory.
            NameClass::Stamped(stamped) if stamped.to_os_string() == name => {
                match self.resolve_stamped(state, dir, name, &stamped) {
                    Err(error) if error.is_absence() => {
                        self.resolve_alias(state, dir, name, caller)?.ok_or(error)
                    }
                    found => found,
                }
            }
            class => {
                if let Some(object) = self.resolve_alias(state, dir, name, caller)? {
                    return Ok(object);
                }
                match self.resolve_backing(state, dir, name) {
                    Err(Error::NotFound)
                        if matches!(
                            class,
                            NameClass::Scratch | NameClass::SharedScratch | NameClass::Hidden
                        ) =>
                    {
                        self.resolve_scratch(state, dir, name, caller)
                    }
                    found => found,
                }
            }
        }
    }

    fn resolve_stamped(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        stamped: &StampedName,
    ) -> Result<Resolved> {
        let known = state.files.named(dir, stamped);
        if let Some(doc) = known.and_then(|id| state.files.get(id))
            && doc.is_new()
            && !doc.is_reserved()
        {
            return Ok(Resolved::Handoff {
                doc: known.ok_or(Error::NotFound)?,
                own: false,
            });
        }
        let path = state.queues.path(dir)?;
        let meta = match self.ctx.store.stat(&path, name) {
            Ok(meta) => meta,
            Err(error) => {
                let stored = |id| {
                    let doc = state.files.get(id);
                    doc.is_some_and(|doc| matches!(doc.content, Content::Stored))
                };
                if let Some(id) = known.filter(|id| error.is_absence() && stored(*id)) {
                    state.handoffs().file_gone(id);
                }
                return Err(error);
            }
        };
        match meta.kind {
            Kind::File if self.ctx.is_expired(stamped, meta.mtime) => Err(Error::NotFound),
            Kind::File => Ok(Resolved::Handoff {
                doc: state
                    .files
                    .stored(dir, FileName::Handoff(stamped.clone()), meta.ino),
                own: false,
            }),
            Kind::Directory => self.resolve_backing(state, dir, name),
            Kind::Other => Err(Error::NotFound),
        }
    }

    /// A name is about to be taken. If an expired handoff still has it, which nobody sees any more (spec 7.1), that handoff
    /// goes now and not at the next sweep.
    pub(in crate::fs) fn make_way(&self, state: &mut State, dir: DirId, name: &OsStr) {
        let stamped = match names::classify(name) {
            NameClass::Stamped(stamped) if !stamped.is_pending() && state.queues.is_queue(dir) => {
                stamped
            }
            _ => return,
        };
        let Ok(path) = state.queues.path(dir) else {
            return;
        };
        let name = stamped.to_os_string();
        let expired = self
            .ctx
            .store
            .stat(&path, &name)
            .and_then(|meta| state.files.may_delete(&state.queues, dir, &stamped, &meta));
        if expired == Ok(true) {
            self.pin_file(state, &path, &name);
            if self.ctx.store.remove(&path, &name).is_err() {
                return;
            }
            if let Some(id) = state.files.named(dir, &stamped) {
                state.handoffs().file_gone(id);
            }
            state.queues.changed(dir, &name);
        }
    }

    fn resolve_alias(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Option<Resolved>> {
        let Some(session) = caller.map(|caller| &caller.session) else {
            return Ok(None);
        };
        if let Some(doc) = state.aliases.written(dir, name, session)
            && self.is_there(state, doc)?
        {
            return Ok(Some(Resolved::Handoff { doc, own: true }));
        }
        let Some(done) = state.aliases.consumed(dir, name, session).cloned() else {
            return Ok(None);
        };
        match self.resolve_stamped(state, dir, &done.to_os_string(), &done) {
            Ok(Resolved::Handoff { doc, .. }) => Ok(Some(Resolved::Handoff { doc, own: true })),
            Err(error) if !error.is_absence() => Err(error),
            _ => Ok(None),
        }
    }

    /// Does this handoff still have a file? It may have been removed, renamed or consumed below the mount.
    fn is_there(&self, state: &mut State, id: FileId) -> Result<bool> {
        let Some(doc) = state.files.get(id) else {
            return Ok(false);
        };
        let Ok(path) = state.queues.path(doc.dir) else {
            return Ok(false);
        };
        let (dir, name) = (doc.dir, doc.stamped()?.clone());
        if !matches!(doc.content, Content::Stored) {
            // A consumed handoff expires also while it is edited (spec 7.1).
            let may_expire = doc.is_stored() && !name.is_pending();
            let expired = may_expire && {
                let stored = self.ctx.store.stat(&path, &name.to_os_string());
                stored.is_ok_and(|meta| self.ctx.is_expired(&name, meta.mtime))
                    || stored.is_err_and(Error::is_absence)
            };
            return Ok(!doc.is_gone() && !expired);
        }
        for name in [name.clone(), name.consumed(), name.pending()] {
            match self.ctx.store.stat(&path, &name.to_os_string()) {
                Ok(meta)
                    if meta.kind == Kind::File
                        && !self.ctx.is_expired(&name, meta.mtime)
                        && state
                            .files
                            .named(dir, &name)
                            .is_none_or(|other| other == id) =>
                {
                    if state.files.named(dir, &name).is_none() {
                        state.files.rename(id, dir, FileName::Handoff(name));
                    }
                    state.files.note_mut(id)?.ino = meta.ino;
                    return Ok(true);
                }
                Err(error) if !error.is_absence() => return Err(error),
                _ => {}
            }
        }
        state.handoffs().file_gone(id);
        Ok(false)
    }

    fn resolve_backing(&self, state: &mut State, dir: DirId, name: &OsStr) -> Result<Resolved> {
        let path = state.queues.path(dir)?;
        if dir == DirId::ROOT && name == names::PRIVATE {
            return Err(Error::NotFound);
        }
        let mut meta = self.ctx.local.stat(Area::Backing, &path, name)?;
        if meta.kind == Kind::File && state.queues.is_stray(dir, name) {
            // A finished stray is adopted now. Until then nobody finds it under this name, so that nobody overwrites it.
            state.queues.load_names(dir)?;
            meta = self.ctx.local.stat(Area::Backing, &path, name)?;
            if meta.kind == Kind::File && state.queues.is_stray(dir, name) {
                return Err(Error::NotFound);
            }
        }
        match meta.kind {
            Kind::File => {
                let name = FileName::Other(Area::Backing, name.to_owned());
                Ok(Resolved::Other(state.files.stored(dir, name, meta.ino)))
            }
            Kind::Directory => Ok(Resolved::Dir(state.queues.enter_dir(dir, name, meta.ino)?)),
            Kind::Other => Err(Error::NotFound),
        }
    }

    /// A node for what was found.
    pub(in crate::fs) fn enter(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        object: &Resolved,
    ) -> Result<Entry> {
        let what = match object {
            Resolved::Dir(child) => NodeTarget::Dir(*child),
            Resolved::Handoff { doc, own } => self.view(state, *doc, own.then_some((dir, name)))?,
            Resolved::Other(file) => self.view(state, *file, None)?,
            Resolved::Pending | Resolved::Peek => NodeTarget::Merge {
                plan: self.plan(state, dir)?,
                peek: *object == Resolved::Peek,
            },
            Resolved::Status => NodeTarget::Status(self.status(state)?.into()),
        };
        self.enter_target(state, (dir, name), what)
    }

    fn enter_target(
        &self,
        state: &mut State,
        place: (DirId, &OsStr),
        what: NodeTarget,
    ) -> Result<Entry> {
        let attr = self.attr_of(state, &what)?;
        let node = match &what {
            NodeTarget::Dir(_) | NodeTarget::File { alias: None, .. } => {
                state.nodes.look_up_file(what, attr.meta.ino, place)
            }
            _ => state.nodes.look_up(what),
        };
        Ok(Entry { node, attr })
    }

    /// A node for a handoff that is seen through an alias.
    pub(in crate::fs) fn enter_alias(
        &self,
        state: &mut State,
        id: FileId,
        alias: (DirId, &OsStr),
    ) -> Result<Entry> {
        let what = self.view(state, id, Some(alias))?;
        self.enter_target(state, alias, what)
    }

    /// A node for the draft of an edit, seen under its file's own name.
    pub(in crate::fs) fn enter_edit(&self, state: &mut State, id: FileId) -> Result<Entry> {
        let file = state.files.known(id)?;
        let what = NodeTarget::File {
            file: id,
            alias: None,
            ino: file.ino_seen(true),
        };
        let (dir, name) = (file.dir, file.name.to_os_string());
        self.enter_target(state, (dir, &name), what)
    }

    pub(in crate::fs) fn view(
        &self,
        state: &State,
        id: FileId,
        alias: Option<(DirId, &OsStr)>,
    ) -> Result<NodeTarget> {
        let doc = state.files.known(id)?;
        Ok(NodeTarget::File {
            file: id,
            ino: doc.ino_seen(alias.is_some()),
            alias: alias.map(|(dir, name)| Arc::new((dir, name.to_owned()))),
        })
    }

    pub(in crate::fs) fn drop_expired_replays(&self, state: &mut State) {
        if state.replays.is_empty() {
            return;
        }
        for id in state.replays.expire(Instant::now()) {
            // The draft may have been another writer's too, or be awaited again.
            let unused = |file: &RegularFile| file.waits_for_its_open();
            if !state.replays.is_awaited(id) && state.files.get(id).is_some_and(unused) {
                state.handoffs().drop_draft(id);
            }
        }
    }
}

impl State {
    /// The directory that a node stands for.
    pub(in crate::fs) fn dir(&self, id: NodeId) -> Result<DirId> {
        if id == NodeId::ROOT {
            return Ok(DirId::ROOT);
        }
        match &self.nodes.get(id).ok_or(Error::Stale)?.what {
            NodeTarget::Dir(dir) => Ok(*dir),
            _ => Err(Error::NotDirectory),
        }
    }
}
