//! LOOKUP, GETATTR and FORGET.

use std::ffi::OsStr;

use crate::error::{Error, Result};
use crate::fs::ids::{DirId, NodeId};
use crate::fs::inode::table::{Node, NodeTarget};
use crate::fs::inode::types::{Attr, Entry, Request};
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::name::check_name;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::is_own_name;
use crate::fs::state::{Fs, State};
use crate::names;
use crate::store::dirfd::stat_file;

impl Fs {
    /// Finds a name and counts the look-up.
    pub fn lookup(&self, request: Request, parent: NodeId, name: &OsStr) -> Result<Entry> {
        check_name(name)?;
        {
            let mut guard = self.lock();
            let state = &mut *guard;
            let dir = state.dir(parent)?;
            if is_own_name(state, dir, name) {
                // The caller matters if several sessions have a scratch file of this name.
                state.queues.load_scratch(dir)?;
            }
            if let Some(entry) = state.replayed(request, Place { dir, name })? {
                return Ok(entry);
            }
            state.publish_emptied(request, dir, name)?;
            // The thread's previous look-up is over.
            state.looked_up.note(request.tid, dir, name, None, false);
        }
        let caller = self.caller_of_alias(request, parent, name);
        if let Some(caller) = caller.as_ref().filter(|_| name == names::PENDING) {
            self.end_second_look_of_ended(caller);
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let dir = state.dir(parent)?;
        let found = state.resolve(dir, name, caller.as_ref());
        let absent = matches!(found, Err(Error::NotFound));
        let looked_up = &mut state.looked_up;
        looked_up.note(request.tid, dir, name, caller.as_ref(), absent);
        match found? {
            Resolved::Pending if state.replays.take_unlinked_pending(request.tid, dir) => {
                Err(Error::NotFound)
            }
            Resolved::Pending => self.enter_merge(state, request, dir, caller.as_ref()),
            Resolved::Dir(child)
                if !state.nodes.knows_dir(child)
                    && state.nodes.dentries.lock().must_look_up_again(request.tid) =>
            {
                Err(Error::Stale)
            }
            // Threads outside our PID namespace all have the number 0, so that ESTALE cannot lead one of them to another node.
            // Each of their look-ups gets a node of its own, which an open can let stand for another file.
            Resolved::Handoff { doc, own: true } if request.tid == 0 => {
                let what = state.view(doc, Some(Place { dir, name }))?;
                let attr = state.attr_of(&what)?;
                let node = state.nodes.look_up_alone(what);
                Ok(Entry { node, attr })
            }
            object => self.enter(state, dir, name, &object),
        }
    }

    /// A node for what a name means, counted as looked up once.
    pub(in crate::fs) fn enter(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        object: &Resolved,
    ) -> Result<Entry> {
        let place = Place { dir, name };
        let what = match object {
            Resolved::Dir(child) => NodeTarget::Dir(*child),
            Resolved::Handoff { doc, own } => state.view(*doc, own.then_some(place))?,
            Resolved::Other(file) => state.view(*file, None)?,
            Resolved::Pending | Resolved::Peek => NodeTarget::Merge {
                plan: self.plan(state, dir)?,
                peek: *object == Resolved::Peek,
            },
            Resolved::Status => NodeTarget::Status(self.status(state)?.into()),
        };
        state.enter_target(place, what)
    }

    /// The attributes of a node.
    pub fn getattr(&self, id: NodeId) -> Result<Attr> {
        let mut state = self.lock();
        let what = state.known(id)?;
        let Some(file) = state.nodes.get(id).and_then(Node::file) else {
            return state.attr_of(&what);
        };
        let meta = stat_file(&**file)?;
        Ok(Attr {
            ino: state.ino_of(&what, meta.ino),
            meta,
        })
    }

    /// The kernel forgets look-ups of a node.
    pub fn forget(&self, id: NodeId, count: u64) {
        let mut state = self.lock();
        let gone = state.nodes.forget(id, count);
        state.let_go(gone.as_ref());
    }
}
