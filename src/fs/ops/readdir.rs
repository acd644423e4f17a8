//! OPENDIR, READDIR, RELEASEDIR and FSYNCDIR: the names in a directory.

use std::ffi::OsStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::ids::{DirId, Handle, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::listing::Listing;
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::PENDING_INO;
use crate::fs::state::{Fs, State};
use crate::names::{self};
use crate::store::Kind;
use crate::store::local::Area;

impl Fs {
    /// Opens a directory.
    pub fn opendir(&self, node: NodeId) -> Result<Handle> {
        let mut state = self.lock();
        state.dir(node)?;
        let listing = Open::Dir(Arc::default());
        Ok(state.handles.insert(node, listing))
    }

    /// The names of a directory, `.` and `..` first. Offset 0 reads the directory anew (rewinddir(3)); at other offsets the
    /// listing stays the same, so that offsets keep their meaning.
    pub fn readdir(&self, handle: Handle, offset: u64) -> Result<Arc<Listing>> {
        let mut guard = self.lock();
        self.listed(&mut guard, handle, offset)
            .map(|(_, listing)| listing)
    }

    pub(super) fn listed(
        &self,
        state: &mut State,
        handle: Handle,
        offset: u64,
    ) -> Result<(DirId, Arc<Listing>)> {
        state.nodes.dentries.lock().arrived(handle);
        let open = state.handles.get(handle).ok_or(Error::BadHandle)?;
        let Open::Dir(listing) = &open.open else {
            return Err(Error::NotDirectory);
        };
        let dir = state.dir(open.node)?;
        if offset > 0 {
            return Ok((dir, listing.clone()));
        }
        let mut listing = self.entries(state, dir)?;
        self.choose_first(&mut listing, state, dir);
        let listing = Arc::new(listing);
        if let Some(open) = state.handles.get_mut(handle) {
            open.open = Open::Dir(listing.clone());
        }
        Ok((dir, listing))
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: Handle) {
        let mut state = self.lock();
        state.nodes.dentries.lock().arrived(handle);
        state.handles.remove(handle);
    }

    /// Makes the names of a directory durable.
    pub fn fsyncdir(&self, node: NodeId) -> Result<()> {
        let path = {
            let state = self.lock();
            state.queues.path(state.dir(node)?)?
        };
        if self.ctx.options.sync {
            self.ctx.store.sync(&path)?;
        }
        Ok(())
    }

    /// `.` and `..`, and then every name that a directory shows to any session: no aliases (spec 4.3), nothing expired (7.1).
    pub(super) fn entries(&self, state: &mut State, dir: DirId) -> Result<Listing> {
        let mut listing = Listing::default();
        for (name, dir) in [(".", dir), ("..", state.queues.dirs.parent(dir))] {
            let attr = state.attr_of(&NodeTarget::Dir(dir));
            let ino = attr.map_or(NodeId::ROOT.0, |attr| attr.ino);
            listing.push(OsStr::new(name), ino, Kind::Directory);
        }
        let path = state.queues.path(dir)?;
        match state.queues.is_queue(dir) {
            true => {
                let push = |name: &OsStr, ino, kind| listing.push(name, ino, kind);
                state.files.each_name(&mut state.queues, dir, push)?;
                if !self.ctx.options.hide_pending {
                    listing.push(OsStr::new(names::PENDING), PENDING_INO, Kind::File);
                }
            }
            false => {
                for (name, meta) in self.ctx.local.list(Area::Backing, &path)? {
                    if meta.kind != Kind::Other {
                        listing.push(&name, meta.ino, meta.kind);
                    }
                }
            }
        }
        listing.sort();
        Ok(listing)
    }
}
