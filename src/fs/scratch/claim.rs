//! Writing a scratch name of which only another session has a file: the caller gets one of its own (spec 4.6).

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use super::super::dirs::DirId;
use super::super::docs::PlainId;
use super::super::nodes::{Node, What};
use super::super::types::NodeId;
use super::super::{Fs, Request, State};
use super::{Scratch, is_own_name, own_area};
use crate::error::{Error, Result};
use crate::store::Access;
use crate::store::beneath::{self, stat_file};
use crate::store::local::Area;

/// A thread that is about to look a name up again, to write its own file of it.
pub(super) struct Awaited {
    tid: u32,
    dir: DirId,
    name: OsString,
    own: Area,
    since: Instant,
}

/// Of how many threads that is remembered, and how long: the look-ups follow at once.
const AWAITED: usize = 64;
const FOLLOWS: Duration = Duration::from_secs(1);

impl Scratch {
    fn await_look_up(&mut self, tid: u32, dir: DirId, name: &OsStr, own: Area) {
        // Thread 0 is everybody outside our PID namespace.
        if tid != 0 {
            self.awaited.truncate(AWAITED - 1);
            self.awaited.push_front(Awaited {
                tid,
                dir,
                name: name.to_owned(),
                own,
                since: Instant::now(),
            });
        }
    }

    fn awaited(&self, tid: u32, dir: DirId, name: &OsStr) -> Option<Area> {
        let mut awaited = self.awaited.iter();
        let found = awaited.find(|it| it.tid == tid && it.dir == dir && it.name == name)?;
        (found.since.elapsed() < FOLLOWS).then_some(found.own)
    }
}

impl Fs {
    /// A plain file is about to be opened for writing, or cut. If it is another session's scratch file, this caller gets one
    /// of its own, with the bytes of that one if it is to be a `copy`; and the kernel, told that the name is stale, finds it.
    /// A file that has just been renamed or removed is made anew, for the kernel asks again only once. Answers the file to
    /// be opened.
    pub(in crate::fs) fn claim(
        &self,
        request: Request,
        node: NodeId,
        plain: PlainId,
        copy: bool,
    ) -> Result<PlainId> {
        let (area, dir, name) = {
            let state = self.lock();
            let file = state.docs.plain(plain).ok_or(Error::Stale)?;
            if !file.area.is_scratch() || !is_own_name(&state, file.dir, &file.name) {
                return Ok(plain);
            }
            (file.area, file.dir, file.name.clone())
        };
        let caller = self.caller_of(request, dir, &name);
        let own = own_area(&caller);
        let areas = {
            let mut guard = self.lock();
            self.load_scratch(&mut guard, dir)?;
            guard.scratch.areas(dir, &name).to_vec()
        };
        if !areas.contains(&own) {
            self.inherit_from(dir, &name, own, &areas)?;
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        state.scratch.awaited.retain(|it| it.tid != request.tid);
        let found = state.docs.plain(plain).ok_or(Error::Stale)?;
        let gone = found.gone;
        let is_open = state.nodes.get(node).is_some_and(Node::is_open);
        if found.area == own && (!gone || is_open) {
            return Ok(plain);
        }
        if state.scratch.areas(dir, &name).contains(&own) {
            state.scratch.await_look_up(request.tid, dir, &name, own);
            return Err(Error::Stale);
        }
        let ino = self.make_own(state, (area, dir, &name), own, copy)?;
        if !gone || is_open {
            state.scratch.await_look_up(request.tid, dir, &name, own);
            return Err(Error::Stale);
        }
        let made = state.docs.enter_plain(own, dir, &name, ino);
        state.nodes.redirect(node, What::Plain(made));
        state.docs.drop_plain(plain);
        Ok(made)
    }

    /// A thread looks a name up that it was told to look up again: its own file of it is there, even if another of its
    /// session's processes has just renamed that.
    pub(in crate::fs) fn keep_own(
        &self,
        state: &mut State,
        request: Request,
        dir: DirId,
        name: &OsStr,
    ) -> Result<()> {
        // The kernel looks it up twice.
        match state.scratch.awaited(request.tid, dir, name) {
            Some(own) if !state.scratch.areas(dir, name).contains(&own) => {
                self.make_own(state, (own, dir, name), own, false).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn make_own(
        &self,
        state: &mut State,
        (area, dir, name): (Area, DirId, &OsStr),
        own: Area,
        copy: bool,
    ) -> Result<u64> {
        let path = state.dirs.path(dir).ok_or(Error::Stale)?;
        let old = match copy {
            true => match self.local.open_file(area, &path, name, Access::READ) {
                Err(Error::NotFound) => return Err(Error::Stale),
                old => Some(old?),
            },
            false => None,
        };
        // An open does not say the caller's umask.
        let file = self.local.create(own, &path, name, 0o600)?;
        let copied = old.map_or(Ok(()), |old| beneath::copy(&old, &file));
        match copied.and_then(|()| stat_file(&file)) {
            Ok(meta) => {
                state.scratch.add(own, dir, name);
                Ok(meta.ino)
            }
            Err(error) => {
                let _ = self.local.remove(own, &path, name);
                Err(error)
            }
        }
    }
}
