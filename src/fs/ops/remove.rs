//! unlink(2), rmdir(2), mkdir(2), mknod(2) and link(2).

use std::ffi::OsStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::handoff::below::Pins;
use crate::fs::handoff::state::{Content, Fate, FileName};
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::types::{Entry, Request};
use crate::fs::queue::dirs::Place;
use crate::fs::queue::entry::is_empty_pending_md;
use crate::fs::resolve::name::{area_of_new_name, check_name, must_be_free};
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::is_own_name;
use crate::fs::session::released_names::Release;
use crate::fs::state::{Fs, State};
use crate::names::is_hidden;
use crate::names::{self, NameClass, StampedName};
use crate::session::Caller;
use crate::store::dirfd::stat_file;
use crate::store::local::Area;
use crate::store::{Access, Kind};

impl Fs {
    /// unlink(2): deletes a stamped name, retracts through an alias (spec 4.5).
    pub fn unlink(&self, request: Request, parent: NodeId, name: &OsStr) -> Result<()> {
        check_name(name)?;
        let caller = self.caller_if(request, &[(parent, name)], |state| {
            state.dir(parent).is_ok_and(|dir| {
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
        let place = Place { dir, name };
        match state.resolve_own(dir, name, caller.as_ref())? {
            // Only this thread's next LOOKUP is answered ENOENT: the tool may be about to create the name.
            Resolved::Pending => {
                state.replays.pending_unlinked(request.tid, dir);
                Ok(())
            }
            Resolved::Peek | Resolved::Status => Ok(()),
            Resolved::Dir(_) => Err(Error::IsDirectory),
            Resolved::Other(id) => self.unlink_other(state, id, place, caller.as_ref()),
            Resolved::Handoff { doc, own: false } => self.delete(state, doc),
            Resolved::Handoff { doc, own: true } => {
                let caller = caller.ok_or(Error::NotFound)?;
                self.retract(state, doc, place, &caller)
            }
        }
    }

    fn unlink_other(
        &self,
        state: &mut State,
        id: FileId,
        Place { dir, name }: Place<'_>,
        caller: Option<&Caller>,
    ) -> Result<()> {
        let (area, _) = state.files.known(id)?.other().ok_or(Error::NotFound)?;
        let path = state.queues.path(dir)?;
        let local = &self.ctx.local;
        if area == Area::Backing && state.is_ordinary_text(dir, name) {
            // mv and install unlink the file that they are about to replace. A handoff must not replace an ordinary file.
            let kept = local.keep_ordinary_removed(&path, name, self.ctx.clock.now())?;
            if let Some(caller) = caller {
                let release = Release::Removed(kept);
                state.released.add(caller, dir, name, release);
            }
        } else {
            local.remove(area, &path, name)?;
        }
        if area == Area::Backing && state.queues.is_queue(dir) {
            state.queues.ordinary_removed(dir, name);
        }
        state.queues.scratch.remove(area, dir, name);
        state.handoffs().file_gone(id);
        state.queues.changed(dir, name);
        Ok(())
    }

    /// Removes a handoff. If nobody has read it, its files are kept (spec 3.9b).
    fn delete(&self, state: &mut State, id: FileId) -> Result<()> {
        let handoff = state.files.known(id)?;
        if handoff.is_gone() {
            return Err(Error::NotFound);
        }
        let (dir, name) = (handoff.dir, handoff.name.to_os_string());
        let path = state.queues.path(dir)?;
        let (local, now) = (&self.ctx.local, self.ctx.clock.now());
        // An empty handoff that a writer has open may yet get its first byte.
        let is_unread = |size| handoff.name.is_pending() && (size > 0 || handoff.writers > 0);
        let keep = |area| local.with_room(|| local.keep_pending(area, &path, &name, now));
        let draft = match handoff.draft() {
            Some(draft) if handoff.is_new() || draft.progress.is_changed() => {
                Some(stat_file(&*draft.file)?.size)
            }
            Some(_) => Some(0),
            None => None,
        };
        if handoff.is_stored() {
            let meta = self.ctx.store.stat(&path, &name)?;
            let keeps = is_unread(meta.size);
            // Writers may change the file that is moved, so a copy keeps what they have published.
            let needs_copy = keeps && meta.size > 0 && handoff.is_being_written();
            if needs_copy || state.readers.is_read() {
                match handoff.open(&state.queues, Access::READ) {
                    Ok(file) => {
                        let copy = || local.keep_copy(&file, Area::Removed, &path, &name, now);
                        let shown = match needs_copy {
                            true => local.with_room(copy)?.0,
                            false => file,
                        };
                        state.readers.pin(meta.ino, &Arc::new(shown));
                    }
                    // The file's mode forbids even its owner to read it, so that no snapshot has it.
                    Err(Error::AccessDenied) => {}
                    Err(error) => return Err(error),
                }
            }
            match keeps {
                true => keep(Area::Backing)?,
                false => self.ctx.store.remove(&path, &name)?,
            }
        }
        if let Some(size) = draft {
            match is_unread(size) {
                true => keep(handoff.draft_area())?,
                false => local.remove(handoff.draft_area(), &path, &name)?,
            }
        }
        state.handoffs().file_gone(id);
        state.queues.changed(dir, &name);
        Ok(())
    }

    /// Drops an alias. Its handoff is consumed undelivered, and is pending again if the same process creates the name (spec
    /// 4.5g).
    fn retract(
        &self,
        state: &mut State,
        id: FileId,
        alias: Place<'_>,
        caller: &Caller,
    ) -> Result<()> {
        let handoff = state.files.known_mut(id)?;
        let (dir, name) = (handoff.dir, handoff.stamped()?.clone());
        let may_return = match handoff.content {
            Content::Reserved(_) | Content::New(_) => {
                handoff.handoff.fate = Fate::Consume;
                true
            }
            Content::Stored | Content::Editing(_) if name.is_pending() => {
                let path = state.queues.path(dir)?;
                let meta = self.ctx.store.stat(&path, &name.to_os_string())?;
                let has_content = meta.size > 0;
                if has_content {
                    state.pin_handoff(id)?;
                    let done = state.files.stays_as(&state.queues, dir, &name);
                    let now = self.ctx.clock.now();
                    let done = self.ctx.consume_as(&path, &name, &done, meta.mtime, now)?;
                    state.handoffs().moved(id, dir, FileName::Handoff(done));
                    state.files.known_mut(id)?.handoff.written = Some(meta.mtime);
                } else {
                    self.delete(state, id)?;
                }
                has_content
            }
            // A consumed handoff has been delivered, so that it cannot be retracted.
            _ => false,
        };
        state.drop_alias(alias, Some(caller));
        if may_return {
            let release = Release::Retracted(id);
            state.released.add(caller, alias.dir, alias.name, release);
        }
        Ok(())
    }

    /// mkdir(2): makes a queue, or an ordinary directory where its name or its parent says so (spec 3.6). `mode` has the umask
    /// taken off.
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
            Resolved::Dir(child) => self.remove_dir(state, child, Place { dir, name }),
            _ => Err(Error::NotDirectory),
        }
    }

    /// Removes a directory that lists nothing, together with expired files, which are not listed.
    pub(super) fn remove_dir(
        &self,
        state: &mut State,
        dir: DirId,
        Place { dir: parent, name }: Place<'_>,
    ) -> Result<()> {
        let listed = self.entries(state, dir)?;
        // After `.` and `..`.
        if (listed.from(2)).any(|(_, entry)| entry.name != names::PENDING) {
            return Err(Error::NotEmpty);
        }
        if state.queues.is_queue(dir) {
            let path = state.queues.path(dir)?;
            let mut unseen = Vec::new();
            for (name, known) in state.queues.names(dir) {
                if known.kind != Kind::File {
                    continue;
                }
                let is_expired = |stamped| {
                    let meta = self.ctx.store.stat(&path, name)?;
                    state.files.may_delete(&state.queues, dir, &stamped, &meta)
                };
                let stamped = StampedName::parse(name);
                // A file that is neither listed nor expired is a stray, which is adopted later (spec 3.7).
                if !is_empty_pending_md(name, known) && stamped.map(is_expired) != Some(Ok(true)) {
                    return Err(Error::NotEmpty);
                }
                unseen.push(name.to_owned());
            }
            for name in &unseen {
                self.ctx.store.remove(&path, name)?;
            }
        }
        let above = state.queues.path(parent)?;
        self.ctx.local.remove_queue(&above, name)?;
        state.queues.ordinary_removed(parent, name);
        state.queues.drop_queue(dir);
        state.queues.scratch.forget(dir);
        state.queues.dirs.removed(dir);
        state.queues.changed(parent, name);
        Ok(())
    }

    /// link(2) publishes a scratch or hidden file under the new name (spec 4.6). No other file of a queue may have two names
    /// (spec 4.10); in ordinary directories every file may.
    pub fn link(
        &self,
        request: Request,
        node: NodeId,
        parent: NodeId,
        name: &OsStr,
    ) -> Result<Entry> {
        check_name(name)?;
        let caller = self.caller(request);
        let (linked, file, dir) = {
            let state = self.lock();
            let linked = state.nodes.file(node).ok_or(Error::NotPermitted)?;
            let file = state.files.known(linked)?;
            if file.is_handoff() {
                return Err(Error::NotPermitted);
            }
            let file = match self.ctx.options.sync {
                true => Some(file.open(&state.queues, Access::READ)?),
                false => None,
            };
            (linked, file, state.dir(parent)?)
        };
        if let Some(file) = file {
            file.sync_all()?;
        }
        let to = Place { dir, name };
        let (entry, queue) = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let object = self.link_other(state, request, linked, to, &caller)?;
            let entry = self.enter(state, dir, name, &object)?;
            (entry, state.queues.path(dir)?)
        };
        if self.ctx.options.sync {
            self.ctx.store.sync(&queue)?;
        }
        Ok(entry)
    }

    /// Gives an ordinary or scratch file a second name.
    fn link_other(
        &self,
        state: &mut State,
        request: Request,
        id: FileId,
        to: Place<'_>,
        caller: &Caller,
    ) -> Result<Resolved> {
        let Place { dir, name } = to;
        if state.is_anothers(id, Some(caller)) {
            return Err(Error::NotFound);
        }
        self.make_way(state, dir, name);
        must_be_free(&state.resolve_own(dir, name, Some(caller)))?;
        let file = state.files.known(id)?;
        let ino = file.ino;
        let (area, from_name) = file.other().ok_or(Error::NotFound)?;
        let from_name = from_name.to_owned();
        let from_path = state.queues.path(file.dir)?;
        let path = state.queues.path(dir)?;
        let from = (area, from_path.as_path(), from_name.as_os_str());
        let class = names::classify(name);
        let kept_under = match (state.queues.is_queue(file.dir), state.queues.is_queue(dir)) {
            (false, false) => Some(Area::Backing),
            (from_queue, true)
                if (area.is_scratch() || from_queue && is_hidden(&from_name))
                    && !class.is_reserved() =>
            {
                area_of_new_name(name, Some(caller))
            }
            _ => return Err(Error::NotPermitted),
        };
        if let Some(area) = kept_under {
            self.ctx.local.link(from, (area, &path, name))?;
            state.queues.scratch.add(area, dir, name);
            state.queues.changed(dir, name);
            return state.resolve(dir, name, Some(caller));
        }
        let naming = self.naming_of(state, to, Some(caller));
        let reserved = state.files.free_name(&state.queues, dir, &naming)?;
        let file_name = reserved.to_os_string();
        let draft = (Area::Drafts, path.as_path(), file_name.as_os_str());
        self.ctx.local.link(from, draft)?;
        let stamped = self
            .ctx
            .move_draft((Area::Drafts, &path), &reserved, ino, &reserved)
            .inspect_err(|_| {
                // The scratch file still has all of the content.
                let _ = self.ctx.local.remove(Area::Drafts, &path, &file_name);
            })?;
        let own = stamped.to_os_string() != name;
        let doc = self.enter_published(state, dir, stamped, ino, request);
        self.alias_for(state, to, Some(caller), doc);
        state.adopt_handles(id, doc, request.tid);
        Ok(Resolved::Handoff { doc, own })
    }
}
