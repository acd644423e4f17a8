//! OPENDIR, READDIR, RELEASEDIR and FSYNCDIR: the names in a directory.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::handoff::state::Content;
use crate::fs::ids::{DirId, Handle, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::listing::Listing;
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::PENDING_INO;
use crate::fs::state::{Fs, State};
use crate::names::{self, StampedName};
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
            true => self.list_queue(state, dir, &path, &mut listing)?,
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

    fn list_queue(
        &self,
        state: &mut State,
        dir: DirId,
        path: &Path,
        listing: &mut Listing,
    ) -> Result<()> {
        state.queues.load(dir)?;
        state.load_scratch(dir)?;
        // Drafts, scratch files and pending.md are not in the cache.
        let mut uncached: HashMap<OsString, u64> = HashMap::new();
        for (name, meta) in self.ctx.local.list(Area::Scratch, path)? {
            if meta.kind == Kind::File {
                uncached.insert(name, meta.ino);
            }
        }
        for (name, area) in state.scratch.names(dir) {
            if let Ok(meta) = self.ctx.local.stat(area, path, name) {
                uncached.insert(name.to_owned(), meta.ino);
            }
        }
        for file in state.files.drafts().filter(|file| file.dir == dir) {
            if let Content::New(draft) = &file.content {
                uncached.insert(file.name.to_os_string(), draft.ino);
            }
        }
        uncached.remove(OsStr::new(names::PENDING));
        if !self.ctx.options.hide_pending {
            uncached.insert(names::PENDING.into(), PENDING_INO);
        }
        for (name, known) in state.queues.names(dir) {
            let is_shown = known.kind == Kind::Directory
                || match StampedName::parse(name) {
                    Some(stamped) => !self.ctx.is_expired(&stamped, known.mtime),
                    // A stray is shown once it is adopted (spec 3.7).
                    None => !state.queues.is_stray(dir, name),
                };
            if is_shown && name != names::PENDING && !uncached.contains_key(name) {
                listing.push(name, known.ino, known.kind);
            }
        }
        for (name, ino) in &uncached {
            listing.push(name, *ino, Kind::File);
        }
        Ok(())
    }
}
