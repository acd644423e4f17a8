//! Listings.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::ids::{DirId, Handle, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::types::Listed;
use crate::fs::pending::snapshot::PENDING_INO;
use crate::fs::{Fs, State};
use crate::names::{self, StampedName};
use crate::store::Kind;
use crate::store::dirfd::stat_file;
use crate::store::local::Area;

/// What a directory listed when reading it began. 100,000 names take some five megabytes, for as long as it is open.
#[derive(Debug, Default)]
pub struct Listing {
    pub(super) entries: Vec<Item>,
    /// All the names, one after the other.
    names: Vec<u8>,
    /// How many entries, from the first on, are the answer to the first request for names with attributes; see [`readdirplus`](super::readdirplus).
    pub(super) first: u64,
    /// Whether the kernel may use its names without asking.
    pub(super) cacheable: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    ino: u64,
    start: u32,
    len: u8,
    kind: Kind,
}

impl Listing {
    fn push(&mut self, name: &OsStr, ino: u64, kind: Kind) {
        // No name is longer than a byte tells, and no directory holds gigabytes of them.
        let (Ok(start), Ok(len)) = (u32::try_from(self.names.len()), u8::try_from(name.len()))
        else {
            return;
        };
        self.names.extend_from_slice(name.as_bytes());
        self.entries.push(Item {
            ino,
            start,
            len,
            kind,
        });
    }

    fn sort(&mut self, from: usize) {
        let names = &self.names;
        let order = |a: &Item, b: &Item| name_in(names, *a).cmp(name_in(names, *b));
        if let Some(entries) = self.entries.get_mut(from..) {
            entries.sort_by(order);
        }
    }

    /// The entries from this offset on, each with the offset of the next one.
    pub fn from(&self, offset: u64) -> impl Iterator<Item = (u64, Listed<'_>)> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.entries.get(from..).unwrap_or_default();
        rest.iter().enumerate().map(move |(i, item)| {
            let listed = Listed {
                name: name_in(&self.names, *item),
                ino: item.ino,
                kind: item.kind,
            };
            ((from + i) as u64 + 1, listed)
        })
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = Listed<'_>> {
        self.from(0).map(|(_, listed)| listed)
    }
}

fn name_in(names: &[u8], item: Item) -> &OsStr {
    let start = item.start as usize;
    let name = names.get(start..start + usize::from(item.len));
    OsStr::from_bytes(name.unwrap_or_default())
}

impl Fs {
    /// Opens a directory.
    pub fn opendir(&self, node: NodeId) -> Result<Handle> {
        let mut state = self.lock();
        state.dir(node)?;
        let listing = Open::Dir(Arc::default());
        Ok(state.handles.insert(node, listing))
    }

    /// What the directory lists, `.` and `..` first. It is read anew at offset 0 (rewinddir(3)), and stays as it was
    /// from then on, so that offsets mean the same from one call to the next.
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
        state.nodes.dentries.arrived(handle);
        let open = state.handles.get(handle).ok_or(Error::BadHandle)?;
        let Open::Dir(listing) = &open.open else {
            return Err(Error::NotDirectory);
        };
        let dir = state.dir(open.node)?;
        if offset > 0 {
            return Ok((dir, listing.clone()));
        }
        let mut listing = Listing::default();
        for (name, dir) in [(".", dir), ("..", state.dirs.parent(dir))] {
            listing.push(
                OsStr::new(name),
                self.ino_of_dir(state, dir),
                Kind::Directory,
            );
        }
        self.list_into(&mut listing, state, dir)?;
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
        state.nodes.dentries.arrived(handle);
        state.handles.remove(handle);
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

    fn ino_of_dir(&self, state: &State, dir: DirId) -> u64 {
        state
            .dirs
            .path(dir)
            .and_then(|path| stat_file(self.local.dir(Area::Backing, &path).ok()?).ok())
            .map_or(1, |meta| meta.ino)
    }

    /// Everything that a directory shows, to anybody: no aliases (spec 4.3), nothing expired (spec 7.1).
    pub(in crate::fs) fn entries(&self, state: &mut State, dir: DirId) -> Result<Listing> {
        let mut listing = Listing::default();
        self.list_into(&mut listing, state, dir)?;
        Ok(listing)
    }

    fn list_into(&self, listing: &mut Listing, state: &mut State, dir: DirId) -> Result<()> {
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let from = listing.entries.len();
        if !state.is_queue(dir) {
            for (name, meta) in self.local.list(Area::Backing, &path)? {
                if meta.kind != Kind::Other {
                    listing.push(&name, meta.ino, meta.kind);
                }
            }
            listing.sort(from);
            return Ok(());
        }
        self.load(state, dir)?;
        let now = self.clock.now();
        // What the index does not know of.
        let mut more: BTreeMap<OsString, u64> = BTreeMap::new();
        for (name, meta) in self.local.list(Area::Scratch, &path)? {
            if meta.kind == Kind::File {
                more.insert(name, meta.ino);
            }
        }
        self.load_scratch(state, dir)?;
        for (name, area) in state.scratch.names(dir) {
            if let Ok(meta) = self.local.stat(area, &path, name) {
                more.insert(name.to_owned(), meta.ino);
            }
        }
        for doc in state.docs.drafts() {
            if let (true, Some(draft)) = (doc.dir == dir && !doc.promised, doc.draft()) {
                more.insert(doc.name.to_os_string(), draft.ino);
            }
        }
        more.remove(OsStr::new(names::PENDING));
        if !self.options.hide_pending {
            more.insert(names::PENDING.into(), PENDING_INO);
        }
        for (name, known) in state.index.names(dir) {
            let shown = known.kind == Kind::Directory
                || match StampedName::parse(name) {
                    Some(stamped) => {
                        stamped.is_pending() || !self.retention.expired(known.mtime, now)
                    }
                    // Not adopted yet: no look-up finds it either.
                    None => !self.is_stray(state, dir, name),
                };
            if shown && name != names::PENDING && !more.contains_key(name) {
                listing.push(name, known.ino, known.kind);
            }
        }
        for (name, ino) in &more {
            listing.push(name, *ino, Kind::File);
        }
        listing.sort(from);
        Ok(())
    }
}
