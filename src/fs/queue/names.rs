//! The names of one queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use crate::fs::ids::DirId;
use crate::fs::queue::entry::CacheEntry;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::names::StampedName;
use crate::store::{Kind, Watch};

/// See the [module](self). Pending handoffs and directories have tables of their own, because every look at `pending.md` asks
/// for them, and a queue may hold a hundred thousand names of other kinds.
#[derive(Debug, Default)]
pub struct Queue {
    /// Every name but those of pending handoffs. All tables share one allocation of a name.
    others: BTreeMap<Arc<OsStr>, CacheEntry>,
    /// The regular files with the name of a pending handoff.
    pending: BTreeMap<Arc<OsStr>, Pending>,
    /// The names of `others` that are directories.
    dirs: BTreeSet<Arc<OsStr>>,
    pub(super) watch: Option<Watch>,
    /// The last change that was seen of each file that a process outside the mount may be writing.
    pub(super) last_changes: HashMap<OsString, LastChange>,
}

/// A pending handoff.
#[derive(Debug)]
pub struct Pending {
    pub cached: CacheEntry,
    /// Cached merge entries, one per queue whose `pending.md` includes this file. Only while its consumed name is the default
    /// `X_done.md`.
    merged: Vec<(DirId, Arc<MergeEntry>)>,
}

/// A file as its last change left it, and when that change was seen.
#[derive(Debug)]
pub(super) struct LastChange {
    pub(super) left: CacheEntry,
    pub(super) seen: Instant,
}

impl Queue {
    /// A queue as it was just listed.
    pub(super) fn new(watch: Option<Watch>, listed: Vec<(Arc<OsStr>, CacheEntry)>) -> Queue {
        let is_dir = |(_, entry): &&(Arc<OsStr>, CacheEntry)| entry.kind == Kind::Directory;
        let dirs = listed.iter().filter(is_dir).map(|(name, _)| name.clone());
        let dirs = dirs.collect();
        let (pending, others): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .partition(|(name, entry)| is_pending(name, entry));
        let pending = pending
            .into_iter()
            .map(|(name, entry)| (name, entry.into()));
        Queue {
            // A tree that is collected at once has no half empty nodes.
            others: others.into_iter().collect(),
            pending: pending.collect(),
            dirs,
            watch,
            ..Queue::default()
        }
    }

    /// Every name: those that are not pending first, then the pending ones, each part in order.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &CacheEntry)> {
        let pending = self.pending.iter().map(|(name, it)| (&**name, &it.cached));
        let others = self.others.iter().map(|(name, entry)| (&**name, entry));
        others.chain(pending)
    }

    /// The pending handoffs, in the order of their names.
    pub fn pending(&self) -> &BTreeMap<Arc<OsStr>, Pending> {
        &self.pending
    }

    /// The directories.
    pub(super) fn dirs(&self) -> impl Iterator<Item = (&OsStr, &CacheEntry)> {
        let dirs = self.dirs.iter().map(|name| &**name);
        dirs.filter_map(|name| Some((name, self.others.get(name)?)))
    }

    pub(super) fn len(&self) -> usize {
        self.others.len() + self.pending.len()
    }

    /// The shared allocation of a name.
    pub fn key(&self, name: &OsStr) -> Option<&Arc<OsStr>> {
        let pending = || self.pending.get_key_value(name).map(|(key, _)| key);
        let other = self.others.get_key_value(name).map(|(key, _)| key);
        other.or_else(pending)
    }

    pub(super) fn get(&self, name: &OsStr) -> Option<&CacheEntry> {
        let pending = || self.pending.get(name).map(|it| &it.cached);
        self.others.get(name).or_else(pending)
    }

    /// The entry of a name, to be changed. Its cached merge entries are dropped.
    pub(super) fn get_mut(&mut self, name: &OsStr) -> Option<&mut CacheEntry> {
        if let Some(pending) = self.pending.get_mut(name) {
            pending.merged.clear();
            return Some(&mut pending.cached);
        }
        self.others.get_mut(name)
    }

    pub(super) fn insert(&mut self, name: &OsStr, entry: CacheEntry) {
        if let Some(old) = self.get_mut(name)
            && old.kind == entry.kind
        {
            *old = entry;
            return;
        }
        self.remove(name);
        if let Some(stamped) = StampedName::parse(name) {
            self.taken(&stamped);
        }
        let name: Arc<OsStr> = name.into();
        if is_pending(&name, &entry) {
            self.pending.insert(name, entry.into());
            return;
        }
        if entry.kind == Kind::Directory {
            self.dirs.insert(name.clone());
        }
        self.others.insert(name, entry);
    }

    pub(super) fn remove(&mut self, name: &OsStr) {
        self.last_changes.remove(name);
        self.dirs.remove(name);
        self.others.remove(name);
        self.pending.remove(name);
    }

    /// A file or a draft has this name now. A handoff that was to get this name once it is consumed gets another.
    pub fn taken(&mut self, name: &StampedName) {
        if !name.is_pending()
            && let Some(pending) = self.pending.get_mut(&*name.pending().to_os_string())
        {
            pending.merged.clear();
        }
    }

    /// The next `count` names after `last`, sorted. Each comes with its cache entry if stat(2) has filled the entry, else
    /// with `None`.
    pub fn after(
        &self,
        last: Option<&OsStr>,
        count: usize,
    ) -> Vec<(Arc<OsStr>, Option<CacheEntry>)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::Unbounded);
        let others = self.others.range::<OsStr, _>(range).take(count);
        let pending = self.pending.range::<OsStr, _>(range).take(count);
        let pending = pending.map(|(name, it)| (name, &it.cached));
        let mut both: Vec<_> = others.chain(pending).collect();
        both.sort_by_key(|(name, _)| *name);
        both.truncate(count);
        let looked = |entry: &CacheEntry| entry.looked.then_some(*entry);
        both.into_iter()
            .map(|(name, entry)| (name.clone(), looked(entry)))
            .collect()
    }

    /// The path of the queue has changed, and with it the merge entry of every file.
    pub(super) fn path_changed(&mut self) {
        for pending in self.pending.values_mut() {
            pending.merged.clear();
        }
    }

    /// Caches the entry of a pending handoff in the merge of `top`.
    pub fn keep_entry(&mut self, top: DirId, name: &OsStr, entry: &Arc<MergeEntry>) {
        if let Some(pending) = self.pending.get_mut(name) {
            pending.merged.retain(|(other, _)| *other != top);
            // Most handoffs are part of one merge only.
            pending.merged.reserve_exact(1);
            pending.merged.push((top, entry.clone()));
        }
    }

    /// Called after the queue was listed again. Keeps what the old cache knew; returns true if no file has changed.
    pub(super) fn take_over(&mut self, old: Queue) -> bool {
        let is_same = self.len() == old.len()
            && std::iter::zip(self.iter(), old.iter())
                .all(|(new, old)| new.0 == old.0 && new.1.is_same_file(old.1));
        self.last_changes = old.last_changes;
        if is_same {
            // The old entries may hold more, such as the last byte.
            self.others = old.others;
            self.pending = old.pending;
        }
        let (others, pending) = (&self.others, &self.pending);
        self.last_changes
            .retain(|name, _| others.contains_key(&**name) || pending.contains_key(&**name));
        is_same
    }
}

fn is_pending(name: &OsStr, entry: &CacheEntry) -> bool {
    entry.kind == Kind::File && StampedName::parse(name).is_some_and(|name| name.is_pending())
}

impl From<CacheEntry> for Pending {
    fn from(cached: CacheEntry) -> Pending {
        let merged = Vec::new();
        Pending { cached, merged }
    }
}

impl Pending {
    /// The entry of this handoff in the merge of `top`, if that is cached.
    pub fn entry(&self, top: DirId) -> Option<&Arc<MergeEntry>> {
        let mut merged = self.merged.iter();
        merged.find(|(of, _)| *of == top).map(|(_, entry)| entry)
    }

    /// Is the file known to be empty? Then the handoff is never delivered (spec 4.8).
    pub fn is_empty(&self) -> bool {
        self.cached.looked && self.cached.size == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: DirId = DirId::ROOT;

    fn file(ino: u64) -> CacheEntry {
        CacheEntry {
            ino,
            ..CacheEntry::unlooked(Kind::File)
        }
    }

    fn queue(names: &[&str]) -> Queue {
        let listed = names.iter().map(|name| (OsStr::new(name).into(), file(1)));
        Queue::new(None, listed.collect())
    }

    fn names<'a>(iter: impl Iterator<Item = (&'a OsStr, &'a CacheEntry)>) -> Vec<&'a str> {
        iter.map(|(name, _)| name.to_str().unwrap()).collect()
    }

    const A: &str = "2026-01-02_030405_a.md";
    const A_DONE: &str = "2026-01-02_030405_a_done.md";

    fn with_entry() -> Queue {
        let mut queue = queue(&[A]);
        let stamped = StampedName::parse(OsStr::new(A)).unwrap();
        let done = stamped.consumed().to_os_string();
        let cached = *queue.get(OsStr::new(A)).unwrap();
        let at = chrono::DateTime::UNIX_EPOCH.fixed_offset();
        let entry = MergeEntry::new(TOP, stamped.stamp(), OsStr::new(A), &done, &cached, at);
        queue.keep_entry(TOP, OsStr::new(A), &Arc::new(entry));
        queue
    }

    fn has_entry(queue: &Queue) -> bool {
        queue.pending().values().any(|it| it.entry(TOP).is_some())
    }

    /// spec 6.1a: only regular files with a pending name are pending, in the order of their names.
    #[test]
    fn pending_ones_are_apart() {
        let mut queue = queue(&["z.json", A_DONE, "2026-01-02_030405_b.md", A]);
        queue.insert(
            OsStr::new("2026-01-02_030405_c.md"),
            CacheEntry::unlooked(Kind::Directory),
        );
        let pending: Vec<_> = queue.pending().keys().map(|name| &**name).collect();
        assert_eq!(pending, [A, "2026-01-02_030405_b.md"]);
        assert_eq!(names(queue.dirs()), ["2026-01-02_030405_c.md"]);
        assert_eq!(queue.len(), 5);
    }

    /// A name whose kind changes is in the table of its new kind only.
    #[test]
    fn a_name_changes_its_kind() {
        let mut queue = queue(&[A]);
        queue.insert(OsStr::new(A), CacheEntry::unlooked(Kind::Directory));
        assert!(queue.pending().is_empty());
        assert_eq!(names(queue.dirs()), [A]);
        queue.insert(OsStr::new(A), file(2));
        assert_eq!(names(queue.dirs()), [""; 0]);
        assert_eq!(queue.len(), 1);
        queue.remove(OsStr::new(A));
        assert_eq!(queue.len(), 0);
    }

    /// spec 6.1b: the header line names the consumed name, and is written anew when another file takes that name.
    #[test]
    fn a_taken_name_drops_the_cached_entry() {
        let mut queue = with_entry();
        assert!(has_entry(&queue));
        queue.insert(OsStr::new("2026-01-02_030405_b_done.md"), file(2));
        assert!(has_entry(&queue), "another handoff's name");
        queue.insert(OsStr::new(A_DONE), file(2));
        assert!(!has_entry(&queue));
    }

    /// spec 6.1b: the header line is written anew when the file changes, or the path of its queue.
    #[test]
    fn a_change_drops_the_cached_entry() {
        let mut queue = with_entry();
        queue.insert(OsStr::new(A), file(2));
        assert!(!has_entry(&queue));
        let mut queue = with_entry();
        queue.path_changed();
        assert!(!has_entry(&queue));
    }

    /// spec 7.1a: the sweep goes through all names, a few at a time, each once.
    #[test]
    fn batches_reach_every_name_once() {
        let all = [A, A_DONE, "2026-01-02_030405_b.md", "a.json", "b.json"];
        let queue = queue(&all);
        for count in 1..4 {
            let (mut last, mut found) = (None::<Arc<OsStr>>, Vec::new());
            loop {
                let batch = queue.after(last.as_deref(), count);
                let Some((end, entry)) = batch.last() else {
                    break;
                };
                assert!(entry.is_none(), "nothing but the name is known yet");
                last = Some(end.clone());
                found.extend(batch.into_iter().map(|(name, _)| name));
            }
            assert_eq!(found, all.map(OsStr::new).map(Arc::from));
        }
    }

    /// spec 3.1: a queue that is listed again keeps its cache, unless a file has changed.
    #[test]
    fn listed_again() {
        let mut again = queue(&[A]);
        assert!(again.take_over(with_entry()));
        assert!(has_entry(&again));
        let mut changed = queue(&[A]);
        changed.insert(OsStr::new(A), file(2));
        assert!(!changed.take_over(with_entry()));
        assert!(!has_entry(&changed));
    }
}
