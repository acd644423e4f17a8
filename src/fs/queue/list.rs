//! Listing a queue that is not cached: its stored files, and its scratch files in the private directory.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::Result;
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::fs::queue::entry::{CacheEntry, is_empty_pending_md, is_never_shown};
use crate::fs::queue::names::Queue;
use crate::fs::queue::retry::{Ours, Seen};
use crate::fs::queue::scratch::Names;
use crate::names::{self, NameClass, StampedName};
use crate::store::dir_kind::GIT;
use crate::store::local::Area;
use crate::store::{Entry, Kind};

impl Queues {
    /// Lists a queue, unless it is cached and the store tells its changes.
    pub(super) fn list(&mut self, dir: DirId) -> Result<()> {
        // A `.git` may have turned up in it: then it is no queue any more.
        if self.is_watched(dir) || !self.is_queue(dir) {
            return Ok(());
        }
        let path = self.path(dir)?;
        // The watch comes first: a change in between is seen twice rather than not at all.
        let watch = self.ctx.store.watch(&path);
        let mut listed = Vec::new();
        let mut strays = Vec::new();
        for entry in self.ctx.store.list(&path)? {
            let name = &entry.name;
            let is_stray = entry.kind == Kind::File
                && StampedName::parse(name).is_none()
                && self.is_stray(dir, name);
            let Some(found) = self.entry_of(&path, &entry, is_stray || watch.is_none())? else {
                continue;
            };
            if is_stray && !is_empty_pending_md(name, &found) {
                strays.push(name.clone());
            }
            listed.push((entry.name, found));
        }
        let mut queue = Queue::new(watch, listed);
        let is_same = self
            .cached
            .remove(&dir)
            .is_some_and(|old| queue.take_over(old));
        self.cached.insert(dir, queue);
        if !is_same {
            self.generation += 1;
        }
        for stray in strays {
            let seen = Seen {
                listed: true,
                ..Seen::told(Ours::Only(None))
            };
            // How the stray was seen before counts more.
            let key = (dir, stray.as_ref().to_owned());
            self.retries.entry(key).or_insert(seen);
        }
        if let Some(watch) = watch {
            // A directory that was renamed below keeps its watch: its changes belong to the new name from now on.
            if let Some(other) = self.by_watch.insert(watch, dir).filter(|it| *it != dir) {
                self.drop_queue(other);
            }
            self.take_changes();
        }
        if !self.cached.contains_key(&dir) {
            // The changes since were more than the store keeps.
            return self.list(dir);
        }
        if self.get(dir, OsStr::new(GIT)).is_some() {
            self.git_seen(dir, OsStr::new(GIT));
        }
        Ok(())
    }

    /// The entry of a listed name; `None` for a name that is never shown, or gone by now.
    ///
    /// stat(2) of a hundred thousand names would take longer than to list them. So it is called only where `wanted`: for strays,
    /// which are adopted by their mtime, and for every name of a queue without a watch, where the next listing is compared with
    /// this one; and for directories, which are known by their inode number.
    fn entry_of(&self, queue: &Path, listed: &Entry, wanted: bool) -> Result<Option<CacheEntry>> {
        let name = &listed.name;
        match listed.meta {
            _ if is_never_shown(name, listed.kind) => Ok(None),
            Some(meta) => CacheEntry::shown(name, Ok(meta)),
            None if wanted || listed.kind != Kind::File => {
                CacheEntry::shown(name, self.ctx.store.stat(queue, name))
            }
            None => Ok(Some(CacheEntry::unlooked(listed.kind))),
        }
    }

    /// Reads which sessions have scratch files in a queue, unless that is known.
    pub fn load_scratch(&mut self, dir: DirId) -> Result<()> {
        if self.scratch.is_read(dir) {
            return Ok(());
        }
        let path = self.path(dir)?;
        let mut found = Vec::new();
        // An earlier version kept the files of all sessions together. Those belong to nobody.
        for area in [Area::Scratch].into_iter().chain(self.ctx.local.owned()?) {
            for (name, meta) in self.ctx.local.list(area, &path)? {
                if meta.kind == Kind::File && names::classify(&name) == NameClass::Scratch {
                    found.push((meta.mtime, name, area));
                }
            }
        }
        found.sort();
        let mut names = Names::new();
        for (_, name, area) in found {
            names.entry(name).or_default().push(area);
        }
        self.scratch.set(dir, names);
        Ok(())
    }
}
