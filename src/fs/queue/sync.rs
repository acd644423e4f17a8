//! What queues hold, in memory: never more than a cache of the store.
//!
//! A queue is listed once and then kept in step by the store's changes, which are taken in before every use; so what
//! others change below the mount is seen at once (spec 3.1). Where the store cannot watch a queue, it is listed anew
//! at every use. What has turned up besides, and is to become a handoff, waits until nobody writes it; see `strays`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::fs::queue::entry::{CacheEntry, known};
use crate::fs::queue::names::Queue;
use crate::fs::queue::retry::{Ours, Seen};
use crate::names::{self, StampedName};
use crate::parallel::in_two;
use crate::store::dir_kind::GIT;
use crate::store::first_mount::is_stray;
use crate::store::local::Area;
use crate::store::{Changes, Kind, Meta, What};

pub(super) fn is_never_shown(name: &OsStr, kind: Kind) -> bool {
    kind == Kind::Other || name == names::PRIVATE
}

/// A real `pending.md` without a byte says nothing, and its name is the virtual file's (spec 3.6).
pub(in crate::fs) fn is_nothing(name: &OsStr, known: &CacheEntry) -> bool {
    name == names::PENDING && known.looked && known.size == 0
}

/// What the changes of a name that are not looked at yet come to.
struct SoFar {
    /// The number of the file that was put there by us.
    ours: Option<u64>,
    removed: bool,
}

impl Queues {
    /// Takes in what has changed, and makes sure that this queue is known, with the facts of each name.
    pub(in crate::fs) fn load(&mut self, dir: DirId) -> Result<()> {
        self.load_names(dir)?;
        self.look_at_all(dir)
    }

    /// As [`Fs::load`]; of most names it is only known that they are there.
    pub(in crate::fs) fn load_names(&mut self, dir: DirId) -> Result<()> {
        self.take_changes();
        let listed = self.list_unknown(dir);
        self.retry();
        listed
    }

    /// Lists a queue that is not kept in step.
    pub(super) fn list_unknown(&mut self, dir: DirId) -> Result<()> {
        match self.cached.get(&dir) {
            Some(queue) if queue.watch.is_some() => return Ok(()),
            // A `.git` has turned up in it.
            _ if !self.is_queue(dir) => return Ok(()),
            _ => {}
        }
        let path = self.path(dir)?;
        // Watched first, listed then: a change in between is seen twice rather than not at all.
        let watch = self.ctx.store.watch(&path);
        let mut queue = Queue::new(watch);
        let mut strays = Vec::new();
        for entry in self.ctx.store.list(&path)? {
            let (name, kind) = (entry.name, entry.kind);
            if is_never_shown(&name, kind) {
                continue;
            }
            let stamped = StampedName::parse(&name);
            let stray = kind == Kind::File
                && stamped.is_none()
                && is_stray(&name)
                && !self.ctx.local.is_ordinary(&path.join(&*name));
            // The number of a directory tells which it is, and a stray is adopted by its mtime. Of the others it is asked
            // when somebody wants to know, for there may be very many of them. What is not watched is listed each time to
            // see what is different, so of that everything is asked.
            let asked = stray || stamped.is_none() && kind != Kind::File || watch.is_none();
            let meta = match entry.meta {
                None if asked => match self.ctx.store.stat(&path, &name) {
                    Ok(meta) if is_never_shown(&name, meta.kind) => continue,
                    Ok(meta) => Some(meta),
                    // Removed while we looked.
                    Err(Error::NotFound) => continue,
                    Err(error) => return Err(error),
                },
                meta => meta,
            };
            let known = match meta {
                Some(meta) => known(&meta),
                None => CacheEntry::unlooked(kind),
            };
            if stray && !is_nothing(&name, &known) {
                strays.push(name.clone());
            }
            let pending = stamped.is_some_and(|name| name.is_pending());
            queue.add_listed(name, pending, known);
        }
        queue.listed();
        if let Some(old) = self.cached.remove(&dir)
            && queue.keep_if_same(old)
        {
            self.cached.insert(dir, queue);
        } else {
            self.cached.insert(dir, queue);
            self.generation += 1;
        }
        for stray in &strays {
            self.retry_listed(dir, stray);
        }
        if let Some(watch) = watch {
            // A directory that was renamed below goes on being watched: from now on its changes are those of this one.
            if let Some(other) = self.by_watch.insert(watch, dir).filter(|it| *it != dir) {
                self.drop_queue(other);
            }
            self.take_changes();
        }
        if !self.cached.contains_key(&dir) {
            // More changes than were kept.
            return self.list_unknown(dir);
        }
        if self.get(dir, OsStr::new(GIT)).is_some() {
            self.git_seen(dir, OsStr::new(GIT));
        }
        Ok(())
    }

    pub(in crate::fs) fn take_changes(&mut self) {
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
        // What several changes of a name have left is looked at once, after the last of them.
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
                // There may be another one in its place already, of the same inode number even.
                if change.what == What::Removed || self.is_gone(dir) {
                    self.drop_queue(dir);
                }
                continue;
            }
            self.kernel.lock().changed();
            let mut now = so_far.remove(&(dir, name)).unwrap_or_else(|| {
                let known = self.get(dir, name);
                SoFar {
                    ours: known.filter(|known| known.ours).map(|known| known.ino),
                    removed: false,
                }
            });
            if change.what == What::Removed {
                now.ours = None;
                now.removed = true;
            }
            if last.get(&(change.watch, &change.name)) != Some(&i) {
                so_far.insert((dir, name), now);
                continue;
            }
            let seen = Seen::told(Ours::Only(now.ours));
            if let Ok(path) = self.path(dir) {
                looks.push((dir, path, name, seen, now.removed));
            }
        }
        let found = in_two(&looks, |(_, path, name, ..)| {
            self.ctx.store.stat(path, name)
        });
        for ((dir, path, name, seen, removed), found) in looks.into_iter().zip(found) {
            self.looked_again(dir, &path, name, seen, found);
            if removed && self.get(dir, name).is_none() {
                self.ordinary_removed(dir, name);
            }
        }
    }

    /// A file was removed: if it was an ordinary one, the next of its name is not.
    pub(in crate::fs) fn ordinary_removed(&self, dir: DirId, name: &OsStr) {
        if let Ok(path) = self.join(dir, name)
            && let Err(error) = self.ctx.local.ordinary_gone(&path)
        {
            log::warn!(
                "{}: it cannot be noted that it was removed ({error}); the next sweep tries again",
                path.display()
            );
        }
    }

    fn is_gone(&self, dir: DirId) -> bool {
        let path = self.path(dir);
        path.and_then(|path| self.ctx.local.dir(Area::Backing, &path))
            .is_err()
    }

    /// Something of ours has changed this name: look at it now.
    pub(in crate::fs) fn touch(&mut self, dir: DirId, name: &OsStr) {
        self.kernel.lock().changed();
        if self.is_queue(dir) && !self.cached.contains_key(&dir) {
            // Listed later, the file would be taken for somebody else's. Where this fails, the next use says so.
            let _ = self.list_unknown(dir);
        }
        if self.cached.contains_key(&dir)
            && let Ok(path) = self.path(dir)
        {
            let found = self.ctx.store.stat(&path, name);
            self.looked_again(dir, &path, name, Seen::told(Ours::Any), found);
        }
    }

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
        let meta = match found {
            Ok(meta) => meta,
            Err(error) if error.is_absence() => {
                self.set(dir, name, None);
                return;
            }
            Err(error) => {
                log::debug!(
                    "{}: cannot be looked at ({error}); it is tried again",
                    path.join(name).display()
                );
                self.retry_later(dir, name, seen);
                return;
            }
        };
        let ours = match seen.ours {
            Ours::Any => true,
            Ours::Only(ino) => ino == Some(meta.ino),
        };
        let known = CacheEntry {
            ours,
            ..known(&meta)
        };
        if is_never_shown(name, known.kind) {
            self.set(dir, name, None);
            return;
        }
        self.set(dir, name, Some(known));
        self.git_seen(dir, name);
        if known.kind == Kind::File && !is_nothing(name, &known) && self.is_stray(dir, name) {
            self.retry_later(dir, name, seen);
        } else if let Some(queue) = self.cached.get_mut(&dir).filter(|_| !ours) {
            queue.turned_up(name, &known, Instant::now());
        }
    }

    /// Is a file of this name in this directory a stray (spec 3.7)?
    pub(in crate::fs) fn is_stray(&self, dir: DirId, name: &OsStr) -> bool {
        self.is_queue(dir)
            && is_stray(name)
            && self
                .join(dir, name)
                .is_ok_and(|path| !self.ctx.local.is_ordinary(&path))
    }
}
