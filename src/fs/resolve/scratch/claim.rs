//! Writing a scratch name of which only another session has a file: the caller gets one of its own (spec 4.6).

use std::ffi::OsStr;
use std::time::Instant;

use parking_lot::MutexGuard;

use super::{Awaited, Scratch, is_own_name, own_area};
use crate::error::{Error, Result};
use crate::fs::ids::{DirId, NodeId, PlainId};
use crate::fs::inode::table::{Node, NodeTarget};
use crate::fs::inode::types::Request;
use crate::fs::session::estale_replay::REPLAY_WITHIN;
use crate::fs::state::{Fs, State};
use crate::store::Access;
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;

/// Of how many threads that is remembered.
const AWAITED: usize = 64;

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
        (found.since.elapsed() < REPLAY_WITHIN).then_some(found.own)
    }
}

impl Fs {
    /// A plain file is about to be opened for writing, or cut. If it is another session's scratch file, this caller gets one
    /// of its own, with the bytes of that one if it is to be a `copy`; and the kernel, told that the name is stale, finds it.
    /// A file that has just been renamed or removed is made anew, for the kernel asks again only once. Answers the file to
    /// be opened, and the lock, under which it is to be opened: else it might be renamed before.
    pub(in crate::fs) fn claim(
        &self,
        request: Request,
        node: NodeId,
        plain: PlainId,
        copy: bool,
    ) -> Result<(PlainId, MutexGuard<'_, State>)> {
        let state = self.lock();
        let plain = state.nodes.plain(node).unwrap_or(plain);
        let file = state.docs.plain(plain).ok_or(Error::Stale)?;
        if !file.area.is_scratch() || !is_own_name(&state, file.dir, &file.name) {
            return Ok((plain, state));
        }
        let (area, dir, name) = (file.area, file.dir, file.name.clone());
        drop(state);
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
        let plain = state.nodes.plain(node).unwrap_or(plain);
        let found = state.docs.plain(plain).ok_or(Error::Stale)?;
        let gone = found.gone;
        let open = state.nodes.get(node).and_then(Node::file);
        // Opened through /proc/self/fd. What was renamed is open under its new name, and not to be written through this one.
        let is_removed = open.is_some_and(|file| stat_file(&**file).is_ok_and(|it| it.nlink == 0));
        let is_open = open.is_some();
        if found.area == own && (!gone || is_removed) {
            return Ok((plain, guard));
        }
        let ino = if state.scratch.areas(dir, &name).contains(&own) {
            let path = state.queues.path(dir)?;
            self.ctx.local.stat(own, &path, &name)?.ino
        } else {
            self.make_own(state, (area, dir, &name), own, copy)?
        };
        if !gone || is_open {
            state.scratch.await_look_up(request.tid, dir, &name, own);
            return Err(Error::Stale);
        }
        let made = state.docs.enter_plain(own, dir, &name, ino);
        state.nodes.redirect(node, NodeTarget::Plain(made));
        state.docs.drop_plain(plain);
        Ok((made, guard))
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
        let path = state.queues.path(dir)?;
        let old = match copy {
            true => match self.ctx.local.open_file(area, &path, name, Access::READ) {
                Err(Error::NotFound) => return Err(Error::Stale),
                old => Some(old?),
            },
            false => None,
        };
        // An open does not say the caller's umask.
        let file = self.ctx.local.create(own, &path, name, 0o600)?;
        let copied = old.map_or(Ok(()), |old| dirfd::copy(&old, &file));
        match copied.and_then(|()| stat_file(&file)) {
            Ok(meta) => {
                state.scratch.add(own, dir, name);
                Ok(meta.ino)
            }
            Err(error) => {
                let _ = self.ctx.local.remove(own, &path, name);
                Err(error)
            }
        }
    }
}
