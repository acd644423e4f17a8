//! OPENDIR, READDIR, RELEASEDIR and FSYNCDIR: what a directory lists.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::ids::{DirId, Handle, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::listing::Listing;
use crate::fs::inode::types::PENDING_INO;
use crate::fs::state::{Fs, State};
use crate::names::{self, StampedName};
use crate::store::Kind;
use crate::store::dirfd::stat_file;
use crate::store::local::Area;

impl Fs {
    /// Opens a directory.
    pub fn opendir(&self, node: NodeId) -> Result<Handle> {
        let mut state = self.lock();
        state.dir(node)?;
        let listing = Open::Dir(Arc::default());
        Ok(state.handles.insert(node, listing))
    }

    /// What the directory lists, `.` and `..` first. The directory is read anew at offset 0 (rewinddir(3)). The listing then
    /// stays as it is, so that offsets mean the same from one call to the next.
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

    fn ino_of_dir(&self, state: &State, dir: DirId) -> u64 {
        state
            .queues
            .path(dir)
            .and_then(|path| stat_file(self.ctx.local.dir(Area::Backing, &path)?))
            .map_or(1, |meta| meta.ino)
    }

    /// `.` and `..`, and then everything that a directory shows to any session: no aliases (spec 4.3), nothing expired (7.1).
    pub(in crate::fs) fn entries(&self, state: &mut State, dir: DirId) -> Result<Listing> {
        let mut listing = Listing::default();
        for (name, dir) in [(".", dir), ("..", state.queues.dirs.parent(dir))] {
            let ino = self.ino_of_dir(state, dir);
            listing.push(OsStr::new(name), ino, Kind::Directory);
        }
        let path = state.queues.path(dir)?;
        if !state.queues.is_queue(dir) {
            for (name, meta) in self.ctx.local.list(Area::Backing, &path)? {
                if meta.kind != Kind::Other {
                    listing.push(&name, meta.ino, meta.kind);
                }
            }
            listing.sort();
            return Ok(listing);
        }
        state.queues.load(dir)?;
        let now = self.ctx.clock.now();
        // Drafts, scratch files and pending.md are not in the index.
        let mut more: BTreeMap<OsString, u64> = BTreeMap::new();
        for (name, meta) in self.ctx.local.list(Area::Scratch, &path)? {
            if meta.kind == Kind::File {
                more.insert(name, meta.ino);
            }
        }
        state.load_scratch(dir)?;
        for (name, area) in state.scratch.names(dir) {
            if let Ok(meta) = self.ctx.local.stat(area, &path, name) {
                more.insert(name.to_owned(), meta.ino);
            }
        }
        for doc in state.files.drafts() {
            if let (true, Some(draft)) = (doc.dir == dir && !doc.is_reserved(), doc.draft()) {
                more.insert(doc.name.to_os_string(), draft.ino);
            }
        }
        more.remove(OsStr::new(names::PENDING));
        if !self.ctx.options.hide_pending {
            more.insert(names::PENDING.into(), PENDING_INO);
        }
        for (name, known) in state.queues.names(dir) {
            let shown = known.kind == Kind::Directory
                || match StampedName::parse(name) {
                    Some(stamped) => {
                        stamped.is_pending() || !self.ctx.retention.expired(known.mtime, now)
                    }
                    // A stray is shown once it is adopted (spec 3.7).
                    None => !state.queues.is_stray(dir, name),
                };
            if shown && name != names::PENDING && !more.contains_key(name) {
                listing.push(name, known.ino, known.kind);
            }
        }
        for (name, ino) in &more {
            listing.push(name, *ino, Kind::File);
        }
        listing.sort();
        Ok(listing)
    }
}
