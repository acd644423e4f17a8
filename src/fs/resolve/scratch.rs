//! Scratch files that belong to one session each (spec 4.6).
//!
//! Two sessions that both write `notes.md.tmp` and rename it must not meet. While only one session has the name, each
//! session may read it, so that a look-up need not ask `/proc` for its caller. Writing, renaming and removing ask.

use std::ffi::OsStr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::fs::handoff::state::FileName;
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::table::Names;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass};
use crate::session::Caller;
use crate::store::Kind;
use crate::store::local::Area;

mod claim;
pub(in crate::fs) mod table;

/// How long nobody must have touched a session's scratch file before another session can remove it.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// Is this a name of which each session has its own file?
pub(in crate::fs) fn is_own_name(state: &State, dir: DirId, name: &OsStr) -> bool {
    state.queues.is_queue(dir) && names::classify(name) == NameClass::Scratch
}

/// Where a scratch file that this caller makes belongs.
pub(in crate::fs) fn area_for(name: &OsStr, caller: Option<&Caller>) -> Area {
    match (names::classify(name), caller) {
        (NameClass::Scratch, Some(caller)) => own_area(caller),
        _ => Area::Scratch,
    }
}

fn own_area(caller: &Caller) -> Area {
    Area::Own(caller.session)
}

impl Fs {
    /// Reads which sessions have scratch files in a queue, unless that is known.
    pub(in crate::fs) fn load_scratch(&self, state: &mut State, dir: DirId) -> Result<()> {
        if state.scratch.is_read(dir) {
            return Ok(());
        }
        let path = state.queues.path(dir)?;
        let mut found = Vec::new();
        // An earlier version kept all of them together. Those belong to nobody.
        for area in [Area::Scratch].into_iter().chain(self.ctx.local.owned()?) {
            for (name, meta) in self.ctx.local.list(area, &path)? {
                if meta.kind == Kind::File && names::classify(&name) == NameClass::Scratch {
                    found.push((meta.mtime, name, area));
                }
            }
        }
        found.sort();
        let mut names: Names = Names::new();
        for (_, name, area) in found {
            names.entry(name).or_default().push(area);
        }
        state.scratch.set(dir, names);
        Ok(())
    }

    /// What a scratch name means to a caller: its own file, or else another session's.
    pub(in crate::fs) fn resolve_scratch(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Resolved> {
        let path = state.queues.path(dir)?;
        if names::classify(name) != NameClass::Scratch {
            let meta = self.ctx.local.stat(Area::Scratch, &path, name)?;
            return match meta.kind {
                Kind::File => Ok(state.scratch_file(Area::Scratch, dir, name, meta.ino)),
                _ => Err(Error::NotFound),
            };
        }
        self.load_scratch(state, dir)?;
        let own = caller.map(own_area);
        let areas = state.scratch.areas(dir, name);
        let own = own.filter(|own| areas.contains(own));
        let Some(area) = own.or_else(|| areas.last().copied()) else {
            return Err(Error::NotFound);
        };
        match self.ctx.local.stat(area, &path, name) {
            Ok(meta) => Ok(state.scratch_file(area, dir, name, meta.ino)),
            Err(error) => {
                if error.is_absence() {
                    state.scratch.remove(area, dir, name);
                }
                Err(error)
            }
        }
    }

    /// As [`Fs::resolve`], for what is about to be changed: a scratch file of another session is not there.
    pub(in crate::fs) fn resolve_own(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Resolved> {
        match self.resolve(state, dir, name, caller)? {
            Resolved::Other(plain) if state.is_anothers(plain, caller) => Err(Error::NotFound),
            object => Ok(object),
        }
    }

    /// A file that an ended session has left under this name becomes this caller's, unless the caller has one already. Reads
    /// `/proc`: never called with the state locked.
    pub(in crate::fs) fn inherit(
        &self,
        parent: NodeId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<()> {
        match self.others(parent, name, caller)? {
            Some((dir, own, areas)) => self.inherit_from(dir, name, own, &areas),
            None => Ok(()),
        }
    }

    /// The other sessions' files of a name of which this caller has none, and where its own would be.
    fn others(
        &self,
        parent: NodeId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Option<(DirId, Area, Vec<Area>)>> {
        let Some(own) = caller.map(own_area) else {
            return Ok(None);
        };
        let mut guard = self.lock();
        let state = &mut *guard;
        let dir = state.dir(parent)?;
        if !is_own_name(state, dir, name) {
            return Ok(None);
        }
        self.load_scratch(state, dir)?;
        let areas = state.scratch.areas(dir, name);
        Ok((!areas.contains(&own)).then(|| (dir, own, areas.to_vec())))
    }

    /// Has the session ended whose area this is? Files of an earlier version are nobody's.
    fn has_ended(&self, area: Area) -> bool {
        match area {
            Area::Own(session) => !self.resolver.session_alive(&session),
            _ => true,
        }
    }

    fn inherit_from(&self, dir: DirId, name: &OsStr, own: Area, areas: &[Area]) -> Result<()> {
        let mut latest_first = areas.iter().rev().copied();
        let Some(left) = latest_first.find(|area| self.has_ended(*area)) else {
            return Ok(());
        };
        let mut guard = self.lock();
        let state = &mut *guard;
        let path = state.queues.path(dir)?;
        match self
            .ctx
            .local
            .rename_new((left, &path, name), (own, &path, name))
        {
            Ok(()) => {}
            // Another thread of the same session was quicker.
            Err(Error::Exists | Error::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        }
        state.scratch.remove(left, dir, name);
        state.scratch.add(own, dir, name);
        if let Some(file) = state.files.other_named(left, dir, name) {
            let name = FileName::Other(own, name.to_owned());
            state.files.rename(file, dir, name);
        }
        Ok(())
    }

    /// Removes the files that other sessions have left under a name of which this caller has none; answers whether there were
    /// any. A file that a living session may be about to rename stays.
    pub(in crate::fs) fn remove_left(
        &self,
        parent: NodeId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<bool> {
        let Some((dir, _, areas)) = self.others(parent, name, caller)? else {
            return Ok(false);
        };
        let ended: Vec<Area> = areas
            .iter()
            .copied()
            .filter(|area| self.has_ended(*area))
            .collect();
        let mut guard = self.lock();
        let state = &mut *guard;
        let path = state.queues.path(dir)?;
        let mut removed = false;
        for area in areas {
            let Ok(meta) = self.ctx.local.stat(area, &path, name) else {
                continue;
            };
            let age = self
                .ctx
                .clock
                .now()
                .duration_since(meta.mtime.max(meta.ctime));
            let idle = age.is_ok_and(|age| age >= IDLE) && !state.is_scratch_open(area, meta.ino);
            if !idle && !ended.contains(&area) {
                continue;
            }
            self.ctx.local.remove(area, &path, name)?;
            removed = true;
            state.scratch.remove(area, dir, name);
            if let Some(file) = state.files.other_named(area, dir, name) {
                state.handoffs().file_gone(file);
            }
        }
        Ok(removed)
    }

    /// Removes the scratch files that nobody has touched for the retention time and nobody has open (spec 4.6).
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
                // The queue is known by its path only.
                state.scratch.forget_all();
            }
            if area != Area::Scratch {
                // Not while somebody makes a file there.
                let _state = self.lock();
                self.ctx.local.remove_empty_dirs(area)?;
            }
        }
        Ok(())
    }
}

impl State {
    fn scratch_file(&mut self, area: Area, dir: DirId, name: &OsStr, ino: u64) -> Resolved {
        let name = FileName::Other(area, name.to_owned());
        Resolved::Other(self.files.stored(dir, name, ino))
    }

    /// Is this a scratch file of another session?
    pub(in crate::fs) fn is_anothers(&self, id: FileId, caller: Option<&Caller>) -> bool {
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
