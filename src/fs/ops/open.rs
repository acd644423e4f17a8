//! Creating and opening files: where a write becomes a new handoff, an edit, or an append (spec 4).

use std::ffi::OsStr;
use std::fs::File;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::error::{Error, Result};
use crate::fs::handoff::draft::Naming;
use crate::fs::handoff::state::{FileName, Origin};
use crate::fs::ids::{DirId, NodeId};
use crate::fs::inode::dirs::{DirKind, Place};
use crate::fs::inode::handles::Open;
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::{Created, Opened};
use crate::fs::pending::turns::Outcome;
use crate::fs::resolve::alias::Decision;
use crate::fs::resolve::flags::Flags;
use crate::fs::resolve::name::check_name;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::area_for;
use crate::fs::{Fs, Request, State};
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
            let class = names::classify(name);
            let exact =
                matches!(&class, NameClass::Stamped(stamped) if stamped.to_os_string() == name);
            state
                .dir(parent)
                .is_ok_and(|dir| state.dirs.kind(dir) == DirKind::Queue)
                && !exact
                && !matches!(
                    class,
                    NameClass::SharedScratch | NameClass::Hidden | NameClass::Ordinary
                )
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
            false => self.resolve_own(state, dir, name, caller.as_ref()),
        };
        match found {
            // To this thread it is gone: it has unlinked it.
            Err(Error::NotFound) | Ok(Resolved::Pending) => {}
            Err(error) => return Err(error),
            Ok(_) if flags.exclusive => return Err(Error::Exists),
            Ok(object) => {
                // Made by another thread since the look-up.
                return self.create_over(
                    &mut guard,
                    request,
                    dir,
                    name,
                    &object,
                    flags,
                    caller.as_ref(),
                );
            }
        }
        let made = self.make(state, request, (dir, name), mode, flags, caller.as_ref());
        let (object, file) = self.noticed(made)?;
        if let (Resolved::Handoff { doc, .. }, true) = (&object, flags.exclusive)
            && let Some(made) = state.files.get_mut(*doc)
        {
            made.handoff.maker = caller.as_ref().and_then(|caller| caller.process);
        }
        let created = self.open_made(state, request, (dir, name), (&object, file), flags);
        if let (Err(_), Resolved::Handoff { doc, .. }) = (&created, object) {
            self.drop_draft(state, doc);
        }
        created
    }

    /// Opens what was made just now. A plain file is open already: its mode may forbid its own maker to write to it, and
    /// only the open that makes it may do so all the same.
    fn open_made(
        &self,
        state: &mut State,
        request: Request,
        (dir, name): (DirId, &OsStr),
        (object, file): (&Resolved, Option<File>),
        flags: Flags,
    ) -> Result<Created> {
        let entry = self.enter(state, dir, name, object)?;
        let opened = match object {
            Resolved::Handoff { doc, .. } => {
                // Its maker is its first writer, also one that means only to read it: with its close it is published.
                let flags = Flags {
                    write: true,
                    ..flags
                };
                self.open_shown(state, request, entry.node, *doc, flags)
            }
            Resolved::Other(plain) => match file {
                Some(file) => {
                    self.opened(state, request, entry.node, *plain, Arc::new(file), flags)
                }
                None => self.open_shown(state, request, entry.node, *plain, flags),
            },
            _ => Err(Error::NotPermitted),
        };
        if opened.is_err() {
            // The kernel is not told of it.
            let gone = state.nodes.forget(entry.node, 1);
            self.let_go(state, gone.as_ref());
        }
        opened.map(|opened| Created { entry, opened })
    }

    /// Makes a file of a name that is free to this caller; answers it open if it is a plain one.
    fn make(
        &self,
        state: &mut State,
        request: Request,
        (dir, name): (DirId, &OsStr),
        mode: u32,
        flags: Flags,
        caller: Option<&Caller>,
    ) -> Result<(Resolved, Option<File>)> {
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let plain = |state: &mut State, area| {
            let file = self.local.create(area, &path, name, mode)?;
            let meta = self.filled(&file, (area, &path, name), || self.admit(&file))?;
            if area == Area::Backing {
                self.touch(state, dir, name);
            }
            state.scratch.add(area, dir, name);
            let file_name = FileName::Other(area, name.to_owned());
            let plain = state.files.stored(dir, file_name, meta.ino);
            Ok((Resolved::Other(plain), Some(file)))
        };
        // An editor has moved the ordinary file away, and writes it anew.
        let again = self.is_ordinary_text(state, dir, name)
            && self.edits_ordinary(state, Place { dir, name }, caller);
        if state.dirs.kind(dir) == DirKind::Plain || again {
            return plain(state, Area::Backing);
        }
        let (naming, alias) = match names::classify(name) {
            NameClass::Scratch | NameClass::SharedScratch => {
                return plain(state, area_for(name, caller));
            }
            // Drawn at random: no two sessions have the same one.
            NameClass::Hidden if flags.exclusive && names::is_rsync_temporary(name) => {
                return plain(state, Area::Scratch);
            }
            NameClass::Hidden | NameClass::Ordinary => return plain(state, Area::Backing),
            NameClass::Peek | NameClass::Status | NameClass::Private => {
                return Err(Error::NotPermitted);
            }
            NameClass::Stamped(stamped) if stamped.to_os_string() == name => {
                (Naming::Exactly(stamped), false)
            }
            NameClass::Stamped(stamped) => (Naming::Nearly(stamped), true),
            NameClass::Pending => (Naming::Stamp(Slug::pending()), true),
            NameClass::Unstamped | NameClass::Backup => match caller {
                Some(caller) => (self.naming_after_release(state, caller, dir, name), true),
                None => (Naming::Stamp(Slug::from_written(name)), true),
            },
        };
        let doc = self.new_draft(state, request, dir, &naming, mode)?;
        if name == names::PENDING {
            if let Some(made) = state.files.get_mut(doc) {
                made.handoff.origin = Origin::PendingMd;
            }
            self.note_pending_written(state, caller);
        }
        if let (true, Some(caller)) = (alias, caller) {
            self.set_alias(state, dir, name, caller, doc);
        }
        Ok((Resolved::Handoff { doc, own: alias }, None))
    }

    /// CREATE of a name that exists after all.
    #[allow(clippy::too_many_arguments)]
    fn create_over(
        &self,
        guard: &mut MutexGuard<'_, State>,
        request: Request,
        dir: DirId,
        name: &OsStr,
        object: &Resolved,
        flags: Flags,
        caller: Option<&Caller>,
    ) -> Result<Created> {
        if let Resolved::Handoff { doc, own: false } = object
            && flags.write
            && self.edits_stamped(guard, *doc, flags, false)?
        {
            let entry = self.enter_edit(guard, *doc)?;
            let opened = self.open_shown(guard, request, entry.node, *doc, flags)?;
            return Ok(Created { entry, opened });
        }
        let state = &mut **guard;
        if let (Resolved::Handoff { doc, own: true }, Some(caller)) = (object, caller) {
            let doc = match self.decide(state, request, *doc, (dir, name), caller, flags)? {
                Decision::AsItIs | Decision::Draft => *doc,
                Decision::Fork(new) => {
                    self.draft_opened(state, request, (dir, name), caller, new);
                    new
                }
            };
            let entry = self.enter_file(state, doc, Some((dir, name)))?;
            let opened = self.open_shown(state, request, entry.node, doc, flags)?;
            return Ok(Created { entry, opened });
        }
        if let (Resolved::Other(plain), Some(caller)) = (object, caller)
            && flags.write
            && self.is_ordinary_text(state, dir, name)
        {
            let place = Place { dir, name };
            let doc = self.create_over_text(state, request, *plain, place, caller, flags)?;
            let entry = self.enter_file(state, doc, Some((dir, name)))?;
            let opened = self.open_shown(state, request, entry.node, doc, flags)?;
            return Ok(Created { entry, opened });
        }
        let entry = self.enter(state, dir, name, object)?;
        let opened = match object {
            Resolved::Handoff { doc: file, .. } | Resolved::Other(file) => {
                self.open_shown(state, request, entry.node, *file, flags)?
            }
            Resolved::Dir(_) => return Err(Error::IsDirectory),
            Resolved::Pending | Resolved::Peek | Resolved::Status => return Err(Error::Exists),
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
            NodeTarget::Merge { plan, peek } if !flags.write => {
                self.open_merge(request, node, &plan, peek)
            }
            what => Outcome::Ready(self.open_now(request, node, &what, flags)),
        }
    }

    fn open_now(
        &self,
        request: Request,
        node: NodeId,
        what: &NodeTarget,
        flags: Flags,
    ) -> Result<Opened> {
        match what {
            NodeTarget::Dir(_) => Err(Error::IsDirectory),
            NodeTarget::File {
                file,
                alias: Some(alias),
                ino,
            } => self.open_alias(request, node, *file, alias, *ino, flags),
            NodeTarget::File { file, ino, .. } => {
                if self.lock().files.known(*file)?.is_handoff() {
                    self.open_stamped(request, node, *file, *ino, flags)
                } else {
                    self.open_other(request, node, (*file, *ino), flags)
                }
            }
            NodeTarget::Merge { peek: true, .. } | NodeTarget::Status(_) if flags.write => {
                Err(Error::AccessDenied)
            }
            NodeTarget::Merge { plan, .. } => self.write_pending(request, node, plan.queue, flags),
            NodeTarget::Status(bytes) => {
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
}
