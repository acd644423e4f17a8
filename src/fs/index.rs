//! What queues hold, in memory: never more than a cache of the store.
//!
//! A queue is listed once and then kept in step by the store's changes, which are taken in before every use; so what
//! others change below the mount is seen at once (spec 3.1). Where the store cannot watch a queue, it is listed anew
//! at every use. Taking in a change is also where strays are adopted (spec 3.7).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use super::dirs::DirId;
use super::in_two::in_two;
use super::{Fs, State};
use crate::error::{Error, Result};
use crate::names::{self, StampedName};
use crate::store::dir_kind::GIT;
use crate::store::first_mount::is_stray;
use crate::store::{Changes, Kind, Meta, What, first_free_after};

/// The last suffix that was given to a name, where many wanted the same.
pub(super) type Suffixes = HashMap<(DirId, StampedName), u32>;

/// Of how many names that is remembered.
const MAX_SUFFIXES: usize = 1024;

mod doubts;
mod facts;
mod memory;
mod queue;
#[cfg(test)]
mod tests;
mod undecided;
mod walk;

use doubts::{Ours, Seen, Settled};
pub(super) use facts::Unread;
use memory::known;
pub(super) use memory::{Index, Known};
use queue::Queue;
use undecided::Listed;

fn is_never_shown(name: &OsStr, kind: Kind) -> bool {
    kind == Kind::Other || name == names::PRIVATE
}

/// A real `pending.md` without a byte says nothing, and its name is the virtual file's (spec 3.6).
pub(super) fn is_nothing(name: &OsStr, known: &Known) -> bool {
    name == names::PENDING && known.looked && known.size == 0
}

/// What the changes of a name that are not looked at yet come to.
struct SoFar {
    in_the_making: bool,
    /// The number of the file that was put there by us.
    ours: Option<u64>,
    removed: bool,
}

impl State {
    /// Is this the name of a draft, which the store does not know of yet?
    pub(super) fn is_reserved(&self, dir: DirId, name: &StampedName) -> bool {
        let doc = self.docs.named(dir, name).and_then(|id| self.docs.get(id));
        doc.is_some_and(super::docs::Doc::is_new)
    }
}

impl Fs {
    /// Takes in what has changed, and makes sure that this queue is known, with the facts of each name.
    pub(super) fn load(&self, state: &mut State, dir: DirId) -> Result<()> {
        self.load_names(state, dir)?;
        self.look_at_all(state, dir)
    }

    /// As [`Fs::load`]; of most names it is only known that they are there.
    pub(super) fn load_names(&self, state: &mut State, dir: DirId) -> Result<()> {
        self.take_changes(state);
        let listed = self.list_unknown(state, dir);
        self.settle_listed(state);
        listed
    }

    /// Lists a queue that is not kept in step.
    fn list_unknown(&self, state: &mut State, dir: DirId) -> Result<()> {
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
                Some(meta) => known(&meta, stray),
                None => Known::unlooked(kind),
            };
            if stray {
                queue.undecided.insert(name.to_os_string());
            }
            let pending = stamped.is_some_and(|name| name.is_pending());
            queue.add_listed(name, pending, known);
        }
        queue.listed();
        let old = state.index.queues.insert(dir, queue);
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
            // A file that somebody has begun since it is watched must not be taken for a finished stray.
            self.take_changes(state);
        }
        if !state.index.queues.contains_key(&dir) {
            // More changes than were kept.
            return self.list_unknown(state, dir);
        }
        state.index.unsettled.push(Listed { dir, path, old });
        if state.index.get(dir, OsStr::new(GIT)).is_some() {
            self.git_seen(state, dir, OsStr::new(GIT));
        }
        Ok(())
    }

    pub(super) fn take_changes(&self, state: &mut State) {
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
        for doubt in std::mem::take(&mut state.index.doubts) {
            let seen = Seen {
                tried: true,
                ..doubt.seen
            };
            self.look_again(state, doubt.dir, &doubt.name, seen);
        }
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
            self.outdated(state, dir, name, None);
            let mut what = change.what;
            if let Some(queue) = state.index.queues.get_mut(&dir) {
                if what == What::Closed && queue.held.remove(name) {
                    // By one of those who wrote it, perhaps not the last one.
                    what = What::Touched;
                    self.undecided(state, dir, name);
                } else if what != What::Touched {
                    queue.told(name);
                }
            }
            let mut now = so_far.remove(&(dir, name)).unwrap_or_else(|| {
                let known = state.index.get(dir, name);
                SoFar {
                    in_the_making: known.is_some_and(|known| known.in_the_making),
                    ours: known.filter(|known| known.ours).map(|known| known.ino),
                    removed: false,
                }
            });
            match what {
                What::Created => now.in_the_making = true,
                What::Closed | What::Removed => now.in_the_making = false,
                What::Touched => {}
            }
            if change.what == What::Removed {
                now.ours = None;
                now.removed = true;
            }
            if last.get(&(change.watch, &change.name)) != Some(&i) {
                so_far.insert((dir, name), now);
                continue;
            }
            let seen = Seen {
                in_the_making: now.in_the_making,
                ours: Ours::Only(now.ours),
                tried: false,
            };
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
    pub(super) fn ordinary_removed(&self, state: &State, dir: DirId, name: &OsStr) {
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
    pub(super) fn touch(&self, state: &mut State, dir: DirId, name: &OsStr) {
        let known = state.index.get(dir, name).filter(|known| known.looked);
        let ino = known.map(|known| known.ino);
        self.outdated(state, dir, name, ino);
        let seen = Seen {
            in_the_making: false,
            ours: Ours::Any,
            tried: false,
        };
        self.look_again(state, dir, name, seen);
        // Also where the queue is not listed yet.
        self.git_seen(state, dir, name);
    }

    fn look_again(&self, state: &mut State, dir: DirId, name: &OsStr, seen: Seen) {
        if state.index.queues.contains_key(&dir)
            && let Some(path) = state.dirs.path(dir)
        {
            let found = self.store.stat(&path, name);
            self.looked_again(state, dir, &path, name, seen, found);
        }
    }

    fn looked_again(
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
        // A second name of an existing file is made without being opened: nobody will close it.
        let in_the_making = seen.in_the_making && meta.nlink == 1 && !ours;
        let known = Known {
            ours,
            ..known(&meta, in_the_making)
        };
        self.settle_known(state, dir, path, name, known, seen);
    }

    fn settle_known(
        &self,
        state: &mut State,
        dir: DirId,
        path: &Path,
        name: &OsStr,
        known: Known,
        seen: Seen,
    ) {
        match self.settle(state, dir, path, name, known, seen) {
            Settled::As(settled) => {
                if settled == name {
                    state.index.set(dir, name, Some(known));
                    self.git_seen(state, dir, name);
                    return;
                }
                state.index.set(dir, name, None);
                let in_the_making = true;
                let known = Known {
                    in_the_making,
                    ..known
                };
                state.index.set(dir, &settled, Some(known));
                // Who had opened it before it was renamed may be writing it; from now on nobody opens it unseen.
                self.undecided(state, dir, &settled);
            }
            Settled::NotYet => {
                state.index.set(dir, name, Some(known));
                state.index.doubt(dir, name, seen);
            }
            Settled::NeverShown => state.index.set(dir, name, None),
        }
    }

    /// The name under which a listed file is known: a stray is adopted (spec 3.7), what is never shown is left out.
    fn settle(
        &self,
        state: &State,
        dir: DirId,
        queue: &Path,
        name: &OsStr,
        known: Known,
        seen: Seen,
    ) -> Settled {
        if is_never_shown(name, known.kind) {
            return Settled::NeverShown;
        }
        let stray = known.kind == Kind::File
            && is_stray(name)
            && !is_nothing(name, &known)
            && !self.local.is_ordinary(&queue.join(name));
        // One in the making is not shown before it is finished and adopted; its close is another change.
        if !stray || known.in_the_making {
            return Settled::As(name.to_owned());
        }
        let adopted = names::adopted(name, self.zone.stamp(known.mtime));
        match self.move_free(state, dir, name, &adopted) {
            Ok(adopted) => {
                log::info!("adopted {} as {adopted}", queue.join(name).display());
                Settled::As(adopted.to_os_string())
            }
            Err(error) => {
                if !seen.tried {
                    log::warn!(
                        "{}: cannot be adopted as {adopted} ({error}); it is tried again",
                        queue.join(name).display()
                    );
                }
                Settled::NotYet
            }
        }
    }

    /// Is a file of this name in this directory a stray (spec 3.7)?
    pub(super) fn is_stray(&self, state: &State, dir: DirId, name: &OsStr) -> bool {
        state.is_queue(dir)
            && is_stray(name)
            && state
                .dirs
                .join(dir, name)
                .is_some_and(|path| !self.local.is_ordinary(&path))
    }

    /// Renames a stored file to a stamped name, or its next suffix that neither a file nor a draft has (spec 3.3).
    pub(super) fn move_free(
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
