//! The names of one queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::fs::ids::DirId;
use crate::fs::queue::entry::{CacheEntry, same};
use crate::fs::queue::merge_entry::MergeEntry;
use crate::names::StampedName;
use crate::store::{Kind, Watch};

/// See the [module](self). What is pending, and which names are directories, is asked at every look at `pending.md`, and
/// there may be a hundred thousand names that are neither.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// All but what is pending. A name is shared with whoever else keeps it, here and in the maps below.
    others: BTreeMap<Arc<OsStr>, CacheEntry>,
    /// The regular files with the name of a pending handoff.
    pending: BTreeMap<Arc<OsStr>, Pending>,
    /// Which of the others are directories.
    dirs: BTreeSet<Arc<OsStr>>,
    pub(super) watch: Option<Watch>,
    /// When the last change of a file was seen, where somebody outside of the mount may be writing it.
    pub(super) still: HashMap<OsString, Still>,
    /// The path of this queue as seen from those whose merges it is part of.
    prefixes: Vec<(DirId, PathBuf)>,
    listed: Vec<(Arc<OsStr>, CacheEntry)>,
    listed_pending: Vec<(Arc<OsStr>, Pending)>,
}

/// A name that is pending.
#[derive(Debug)]
pub(in crate::fs) struct Pending {
    pub(in crate::fs) known: CacheEntry,
    /// What merges show of it, by the queue whose merge it is; only if it becomes, once it is consumed, what its name says.
    items: Vec<(DirId, Arc<MergeEntry>)>,
}

/// A file as it was when its last change was seen.
#[derive(Debug)]
pub(super) struct Still {
    ino: u64,
    size: u64,
    mtime: SystemTime,
    ctime: i64,
    pub(super) since: Instant,
}

impl Still {
    pub(super) fn new(known: &CacheEntry, since: Instant) -> Still {
        Still {
            ino: known.ino,
            size: known.size,
            mtime: known.mtime,
            ctime: known.ctime,
            since,
        }
    }

    pub(super) fn is(&self, known: &CacheEntry) -> bool {
        (self.ino, self.size, self.mtime, self.ctime)
            == (known.ino, known.size, known.mtime, known.ctime)
    }
}

impl Queue {
    pub(super) fn new(watch: Option<Watch>) -> Queue {
        Queue {
            watch,
            ..Queue::default()
        }
    }

    /// Adds a name to those of a new queue, which [`Queue::listed`] takes in.
    pub(super) fn add_listed(&mut self, name: Arc<OsStr>, pending: bool, known: CacheEntry) {
        match known.kind {
            Kind::File if pending => {
                let items = Vec::new();
                self.listed_pending.push((name, Pending { known, items }));
            }
            Kind::Directory => {
                self.dirs.insert(name.clone());
                self.listed.push((name, known));
            }
            _ => self.listed.push((name, known)),
        }
    }

    /// All names were added.
    pub(super) fn listed(&mut self) {
        // At once: that fills every node of the trees.
        self.others = std::mem::take(&mut self.listed).into_iter().collect();
        self.pending = std::mem::take(&mut self.listed_pending)
            .into_iter()
            .collect();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsStr, &CacheEntry)> {
        let pending = self.pending.iter().map(|(name, it)| (&**name, &it.known));
        let others = self.others.iter().map(|(name, known)| (&**name, known));
        others.chain(pending)
    }

    pub(super) fn pending(&self) -> &BTreeMap<Arc<OsStr>, Pending> {
        &self.pending
    }

    pub(super) fn dirs(&self) -> impl Iterator<Item = (&OsStr, &CacheEntry)> {
        let dirs = self.dirs.iter().map(|name| &**name);
        dirs.filter_map(|name| Some((name, self.others.get(name)?)))
    }

    pub(super) fn len(&self) -> usize {
        self.others.len() + self.pending.len()
    }

    /// The name as it is kept here.
    pub(super) fn key(&self, name: &OsStr) -> Option<&Arc<OsStr>> {
        let pending = || self.pending.get_key_value(name).map(|(key, _)| key);
        let other = self.others.get_key_value(name).map(|(key, _)| key);
        other.or_else(pending)
    }

    pub(super) fn get(&self, name: &OsStr) -> Option<&CacheEntry> {
        let pending = || self.pending.get(name).map(|it| &it.known);
        self.others.get(name).or_else(pending)
    }

    /// What is known of a name, to be changed. What merges show of it is to be made anew.
    pub(super) fn get_mut(&mut self, name: &OsStr) -> Option<&mut CacheEntry> {
        if let Some(pending) = self.pending.get_mut(name) {
            pending.items.clear();
            return Some(&mut pending.known);
        }
        self.others.get_mut(name)
    }

    pub(super) fn insert(&mut self, name: &OsStr, known: CacheEntry) {
        if let Some(old) = self.get_mut(name)
            && old.kind == known.kind
        {
            *old = known;
            return;
        }
        self.remove(name);
        let stamped = StampedName::parse(name);
        if let Some(stamped) = &stamped {
            self.taken(stamped);
        }
        let name: Arc<OsStr> = name.into();
        if known.kind == Kind::Directory {
            self.dirs.insert(name.clone());
        }
        if known.kind == Kind::File && stamped.is_some_and(|name| name.is_pending()) {
            let items = Vec::new();
            self.pending.insert(name, Pending { known, items });
        } else {
            self.others.insert(name, known);
        }
    }

    pub(super) fn remove(&mut self, name: &OsStr) -> Option<CacheEntry> {
        self.still.remove(name);
        let known = self.others.remove(name);
        if known.is_some_and(|known| known.kind == Kind::Directory) {
            self.dirs.remove(name);
        }
        known.or_else(|| self.pending.remove(name).map(|it| it.known))
    }

    /// Something has this name: the handoff that would have got it once consumed gets another one.
    pub(super) fn taken(&mut self, name: &StampedName) {
        if !name.is_pending()
            && let Some(pending) = self.pending.get_mut(&*name.pending().to_os_string())
        {
            pending.items.clear();
        }
    }

    /// So many names that may expire, from the one after `last` on, with the facts of those that were looked at.
    pub(super) fn after(
        &self,
        last: Option<&OsStr>,
        count: usize,
    ) -> Vec<(Arc<OsStr>, Option<CacheEntry>)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::Unbounded);
        let others = self.others.range::<OsStr, _>(range).take(count);
        let pending = self.pending.range::<OsStr, _>(range).take(count);
        let pending = pending.map(|(name, it)| (name, &it.known));
        let mut both: Vec<_> = others.chain(pending).collect();
        both.sort_by_key(|(name, _)| *name);
        both.truncate(count);
        let looked = |known: &CacheEntry| known.looked.then_some(*known);
        both.into_iter()
            .map(|(name, known)| (name.clone(), looked(known)))
            .collect()
    }

    /// Says where this queue is, as seen from one whose merge it is part of: what that shows of it may be different now.
    pub(super) fn seen_from(&mut self, top: DirId, prefix: &Path) {
        let at = self.prefixes.iter().position(|(other, _)| *other == top);
        match at.and_then(|at| self.prefixes.get_mut(at)) {
            Some((_, old)) if old == prefix => {}
            Some((_, old)) => {
                *old = prefix.to_owned();
                for pending in self.pending.values_mut() {
                    pending.items.retain(|(other, _)| *other != top);
                }
            }
            None => self.prefixes.push((top, prefix.to_owned())),
        }
    }

    pub(super) fn keep_item(&mut self, top: DirId, name: &OsStr, item: &Arc<MergeEntry>) {
        if let Some(pending) = self.pending.get_mut(name) {
            pending.items.retain(|(other, _)| *other != top);
            // One is all that most ever have.
            pending.items.reserve_exact(1);
            pending.items.push((top, item.clone()));
        }
    }

    /// Is everything the same as in `old`? Then that, which may know more of it, is kept.
    pub(super) fn keep_if_same(&mut self, old: Queue) -> bool {
        let is_same = self.len() == old.len()
            && self
                .iter()
                .zip(old.iter())
                .all(|(a, b)| a.0 == b.0 && same(a.1, b.1));
        if is_same {
            self.others = old.others;
            self.pending = old.pending;
            self.prefixes = old.prefixes;
        }
        self.still = old.still;
        let (others, pending) = (&self.others, &self.pending);
        self.still
            .retain(|name, _| others.contains_key(&**name) || pending.contains_key(&**name));
        is_same
    }
}

impl Pending {
    pub(in crate::fs) fn item(&self, top: DirId) -> Option<&Arc<MergeEntry>> {
        let mut items = self.items.iter();
        items.find(|(of, _)| *of == top).map(|(_, item)| item)
    }

    /// Empty: nothing of it is delivered. Of what was not looked at that is not known.
    pub(in crate::fs) fn is_left_out(&self) -> bool {
        self.known.looked && self.known.size == 0
    }
}
