//! Writing a scratch name of which only another session has a file: the caller gets one of its own (spec 4.6).

use std::ffi::OsStr;

use parking_lot::MutexGuard;

use super::{is_own_name, own_area};
use crate::error::{Error, Result};
use crate::fs::handoff::state::FileName;
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::table::{Node, NodeTarget};
use crate::fs::inode::types::Request;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::{Fs, State};
use crate::store::Access;
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;

impl Fs {
    /// An ordinary or scratch file is about to be opened for writing, or cut. Answers the file to be opened, and the lock
    /// under which it must be opened, lest it is renamed before.
    ///
    /// If it is another session's scratch file, this caller gets one of its own, with the bytes of that one if it is to be
    /// a `copy`, and ESTALE makes the kernel look the name up again. A file that was renamed or removed since its look-up is
    /// made anew, because the kernel looks up again only once.
    pub(in crate::fs) fn claim(
        &self,
        request: Request,
        node: NodeId,
        id: FileId,
        copy: bool,
    ) -> Result<(FileId, MutexGuard<'_, State>)> {
        let state = self.lock();
        let id = state.nodes.file(node).unwrap_or(id);
        let file = state.files.known(id)?;
        let FileName::Other(area, name) = file.name.clone() else {
            return Ok((id, state));
        };
        let dir = file.dir;
        if !area.is_scratch() || !is_own_name(&state, dir, &name) {
            return Ok((id, state));
        }
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
        state.replays.forget_scratch(request.tid);
        let id = state.nodes.file(node).unwrap_or(id);
        let found = state.files.known(id)?;
        let (gone, is_own) = (found.is_gone(), found.is_other_in(own));
        let open = state.nodes.get(node).and_then(Node::file);
        // A removed file is opened through /proc/self/fd. A renamed one must not be written under its old name.
        let is_removed = open.is_some_and(|file| stat_file(&**file).is_ok_and(|it| it.nlink == 0));
        let is_open = open.is_some();
        if is_own && (!gone || is_removed) {
            return Ok((id, guard));
        }
        let ino = if state.scratch.areas(dir, &name).contains(&own) {
            let path = state.queues.path(dir)?;
            self.ctx.local.stat(own, &path, &name)?.ino
        } else {
            self.make_own(state, (area, dir, &name), own, copy)?
        };
        if !gone || is_open {
            let to = ReplayTarget::Scratch(own);
            return Err(match request.tid {
                // Everybody outside our PID namespace.
                0 => Error::Stale,
                tid => state.replays.look_again(tid, dir, &name, to, None),
            });
        }
        let own_name = FileName::Other(own, name);
        let made = state.files.stored(dir, own_name, ino);
        let what = NodeTarget::File {
            file: made,
            alias: None,
            ino,
        };
        state.nodes.redirect(node, what);
        state.handoffs().let_go_file(id);
        Ok((made, guard))
    }

    /// A thread looks up a name again after ESTALE, and must find its session's own file, even if another process of the
    /// session has renamed that meanwhile.
    pub(in crate::fs) fn keep_own(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        own: Area,
    ) -> Result<()> {
        // The kernel looks it up twice.
        if !state.scratch.areas(dir, name).contains(&own) {
            self.make_own(state, (own, dir, name), own, false)?;
        }
        Ok(())
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
        let copy = || old.map_or(Ok(()), |old| dirfd::copy(&old, &file));
        let meta = self.ctx.filled(&file, (own, &path, name), copy)?;
        state.scratch.add(own, dir, name);
        Ok(meta.ino)
    }
}
