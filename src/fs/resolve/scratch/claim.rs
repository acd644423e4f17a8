//! Writing a scratch name of which only another session has a file: the caller gets a file of its own (spec 4.6).

use parking_lot::MutexGuard;

use super::{is_own_name, own_area};
use crate::error::{Error, Result};
use crate::fs::handoff::state::FileName;
use crate::fs::ids::{FileId, NodeId};
use crate::fs::inode::table::Node;
use crate::fs::inode::types::Request;
use crate::fs::queue::dirs::Place;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::{Fs, State};
use crate::store::Access;
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;

impl Fs {
    /// Called before an ordinary or scratch file is opened for writing, or cut. Answers the file to open, and the lock that the
    /// caller must hold until the file is open: another thread could rename the file before.
    ///
    /// If the file is another session's scratch file, this caller gets a file of its own, with the same bytes if `copy` says
    /// so, and ESTALE makes the kernel look the name up again. A file that was renamed or removed since its look-up is made
    /// anew without ESTALE, because the kernel retries only once.
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
        self.inherit(dir, &name, Some(&caller))?;
        let mut guard = self.lock();
        let state = &mut *guard;
        state.replays.forget_scratch(request.tid);
        let id = state.nodes.file(node).unwrap_or(id);
        let file = state.files.known(id)?;
        let (is_gone, is_own) = (file.is_gone(), file.is_other_in(own));
        let open = state.nodes.get(node).and_then(Node::file);
        // A removed file may be opened again, through /proc/self/fd. A renamed file must not be written under its old name.
        let is_removed =
            open.is_some_and(|file| stat_file(&**file).is_ok_and(|meta| meta.nlink == 0));
        let is_open = open.is_some();
        if is_own && (!is_gone || is_removed) {
            return Ok((id, guard));
        }
        let ino = if state.queues.scratch.areas(dir, &name).contains(&own) {
            let path = state.queues.path(dir)?;
            self.ctx.local.stat(own, &path, &name)?.ino
        } else {
            let place = Place { dir, name: &name };
            state.make_own(place, own, copy.then_some(area))?
        };
        if !is_gone || is_open {
            let to = ReplayTarget::Scratch(own);
            return Err(match request.tid {
                // All threads outside our PID namespace.
                0 => Error::Stale,
                tid => state.replays.look_again(tid, dir, &name, to, None),
            });
        }
        let own_file = state.files.stored(dir, FileName::Other(own, name), ino);
        let what = state.view(own_file, None)?;
        state.nodes.redirect(node, what);
        state.handoffs().let_go_file(id);
        Ok((own_file, guard))
    }
}

impl State {
    /// Makes a session's own scratch file in the area `own`, with the bytes of the file in the area `copied`. Answers the
    /// inode number.
    pub fn make_own(&mut self, place: Place<'_>, own: Area, copied: Option<Area>) -> Result<u64> {
        let Place { dir, name } = place;
        let path = self.queues.path(dir)?;
        let local = &self.ctx.local;
        let old = match copied {
            Some(area) => match local.open_file(area, &path, name, Access::READ) {
                Err(Error::NotFound) => return Err(Error::Stale),
                old => Some(old?),
            },
            None => None,
        };
        // An open does not say the caller's umask.
        let file = local.create(own, &path, name, 0o600)?;
        let copy = || old.map_or(Ok(()), |old| dirfd::copy(&old, &file));
        let meta = self.ctx.filled(&file, (own, &path, name), copy)?;
        self.queues.scratch.add(own, dir, name);
        Ok(meta.ino)
    }
}
