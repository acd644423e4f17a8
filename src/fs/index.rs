//! What queues hold, in memory: never more than a cache of the store.
//!
//! A queue is listed once and then kept in step by the store's changes, which are taken in before every use; so what
//! others change below the mount is seen at once (spec 3.1). Where the store cannot watch a queue, it is listed anew
//! at every use. Taking in a change is also where strays are adopted (spec 3.7).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::SystemTime;

use super::dirs::{DirId, DirKind};
use super::{Fs, State};
use crate::error::{Error, Result};
use crate::names::{self, StampedName};
use crate::store::first_mount::{is_hidden, is_stray};
use crate::store::{Changes, Kind, Meta, Watch, What, first_free_after};

/// The last suffix that was given to a name, where many wanted the same.
pub(super) type Suffixes = HashMap<(DirId, StampedName), u32>;

/// Of how many names that is remembered.
const MAX_SUFFIXES: usize = 1024;

mod doubts;
mod undecided;
mod walk;

use doubts::{Doubt, Ours, Seen, Settled};
use undecided::Listed;

/// One name of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub(super) kind: Kind,
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) mtime: SystemTime,
    /// Moves with whatever happens to it, also when its mtime is put back.
    ctime: SystemTime,
    /// Whether its last byte is a newline, once somebody asked.
    pub(super) newline: Option<bool>,
    /// Made below the mount and not closed yet: somebody is writing it.
    pub(super) in_the_making: bool,
    /// Put there by us, finished: that it turned up, which the store may still tell, does not mean that somebody has
    /// begun to write it.
    ours: bool,
}

#[derive(Debug, Default)]
struct QueueIndex {
    names: BTreeMap<OsString, Known>,
    watch: Option<Watch>,
    /// Of which it is not known yet whether somebody is writing them; see [`Listed`].
    undecided: HashSet<OsString>,
    /// Which somebody was seen to write.
    held: HashSet<OsString>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Index {
    queues: HashMap<DirId, QueueIndex>,
    by_watch: HashMap<Watch, DirId>,
    /// What has changed and could not be looked at, or not be adopted: it is tried again before the next use.
    doubts: Vec<Doubt>,
    /// Where there is something undecided.
    unsettled: Vec<Listed>,
    /// Moves whenever anything in it changes, so that what was derived from it can be kept while it stands still.
    pub(super) generation: u64,
}

impl Index {
    /// The names of a loaded queue.
    pub(super) fn names(&self, dir: DirId) -> impl Iterator<Item = (&OsString, &Known)> {
        self.queues
            .get(&dir)
            .into_iter()
            .flat_map(|queue| &queue.names)
    }

    /// Is it known that there is no such name?
    pub(super) fn lacks(&self, dir: DirId, name: &StampedName) -> bool {
        let queue = self.queues.get(&dir);
        queue.is_some_and(|queue| !queue.names.contains_key(&name.to_os_string()))
    }

    /// The same, of a queue that is kept in step by itself: what is about to happen anyway may go by it, where something
    /// else decides.
    pub(super) fn seems_to_lack(&self, dir: DirId, name: &StampedName) -> bool {
        let queue = self.queues.get(&dir);
        queue.is_some_and(|queue| queue.watch.is_some()) && self.lacks(dir, name)
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(|queue| queue.names.len()).sum()
    }

    pub(super) fn get(&self, dir: DirId, name: &OsStr) -> Option<&Known> {
        self.queues.get(&dir)?.names.get(name)
    }

    pub(super) fn note_newline(&mut self, dir: DirId, name: &OsStr, newline: bool) {
        if let Some(known) = self
            .queues
            .get_mut(&dir)
            .and_then(|queue| queue.names.get_mut(name))
        {
            known.newline = Some(newline);
        }
    }

    /// Its last byte may be about to change, and its times need not tell: on many kernels they move in ticks.
    pub(super) fn forget_newline(&mut self, dir: DirId, name: &StampedName) {
        let names = self.queues.get_mut(&dir).map(|queue| &mut queue.names);
        if let Some(known) = names.and_then(|names| names.get_mut(&name.to_os_string())) {
            known.newline = None;
        }
    }

    /// Drops what is known of a queue: it is listed at its next use.
    pub(super) fn drop_queue(&mut self, dir: DirId) {
        if let Some(queue) = self.queues.remove(&dir) {
            self.generation += 1;
            if let Some(watch) = queue.watch
                && self.by_watch.get(&watch) == Some(&dir)
            {
                self.by_watch.remove(&watch);
            }
        }
    }

    /// A file that was known as `meta` says, but for its mtime, was renamed by us. False if something else is known of it,
    /// so that both names are to be looked at. What somebody else did to them meanwhile the store will tell.
    pub(super) fn moved(&mut self, dir: DirId, from: &OsStr, to: &OsStr, meta: &Meta) -> bool {
        let Some(queue) = self.queues.get_mut(&dir) else {
            return true;
        };
        let Some(old) = queue.names.remove(from) else {
            return false;
        };
        if (old.kind, old.ino, old.size) != (meta.kind, meta.ino, meta.size) {
            queue.names.insert(from.to_owned(), old);
            return false;
        }
        let known = Known {
            ours: true,
            ..known(meta, false)
        };
        queue.names.insert(to.to_owned(), known);
        self.generation += 1;
        true
    }

    fn set(&mut self, dir: DirId, name: &OsStr, known: Option<Known>) {
        let Some(queue) = self.queues.get_mut(&dir) else {
            return;
        };
        let changed = match known {
            None => queue.names.remove(name).is_some(),
            Some(known) => match queue.names.get_mut(name) {
                Some(old) if same(old, &known) => {
                    old.ours = known.ours;
                    false
                }
                Some(old) => {
                    *old = known;
                    true
                }
                None => {
                    queue.names.insert(name.to_owned(), known);
                    true
                }
            },
        };
        if changed {
            self.generation += 1;
        }
    }
}

fn same(old: &Known, new: &Known) -> bool {
    let of = |known: &Known| Known {
        newline: None,
        ours: false,
        ..*known
    };
    of(old) == of(new)
}

fn known(meta: &Meta, in_the_making: bool) -> Known {
    Known {
        kind: meta.kind,
        ino: meta.ino,
        size: meta.size,
        mtime: meta.mtime,
        ctime: meta.ctime,
        newline: None,
        in_the_making,
        ours: false,
    }
}

fn same_names(old: &BTreeMap<OsString, Known>, new: &BTreeMap<OsString, Known>) -> bool {
    let mut both = old.iter().zip(new);
    old.len() == new.len() && both.all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
}

fn is_never_shown(name: &OsStr, kind: Kind) -> bool {
    kind == Kind::Other || name == names::PRIVATE
}

impl State {
    /// Is this the name of a draft, which the store does not know of yet?
    pub(super) fn is_reserved(&self, dir: DirId, name: &StampedName) -> bool {
        let doc = self.docs.named(dir, name).and_then(|id| self.docs.get(id));
        doc.is_some_and(super::docs::Doc::is_new)
    }
}

impl Fs {
    /// Takes in what has changed, and makes sure that this queue is known.
    pub(super) fn load(&self, state: &mut State, dir: DirId) -> Result<()> {
        self.take_changes(state);
        let listed = self.list_unknown(state, dir);
        self.settle_listed(state);
        listed
    }

    /// Lists a queue that is not kept in step.
    fn list_unknown(&self, state: &mut State, dir: DirId) -> Result<()> {
        match state.index.queues.get(&dir) {
            Some(queue) if queue.watch.is_some() => return Ok(()),
            _ => {}
        }
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        // Watched first, listed then: a change in between is seen twice rather than not at all.
        let watch = self.store.watch(&path);
        let mut names = BTreeMap::new();
        let mut undecided = HashSet::new();
        for (name, meta) in self.store.list(&path)? {
            if is_never_shown(&name, meta.kind) {
                continue;
            }
            let may_be_written = undecided::may_be_written(&name, meta.kind, watch.is_some())
                && !self.local.is_ordinary(&path.join(&name));
            names.insert(name.clone(), known(&meta, may_be_written));
            if may_be_written {
                undecided.insert(name);
            }
        }
        let queue = QueueIndex {
            names,
            watch,
            undecided,
            held: HashSet::new(),
        };
        let old = state.index.queues.insert(dir, queue);
        if let Some(watch) = watch {
            state.index.by_watch.insert(watch, dir);
            // A file that somebody has begun since it is watched must not be taken for a finished stray.
            self.take_changes(state);
        }
        if !state.index.queues.contains_key(&dir) {
            // More changes than were kept.
            return self.list_unknown(state, dir);
        }
        let old = old.map(|old| old.names);
        state.index.unsettled.push(Listed { dir, path, old });
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
        for change in changes {
            let Some(dir) = state.index.by_watch.get(&change.watch).copied() else {
                continue;
            };
            if change.name.is_empty() {
                // There may be another one in its place already, of the same inode number even.
                if change.what == What::Removed || self.is_gone(state, dir) {
                    state.index.drop_queue(dir);
                }
                continue;
            }
            self.outdated(state, dir, &change.name, None);
            let mut what = change.what;
            if let Some(queue) = state.index.queues.get_mut(&dir) {
                if what == What::Closed && queue.held.remove(&change.name) {
                    // By one of those who wrote it, perhaps not the last one.
                    what = What::Touched;
                    self.undecided(state, dir, &change.name);
                } else if what != What::Touched {
                    // The store has told.
                    queue.undecided.remove(&change.name);
                }
            }
            let known = state.index.get(dir, &change.name);
            let ours = known.filter(|known| known.ours && change.what != What::Removed);
            let ours = ours.map(|known| known.ino);
            let in_the_making = match what {
                What::Created => true,
                What::Closed | What::Removed => false,
                What::Touched => known.is_some_and(|known| known.in_the_making),
            };
            let seen = Seen {
                in_the_making,
                ours: Ours::Only(ours),
                tried: false,
            };
            self.look_again(state, dir, &change.name, seen);
            if change.what == What::Removed && state.index.get(dir, &change.name).is_none() {
                self.ordinary_removed(state, dir, &change.name);
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
        let ino = state.index.get(dir, name).map(|known| known.ino);
        self.outdated(state, dir, name, ino);
        let seen = Seen {
            in_the_making: false,
            ours: Ours::Any,
            tried: false,
        };
        self.look_again(state, dir, name, seen);
    }

    fn look_again(&self, state: &mut State, dir: DirId, name: &OsStr, seen: Seen) {
        if !state.index.queues.contains_key(&dir) {
            return;
        }
        let Some(path) = state.dirs.path(dir) else {
            return;
        };
        let meta = match self.store.stat(&path, name) {
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
        self.settle_known(state, dir, &path, name, known, seen);
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

    /// What a directory of this name in `parent` is to us.
    pub(super) fn kind_of_dir(&self, state: &State, parent: DirId, name: &OsStr) -> DirKind {
        let plain = state.dirs.kind(parent) == DirKind::Plain
            || is_hidden(name)
            || state
                .dirs
                .join(parent, name)
                .is_none_or(|path| self.local.is_ordinary(&path));
        if plain {
            DirKind::Plain
        } else {
            DirKind::Queue
        }
    }
}
