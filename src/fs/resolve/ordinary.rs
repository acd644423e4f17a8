//! Writing the name of an ordinary text file (spec 3.6): an editor edits the file itself, any other program makes a handoff.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::handoff::queue_names::Naming;
use crate::fs::handoff::state::{Content, Origin};
use crate::fs::ids::{DirId, FileId};
use crate::fs::inode::types::{Opened, Request};
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::flags::Flags;
use crate::fs::resolve::opened::Opening;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, Slug};
use crate::programs::Role;
use crate::session::Caller;
use crate::store::Access;
use crate::store::dirfd::stat_file;
use crate::store::local::Area;

/// How many readers of ordinary files are remembered; the oldest is forgotten first.
const MANY_READERS: usize = 256;

impl Fs {
    /// OPEN of an ordinary or scratch file. `ino` is the inode number of the node.
    pub(in crate::fs) fn open_other(
        &self,
        opening: Opening,
        id: FileId,
        ino: u64,
    ) -> Result<Opened> {
        let Opening { request, flags, .. } = opening;
        let (id, mut guard) = match flags.write {
            true => self.claim(request, opening.node, id, flags.needs_old_bytes())?,
            false => (id, self.lock()),
        };
        let Some((dir, name)) = guard.ordinary_text(id, ino)? else {
            guard.replays.forget(request.tid, id);
            return guard.open_shown(opening, id);
        };
        drop(guard);
        let caller = self.caller_of(request, dir, &name);
        let mut guard = self.lock();
        let state = &mut *guard;
        if flags.write {
            let place = Place { dir, name: &name };
            let to = state.write_ordinary(request, id, place, &caller, flags)?;
            let to = ReplayTarget::File(to);
            let replays = &mut state.replays;
            return Err(replays.look_again(request.tid, dir, &name, to, Some(&caller)));
        }
        let opened = state.open_shown(opening, id)?;
        if let Some(process) = caller.process
            && self.ctx.plays(&caller, Role::StreamEditor)
        {
            if state.ordinary_readers.len() >= MANY_READERS {
                state.ordinary_readers.pop_front();
            }
            state.ordinary_readers.push_back((process, dir, name));
        }
        Ok(opened)
    }

    /// truncate(2) of an ordinary text file by its path: the cut copy is a handoff. False for any other file.
    pub(in crate::fs) fn truncate_over(
        &self,
        request: Request,
        (id, ino): (FileId, u64),
        size: u64,
    ) -> Result<bool> {
        let Some((dir, name)) = self.lock().ordinary_text(id, ino)? else {
            return Ok(false);
        };
        let caller = self.caller_of(request, dir, &name);
        let place = Place { dir, name: &name };
        let (new, file) = {
            let mut state = self.lock();
            let new = state.draft_over(request, place, Flags::new(libc::O_WRONLY))?;
            let draft = state.files.known_mut(new)?.draft_mut();
            let draft = draft.ok_or(Error::Stale)?;
            draft.progress.change();
            let file = draft.file.clone();
            if let Err(error) = file.set_len(size) {
                state.handoffs().drop_draft(new);
                return Err(error.into());
            }
            state.draft_opened(request, place, &caller, new);
            (new, file)
        };
        self.publish_written(new, &file, false)?;
        Ok(true)
    }

    /// Keeps the content of an ordinary text file that a rename is about to replace (spec 3.9).
    pub(in crate::fs) fn keep_ordinary(&self, path: &Path, name: &OsStr) -> Result<()> {
        let local = &self.ctx.local;
        let file = match local.open_file(Area::Backing, path, name, Access::READ) {
            Ok(file) => file,
            // The file's mode forbids even its owner to read it.
            Err(Error::NotFound | Error::AccessDenied) => return Ok(()),
            Err(error) => return Err(error),
        };
        if stat_file(&file)?.size > 0 {
            let now = self.ctx.clock.now();
            local.with_room(|| local.keep_copy(&file, Area::Replaced, path, name, now))?;
        }
        Ok(())
    }
}

impl State {
    /// Is this the name of an ordinary text file of a queue, which no handoff's writer may overwrite?
    pub fn is_ordinary_text(&self, dir: DirId, name: &OsStr) -> bool {
        let is_ordinary = || {
            let path = self.queues.join(dir, name);
            path.is_ok_and(|path| self.ctx.local.is_ordinary(&path))
        };
        self.queues.is_queue(dir) && names::is_adoptable(name) && is_ordinary()
    }

    /// Does this caller edit an ordinary file, rather than write a handoff? An editor does, and a stream editor that has read
    /// the file; an agent does not.
    pub fn edits_ordinary(&self, place: Place<'_>, caller: Option<&Caller>) -> bool {
        let Some(caller) = caller else {
            return false;
        };
        let Some(process) = caller.process else {
            return false;
        };
        let has_read = || {
            let mut readers = self.ordinary_readers.iter();
            readers.any(|(by, dir, name)| {
                *by == process && *dir == place.dir && name.as_os_str() == place.name
            })
        };
        self.ctx.plays(caller, Role::Editor)
            || self.ctx.plays(caller, Role::StreamEditor) && has_read()
    }

    /// The name, if the node shows the stored file of an ordinary text file. `None` where it shows the draft of an edit.
    fn ordinary_text(&self, id: FileId, ino: u64) -> Result<Option<(DirId, OsString)>> {
        let file = self.files.known(id)?;
        let drafted = file.draft().is_some_and(|draft| draft.ino == ino);
        Ok(match file.other() {
            Some((Area::Backing, name)) if !drafted && self.is_ordinary_text(file.dir, name) => {
                Some((file.dir, name.to_owned()))
            }
            _ => None,
        })
    }

    /// The file that a writer of an ordinary text file writes: for an editor the same file, which has the draft of an edit by
    /// then, for any other program a new handoff.
    fn write_ordinary(
        &mut self,
        request: Request,
        id: FileId,
        place: Place<'_>,
        caller: &Caller,
        flags: Flags,
    ) -> Result<FileId> {
        if !self.edits_ordinary(place, Some(caller)) {
            return self.draft_over(request, place, flags);
        }
        match self.files.known(id)?.content {
            // Writers that come meanwhile share the draft.
            Content::Editing(_) => {}
            Content::Stored => self.handoffs().begin_edit(id, !flags.truncate)?,
            // Removed since the look-up.
            _ => return Err(Error::Stale),
        }
        Ok(id)
    }

    /// CREATE of a name that turns out to be an ordinary text file's: the handoff that this begins. An editor is answered
    /// ESTALE, looks the name up again, and opens the file.
    pub fn create_over_text(
        &mut self,
        request: Request,
        id: FileId,
        place: Place<'_>,
        caller: &Caller,
        flags: Flags,
    ) -> Result<FileId> {
        let written = self.write_ordinary(request, id, place, caller, flags)?;
        if written == id {
            let Place { dir, name } = place;
            let to = ReplayTarget::File(id);
            let replays = &mut self.replays;
            return Err(replays.look_again(request.tid, dir, name, to, Some(caller)));
        }
        self.draft_opened(request, place, caller, written);
        Ok(written)
    }

    /// A new handoff under the name of an ordinary file, as if the name were free.
    fn draft_over(&mut self, request: Request, place: Place<'_>, flags: Flags) -> Result<FileId> {
        let Place { dir, name } = place;
        let naming = match names::classify(name) {
            NameClass::Stamped(stamped) => Naming::Nearly(stamped),
            _ => Naming::Stamp(Slug::from_written(name)),
        };
        let path = self.queues.path(dir)?;
        let local = &self.ctx.local;
        let old = local.open_file(Area::Backing, &path, name, Access::READ);
        let mode = match &old {
            Ok(file) => stat_file(file)?.mode,
            Err(_) => 0o600,
        };
        let old = match flags.needs_old_bytes() {
            true => Some(old?),
            false => None,
        };
        let mut handoffs = self.handoffs();
        let new = handoffs.reserve_draft(request, dir, &naming, mode)?;
        if !flags.truncate {
            // A draft that is opened and never written is dropped on close.
            let origin = Origin::OverOrdinary(dir, name.to_owned());
            handoffs.files.known_mut(new)?.handoff.origin = origin;
        }
        if let Some(old) = old {
            handoffs.fill_draft(new, &old)?;
        }
        Ok(new)
    }
}
