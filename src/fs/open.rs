//! Creating and opening files: where a write becomes a new handoff, an edit, or an append (spec 4).

use std::ffi::OsStr;
use std::sync::Arc;

use super::dirs::{DirId, DirKind};
use super::docs::{Doc, DocId, PlainId};
use super::drafts::Naming;
use super::handles::{Open, OpenDoc};
use super::nodes::What;
use super::rename::Place;
use super::resolve::{Object, check_name};
use super::types::{Created, Entry, NodeId, Opened, Outcome};
use super::{Fs, Request, State};
use crate::error::{Error, Result};
use crate::names::{self, NameClass, Slug};
use crate::session::Caller;
use crate::store::Access;
use crate::store::beneath::stat_file;
use crate::store::local::Area;

mod alias;
mod ordinary;

use alias::Decision;

/// How a file is opened, out of open(2)'s flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
    pub(super) truncate: bool,
    exclusive: bool,
}

impl Flags {
    pub(super) fn new(flags: i32) -> Flags {
        let mode = flags & libc::O_ACCMODE;
        let truncate = flags & libc::O_TRUNC != 0;
        Flags {
            read: mode != libc::O_WRONLY,
            write: mode != libc::O_RDONLY || truncate,
            append: flags & libc::O_APPEND != 0,
            truncate,
            exclusive: flags & libc::O_EXCL != 0,
        }
    }

    fn access(self) -> Access {
        Access {
            read: self.read,
            write: self.write,
        }
    }
}

impl Fs {
    /// open(2) with O_CREAT of a name that the caller did not find. `mode` has the umask taken off already.
    pub fn create(
        &self,
        request: Request,
        parent: NodeId,
        name: &OsStr,
        mode: u32,
        flags: i32,
    ) -> Result<Created> {
        check_name(name)?;
        let flags = Flags::new(flags);
        let caller = self.caller_if(request, &[(parent, name)], |state| {
            let class = names::classify(name);
            let exact =
                matches!(&class, NameClass::Stamped(stamped) if stamped.to_os_string() == name);
            state
                .dir(parent)
                .is_ok_and(|dir| state.dirs.kind(dir) == DirKind::Queue)
                && !exact
                && class != NameClass::Scratch
        });
        let mut guard = self.lock();
        let state = &mut *guard;
        let dir = state.dir(parent)?;
        self.make_way(state, dir, name);
        // A name that becomes an alias: the file is called otherwise, and whatever somebody puts there below the mount in
        // the meantime does not meet it.
        let absent = caller.is_some()
            && matches!(
                names::classify(name),
                NameClass::Unstamped | NameClass::Backup
            )
            && state.looked_up.is_absent(request.tid, dir, name);
        let found = match absent {
            true => Err(Error::NotFound),
            false => self.resolve(state, dir, name, caller.as_ref()),
        };
        match found {
            // To this thread it is gone: it has unlinked it.
            Err(Error::NotFound) | Ok(Object::Pending) => {}
            Err(error) => return Err(error),
            Ok(_) if flags.exclusive => return Err(Error::Exists),
            Ok(object) => {
                // Made by another thread since the look-up.
                return self.create_over(
                    state,
                    request,
                    dir,
                    name,
                    &object,
                    flags,
                    caller.as_ref(),
                );
            }
        }
        let object = self.noticed(self.make(state, request, dir, name, mode, caller.as_ref()))?;
        let created = self.open_made(state, request, (dir, name), &object, flags);
        if let (Err(_), Object::Doc { doc, .. }) = (&created, object) {
            self.drop_draft(state, doc);
        }
        created
    }

    /// Opens what was made just now.
    fn open_made(
        &self,
        state: &mut State,
        request: Request,
        (dir, name): (DirId, &OsStr),
        object: &Object,
        flags: Flags,
    ) -> Result<Created> {
        let entry = self.enter(state, dir, name, object)?;
        let opened = match object {
            Object::Doc { doc, .. } => {
                // Its maker is its first writer, also one that means only to read it: with its close it is published.
                let flags = Flags {
                    write: true,
                    ..flags
                };
                self.open_draft(state, request, entry.node, *doc, flags)
            }
            Object::Plain(plain) => self.open_plain(state, entry.node, *plain, flags),
            _ => Err(Error::NotPermitted),
        };
        if opened.is_err() {
            // The kernel is not told of it.
            let gone = state.nodes.forget(entry.node, 1);
            self.let_go(state, gone.as_ref());
        }
        opened.map(|opened| Created { entry, opened })
    }

    /// mknod(2) of a regular file: create without open.
    pub fn mknod(
        &self,
        request: Request,
        parent: NodeId,
        name: &OsStr,
        mode: u32,
    ) -> Result<Entry> {
        if mode & libc::S_IFMT != libc::S_IFREG && mode & libc::S_IFMT != 0 {
            return Err(Error::NotPermitted);
        }
        let flags = libc::O_WRONLY | libc::O_EXCL;
        let created = self.create(request, parent, name, mode & 0o7777, flags)?;
        self.release(created.opened.handle);
        Ok(created.entry)
    }

    /// Makes a file of a name that is free to this caller.
    fn make(
        &self,
        state: &mut State,
        request: Request,
        dir: DirId,
        name: &OsStr,
        mode: u32,
        caller: Option<&Caller>,
    ) -> Result<Object> {
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let plain = |state: &mut State, area| {
            let file = self.local.create(area, &path, name, mode)?;
            let ino = stat_file(&file)?.ino;
            if area == Area::Backing {
                self.touch(state, dir, name);
            }
            Ok(Object::Plain(state.docs.enter_plain(area, dir, name, ino)))
        };
        // An editor has moved the ordinary file away, and writes it anew.
        let again = self.is_ordinary_text(state, dir, name)
            && self.edits_ordinary(state, Place { dir, name }, caller);
        if state.dirs.kind(dir) == DirKind::Plain || again {
            return plain(state, Area::Backing);
        }
        let (naming, alias) = match names::classify(name) {
            NameClass::Scratch => return plain(state, Area::Scratch),
            NameClass::Peek | NameClass::Status | NameClass::Private => {
                return Err(Error::NotPermitted);
            }
            NameClass::Stamped(stamped) if stamped.to_os_string() == name => {
                (Naming::Exactly(stamped), false)
            }
            NameClass::Stamped(stamped) => (Naming::Nearly(stamped), true),
            NameClass::Pending => (Naming::Stamp(Slug::pending()), true),
            NameClass::Unstamped | NameClass::Backup => match caller {
                Some(caller) => (self.naming_after_vacation(state, caller, dir, name), true),
                None => (Naming::Stamp(Slug::from_written(name)), true),
            },
        };
        let doc = self.new_draft(state, request, dir, &naming, mode)?;
        if name == names::PENDING {
            if let Some(made) = state.docs.get_mut(doc) {
                made.from_pending = true;
            }
            self.note_pending_written(state, caller);
        }
        if let (true, Some(caller)) = (alias, caller) {
            self.set_alias(state, dir, name, caller, doc);
        }
        Ok(Object::Doc { doc, own: alias })
    }

    /// CREATE of a name that exists after all.
    #[allow(clippy::too_many_arguments)]
    fn create_over(
        &self,
        state: &mut State,
        request: Request,
        dir: DirId,
        name: &OsStr,
        object: &Object,
        flags: Flags,
        caller: Option<&Caller>,
    ) -> Result<Created> {
        if let (Object::Doc { doc, own: true }, Some(caller)) = (object, caller) {
            let doc = match self.decide(state, request, *doc, (dir, name), caller, flags)? {
                Decision::AsItIs | Decision::Draft => *doc,
                Decision::Fork(new) => {
                    self.keep_promise(state, request, dir, name, caller, new);
                    new
                }
            };
            let entry = self.enter_doc(state, doc, Some((dir, name)))?;
            let opened = self.open_draft(state, request, entry.node, doc, flags)?;
            return Ok(Created { entry, opened });
        }
        if let (Object::Plain(plain), Some(caller)) = (object, caller)
            && flags.write
            && self.is_ordinary_text(state, dir, name)
        {
            let place = Place { dir, name };
            let doc = self.create_over_text(state, request, *plain, place, caller, flags)?;
            let entry = self.enter_doc(state, doc, Some((dir, name)))?;
            let opened = self.open_draft(state, request, entry.node, doc, flags)?;
            return Ok(Created { entry, opened });
        }
        let entry = self.enter(state, dir, name, object)?;
        let opened = match object {
            Object::Doc { doc, .. } => self.open_draft(state, request, entry.node, *doc, flags)?,
            Object::Plain(plain) => self.open_plain(state, entry.node, *plain, flags)?,
            Object::Dir(_) => return Err(Error::IsDirectory),
            Object::Pending | Object::Peek | Object::Status => return Err(Error::Exists),
        };
        Ok(Created { entry, opened })
    }

    /// open(2) of a node.
    pub fn open_node(self: &Arc<Self>, request: Request, node: NodeId, flags: i32) -> Outcome {
        let flags = Flags::new(flags);
        let what = match self.known(&mut self.lock(), node) {
            Ok(what) => what,
            Err(error) => return Outcome::Ready(Err(error)),
        };
        match what {
            What::Merge { plan, peek } if !flags.write => {
                self.open_merge(request, node, &plan, peek)
            }
            what => Outcome::Ready(self.open_now(request, node, &what, flags)),
        }
    }

    fn open_now(
        &self,
        request: Request,
        node: NodeId,
        what: &What,
        flags: Flags,
    ) -> Result<Opened> {
        match what {
            What::Dir(_) => Err(Error::IsDirectory),
            What::Plain(plain) => self.open_plain_node(request, node, *plain, flags),
            What::Doc {
                doc, alias: None, ..
            } => self.open_draft(&mut self.lock(), request, node, *doc, flags),
            What::Doc {
                doc,
                alias: Some(alias),
                ino,
            } => self.open_alias(request, node, *doc, alias, *ino, flags),
            What::Merge { peek: true, .. } | What::Status(_) if flags.write => {
                Err(Error::AccessDenied)
            }
            What::Merge { plan, .. } => self.write_pending(request, node, plan.queue, flags),
            What::Status(bytes) => {
                let mut state = self.lock();
                state.nodes.opened(node, None);
                let handle = state.handles.insert(node, Open::Bytes(bytes.clone()));
                Ok(Opened {
                    handle,
                    flush: false,
                })
            }
        }
    }

    fn open_plain(
        &self,
        state: &mut State,
        node: NodeId,
        id: PlainId,
        flags: Flags,
    ) -> Result<Opened> {
        let plain = state.docs.plain(id).ok_or(Error::Stale)?;
        let edited = plain.edit.as_ref().map(|edit| edit.file.clone());
        let file = match state.nodes.get(node).and_then(|node| node.file()) {
            _ if let Some(file) = edited => file,
            Some(file) if plain.gone => file.clone(),
            _ if plain.gone => return Err(Error::Stale),
            _ => {
                let path = state.dirs.path(plain.dir).ok_or(Error::Stale)?;
                let (area, name) = (plain.area, &plain.name);
                let file = self.local.open_file(area, &path, name, flags.access())?;
                self.admit(&file)?;
                Arc::new(file)
            }
        };
        if flags.truncate {
            file.set_len(0)?;
        }
        if let Some(edit) = state.docs.edit_mut(id) {
            edit.writers += u32::from(flags.write);
            edit.modified |= flags.truncate;
        }
        state.nodes.opened(node, Some(&file));
        let open = Open::Plain {
            plain: id,
            file,
            write: flags.write,
            flushed: false,
        };
        let handle = state.handles.insert(node, open);
        Ok(Opened {
            handle,
            // It may be renamed and so be a handoff by the time it is closed.
            flush: flags.write,
        })
    }

    /// Opens what the node shows: the draft where it shows the draft, else the stored file in place.
    fn open_draft(
        &self,
        state: &mut State,
        request: Request,
        node: NodeId,
        id: DocId,
        flags: Flags,
    ) -> Result<Opened> {
        let ino = match state.nodes.get(node).map(|node| &node.what) {
            Some(What::Doc { ino, .. }) => *ino,
            _ => return Err(Error::Stale),
        };
        let doc = state.docs.get_mut(id).ok_or(Error::Stale)?;
        let gone = doc.is_gone();
        let mut rewrite = false;
        let file = match doc.draft_mut().filter(|draft| draft.ino == ino) {
            Some(draft) => {
                if flags.truncate {
                    // A copy that is emptied is one no more.
                    draft.modified |= stat_file(&*draft.file)?.size > 0;
                    draft.file.set_len(0)?;
                    // Whatever went wrong with the old bytes: they are gone.
                    draft.damaged = false;
                }
                draft.file.clone()
            }
            None if gone => {
                let open = state.nodes.get(node).and_then(|node| node.file());
                open.ok_or(Error::Stale)?.clone()
            }
            None => {
                let (dir, name) = (doc.dir, doc.name.to_os_string());
                let path = state.dirs.path(dir).ok_or(Error::Stale)?;
                let file = self.store.open(&path, &name, flags.access())?;
                self.admit(&file)?;
                if stat_file(&file)?.ino != ino {
                    // Replaced since the look-up: by us, or below the mount.
                    return Err(Error::Stale);
                }
                if flags.truncate {
                    self.keep_version(state, id)?;
                    file.set_len(0)?;
                    self.touch(state, dir, &name);
                    rewrite = true;
                }
                Arc::new(file)
            }
        };
        if flags.write {
            let doc = state.docs.get_mut(id).ok_or(Error::Stale)?;
            if doc.writers == 0 {
                (doc.pid, doc.since) = (request.tid, self.clock.now());
            }
            doc.writers += 1;
            if let Some(draft) = doc.draft_mut().filter(|draft| draft.ino == ino) {
                draft.writers += 1;
            }
            doc.flushed = None;
            // Who dies over it leaves a part only (spec 4.9).
            doc.unfinished |= rewrite;
            if flags.truncate {
                doc.read_by.clear();
            }
            state.index.generation += 1;
        }
        // A truncation is a change to publish at the close, where there was something to truncate.
        let emptied = |doc: &Doc| doc.draft().is_none_or(|draft| draft.modified);
        let dirty =
            (flags.truncate && state.docs.get(id).is_some_and(emptied)).then_some(request.tid);
        state.nodes.opened(node, Some(&file));
        let open = OpenDoc {
            doc: id,
            file,
            write: flags.write,
            reader: None,
            dirty,
            writes: 0,
            flushed: false,
        };
        let handle = state.handles.insert(node, Open::Doc(open));
        Ok(Opened {
            handle,
            flush: flags.write,
        })
    }
}
