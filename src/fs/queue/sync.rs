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
use crate::fs::handoff::state::RegularFile;
use crate::fs::ids::DirId;
use crate::fs::queue::entry::{CacheEntry, known};
use crate::fs::queue::names::Queue;
use crate::fs::queue::retry::{Ours, Seen};
use crate::fs::{Fs, State};
use crate::names::{self, StampedName};
use crate::parallel::in_two;
use crate::store::dir_kind::GIT;
use crate::store::first_mount::is_stray;
use crate::store::{Changes, Kind, Meta, What, first_free_after};

/// The last suffix that was given to a name, where many wanted the same.
pub(in crate::fs) type Suffixes = HashMap<(DirId, StampedName), u32>;

/// Of how many names that is remembered.
const MAX_SUFFIXES: usize = 1024;

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

impl State {
    /// Is this the name of a draft, which the store does not know of yet?
    pub(in crate::fs) fn is_reserved(&self, dir: DirId, name: &StampedName) -> bool {
        let doc = self
            .files
            .named(dir, name)
            .and_then(|id| self.files.get(id));
        doc.is_some_and(RegularFile::is_new)
    }
}

impl Fs {
    /// Takes in what has changed, and makes sure that this queue is known, with the facts of each name.
    pub(in crate::fs) fn load(&self, state: &mut State, dir: DirId) -> Result<()> {
        self.load_names(state, dir)?;
        self.look_at_all(state, dir)
    }

    /// As [`Fs::load`]; of most names it is only known that they are there.
    pub(in crate::fs) fn load_names(&self, state: &mut State, dir: DirId) -> Result<()> {
        self.take_changes(state);
        let listed = self.list_unknown(state, dir);
        self.settle_doubts(state);
        listed
    }

    /// Lists a queue that is not kept in step.
    pub(super) fn list_unknown(&self, state: &mut State, dir: DirId) -> Result<()> {
        match state.index.queues.get(&dir) {
            Some(queue) if queue.watch.is_some() => return Ok(()),
            // A `.git` has turned up in it.
            _ if !state.is_queue(dir) => return Ok(()),
            _ => {}
        }
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        // Watched first, listed then: a change in between is seen twice rather than not at all.
        let watch = self.store.watch(&path);
        let mut queue = Queue::new(watch);
        let mut strays = Vec::new();
        for entry in self.store.list(&path)? {
            let (name, kind) = (entry.name, entry.kind);
            if is_never_shown(&name, kind) {
                continue;
            }
            let stamped = StampedName::parse(&name);
            let stray = kind == Kind::File
                && stamped.is_none()
                && is_stray(&name)
                && !self.local.is_ordinary(&path.join(&*name));
            // The number of a directory tells which it is, and a stray is adopted by its mtime. Of the others it is asked
            // when somebody wants to know, for there may be very many of them. What is not watched is listed each time to
            // see what is different, so of that everything is asked.
            let asked = stray || stamped.is_none() && kind != Kind::File || watch.is_none();
            let meta = match entry.meta {
                None if asked => match self.store.stat(&path, &name) {
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
        if let Some(old) = state.index.queues.remove(&dir)
            && queue.keep_if_same(old)
        {
            state.index.queues.insert(dir, queue);
        } else {
            state.index.queues.insert(dir, queue);
            state.index.generation += 1;
        }
        for stray in &strays {
            state.index.doubt_listed(dir, stray);
        }
        if let Some(watch) = watch {
            // A directory that was renamed below goes on being watched: from now on its changes are those of this one.
            if let Some(other) = state
                .index
                .by_watch
                .insert(watch, dir)
                .filter(|it| *it != dir)
            {
                state.index.drop_queue(other);
            }
            self.take_changes(state);
        }
        if !state.index.queues.contains_key(&dir) {
            // More changes than were kept.
            return self.list_unknown(state, dir);
        }
        if state.index.get(dir, OsStr::new(GIT)).is_some() {
            self.git_seen(state, dir, OsStr::new(GIT));
        }
        Ok(())
    }

    pub(in crate::fs) fn take_changes(&self, state: &mut State) {
        let changes = match self.store.changes() {
            Changes::These(changes) => changes,
            Changes::Overflow => {
                for dir in state.index.queues.keys().copied().collect::<Vec<_>>() {
                    state.index.drop_queue(dir);
                }
                state.index.doubts.clear();
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
            let Some(dir) = state.index.by_watch.get(&change.watch).copied() else {
                continue;
            };
            let name = change.name.as_os_str();
            if name.is_empty() {
                // There may be another one in its place already, of the same inode number even.
                if change.what == What::Removed || self.is_gone(state, dir) {
                    state.index.drop_queue(dir);
                }
                continue;
            }
            state.nodes.dentries.changed();
            let mut now = so_far.remove(&(dir, name)).unwrap_or_else(|| {
                let known = state.index.get(dir, name);
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
            if let Some(path) = state.dirs.path(dir) {
                looks.push((dir, path, name, seen, now.removed));
            }
        }
        let found = in_two(&looks, |(_, path, name, ..)| self.store.stat(path, name));
        for ((dir, path, name, seen, removed), found) in looks.into_iter().zip(found) {
            self.looked_again(state, dir, &path, name, seen, found);
            if removed && state.index.get(dir, name).is_none() {
                self.ordinary_removed(state, dir, name);
            }
        }
    }

    /// A file was removed: if it was an ordinary one, the next of its name is not.
    pub(in crate::fs) fn ordinary_removed(&self, state: &State, dir: DirId, name: &OsStr) {
        if let Some(path) = state.dirs.join(dir, name)
            && let Err(error) = self.local.ordinary_gone(&path)
        {
            log::warn!(
                "{}: it cannot be noted that it was removed ({error}); the next sweep tries again",
                path.display()
            );
        }
    }

    fn is_gone(&self, state: &State, dir: DirId) -> bool {
        let path = state.dirs.path(dir);
        path.is_none_or(|path| {
            self.local
                .dir(crate::store::local::Area::Backing, &path)
                .is_err()
        })
    }

    /// Something of ours has changed this name: look at it now.
    pub(in crate::fs) fn touch(&self, state: &mut State, dir: DirId, name: &OsStr) {
        state.nodes.dentries.changed();
        if state.is_queue(dir) && !state.index.queues.contains_key(&dir) {
            // Listed later, the file would be taken for somebody else's. Where this fails, the next use says so.
            let _ = self.list_unknown(state, dir);
        }
        if state.index.queues.contains_key(&dir)
            && let Some(path) = state.dirs.path(dir)
        {
            let found = self.store.stat(&path, name);
            self.looked_again(state, dir, &path, name, Seen::told(Ours::Any), found);
        }
    }

    pub(super) fn looked_again(
        &self,
        state: &mut State,
        dir: DirId,
        path: &Path,
        name: &OsStr,
        seen: Seen,
        found: Result<Meta>,
    ) {
        if !state.index.queues.contains_key(&dir) {
            return;
        }
        let meta = match found {
            Ok(meta) => meta,
            Err(error) if error.is_absence() => {
                state.index.set(dir, name, None);
                return;
            }
            Err(error) => {
                log::debug!(
                    "{}: cannot be looked at ({error}); it is tried again",
                    path.join(name).display()
                );
                state.index.doubt(dir, name, seen);
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
            state.index.set(dir, name, None);
            return;
        }
        state.index.set(dir, name, Some(known));
        self.git_seen(state, dir, name);
        if known.kind == Kind::File && !is_nothing(name, &known) && self.is_stray(state, dir, name)
        {
            state.index.doubt(dir, name, seen);
        } else if let Some(queue) = state.index.queues.get_mut(&dir).filter(|_| !ours) {
            queue.turned_up(name, &known, Instant::now());
        }
    }

    /// Is a file of this name in this directory a stray (spec 3.7)?
    pub(in crate::fs) fn is_stray(&self, state: &State, dir: DirId, name: &OsStr) -> bool {
        state.is_queue(dir)
            && is_stray(name)
            && state
                .dirs
                .join(dir, name)
                .is_some_and(|path| !self.local.is_ordinary(&path))
    }

    /// Renames a stored file to a stamped name, or its next suffix that neither a file nor a draft has (spec 3.3).
    pub(in crate::fs) fn move_free(
        &self,
        state: &State,
        dir: DirId,
        name: &OsStr,
        to: &StampedName,
    ) -> Result<StampedName> {
        let queue = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let key = (dir, to.clone());
        let last = self.suffixes.lock().get(&key).copied().unwrap_or(0);
        let (got, n) = first_free_after(to, last, |candidate| {
            if state.is_reserved(dir, candidate) {
                return Err(Error::Exists);
            }
            let candidate = candidate.to_os_string();
            self.store.rename((&queue, name), (&queue, &candidate))
        })?;
        let mut suffixes = self.suffixes.lock();
        if suffixes.len() >= MAX_SUFFIXES {
            suffixes.clear();
        }
        if n > 1 {
            suffixes.insert(key, n.max(last));
        }
        Ok(got)
    }
}
