//! unlink(2), rmdir(2), mkdir(2), mknod(2) and link(2).

use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::handoff::free_name::Naming;
use crate::fs::handoff::state::{Content, Fate, FileName};
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::Entry;
use crate::fs::inode::types::Request;
use crate::fs::queue::dirs::Place;
use crate::fs::queue::entry::is_empty_pending_md;
use crate::fs::resolve::name::{area_of_new_name, check_name, must_be_free};
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::is_own_name;
use crate::fs::session::released_names::Release;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, StampedName};
use crate::session::Caller;
use crate::store::dirfd::stat_file;
use crate::store::first_mount::is_hidden;
use crate::store::local::Area;
use crate::store::{Access, Kind};

impl Fs {
    /// unlink(2): deletes a stamped name, retracts through an alias (spec 4.5).
    pub fn unlink(&self, request: Request, parent: NodeId, name: &OsStr) -> Result<()> {
        check_name(name)?;
        let caller = self.caller_if(request, &[(parent, name)], |state| {
            let dir = state.dir(parent);
            dir.is_ok_and(|dir| {
                state.aliases.any(dir, name)
                    || is_own_name(state, dir, name)
                    || state.is_ordinary_text(dir, name)
            })
        });
        if self.remove_left(parent, name, caller.as_ref())? {
            return Ok(());
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let dir = state.dir(parent)?;
        match state.resolve_own(dir, name, caller.as_ref())? {
            // Nothing changes but the thread's next LOOKUP: it may be that of a tool that unlinks before it creates.
            Resolved::Pending => {
                state.replays.pending_unlinked(request.tid, dir);
                Ok(())
            }
            Resolved::Peek | Resolved::Status => Ok(()),
            Resolved::Dir(_) => Err(Error::IsDirectory),
            Resolved::Other(id) => {
                let (area, _) = state.files.known(id)?.other().ok_or(Error::NotFound)?;
                let path = state.queues.path(dir)?;
                if area == Area::Backing && state.is_ordinary_text(dir, name) {
                    // mv and install unlink the file that they are about to replace. A handoff must not replace an ordinary file.
                    let kept =
                        self.ctx
                            .local
                            .keep_ordinary_removed(&path, name, self.ctx.clock.now())?;
                    if let Some(caller) = &caller {
                        state
                            .released
                            .add(caller, dir, name, Release::Removed(kept));
                    }
                } else {
                    self.ctx.local.remove(area, &path, name)?;
                }
                if area == Area::Backing && state.queues.is_queue(dir) {
                    state.queues.ordinary_removed(dir, name);
                }
                state.scratch.remove(area, dir, name);
                state.handoffs().file_gone(id);
                state.queues.changed(dir, name);
                Ok(())
            }
            Resolved::Handoff { doc, own: false } => self.delete(state, doc),
            Resolved::Handoff { doc, own: true } => {
                let caller = caller.ok_or(Error::NotFound)?;
                self.retract(state, doc, Place { dir, name }, &caller)
            }
        }
    }

    fn delete(&self, state: &mut State, id: FileId) -> Result<()> {
        self.pin_handoff(state, id)?;
        let doc = state.files.known(id)?;
        if doc.is_gone() {
            return Err(Error::NotFound);
        }
        let (dir, name) = (doc.dir, doc.name.to_os_string());
        let path = state.queues.path(dir)?;
        // Nobody has read a pending handoff (spec 3.9). One that is still being written may yet get its first byte.
        let unread = |size| doc.name.is_pending() && (size > 0 || doc.writers > 0);
        let drafted = match doc.draft() {
            Some(draft) if doc.is_new() || draft.progress.is_changed() => {
                stat_file(&*draft.file)?.size
            }
            _ => 0,
        };
        let now = self.ctx.clock.now();
        let keep = |area| {
            self.ctx
                .local
                .with_room(|| self.ctx.local.keep_pending(area, &path, &name, now))
        };
        if doc.is_stored() {
            let size = self.ctx.store.stat(&path, &name)?.size;
            match unread(size) {
                true => keep(Area::Backing)?,
                false => self.ctx.store.remove(&path, &name)?,
            }
        }
        if doc.draft().is_some() {
            match unread(drafted) {
                true => keep(doc.draft_area())?,
                false => self.ctx.local.remove(doc.draft_area(), &path, &name)?,
            }
        }
        state.handoffs().file_gone(id);
        state.queues.changed(dir, &name);
        Ok(())
    }

    /// The alias goes; its handoff is consumed without having been delivered, unless the same process makes the name
    /// anew.
    fn retract(
        &self,
        state: &mut State,
        id: FileId,
        alias: Place<'_>,
        caller: &Caller,
    ) -> Result<()> {
        let doc = state.files.known_mut(id)?;
        let (dir, name) = (doc.dir, doc.stamped()?.clone());
        match doc.content {
            Content::Reserved(_) | Content::New(_) => doc.handoff.fate = Fate::Consume,
            Content::Stored | Content::Editing(_) if name.is_pending() => {
                let path = state.queues.path(dir)?;
                let file_name = name.to_os_string();
                let meta = self.ctx.store.stat(&path, &file_name)?;
                if meta.size == 0 {
                    // An empty handoff loses nothing by being deleted.
                    state.aliases.remove(alias.dir, alias.name, &caller.session);
                    return self.delete(state, id);
                }
                self.pin_handoff(state, id)?;
                let done = state.files.stays_as(&state.queues, dir, &name);
                let done =
                    self.ctx
                        .consume_as(&path, &name, &done, meta.mtime, self.ctx.clock.now())?;
                state.handoffs().moved(id, dir, FileName::Handoff(done));
                state.files.known_mut(id)?.handoff.written = Some(meta.mtime);
            }
            // A consumed handoff has been delivered, so that it cannot be retracted.
            _ => {
                state.aliases.remove(alias.dir, alias.name, &caller.session);
                return Ok(());
            }
        }
        state.aliases.remove(alias.dir, alias.name, &caller.session);
        state
            .released
            .add(caller, alias.dir, alias.name, Release::Retracted(id));
        Ok(())
    }

    /// mkdir(2): makes a queue, or a plain directory where its name or place says so. `mode` has the umask taken off.
    pub fn mkdir(
        &self,
        request: Request,
        parent: NodeId,
        name: &OsStr,
        mode: u32,
    ) -> Result<Entry> {
        check_name(name)?;
        let caller = self.caller_of_alias(request, parent, name);
        let mut guard = self.lock();
        let state = &mut *guard;
        let dir = state.dir(parent)?;
        if state.queues.is_queue(dir) && names::classify(name) == NameClass::Private {
            return Err(Error::NotPermitted);
        }
        must_be_free(&state.resolve(dir, name, caller.as_ref()))?;
        let path = state.queues.path(dir)?;
        self.ctx
            .noticed(self.ctx.local.make_queue(&path, name, mode))?;
        state.queues.changed(dir, name);
        let object = state.resolve(dir, name, caller.as_ref())?;
        self.enter(state, dir, name, &object)
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

    /// rmdir(2): removes a directory that lists nothing (spec 4.10).
    pub fn rmdir(&self, parent: NodeId, name: &OsStr) -> Result<()> {
        check_name(name)?;
        let mut guard = self.lock();
        let state = &mut *guard;
        let dir = state.dir(parent)?;
        match state.resolve(dir, name, None)? {
            Resolved::Dir(child) => self.remove_dir(state, child, dir, name),
            _ => Err(Error::NotDirectory),
        }
    }

    pub(in crate::fs) fn remove_dir(
        &self,
        state: &mut State,
        dir: DirId,
        parent: DirId,
        name: &OsStr,
    ) -> Result<()> {
        let listed = self.entries(state, dir)?;
        // After `.` and `..`.
        let mut found = listed.from(2).map(|(_, entry)| entry.name);
        if found.any(|name| name != names::PENDING) {
            return Err(Error::NotEmpty);
        }
        if state.queues.is_queue(dir) {
            let path = state.queues.path(dir)?;
            // Not listed: expired, or being written below, or not adopted yet (spec 3.7).
            let hidden: Vec<_> = state
                .queues
                .names(dir)
                .filter(|(_, known)| known.kind == Kind::File)
                .map(|(name, known)| (name.to_owned(), *known))
                .collect();
            for (name, known) in &hidden {
                let may_go = is_empty_pending_md(name, known)
                    || StampedName::parse(name).is_some_and(|stamped| {
                        let found = self.ctx.store.stat(&path, name);
                        found.is_ok_and(|meta| self.may_delete(state, dir, &path, &stamped, &meta))
                    });
                if !may_go {
                    return Err(Error::NotEmpty);
                }
            }
            for (name, _) in &hidden {
                self.ctx.store.remove(&path, name)?;
            }
        }
        let above = state.queues.path(parent)?;
        self.ctx.local.remove_queue(&above, name)?;
        state.queues.ordinary_removed(parent, name);
        state.queues.drop_queue(dir);
        state.scratch.forget(dir);
        state.queues.dirs.removed(dir);
        state.queues.changed(parent, name);
        state.queues.generation += 1;
        Ok(())
    }

    /// link(2): a scratch or hidden file that is linked to another name is published under it (spec 4.6). Everything else may
    /// not have two names (spec 4.10), but for what is passed through.
    pub fn link(
        &self,
        request: Request,
        node: NodeId,
        parent: NodeId,
        name: &OsStr,
    ) -> Result<Entry> {
        check_name(name)?;
        let caller = self.caller(request);
        let (linked, dir) = {
            let state = self.lock();
            match state.nodes.get(node).map(|node| &node.what) {
                Some(NodeTarget::File { file, .. }) if !state.files.known(*file)?.is_handoff() => {
                    (*file, state.dir(parent)?)
                }
                _ => return Err(Error::NotPermitted),
            }
        };
        if self.ctx.options.sync {
            let file = {
                let state = self.lock();
                state
                    .files
                    .known(linked)?
                    .open(&state.queues, Access::READ)?
            };
            file.sync_all()?;
        }
        let (entry, queue) = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let from = state.files.known(linked)?;
            let (area, from_name) = from.other().ok_or(Error::NotFound)?;
            let (from_dir, from_name, ino) = (from.dir, from_name.to_owned(), from.ino);
            if state.is_anothers(linked, Some(&caller)) {
                return Err(Error::NotFound);
            }
            self.make_way(state, dir, name);
            must_be_free(&state.resolve_own(dir, name, Some(&caller)))?;
            let from_path = state.queues.path(from_dir)?;
            let path = state.queues.path(dir)?;
            let from = (area, from_path.as_path(), from_name.as_os_str());
            let hidden = state.queues.is_queue(from_dir) && is_hidden(&from_name);
            let passed_through = !state.queues.is_queue(from_dir) && !state.queues.is_queue(dir);
            let publishable = (area.is_scratch() || hidden) && state.queues.is_queue(dir);
            if !passed_through && !publishable {
                return Err(Error::NotPermitted);
            }
            let kept_under = match names::classify(name) {
                _ if passed_through => Some(Area::Backing),
                NameClass::Peek | NameClass::Status | NameClass::Private => {
                    return Err(Error::NotPermitted);
                }
                _ => area_of_new_name(name, Some(&caller)),
            };
            let object = if let Some(area) = kept_under {
                self.ctx.local.link(from, (area, &path, name))?;
                state.scratch.add(area, dir, name);
                state.queues.changed(dir, name);
                state.resolve(dir, name, Some(&caller))?
            } else {
                let place = Place { dir, name };
                let stamped = self.publish_link(state, from, ino, place, &caller)?;
                let own = stamped.to_os_string() != name;
                let (tid, now) = (request.tid, self.ctx.clock.now());
                let stamped = FileName::Handoff(stamped);
                let doc = state
                    .files
                    .insert(dir, stamped, Content::Stored, ino, (tid, now));
                self.alias_for(state, place, Some(&caller), doc);
                state.adopt_handles(linked, doc, tid);
                Resolved::Handoff { doc, own }
            };
            (self.enter(state, dir, name, &object)?, path)
        };
        if self.ctx.options.sync {
            self.ctx.store.sync(&queue)?;
        }
        Ok(entry)
    }

    /// Gives a scratch or hidden file a second name, that of a new handoff; answers which.
    fn publish_link(
        &self,
        state: &mut State,
        from: (Area, &Path, &OsStr),
        ino: u64,
        to: Place<'_>,
        caller: &Caller,
    ) -> Result<StampedName> {
        let Place { dir, name } = to;
        let path = state.queues.path(dir)?;
        let naming = match names::classify(name) {
            NameClass::Stamped(stamped) => Naming::Exactly(stamped),
            _ => state.naming_after_release(caller, dir, name),
        };
        let stamped = state.files.free_name(&state.queues, dir, &naming)?;
        let reserved = stamped.to_os_string();
        self.ctx
            .local
            .link(from, (Area::Drafts, &path, &reserved))?;
        let published = self
            .ctx
            .move_draft((Area::Drafts, &path), &stamped, ino, &stamped);
        match &published {
            Ok(stamped) => state.queues.changed(dir, &stamped.to_os_string()),
            // The scratch file has all of it still.
            Err(_) => drop(self.ctx.local.remove(Area::Drafts, &path, &reserved)),
        }
        published
    }
}
