//! The queues and their caches.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::fs::ctx::Ctx;
use crate::fs::ids::DirId;
use crate::fs::queue::dentry_cache::DentryCache;
use crate::fs::queue::dirs::{DirKind, Dirs};
use crate::fs::queue::entry::CacheEntry;
use crate::fs::queue::names::Queue;
use crate::fs::queue::retry::{Retries, Seen};
use crate::fs::queue::scratch::Scratch;
use crate::names::StampedName;
use crate::store::{Meta, Watch};

/// The directories of the mount, and the caches of those that are queues.
pub struct Queues {
    pub ctx: Arc<Ctx>,
    /// The kernel's cache of names, which every change of a name invalidates.
    pub(super) kernel: Arc<Mutex<DentryCache>>,
    pub dirs: Dirs,
    pub(super) cached: HashMap<DirId, Queue>,
    /// Stands for every queue that is not cached.
    uncached: Queue,
    pub(super) by_watch: HashMap<Watch, DirId>,
    /// Names that are looked at again before the next use.
    pub(super) retries: Retries,
    /// The last suffix that a name got, where several files wanted the name (spec 3.3).
    pub(super) suffixes: HashMap<(DirId, StampedName), u32>,
    /// The names of scratch files, which lie in the private directory.
    pub scratch: Scratch,
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
            uncached: Queue::default(),
            by_watch: HashMap::new(),
            retries: Retries::default(),
            suffixes: HashMap::new(),
            scratch: Scratch::default(),
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

    /// The meaning of a name, or its attributes, have changed: the kernel must not use what it has cached.
    pub fn name_changed(&self) {
        self.kernel.lock().changed();
    }

    /// The cache of a queue. A queue that is not cached has no name in it.
    pub fn queue(&self, dir: DirId) -> &Queue {
        self.cached.get(&dir).unwrap_or(&self.uncached)
    }

    /// As [`Queues::queue`], to change the cache; `None` if the queue is not cached.
    pub fn queue_mut(&mut self, dir: DirId) -> Option<&mut Queue> {
        self.cached.get_mut(&dir)
    }

    /// As [`Queue::iter`].
    pub fn names(&self, dir: DirId) -> impl Iterator<Item = (&OsStr, &CacheEntry)> {
        self.queue(dir).iter()
    }

    /// Is the queue cached, without this name?
    pub fn lacks(&self, dir: DirId, name: &StampedName) -> bool {
        let queue = self.cached.get(&dir);
        queue.is_some_and(|queue| queue.get(&name.to_os_string()).is_none())
    }

    /// As [`Queues::lacks`], for a queue that is watched. The answer may be outdated: for callers that are
    /// safe because their rename never replaces a file.
    pub fn seems_to_lack(&self, dir: DirId, name: &StampedName) -> bool {
        self.is_watched(dir) && self.lacks(dir, name)
    }

    /// Is the queue cached, and does the store tell its changes?
    pub fn is_watched(&self, dir: DirId) -> bool {
        self.queue(dir).watch.is_some()
    }

    /// How many names are cached.
    pub fn len(&self) -> usize {
        self.cached.values().map(Queue::len).sum()
    }

    /// The entry of a name, if that is cached.
    pub fn get(&self, dir: DirId, name: &OsStr) -> Option<&CacheEntry> {
        self.queue(dir).get(name)
    }

    pub(super) fn get_mut(&mut self, dir: DirId, name: &OsStr) -> Option<&mut CacheEntry> {
        self.queue_mut(dir)?.get_mut(name)
    }

    /// Notes whether the last byte is a newline.
    pub fn note_newline(&mut self, dir: DirId, name: &OsStr, newline: bool) {
        if let Some(entry) = self.get_mut(dir, name) {
            entry.newline = Some(newline);
        }
    }

    /// The last byte may be about to change. The times need not tell: on many kernels they move in ticks of some milliseconds.
    pub fn forget_newline(&mut self, dir: DirId, name: &StampedName) {
        if let Some(entry) = self.get_mut(dir, &name.to_os_string()) {
            entry.newline = None;
        }
    }

    /// The last writer through the mount has closed this file.
    pub fn written_by_us(&mut self, dir: DirId, name: &StampedName) {
        if let Some(entry) = self.get_mut(dir, &name.to_os_string()) {
            entry.ours = true;
        }
    }

    /// Drops the cache of a queue: the next use lists the queue.
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

    /// The mount has renamed a file with this stat(2), but for the mtime. False if the cache has another file under `from`: then
    /// both names must be looked at. The store tells what other programs do to the names meanwhile.
    pub fn moved(&mut self, dir: DirId, from: &OsStr, to: &OsStr, meta: &Meta) -> bool {
        let Some(queue) = self.cached.get_mut(&dir) else {
            return true;
        };
        let file = (meta.kind, meta.ino, meta.size);
        if queue.get(from).map(|old| (old.kind, old.ino, old.size)) != Some(file) {
            return false;
        }
        queue.remove(from);
        let ours = true;
        let entry = CacheEntry::of(meta);
        queue.insert(to, CacheEntry { ours, ..entry });
        self.generation += 1;
        true
    }

    /// Caches an entry, or that the name is free.
    pub(super) fn set(&mut self, dir: DirId, name: &OsStr, new: Option<CacheEntry>) {
        let Some(queue) = self.cached.get_mut(&dir) else {
            return;
        };
        match (queue.get(name).copied(), new) {
            (None, None) => return,
            (Some(old), Some(new)) if old.is_same_file(&new) => {
                // The cached merge entries stay, unless the entry changes.
                if old.ours != new.ours
                    && let Some(old) = queue.get_mut(name)
                {
                    old.ours = new.ours;
                }
                return;
            }
            (_, Some(new)) => queue.insert(name, new),
            (Some(_), None) => queue.remove(name),
        }
        self.generation += 1;
    }

    /// The next use looks at this name again.
    pub(super) fn retry_later(&mut self, dir: DirId, name: &OsStr, seen: Seen) {
        self.retries.insert((dir, name.to_owned()), seen);
    }
}
