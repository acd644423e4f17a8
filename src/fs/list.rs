//! Listings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use super::dirs::DirId;
use super::handles::Open;
use super::snapshot::PENDING_INO;
use super::types::{Handle, Listed, NodeId};
use super::{Fs, State};
use crate::error::{Error, Result};
use crate::names::{self, StampedName};
use crate::store::Kind;
use crate::store::beneath::stat_file;
use crate::store::local::Area;

impl Fs {
    /// Opens a directory.
    pub fn opendir(&self, node: NodeId) -> Result<Handle> {
        let mut state = self.lock();
        state.dir(node)?;
        Ok(state.handles.insert(node, Open::Dir(Arc::new([]))))
    }

    /// What the directory lists, `.` and `..` first. It is read anew at offset 0 (rewinddir(3)), and stays as it was
    /// from then on, so that offsets mean the same from one call to the next.
    pub fn readdir(&self, handle: Handle, offset: u64) -> Result<Arc<[Listed]>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let open = state.handles.get(handle).ok_or(Error::BadHandle)?;
        let Open::Dir(listed) = &open.open else {
            return Err(Error::NotDirectory);
        };
        if offset > 0 {
            return Ok(listed.clone());
        }
        let dir = state.dir(open.node)?;
        let mut listed = vec![
            self.dot(state, ".", dir),
            self.dot(state, "..", state.dirs.parent(dir)),
        ];
        listed.extend(self.entries(state, dir)?);
        let listed: Arc<[Listed]> = listed.into();
        if let Some(open) = state.handles.get_mut(handle) {
            open.open = Open::Dir(listed.clone());
        }
        Ok(listed)
    }

    /// Closes a directory.
    pub fn releasedir(&self, handle: Handle) {
        self.lock().handles.remove(handle);
    }

    /// Makes the names of a directory durable.
    pub fn fsyncdir(&self, node: NodeId) -> Result<()> {
        let path = {
            let state = self.lock();
            state.dirs.path(state.dir(node)?).ok_or(Error::Stale)?
        };
        if self.options.sync {
            self.store.sync(&path)?;
        }
        Ok(())
    }

    fn dot(&self, state: &State, name: &str, dir: DirId) -> Listed {
        let ino = state
            .dirs
            .path(dir)
            .and_then(|path| stat_file(self.local.dir(Area::Backing, &path).ok()?).ok())
            .map_or(1, |meta| meta.ino);
        Listed {
            name: name.into(),
            ino,
            kind: Kind::Directory,
        }
    }

    /// Everything that a directory shows, to anybody: no aliases (spec 4.3), nothing expired (spec 7.1).
    pub(super) fn entries(&self, state: &mut State, dir: DirId) -> Result<Vec<Listed>> {
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let mut found: BTreeMap<OsString, (u64, Kind)> = BTreeMap::new();
        if !state.is_queue(dir) {
            for (name, meta) in self.local.list(Area::Backing, &path)? {
                if meta.kind != Kind::Other {
                    found.insert(name, (meta.ino, meta.kind));
                }
            }
            return Ok(listed(found));
        }
        self.load(state, dir)?;
        let now = self.clock.now();
        for (name, known) in state.index.names(dir) {
            let expired = self.retention.expired(known.mtime, now);
            let gone = expired && StampedName::parse(name).is_some_and(|name| !name.is_pending());
            // In the making, or one that cannot be adopted just now: no look-up finds it either.
            let stray = known.kind == Kind::File && self.is_stray(state, dir, name);
            if known.kind == Kind::Directory || !(gone || stray) {
                found.insert(name.clone(), (known.ino, known.kind));
            }
        }
        for (name, meta) in self.local.list(Area::Scratch, &path)? {
            if meta.kind == Kind::File {
                found.insert(name, (meta.ino, Kind::File));
            }
        }
        for (_, doc) in state.docs.iter() {
            if let (true, Some(draft)) =
                (doc.dir == dir && doc.is_new() && !doc.promised, doc.draft())
            {
                found.insert(doc.name.to_os_string(), (draft.ino, Kind::File));
            }
        }
        found.remove(std::ffi::OsStr::new(names::PENDING));
        if !self.options.hide_pending {
            found.insert(names::PENDING.into(), (PENDING_INO, Kind::File));
        }
        Ok(listed(found))
    }
}

fn listed(found: BTreeMap<OsString, (u64, Kind)>) -> Vec<Listed> {
    found
        .into_iter()
        .map(|(name, (ino, kind))| Listed { name, ino, kind })
        .collect()
}
