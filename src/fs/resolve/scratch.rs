//! Scratch files that belong to one session each (spec 4.6).
//!
//! Two sessions that both write `notes.md.tmp` and rename it must not get each other's file. While only one session has a file
//! of a name, a LOOKUP finds that file for every session and need not read `/proc`. Before a scratch file is written, renamed
//! or removed, `/proc` tells which session calls.

use std::ffi::OsStr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::fs::handoff::state::FileName;
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::resolve::resolved::Resolved;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass};
use crate::session::Caller;
use crate::store::Kind;
use crate::store::local::Area;

mod claim;
/// How long a living session must not have touched its scratch file before another session can remove the file.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// Does each session have its own file of this name?
pub fn is_own_name(state: &State, dir: DirId, name: &OsStr) -> bool {
    state.queues.is_queue(dir) && names::classify(name) == NameClass::Scratch
}

/// The area with the scratch files of this caller's session.
pub fn own_area(caller: &Caller) -> Area {
    Area::Own(caller.session)
}

impl Fs {
    /// Gives this caller the scratch file that an ended session has left under this name, unless the caller has a file of that
    /// name. Reads `/proc`: never called with the state locked.
    pub(in crate::fs) fn inherit(
        &self,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<()> {
        let Some((own, areas)) = self.others(dir, name, caller)? else {
            return Ok(());
        };
        let mut latest_first = areas.iter().rev().copied();
        let Some(left) = latest_first.find(|area| self.has_ended(*area)) else {
            return Ok(());
        };
        let mut guard = self.lock();
        let state = &mut *guard;
        let path = state.queues.path(dir)?;
        let local = &self.ctx.local;
        match local.rename_new((left, &path, name), (own, &path, name)) {
            Ok(()) => {}
            // Another thread of the same session was quicker.
            Err(Error::Exists | Error::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        }
        state.queues.scratch.remove(left, dir, name);
        state.queues.scratch.add(own, dir, name);
        if let Some(file) = state.files.other_named(left, dir, name) {
            let name = FileName::Other(own, name.to_owned());
            state.files.rename(file, dir, name);
        }
        Ok(())
    }

    /// The area of this caller, and the areas in which other sessions have a scratch file of this name. `None` if the caller
    /// has such a file, too, or if sessions share the files of this name.
    fn others(
        &self,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Option<(Area, Vec<Area>)>> {
        let Some(own) = caller.map(own_area) else {
            return Ok(None);
        };
        let mut state = self.lock();
        if !is_own_name(&state, dir, name) {
            return Ok(None);
        }
        state.queues.load_scratch(dir)?;
        let areas = state.queues.scratch.areas(dir, name);
        Ok((!areas.contains(&own)).then(|| (own, areas.to_vec())))
    }

    /// Has the session ended that this area belongs to? The shared area has files of an earlier version, which belong to no
    /// session.
    fn has_ended(&self, area: Area) -> bool {
        match area {
            Area::Own(session) => !self.resolver.session_alive(&session),
            _ => true,
        }
    }

    /// Removes the scratch files that other sessions have left under a name, if this caller has none. Answers whether any was
    /// removed. A file that a living session may be about to rename stays.
    pub(in crate::fs) fn remove_left(
        &self,
        parent: NodeId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<bool> {
        let dir = self.lock().dir(parent)?;
        let Some((_, areas)) = self.others(dir, name, caller)? else {
            return Ok(false);
        };
        let mut ended = areas.clone();
        ended.retain(|area| self.has_ended(*area));
        let mut guard = self.lock();
        let state = &mut *guard;
        let path = state.queues.path(dir)?;
        let mut removed = false;
        for area in areas {
            let Ok(meta) = self.ctx.local.stat(area, &path, name) else {
                continue;
            };
            let changed = meta.mtime.max(meta.ctime);
            let age = self.ctx.clock.now().duration_since(changed);
            let idle = age.is_ok_and(|age| age >= IDLE) && !state.is_scratch_open(area, meta.ino);
            if !idle && !ended.contains(&area) {
                continue;
            }
            self.ctx.local.remove(area, &path, name)?;
            removed = true;
            state.queues.scratch.remove(area, dir, name);
            if let Some(file) = state.files.other_named(area, dir, name) {
                state.handoffs().file_gone(file);
            }
        }
        Ok(removed)
    }

    /// Removes the scratch files that were not touched for the retention time and that no process has open (spec 4.6).
    pub(in crate::fs) fn sweep_scratch(&self) -> Result<()> {
        let owned = self.ctx.local.owned()?;
        for area in [Area::Scratch].into_iter().chain(owned) {
            let mut found = self.ctx.local.list_all(area)?;
            // Reading a file does not touch it; writing, renaming or changing it does.
            let expired = |time| self.ctx.retention.expired(time, self.ctx.clock.now());
            found.retain(|(_, _, meta)| expired(meta.mtime.max(meta.ctime)));
            for (queue, name, meta) in found {
                let mut state = self.lock();
                if state.is_scratch_open(area, meta.ino) {
                    continue;
                }
                // Another file may have the name by now.
                match self.ctx.local.stat(area, &queue, &name) {
                    Ok(now) if (now.ino, now.ctime) == (meta.ino, meta.ctime) => {}
                    _ => continue,
                }
                self.ctx.local.remove(area, &queue, &name)?;
                // The cache goes by directory, and here only the path is known.
                state.queues.scratch.forget_all();
            }
            if area != Area::Scratch {
                // The lock keeps other threads from making a file there meanwhile.
                let _state = self.lock();
                self.ctx.local.remove_empty_dirs(area)?;
            }
        }
        Ok(())
    }
}

impl State {
    /// The file that a scratch name means to a caller: that of its own session, or else the latest of another session.
    pub(super) fn resolve_scratch(
        &mut self,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Resolved> {
        let area = if names::classify(name) == NameClass::Scratch {
            self.queues.load_scratch(dir)?;
            let areas = self.queues.scratch.areas(dir, name);
            let own = caller.map(own_area).filter(|own| areas.contains(own));
            own.or(areas.last().copied()).ok_or(Error::NotFound)?
        } else {
            Area::Scratch
        };
        let path = self.queues.path(dir)?;
        match self.ctx.local.stat(area, &path, name) {
            Ok(meta) if meta.kind == Kind::File => {
                let name = FileName::Other(area, name.to_owned());
                Ok(Resolved::Other(self.files.stored(dir, name, meta.ino)))
            }
            Ok(_) => Err(Error::NotFound),
            Err(error) => {
                if error.is_absence() {
                    self.queues.scratch.remove(area, dir, name);
                }
                Err(error)
            }
        }
    }

    /// As [`State::resolve`], for a name that is about to be changed: another session's scratch file is not found.
    pub fn resolve_own(
        &mut self,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Resolved> {
        match self.resolve(dir, name, caller)? {
            Resolved::Other(file) if self.is_anothers(file, caller) => Err(Error::NotFound),
            object => Ok(object),
        }
    }

    /// Is this another session's scratch file?
    pub fn is_anothers(&self, id: FileId, caller: Option<&Caller>) -> bool {
        let Some(file) = self.files.get(id) else {
            return false;
        };
        matches!(&file.name, FileName::Other(area, name)
            if area.is_scratch()
                && is_own_name(self, file.dir, name)
                && caller.map(own_area) != Some(*area))
    }

    fn is_scratch_open(&self, area: Area, ino: u64) -> bool {
        self.handles.files().any(|open| {
            let file = self.files.get(open.id);
            file.is_some_and(|file| file.is_other_in(area) && file.ino == ino)
        })
    }
}
