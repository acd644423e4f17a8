//! Writing the name of an ordinary text file (spec 3.6): an editor edits the file itself, anybody else makes a handoff.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::handoff::free_name::Naming;
use crate::fs::handoff::state::{Content, Origin};
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::types::Opened;
use crate::fs::inode::types::Request;
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::flags::Flags;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, Slug};
use crate::programs::Role;
use crate::session::Caller;
use crate::store::Access;
use crate::store::dirfd::stat_file;
use crate::store::local::Area;

/// How many readers of ordinary files are remembered.
const MANY_READERS: usize = 256;

impl Fs {
    /// Is this the name of an ordinary text file of a queue, which no handoff's writer may overwrite?
    pub(in crate::fs) fn is_ordinary_text(&self, state: &State, dir: DirId, name: &OsStr) -> bool {
        state.queues.is_queue(dir)
            && names::is_adoptable(name)
            && state
                .queues
                .join(dir, name)
                .is_ok_and(|path| self.ctx.local.is_ordinary(&path))
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
        self.ctx.plays(caller, Role::Editor)
            || self.ctx.plays(caller, Role::StreamEditor) && has_read()
    }

    /// open(2) of a file that is no handoff. `ino` is the inode number of the node.
    pub(in crate::fs) fn open_other(
        &self,
        request: Request,
        node: NodeId,
        (id, ino): (FileId, u64),
        flags: Flags,
    ) -> Result<Opened> {
        let (id, mut guard) = match flags.write {
            true => self.claim(request, node, id, !flags.truncate && !flags.append)?,
            false => (id, self.lock()),
        };
        let state = &mut *guard;
        let Some((dir, name)) = self.ordinary_text(state, (id, ino))? else {
            state.replays.forget(request.tid, id);
            return self.open_shown(state, request, node, id, flags);
        };
        drop(guard);
        let caller = self.caller_of(request, dir, &name);
        let mut guard = self.lock();
        let state = &mut *guard;
        if !flags.write {
            let opened = self.open_shown(state, request, node, id, flags)?;
            if let (Some(process), true) =
                (caller.process, self.ctx.plays(&caller, Role::StreamEditor))
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
            self.edit_ordinary(state, id, flags)?;
            id
        } else {
            self.draft_over(state, request, place, flags)?
        };
        let to = ReplayTarget::File(to);
        Err(state
            .replays
            .look_again(request.tid, dir, &name, to, Some(&caller)))
    }

    /// Where the stored file behind a node is an ordinary text file: its name. `None` for the draft of an edit, too.
    fn ordinary_text(
        &self,
        state: &State,
        (id, ino): (FileId, u64),
    ) -> Result<Option<(DirId, OsString)>> {
        let file = state.files.known(id)?;
        let drafted = file.draft().is_some_and(|draft| draft.ino == ino);
        Ok(match file.other() {
            Some((Area::Backing, name))
                if !drafted && self.is_ordinary_text(state, file.dir, name) =>
            {
                Some((file.dir, name.to_owned()))
            }
            _ => None,
        })
    }

    /// Begins the edit of an ordinary text file. Writers that come meanwhile share its draft.
    fn edit_ordinary(&self, state: &mut State, id: FileId, flags: Flags) -> Result<()> {
        match state.files.known(id)?.content {
            Content::Editing(_) => Ok(()),
            Content::Stored => state.handoffs().begin_edit(id, !flags.truncate),
            // Removed since it was looked up.
            _ => Err(Error::Stale),
        }
    }

    /// CREATE of a name that turns out to be an ordinary text file's: the handoff that it begins. An editor looks it up again
    /// and opens it.
    pub(in crate::fs) fn create_over_text(
        &self,
        state: &mut State,
        request: Request,
        id: FileId,
        place: Place<'_>,
        caller: &Caller,
        flags: Flags,
    ) -> Result<FileId> {
        if self.edits_ordinary(state, place, Some(caller)) {
            self.edit_ordinary(state, id, flags)?;
            let to = ReplayTarget::File(id);
            let Place { dir, name } = place;
            return Err(state
                .replays
                .look_again(request.tid, dir, name, to, Some(caller)));
        }
        let draft = self.draft_over(state, request, place, flags)?;
        self.draft_opened(state, request, (place.dir, place.name), caller, draft);
        Ok(draft)
    }

    /// A new handoff under the name of an ordinary file, as if the name were free.
    pub(in crate::fs) fn draft_over(
        &self,
        state: &mut State,
        request: Request,
        place: Place<'_>,
        flags: Flags,
    ) -> Result<FileId> {
        let Place { dir, name } = place;
        let naming = match names::classify(name) {
            NameClass::Stamped(stamped) => Naming::Nearly(stamped),
            _ => Naming::Stamp(Slug::from_written(name)),
        };
        let path = state.queues.path(dir)?;
        let old = self
            .ctx
            .local
            .open_file(Area::Backing, &path, name, Access::READ);
        let mode = match &old {
            Ok(file) => stat_file(file)?.mode,
            Err(_) => 0o600,
        };
        let copied = !flags.truncate && !flags.append;
        let old = if copied { Some(old?) } else { None };
        let doc = state
            .handoffs()
            .reserve_draft(request, dir, &naming, mode)?;
        if !flags.truncate {
            // A draft that is opened and never written is dropped.
            let made = state.files.known_mut(doc)?;
            made.handoff.origin = Origin::OverOrdinary(dir, name.to_owned());
        }
        if let Some(old) = old {
            state.handoffs().fill_draft(doc, &old)?;
        }
        Ok(doc)
    }

    /// truncate(2) of an ordinary text file by its path: the cut copy is a handoff. `None` for any other file.
    pub(in crate::fs) fn truncate_over(
        &self,
        request: Request,
        file: (FileId, u64),
        size: u64,
    ) -> Result<Option<()>> {
        let Some((dir, name)) = self.ordinary_text(&self.lock(), file)? else {
            return Ok(None);
        };
        let caller = self.caller_of(request, dir, &name);
        let (doc, file) = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let place = Place { dir, name: &name };
            let doc = self.draft_over(state, request, place, Flags::new(libc::O_WRONLY))?;
            let draft = state.files.known_mut(doc)?.draft_mut();
            let draft = draft.ok_or(Error::Stale)?;
            draft.progress.change();
            let file = draft.file.clone();
            if let Err(error) = file.set_len(size) {
                state.handoffs().drop_draft(doc);
                return Err(error.into());
            }
            self.draft_opened(state, request, (dir, &name), &caller, doc);
            (doc, file)
        };
        self.publish_written(doc, &file, false).map(Some)
    }

    /// Keeps the content that a rename is about to take from an ordinary text file (spec 3.9).
    pub(in crate::fs) fn keep_ordinary(&self, path: &Path, name: &OsStr) -> Result<()> {
        match self
            .ctx
            .local
            .open_file(Area::Backing, path, name, Access::READ)
        {
            Ok(file) if stat_file(&file)?.size > 0 => {
                let now = self.ctx.clock.now();
                let copy = || {
                    self.ctx
                        .local
                        .keep_copy(&file, Area::Replaced, path, name, now)
                };
                self.ctx.local.with_room(copy).map(drop)
            }
            // The file's mode forbids even its owner to read it.
            Ok(_) | Err(Error::NotFound | Error::AccessDenied) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
