//! CREATE and OPEN: whether a write makes a new handoff, an edit, or an append (spec 4).

use std::ffi::OsStr;
use std::fs::File;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::error::{Error, Result};
use crate::fs::handoff::queue_names::Naming;
use crate::fs::handoff::state::{FileName, Origin};
use crate::fs::ids::{FileId, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::{Created, Entry, Opened, Request};
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

/// A CREATE request.
struct Creating<'a> {
    fs: &'a Fs,
    guard: MutexGuard<'a, State>,
    request: Request,
    place: Place<'a>,
    /// The permission bits, with the umask taken off.
    mode: u32,
    flags: Flags,
    /// `None` where the meaning of the name does not depend on the caller.
    caller: Option<&'a Caller>,
}

impl Creating<'_> {
    fn create(&mut self) -> Result<Created> {
        let (fs, caller) = (self.fs, self.caller);
        let Place { dir, name } = self.place;
        fs.make_way(&mut self.guard, dir, name);
        // The handoff gets a stamped name, so a file that has turned up under the written name meanwhile does no harm.
        let is_absent = caller.is_some()
            && names::classify(name).gets_stamp()
            && (self.guard.looked_up).is_absent(self.request.tid, dir, name);
        let found = match is_absent {
            true => Err(Error::NotFound),
            false => self.guard.resolve_own(dir, name, caller),
        };
        match found {
            // The name is free. `pending.md` counts as free if this thread has just unlinked it.
            Err(Error::NotFound) | Ok(Resolved::Pending) => {}
            Err(error) => return Err(error),
            Ok(_) if self.flags.exclusive => return Err(Error::Exists),
            // Another thread has made the file since the look-up.
            Ok(object) => return self.open_existing(&object),
        }
        let (object, file) = fs.ctx.noticed(self.make())?;
        let created = self.open_made(&object, file);
        if let (Err(_), Resolved::Handoff { doc, .. }) = (&created, object) {
            self.guard.handoffs().drop_draft(doc);
        }
        created
    }

    /// Opens the file that was made. An ordinary or scratch file is open already: its mode may forbid even its maker to write,
    /// and only the open that makes a file may write all the same.
    fn open_made(&mut self, object: &Resolved, file: Option<File>) -> Result<Created> {
        let fs = self.fs;
        let Place { dir, name } = self.place;
        let entry = fs.enter(&mut self.guard, dir, name, object)?;
        let (Resolved::Handoff { doc: id, .. } | Resolved::Other(id)) = *object else {
            return Err(Error::NotPermitted);
        };
        let mut opening = Opening {
            request: self.request,
            node: entry.node,
            flags: self.flags,
        };
        let opened = match file {
            Some(file) => self.guard.opened(opening, id, Arc::new(file)),
            None => {
                // The maker counts as a writer even with O_RDONLY: its close publishes the handoff.
                opening.flags.write = true;
                self.guard.open_shown(opening, id)
            }
        };
        self.created(entry, opened)
    }

    /// The answer. If the open failed, the kernel is not told of the node.
    fn created(&mut self, entry: Entry, opened: Result<Opened>) -> Result<Created> {
        if opened.is_err() {
            let gone = self.guard.nodes.forget(entry.node, 1);
            self.guard.let_go(gone.as_ref());
        }
        opened.map(|opened| Created { entry, opened })
    }

    /// Makes a file of a name that is free to this caller. An ordinary or scratch file is answered open.
    fn make(&mut self) -> Result<(Resolved, Option<File>)> {
        let (fs, place, flags, caller) = (self.fs, self.place, self.flags, self.caller);
        let Place { dir, name } = place;
        let class = names::classify(name);
        // An editor has renamed the ordinary file to a backup, and writes the name again.
        let is_rewritten =
            self.guard.is_ordinary_text(dir, name) && self.guard.edits_ordinary(place, caller);
        let area = match class {
            _ if !self.guard.queues.is_queue(dir) || is_rewritten => Some(Area::Backing),
            // rsync draws these names at random, so that no two sessions have the same one.
            NameClass::Hidden if flags.exclusive && names::is_rsync_temporary(name) => {
                Some(Area::Scratch)
            }
            _ => area_of_new_name(name, caller),
        };
        if let Some(area) = area {
            let (made, file) = self.make_other(area)?;
            return Ok((Resolved::Other(made), Some(file)));
        }
        let (naming, own) = match class {
            NameClass::Stamped(stamped) if stamped.to_os_string() == name => {
                (Naming::Exactly(stamped), false)
            }
            NameClass::Stamped(stamped) => (Naming::Nearly(stamped), true),
            NameClass::Pending => (Naming::Stamp(Slug::pending()), true),
            class if class.gets_stamp() => (fs.naming_of(&mut self.guard, place, caller), true),
            _ => return Err(Error::NotPermitted),
        };
        let mut handoffs = self.guard.handoffs();
        let doc = handoffs.new_draft(self.request, dir, &naming, self.mode)?;
        let made = &mut self.guard.files.known_mut(doc)?.handoff;
        if flags.exclusive {
            made.maker = caller.and_then(|caller| caller.process);
        }
        if name == names::PENDING {
            made.origin = Origin::PendingMd;
            fs.note_pending_written(&mut self.guard, caller);
        }
        if let (true, Some(caller)) = (own, caller) {
            self.guard.set_alias(place, caller, doc);
        }
        Ok((Resolved::Handoff { doc, own }, None))
    }

    /// Makes an ordinary or scratch file.
    fn make_other(&mut self, area: Area) -> Result<(FileId, File)> {
        let (ctx, state) = (&self.fs.ctx, &mut *self.guard);
        let Place { dir, name } = self.place;
        let path = state.queues.path(dir)?;
        let file = ctx.local.create(area, &path, name, self.mode)?;
        let meta = ctx.filled(&file, (area, &path, name), || ctx.admit(&file))?;
        if area == Area::Backing {
            state.queues.changed(dir, name);
        }
        state.queues.scratch.add(area, dir, name);
        let name = FileName::Other(area, name.to_owned());
        Ok((state.files.stored(dir, name, meta.ino), file))
    }

    /// CREATE of a name that has got a file since the kernel's LOOKUP: opens that file.
    fn open_existing(&mut self, object: &Resolved) -> Result<Created> {
        let (fs, guard, request) = (self.fs, &mut self.guard, self.request);
        let (place, flags) = (self.place, self.flags);
        let is_text = flags.write && guard.is_ordinary_text(place.dir, place.name);
        let (id, entry) = match (object, self.caller) {
            (Resolved::Handoff { doc, own: false }, _)
                if flags.write && fs.edits_stamped(guard, *doc, flags, false)? =>
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
            (Resolved::Other(file), Some(caller)) if is_text => {
                let doc = guard.create_over_text(request, *file, place, caller, flags)?;
                (doc, guard.enter_alias(doc, place)?)
            }
            (Resolved::Handoff { doc: file, .. } | Resolved::Other(file), _) => {
                (*file, fs.enter(guard, place.dir, place.name, object)?)
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
        self.created(entry, opened)
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
        let caller = self.caller_if(request, &[(parent, name)], |state| {
            state.dir(parent).is_ok_and(|dir| {
                may_become_alias(state, dir, name) || is_own_name(state, dir, name)
            })
        });
        let guard = self.lock();
        let dir = guard.dir(parent)?;
        let mut creating = Creating {
            fs: self,
            guard,
            request,
            place: Place { dir, name },
            mode,
            flags: Flags::new(flags),
            caller: caller.as_ref(),
        };
        creating.create()
    }

    /// open(2) of a node.
    pub fn open_node(self: &Arc<Self>, request: Request, node: NodeId, flags: i32) -> Outcome {
        let flags = Flags::new(flags);
        let target = self.lock().known(node);
        match target {
            Err(error) => Outcome::Ready(Err(error)),
            Ok(NodeTarget::Merge { plan, peek }) if !flags.write => {
                self.open_merge(request, node, &plan, peek)
            }
            Ok(target) => {
                let opening = Opening {
                    request,
                    node,
                    flags,
                };
                Outcome::Ready(self.open_target(opening, &target))
            }
        }
    }

    fn open_target(&self, opening: Opening, target: &NodeTarget) -> Result<Opened> {
        match target {
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
