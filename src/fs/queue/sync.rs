//! Keeping the cache of the queues in step with the store.
//!
//! A queue is listed once. After that the store reports changes, and every use first applies them to the cache. So a change
//! by another program below the mount is seen at once (spec 3.1). If the store cannot watch a queue, every use lists it
//! again.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::Result;
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::fs::queue::entry::CacheEntry;
use crate::fs::queue::retry::{Ours, Seen};
use crate::names::is_stray;
use crate::parallel::in_two;
use crate::store::local::Area;
use crate::store::{Changes, Meta, What};

/// The state of a name after the changes so far.
struct SoFar {
    /// The inode number of the file, if it was put there through the mount.
    ours: Option<u64>,
    removed: bool,
}

impl Queues {
    /// Takes in the changes, lists the queue if it is not cached, and fills every entry by stat(2).
    pub fn load(&mut self, dir: DirId) -> Result<()> {
        self.load_names(dir)?;
        self.look_at_all(dir)
    }

    /// As [`Queues::load`], but of most names the cache has only the name and the kind.
    pub fn load_names(&mut self, dir: DirId) -> Result<()> {
        self.take_changes();
        let listed = self.list(dir);
        self.retry();
        listed
    }

    /// Takes in the changes that the store tells.
    pub fn take_changes(&mut self) {
        let changes = match self.ctx.store.changes() {
            Changes::These(changes) => changes,
            Changes::Overflow => {
                for dir in self.cached.keys().copied().collect::<Vec<_>>() {
                    self.drop_queue(dir);
                }
                self.retries.clear();
                return;
            }
        };
        // A name is looked at once, after the last of its changes.
        let mut last = HashMap::new();
        for (i, change) in changes.iter().enumerate() {
            last.insert((change.watch, &change.name), i);
        }
        let mut so_far: HashMap<(DirId, &OsStr), SoFar> = HashMap::new();
        let mut looks = Vec::new();
        for (i, change) in changes.iter().enumerate() {
            let Some(dir) = self.by_watch.get(&change.watch).copied() else {
                continue;
            };
            let name = change.name.as_os_str();
            if name.is_empty() {
                // The directory itself. Another one may have its path by now, even with the same inode number.
                if change.what == What::Removed || self.is_gone(dir) {
                    self.drop_queue(dir);
                }
                continue;
            }
            self.name_changed();
            let mut now = so_far.remove(&(dir, name)).unwrap_or_else(|| {
                let cached = self.get(dir, name).filter(|entry| entry.ours);
                SoFar {
                    ours: cached.map(|entry| entry.ino),
                    removed: false,
                }
            });
            if change.what == What::Removed {
                now = SoFar {
                    ours: None,
                    removed: true,
                };
            }
            if last.get(&(change.watch, &change.name)) != Some(&i) {
                so_far.insert((dir, name), now);
            } else if let Ok(path) = self.path(dir) {
                let seen = Seen::told(Ours::Only(now.ours));
                looks.push((dir, path, name, seen, now.removed));
            }
        }
        let store = &self.ctx.store;
        let found = in_two(&looks, |(_, path, name, ..)| store.stat(path, name));
        for ((dir, path, name, seen, removed), found) in looks.into_iter().zip(found) {
            self.looked_again(dir, &path, name, seen, found);
            if removed && self.get(dir, name).is_none() {
                self.ordinary_removed(dir, name);
            }
        }
    }

    fn is_gone(&self, dir: DirId) -> bool {
        let path = self.path(dir);
        path.and_then(|path| self.ctx.local.dir(Area::Backing, &path))
            .is_err()
    }

    /// An ordinary file may have been removed: the next file of its name is not ordinary.
    pub fn ordinary_removed(&self, dir: DirId, name: &OsStr) {
        if let Ok(path) = self.join(dir, name)
            && let Err(error) = self.ctx.local.ordinary_gone(&path)
        {
            log::warn!(
                "{}: cannot be taken off the list of ordinary files ({error}); the next sweep tries again",
                path.display()
            );
        }
    }

    /// The mount has created, changed or removed the file of this name: everything that was derived from it is made anew.
    pub fn changed(&mut self, dir: DirId, name: &OsStr) {
        self.generation += 1;
        self.name_changed();
        if self.is_queue(dir) && !self.cached.contains_key(&dir) {
            // A later listing would take the file for another program's. If listing fails, the next use says so.
            let _ = self.list(dir);
        }
        if self.cached.contains_key(&dir)
            && let Ok(path) = self.path(dir)
        {
            let found = self.ctx.store.stat(&path, name);
            self.looked_again(dir, &path, name, Seen::told(Ours::Any), found);
        }
    }

    /// The mount has renamed a file.
    pub fn renamed(&mut self, from: (DirId, &OsStr), to: (DirId, &OsStr)) {
        self.changed(from.0, from.1);
        self.changed(to.0, to.1);
    }

    /// Caches the answer of stat(2) for a name.
    pub(super) fn looked_again(
        &mut self,
        dir: DirId,
        path: &Path,
        name: &OsStr,
        seen: Seen,
        found: Result<Meta>,
    ) {
        if !self.cached.contains_key(&dir) {
            return;
        }
        let mut entry = match CacheEntry::shown(name, found) {
            Ok(Some(entry)) => entry,
            Ok(None) => return self.set(dir, name, None),
            Err(error) => {
                log::debug!(
                    "{}: cannot be looked at ({error}); the next use tries again",
                    path.join(name).display()
                );
                return self.retry_later(dir, name, seen);
            }
        };
        entry.ours = match seen.ours {
            Ours::Any => true,
            Ours::Only(ino) => ino == Some(entry.ino),
        };
        self.set(dir, name, Some(entry));
        self.git_seen(dir, name);
        if self.may_adopt(dir, name, &entry) {
            self.retry_later(dir, name, seen);
        } else if let Some(queue) = self.cached.get_mut(&dir).filter(|_| !entry.ours) {
            queue.turned_up(name, &entry, Instant::now());
        }
    }

    /// Is a file of this name in this directory a stray (spec 3.7)?
    pub fn is_stray(&self, dir: DirId, name: &OsStr) -> bool {
        let is_listed = |path: PathBuf| self.ctx.local.is_ordinary(&path);
        self.is_queue(dir)
            && is_stray(name)
            && self.join(dir, name).is_ok_and(|path| !is_listed(path))
    }
}
