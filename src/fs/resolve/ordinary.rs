//! Writing the name of an ordinary text file (spec 3.6): an editor edits the file itself, anybody else makes a handoff.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::error::{Error, Result};
use crate::fs::handoff::draft::Naming;
use crate::fs::handoff::state::{Origin, PlainEdit};
use crate::fs::ids::{DirId, DocId, Handle, NodeId, PlainId};
use crate::fs::inode::dirs::Place;
use crate::fs::inode::handles::Open;
use crate::fs::inode::types::Opened;
use crate::fs::resolve::flags::Flags;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::{Fs, Request, State};
use crate::names::{self, NameClass, Slug};
use crate::programs::Role;
use crate::session::Caller;
use crate::store::Access;
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;

/// Of how many readers of ordinary files it is remembered.
const MANY_READERS: usize = 256;

impl Fs {
    /// Is this the name of an ordinary text file of a queue, which no handoff's writer may overwrite?
    pub(in crate::fs) fn is_ordinary_text(&self, state: &State, dir: DirId, name: &OsStr) -> bool {
        state.is_queue(dir)
            && names::is_adoptable(name)
            && state
                .dirs
                .join(dir, name)
                .is_some_and(|path| self.local.is_ordinary(&path))
    }

    /// Does this caller edit an ordinary file, rather than write a handoff? An editor does; a stream editor if it has read
    /// it; an agent does not.
    pub(in crate::fs) fn edits_ordinary(
        &self,
        state: &State,
        place: Place<'_>,
        caller: Option<&Caller>,
    ) -> bool {
        let Some((caller, process)) = caller.and_then(|it| Some((it, it.process?))) else {
            return false;
        };
        let has_read = || {
            let readers = state.ordinary_readers.iter();
            readers
                .filter(|(by, _, _)| *by == process)
                .any(|(_, dir, name)| (*dir, name.as_os_str()) == (place.dir, place.name))
        };
        self.plays(caller, Role::Editor) || self.plays(caller, Role::StreamEditor) && has_read()
    }

    /// open(2) of a file that is no handoff.
    pub(in crate::fs) fn open_plain_node(
        &self,
        mut guard: MutexGuard<'_, State>,
        request: Request,
        node: NodeId,
        id: PlainId,
        flags: Flags,
    ) -> Result<Opened> {
        let (dir, name) = {
            let state = &mut *guard;
            let plain = state.docs.plain(id).ok_or(Error::Stale)?;
            let text = plain.area == Area::Backing
                && !plain.gone
                && self.is_ordinary_text(state, plain.dir, &plain.name);
            if !text {
                state.replays.forget(request.tid, ReplayTarget::Edit(id));
                return self.open_plain(state, node, id, flags);
            }
            (plain.dir, plain.name.clone())
        };
        drop(guard);
        let caller = self.caller_of(request, dir, &name);
        let mut guard = self.lock();
        let state = &mut *guard;
        if !flags.write {
            let opened = self.open_plain(state, node, id, flags)?;
            if let (Some(process), true) = (caller.process, self.plays(&caller, Role::StreamEditor))
            {
                if state.ordinary_readers.len() >= MANY_READERS {
                    state.ordinary_readers.pop_front();
                }
                state.ordinary_readers.push_back((process, dir, name));
            }
            return Ok(opened);
        }
        let place = Place { dir, name: &name };
        let to = if self.edits_ordinary(state, place, Some(&caller)) {
            ReplayTarget::Edit(self.begin_plain_edit(state, id, !flags.truncate)?)
        } else {
            ReplayTarget::Doc(self.draft_over(state, request, place, flags)?)
        };
        // Others may have the node open, and go on reading the ordinary file. This thread looks the name up again, and is
        // given another node.
        state
            .replays
            .add(request.tid, dir, &name, to, Some(&caller));
        Err(Error::Stale)
    }

    /// CREATE of a name that turns out to be an ordinary text file's: the handoff that it begins. An editor looks it up again
    /// and opens it.
    pub(in crate::fs) fn create_over_text(
        &self,
        state: &mut State,
        request: Request,
        plain: PlainId,
        place: Place<'_>,
        caller: &Caller,
        flags: Flags,
    ) -> Result<DocId> {
        if self.edits_ordinary(state, place, Some(caller)) {
            let edit = self.begin_plain_edit(state, plain, !flags.truncate)?;
            let edit = ReplayTarget::Edit(edit);
            state
                .replays
                .add(request.tid, place.dir, place.name, edit, Some(caller));
            return Err(Error::Stale);
        }
        let doc = self.draft_over(state, request, place, flags)?;
        self.keep_promise(state, request, place.dir, place.name, caller, doc);
        Ok(doc)
    }

    /// A new handoff under the name of an ordinary file, as if the name were free.
    pub(in crate::fs) fn draft_over(
        &self,
        state: &mut State,
        request: Request,
        place: Place<'_>,
        flags: Flags,
    ) -> Result<DocId> {
        let Place { dir, name } = place;
        let naming = match names::classify(name) {
            NameClass::Stamped(stamped) => Naming::Nearly(stamped),
            _ => Naming::Stamp(Slug::from_written(name)),
        };
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let old = (self.local).open_file(Area::Backing, &path, name, Access::READ);
        let mode = match &old {
            Ok(file) => stat_file(file)?.mode,
            Err(_) => 0o600,
        };
        let copied = !flags.truncate && !flags.append;
        let old = if copied { Some(old?) } else { None };
        let doc = self.reserve_draft(state, request, dir, &naming, mode)?;
        let made = state.docs.get_mut(doc).ok_or(Error::NotFound)?;
        if !flags.truncate {
            // Opened and not written, it is nothing.
            made.origin = Origin::OverOrdinary(dir, name.to_owned());
        }
        if let (Some(old), Some(draft)) = (old, made.draft())
            && let Err(error) = self.local.with_room(|| dirfd::copy(&old, &draft.file))
        {
            self.drop_draft(state, doc);
            return Err(error);
        }
        Ok(doc)
    }

    /// truncate(2) of an ordinary text file by its path: the cut copy is a handoff. `None` for any other file.
    pub(in crate::fs) fn truncate_over(
        &self,
        request: Request,
        id: PlainId,
        size: u64,
    ) -> Result<Option<()>> {
        let (dir, name) = {
            let state = self.lock();
            match state.docs.plain(id) {
                Some(plain)
                    if plain.area == Area::Backing
                        && !plain.gone
                        && self.is_ordinary_text(&state, plain.dir, &plain.name) =>
                {
                    (plain.dir, plain.name.clone())
                }
                _ => return Ok(None),
            }
        };
        let caller = self.caller_of(request, dir, &name);
        let (doc, file) = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let place = Place { dir, name: &name };
            let doc = self.draft_over(state, request, place, Flags::new(libc::O_WRONLY))?;
            let draft = state.docs.get_mut(doc).and_then(|doc| doc.draft_mut());
            let draft = draft.ok_or(Error::NotFound)?;
            draft.file.set_len(size)?;
            draft.progress.change();
            let file = draft.file.clone();
            self.keep_promise(state, request, dir, &name, &caller, doc);
            (doc, file)
        };
        self.commit(doc, &file, false).map(Some)
    }

    /// Begins to edit an ordinary file: what is written is in a file of its own, until it is closed.
    fn begin_plain_edit(&self, state: &mut State, id: PlainId, copy: bool) -> Result<PlainId> {
        let plain = state.docs.plain(id).ok_or(Error::Stale)?;
        let (dir, name, seen) = (plain.dir, plain.name.clone(), plain.seen);
        let known = state.docs.plain_named(Area::Edits, dir, &name);
        let path = state.dirs.path(dir).ok_or(Error::Stale)?;
        if let Some(edit) = known
            && state.docs.plain(edit).is_some_and(|it| it.edit.is_some())
        {
            return Ok(edit);
        }
        let old = (self.local).open_file(Area::Backing, &path, &name, Access::READ)?;
        let meta = stat_file(&old)?;
        let create = || self.local.create(Area::Edits, &path, &name, meta.mode);
        let file = match create() {
            Err(Error::Exists) => {
                // Left behind by an edit that could not be published.
                let now = self.clock.now();
                self.local.keep(Area::Edits, &path, &name, now)?;
                create()?
            }
            file => file?,
        };
        let copied = self.admit(&file).and_then(|()| match copy {
            true => self.local.with_room(|| dirfd::copy(&old, &file)),
            false => Ok(()),
        });
        let ino = match copied.and_then(|()| stat_file(&file)) {
            Ok(meta) => meta.ino,
            Err(error) => {
                let _ = self.local.remove(Area::Edits, &path, &name);
                return Err(error);
            }
        };
        let edit = state.docs.enter_plain(Area::Edits, dir, &name, ino);
        if let Some(plain) = state.docs.plain_mut(edit) {
            // vim refuses to write where the file that it opened is not the one that it looked at.
            plain.seen = Some(seen.unwrap_or(meta.ino));
            plain.edit = Some(PlainEdit {
                file: Arc::new(file),
                modified: !copy,
                damaged: false,
                writers: 0,
            });
        }
        Ok(edit)
    }

    /// A descriptor of an edited ordinary file was closed: what was written takes its place. `last` tells that nobody else
    /// has it open.
    pub(in crate::fs) fn close_plain_edit(
        &self,
        request: Option<Request>,
        id: PlainId,
        last: bool,
    ) -> Result<()> {
        let file = match self.lock().docs.plain(id).and_then(|it| it.edit.as_ref()) {
            Some(edit) if edit.modified => edit.file.clone(),
            _ => return Ok(()),
        };
        if request.is_some_and(|it| self.resolver.dying_by_signal(it.tid)) {
            if let Some(edit) = self.lock().docs.edit_mut(id) {
                edit.damaged = true;
            }
            return Ok(());
        }
        // A first close before anything is written: nothing of it is to be made safe yet.
        if !last && stat_file(&*file)?.size == 0 {
            return Ok(());
        }
        if self.options.sync {
            file.sync_all()?;
        }
        let path = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let plain = state.docs.plain(id).ok_or(Error::Stale)?;
            if plain.edit.as_ref().is_none_or(|edit| edit.damaged) {
                return Ok(());
            }
            let (dir, name) = (plain.dir, plain.name.clone());
            let path = state.dirs.path(dir).ok_or(Error::Stale)?;
            self.keep_ordinary(&path, &name)?;
            let from = (Area::Edits, path.as_path(), name.as_os_str());
            self.local.rename(from, (Area::Backing, &path, &name))?;
            if let Some(old) = state.docs.plain_named(Area::Backing, dir, &name) {
                state.docs.plain_gone(old);
                state.nodes.detach_plain(old);
            }
            state.docs.plain_renamed(id, Area::Backing, dir, &name);
            if let Some(plain) = state.docs.plain_mut(id) {
                plain.edit = None;
            }
            self.touch(state, dir, &name);
            path
        };
        self.sync_names(&[path])
    }

    /// A handle of an edited ordinary file is closed for good.
    pub(in crate::fs) fn release_plain_edit(&self, handle: Handle) {
        let edited = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let open = state.handles.get(handle).map(|it| &it.open);
            let Some(Open::Plain {
                plain, write: true, ..
            }) = open
            else {
                return;
            };
            let plain = *plain;
            state.docs.edit_mut(plain).and_then(|edit| {
                edit.writers = edit.writers.saturating_sub(1);
                (edit.writers == 0).then_some(plain)
            })
        };
        let Some(edited) = edited else { return };
        if let Err(error) = self.close_plain_edit(None, edited, true) {
            log::error!(
                "an edited ordinary file cannot be put in its place ({error}); the edit is kept with the replaced versions"
            );
        }
        let mut guard = self.lock();
        if !guard.replays.is_awaited(ReplayTarget::Edit(edited)) {
            self.drop_plain_edit(&mut guard, edited);
        }
    }

    /// An edit that nobody has open any more, and that was not published.
    pub(in crate::fs) fn drop_plain_edit(&self, state: &mut State, id: PlainId) {
        let Some(plain) = state.docs.plain(id).filter(|it| it.edit.is_some()) else {
            return;
        };
        let written = plain.edit.as_ref().is_some_and(|edit| edit.modified);
        let (name, path) = (plain.name.clone(), state.dirs.path(plain.dir));
        let Some(path) = path else { return };
        let dropped = match written {
            true => (self.local).keep(Area::Edits, &path, &name, self.clock.now()),
            false => self.local.remove(Area::Edits, &path, &name),
        };
        if let Err(error) = dropped {
            log::warn!(
                "{}: the edit that was not finished stays with the edits ({error})",
                path.join(&name).display()
            );
        }
        if let Some(plain) = state.docs.plain_mut(id) {
            plain.edit = None;
        }
        if state.nodes.has_plain(id) {
            state.docs.plain_gone(id);
            state.nodes.detach_plain(id);
        } else {
            state.docs.drop_plain(id);
        }
    }

    /// Keeps what an edit, a rename or an unlink is about to take from an ordinary text file (spec 3.9).
    pub(in crate::fs) fn keep_ordinary(&self, path: &Path, name: &OsStr) -> Result<()> {
        match (self.local).open_file(Area::Backing, path, name, Access::READ) {
            Ok(file) if stat_file(&file)?.size > 0 => {
                let now = self.clock.now();
                let copy = || (self.local).keep_copy(&file, Area::Replaced, path, name, now);
                self.local.with_room(copy).map(drop)
            }
            // Its owner took the right to read it away, and so nobody does.
            Ok(_) | Err(Error::NotFound | Error::AccessDenied) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl State {
    /// A write failed: what is in the edit of an ordinary file is not what its writer meant (spec 4.9).
    pub(in crate::fs) fn damage_plain_edit(&mut self, handle: Handle) {
        if let Some(Open::Plain { plain, .. }) = self.handles.get(handle).map(|it| &it.open)
            && let Some(edit) = self.docs.edit_mut(*plain)
        {
            edit.damaged = true;
        }
    }
}
