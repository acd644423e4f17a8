//! Creating and opening files: where a write becomes a new handoff, an edit, or an append (spec 4).

use std::ffi::OsStr;
use std::fs::File;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::error::{Error, Result};
use crate::fs::handoff::free_name::Naming;
use crate::fs::handoff::state::{FileName, Origin};
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::Request;
use crate::fs::inode::types::{Created, Entry, Opened};
use crate::fs::pending::turns::Outcome;
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::alias::Decision;
use crate::fs::resolve::flags::Flags;
use crate::fs::resolve::name::{area_of_new_name, check_name, may_become_alias};
use crate::fs::resolve::opened::Opening;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::is_own_name;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, Slug};
use crate::session::Caller;
use crate::store::local::Area;

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
            state.dir(parent).is_ok_and(|dir| {
                may_become_alias(state, dir, name) || is_own_name(state, dir, name)
            })
        });
        let mut guard = self.lock();
        let state = &mut *guard;
        let dir = state.dir(parent)?;
        self.make_way(state, dir, name);
        // The file of an alias has another name, so that a file which appears below the mount meanwhile cannot meet it.
        let absent = caller.is_some()
            && matches!(
                names::classify(name),
                NameClass::Unstamped | NameClass::Backup
            )
            && state.looked_up.is_absent(request.tid, dir, name);
        let found = match absent {
            true => Err(Error::NotFound),
            false => state.resolve_own(dir, name, caller.as_ref()),
        };
        match found {
            // This thread has unlinked pending.md, so to it the name is free.
            Err(Error::NotFound) | Ok(Resolved::Pending) => {}
            Err(error) => return Err(error),
            Ok(_) if flags.exclusive => return Err(Error::Exists),
            Ok(object) => {
                // Made by another thread since the look-up.
                let caller = caller.as_ref();
                let place = (dir, name);
                return self.create_over(&mut guard, request, place, &object, flags, caller);
            }
        }
        let made = self.make(state, request, (dir, name), mode, flags, caller.as_ref());
        let (object, file) = self.ctx.noticed(made)?;
        if let (Resolved::Handoff { doc, .. }, true) = (&object, flags.exclusive) {
            let maker = caller.as_ref().and_then(|caller| caller.process);
            state.files.known_mut(*doc)?.handoff.maker = maker;
        }
        let created = self.open_made(state, request, (dir, name), (&object, file), flags);
        if let (Err(_), Resolved::Handoff { doc, .. }) = (&created, object) {
            state.handoffs().drop_draft(doc);
        }
        created
    }

    /// Opens what was made just now. An ordinary or scratch file is open already: its mode may forbid its own maker to write
    /// to it, and only the open that makes it may do so all the same.
    fn open_made(
        &self,
        state: &mut State,
        request: Request,
        (dir, name): (DirId, &OsStr),
        (object, file): (&Resolved, Option<File>),
        flags: Flags,
    ) -> Result<Created> {
        let entry = self.enter(state, dir, name, object)?;
        let (Resolved::Handoff { doc: id, .. } | Resolved::Other(id)) = object else {
            return Err(Error::NotPermitted);
        };
        let mut opening = Opening {
            request,
            node: entry.node,
            flags,
        };
        let opened = match file {
            Some(file) => state.opened(opening, *id, Arc::new(file)),
            None => {
                // The maker is the first writer, even one that means only to read: its close publishes the handoff.
                opening.flags.write = true;
                state.open_shown(opening, *id)
            }
        };
        self.created(state, entry, opened)
    }

    /// The answer to a CREATE.
    fn created(&self, state: &mut State, entry: Entry, opened: Result<Opened>) -> Result<Created> {
        if opened.is_err() {
            // The kernel is not told of the node.
            let gone = state.nodes.forget(entry.node, 1);
            state.let_go(gone.as_ref());
        }
        opened.map(|opened| Created { entry, opened })
    }

    /// Makes a file of a name that is free to this caller. An ordinary or scratch file is answered open.
    fn make(
        &self,
        state: &mut State,
        request: Request,
        (dir, name): (DirId, &OsStr),
        mode: u32,
        flags: Flags,
        caller: Option<&Caller>,
    ) -> Result<(Resolved, Option<File>)> {
        // An editor has moved the ordinary file away, and writes it anew.
        let again =
            state.is_ordinary_text(dir, name) && state.edits_ordinary(Place { dir, name }, caller);
        let area = match names::classify(name) {
            _ if !state.queues.is_queue(dir) || again => Some(Area::Backing),
            // rsync draws these names at random, so that no two sessions have the same one.
            NameClass::Hidden if flags.exclusive && names::is_rsync_temporary(name) => {
                Some(Area::Scratch)
            }
            _ => area_of_new_name(name, caller),
        };
        if let Some(area) = area {
            let (made, file) = self.make_other(state, area, (dir, name), mode)?;
            return Ok((Resolved::Other(made), Some(file)));
        }
        let (naming, own) = match names::classify(name) {
            NameClass::Stamped(stamped) if stamped.to_os_string() == name => {
                (Naming::Exactly(stamped), false)
            }
            NameClass::Stamped(stamped) => (Naming::Nearly(stamped), true),
            NameClass::Pending => (Naming::Stamp(Slug::pending()), true),
            NameClass::Unstamped | NameClass::Backup => match caller {
                Some(caller) => (state.naming_after_release(caller, dir, name), true),
                None => (Naming::Stamp(Slug::from_written(name)), true),
            },
            _ => return Err(Error::NotPermitted),
        };
        let doc = state.handoffs().new_draft(request, dir, &naming, mode)?;
        if name == names::PENDING {
            state.files.known_mut(doc)?.handoff.origin = Origin::PendingMd;
            self.note_pending_written(state, caller);
        }
        if let (true, Some(caller)) = (own, caller) {
            state.set_alias(Place { dir, name }, caller, doc);
        }
        Ok((Resolved::Handoff { doc, own }, None))
    }

    /// Makes an ordinary or scratch file.
    fn make_other(
        &self,
        state: &mut State,
        area: Area,
        (dir, name): (DirId, &OsStr),
        mode: u32,
    ) -> Result<(FileId, File)> {
        let path = state.queues.path(dir)?;
        let file = self.ctx.local.create(area, &path, name, mode)?;
        let meta = self
            .ctx
            .filled(&file, (area, &path, name), || self.ctx.admit(&file))?;
        if area == Area::Backing {
            state.queues.changed(dir, name);
        }
        state.scratch.add(area, dir, name);
        let name = FileName::Other(area, name.to_owned());
        Ok((state.files.stored(dir, name, meta.ino), file))
    }

    /// CREATE of a name that exists after all.
    fn create_over(
        &self,
        guard: &mut MutexGuard<'_, State>,
        request: Request,
        (dir, name): (DirId, &OsStr),
        object: &Resolved,
        flags: Flags,
        caller: Option<&Caller>,
    ) -> Result<Created> {
        let place = Place { dir, name };
        let text = flags.write && guard.is_ordinary_text(dir, name);
        let (id, entry) = match (object, caller) {
            (Resolved::Handoff { doc, own: false }, _)
                if flags.write && self.edits_stamped(guard, *doc, flags, false)? =>
            {
                (*doc, guard.enter_edit(*doc)?)
            }
            (Resolved::Handoff { doc, own: true }, Some(caller)) => {
                let doc = match guard.decide(request, *doc, place, caller, flags)? {
                    Decision::AsItIs | Decision::Draft => *doc,
                    Decision::Fork(new) => {
                        guard.draft_opened(request, place, caller, new);
                        new
                    }
                };
                (doc, guard.enter_alias(doc, place)?)
            }
            (Resolved::Other(file), Some(caller)) if text => {
                let doc = guard.create_over_text(request, *file, place, caller, flags)?;
                (doc, guard.enter_alias(doc, place)?)
            }
            (Resolved::Handoff { doc: file, .. } | Resolved::Other(file), _) => {
                (*file, self.enter(guard, dir, name, object)?)
            }
            (Resolved::Dir(_), _) => return Err(Error::IsDirectory),
            (Resolved::Pending | Resolved::Peek | Resolved::Status, _) => {
                return Err(Error::Exists);
            }
        };
        let opening = Opening {
            request,
            node: entry.node,
            flags,
        };
        let opened = guard.open_shown(opening, id);
        self.created(guard, entry, opened)
    }

    /// open(2) of a node.
    pub fn open_node(self: &Arc<Self>, request: Request, node: NodeId, flags: i32) -> Outcome {
        let flags = Flags::new(flags);
        let what = match self.lock().known(node) {
            Ok(what) => what,
            Err(error) => return Outcome::Ready(Err(error)),
        };
        match what {
            NodeTarget::Merge { plan, peek } if !flags.write => {
                self.open_merge(request, node, &plan, peek)
            }
            what => {
                let opening = Opening {
                    request,
                    node,
                    flags,
                };
                Outcome::Ready(self.open_now(opening, &what))
            }
        }
    }

    fn open_now(&self, opening: Opening, what: &NodeTarget) -> Result<Opened> {
        match what {
            NodeTarget::Dir(_) => Err(Error::IsDirectory),
            NodeTarget::File {
                file,
                alias: Some(alias),
                ino,
            } => {
                let alias = Place {
                    dir: alias.0,
                    name: &alias.1,
                };
                self.open_alias(opening, *file, alias, *ino)
            }
            NodeTarget::File { file, ino, .. } => {
                if self.lock().files.known(*file)?.is_handoff() {
                    self.open_stamped(opening, *file, *ino)
                } else {
                    self.open_other(opening, *file, *ino)
                }
            }
            NodeTarget::Merge { peek: true, .. } | NodeTarget::Status(_) if opening.flags.write => {
                Err(Error::AccessDenied)
            }
            NodeTarget::Merge { plan, .. } => self.write_pending(opening, plan.queue),
            NodeTarget::Status(bytes) => {
                let mut state = self.lock();
                state.nodes.opened(opening.node, None);
                let handle = state
                    .handles
                    .insert(opening.node, Open::Bytes(bytes.clone()));
                Ok(Opened {
                    handle,
                    flush: false,
                })
            }
        }
    }
}
