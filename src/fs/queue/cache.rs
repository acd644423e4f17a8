//! The queues, and what is cached of each.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::fs::ctx::Ctx;
use crate::fs::ids::DirId;
use crate::fs::queue::dentry_cache::DentryCache;
use crate::fs::queue::dirs::{DirKind, Dirs};
use crate::fs::queue::entry::{CacheEntry, known, same};
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::queue::names::{Pending, Queue};
use crate::fs::queue::retry::{Ours, Retries, Seen};
use crate::names::StampedName;
use crate::store::{Meta, Watch};

/// The directories of the mount, and what is cached of those that are queues.
pub struct Queues {
    pub ctx: Arc<Ctx>,
    /// Told of every change of a name.
    pub(super) kernel: Arc<Mutex<DentryCache>>,
    pub dirs: Dirs,
    pub(super) cached: HashMap<DirId, Queue>,
    pub(super) by_watch: HashMap<Watch, DirId>,
    /// Changed names that could not be looked at, or strays that are not adopted yet: tried again before the next use.
    pub(super) retries: Retries,
    /// The last suffix that a name got, where several files wanted the name (spec 3.3).
    pub(super) suffixes: HashMap<(DirId, StampedName), u32>,
    /// Incremented at every change; the key of every cached result.
    pub generation: u64,
}

impl Queues {
    /// Nothing is cached yet.
    pub fn new(ctx: Arc<Ctx>, kernel: Arc<Mutex<DentryCache>>) -> Queues {
        Queues {
            ctx,
            kernel,
            dirs: Dirs::default(),
            cached: HashMap::new(),
            by_watch: HashMap::new(),
            retries: Retries::new(),
            suffixes: HashMap::new(),
            generation: 0,
        }
    }

    /// The path of a directory from the root, which has the empty one.
    pub fn path(&self, dir: DirId) -> Result<PathBuf> {
        self.dirs.path(dir)
    }

    /// The path of a name in a directory.
    pub fn join(&self, dir: DirId, name: &OsStr) -> Result<PathBuf> {
        self.dirs.path(dir).map(|path| path.join(name))
    }

    /// Is this directory a queue, rather than an ordinary directory?
    pub fn is_queue(&self, dir: DirId) -> bool {
        self.dirs.kind(dir) == DirKind::Queue
    }

    /// The meaning of a name has changed, or its attributes: the kernel must not use what it was told.
    pub fn name_changed(&self) {
        self.kernel.lock().changed();
    }

    /// The names of a cached queue: those that are not pending first, then the pending ones, each part in order.
    pub fn names(&self, dir: DirId) -> impl Iterator<Item = (&OsStr, &CacheEntry)> {
        self.cached.get(&dir).into_iter().flat_map(Queue::iter)
    }

    /// The directories in a cached queue.
    pub(super) fn subdirectories(&self, dir: DirId) -> impl Iterator<Item = (&OsStr, &CacheEntry)> {
        self.cached.get(&dir).into_iter().flat_map(Queue::dirs)
    }

    /// The pending handoffs of a cached queue, in order of their names.
    pub fn pending(&self, dir: DirId) -> impl Iterator<Item = (&Arc<OsStr>, &Pending)> {
        self.cached.get(&dir).into_iter().flat_map(Queue::pending)
    }

    /// Is the queue cached, without this name?
    pub fn lacks(&self, dir: DirId, name: &StampedName) -> bool {
        let queue = self.cached.get(&dir);
        queue.is_some_and(|queue| queue.get(&name.to_os_string()).is_none())
    }

    /// As [`Queues::lacks`], for a queue that is watched. The answer may be outdated: for callers that a rename without replacing
    /// protects anyway.
    pub fn seems_to_lack(&self, dir: DirId, name: &StampedName) -> bool {
        self.is_watched(dir) && self.lacks(dir, name)
    }

    /// Is the queue cached, and does the store tell its changes?
    pub fn is_watched(&self, dir: DirId) -> bool {
        let queue = self.cached.get(&dir);
        queue.is_some_and(|queue| queue.watch.is_some())
    }

    /// How many names are cached.
    pub fn len(&self) -> usize {
        self.cached.values().map(Queue::len).sum()
    }

    /// What is cached of a name.
    pub fn get(&self, dir: DirId, name: &OsStr) -> Option<&CacheEntry> {
        self.cached.get(&dir)?.get(name)
    }

    /// The shared allocation of a name.
    pub fn key(&self, dir: DirId, name: &OsStr) -> Option<Arc<OsStr>> {
        self.cached.get(&dir)?.key(name).cloned()
    }

    pub(super) fn get_mut(&mut self, dir: DirId, name: &OsStr) -> Option<&mut CacheEntry> {
        self.cached.get_mut(&dir)?.get_mut(name)
    }

    /// Says whether the last byte is a newline.
    pub fn note_newline(&mut self, dir: DirId, name: &OsStr, newline: bool) {
        if let Some(known) = self.get_mut(dir, name) {
            known.newline = Some(newline);
        }
    }

    /// The last byte may be about to change. The times need not tell: on many kernels they move in ticks of some milliseconds.
    pub fn forget_newline(&mut self, dir: DirId, name: &StampedName) {
        if let Some(known) = self.get_mut(dir, &name.to_os_string()) {
            known.newline = None;
        }
    }

    /// The last writer through the mount has closed this file.
    pub fn written_by_us(&mut self, dir: DirId, name: &StampedName) {
        if let Some(known) = self.get_mut(dir, &name.to_os_string()) {
            known.ours = true;
        }
    }

    /// See [`Queue::seen_from`].
    pub fn seen_from(&mut self, top: DirId, dir: DirId, prefix: &Path) {
        if let Some(queue) = self.cached.get_mut(&dir) {
            queue.seen_from(top, prefix);
        }
    }

    /// See [`Queue::keep_entry`].
    pub fn keep_entry(&mut self, top: DirId, name: &OsStr, entry: &Arc<MergeEntry>) {
        if let Some(queue) = self.cached.get_mut(&entry.dir) {
            queue.keep_entry(top, name, entry);
        }
    }

    /// See [`Queue::taken`].
    pub fn taken(&mut self, dir: DirId, name: &StampedName) {
        if let Some(queue) = self.cached.get_mut(&dir) {
            queue.taken(name);
        }
    }

    /// See [`Queue::after`].
    pub fn after(
        &self,
        dir: DirId,
        last: Option<&OsStr>,
        count: usize,
    ) -> Vec<(Arc<OsStr>, Option<CacheEntry>)> {
        let queue = self.cached.get(&dir);
        queue.map_or(Vec::new(), |queue| queue.after(last, count))
    }

    /// Drops what is cached of a queue: the next use lists it.
    pub fn drop_queue(&mut self, dir: DirId) {
        if let Some(queue) = self.cached.remove(&dir) {
            self.generation += 1;
            if let Some(watch) = queue.watch
                && self.by_watch.get(&watch) == Some(&dir)
            {
                self.by_watch.remove(&watch);
            }
        }
    }

    /// The mount has renamed a file of which stat(2) says this, but for the mtime. False if the cache says something else of the
    /// file: then both names are to be looked at. What other programs do to them meanwhile, the store will tell.
    pub fn moved(&mut self, dir: DirId, from: &OsStr, to: &OsStr, meta: &Meta) -> bool {
        let Some(queue) = self.cached.get_mut(&dir) else {
            return true;
        };
        let Some(old) = queue.get(from) else {
            return false;
        };
        if (old.kind, old.ino, old.size) != (meta.kind, meta.ino, meta.size) {
            return false;
        }
        queue.remove(from);
        let known = CacheEntry {
            ours: true,
            ..known(meta)
        };
        queue.insert(to, known);
        self.generation += 1;
        true
    }

    /// Caches an entry, or that there is none.
    pub(super) fn set(&mut self, dir: DirId, name: &OsStr, known: Option<CacheEntry>) {
        let Some(queue) = self.cached.get_mut(&dir) else {
            return;
        };
        let changed = match (known, queue.get(name).copied()) {
            (None, old) => {
                queue.remove(name);
                old.is_some()
            }
            (Some(known), Some(old)) if same(&old, &known) => {
                if old.ours != known.ours
                    && let Some(old) = queue.get_mut(name)
                {
                    old.ours = known.ours;
                }
                false
            }
            (Some(known), _) => {
                queue.insert(name, known);
                true
            }
        };
        if changed {
            self.generation += 1;
        }
    }

    /// The next use looks at this name again.
    pub(super) fn retry_later(&mut self, dir: DirId, name: &OsStr, seen: Seen) {
        self.retries.insert((dir, name.to_owned()), seen);
    }

    /// A listing has found this stray. How it was seen before counts.
    pub(super) fn retry_listed(&mut self, dir: DirId, name: &OsStr) {
        let seen = Seen {
            listed: true,
            ..Seen::told(Ours::Only(None))
        };
        let key = (dir, name.to_owned());
        self.retries.entry(key).or_insert(seen);
    }
}
