//! Strays: files that turned up in the backing directory become handoffs once no process outside the mount writes them
//! (spec 3.7).
//!
//! The daemon looks for writers twice: before it adopts a stray, and before a merge shows a pending file that was not written
//! through the mount. A process may have opened that file before it was adopted, or may be writing a stamped name below.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::fs::queue::entry::{CacheEntry, is_empty_pending_md};
use crate::fs::queue::names::{LastChange, Queue};
use crate::fs::queue::retry::Seen;
use crate::names;
use crate::store::lease::{self, Writers};
use crate::store::{Access, Kind, Meta};

/// How long a file must be unchanged where no lease tells whether it has a writer (spec 3.7d).
const QUIET: Duration = Duration::from_secs(5);

impl Queue {
    /// A process outside the mount has changed a file.
    pub(super) fn turned_up(&mut self, name: &OsStr, left: &CacheEntry, seen: Instant) {
        let last = self.last_changes.get(name);
        let is_new = last.is_none_or(|last| !last.left.is_same_file(left));
        if is_new && left.kind == Kind::File && self.pending().contains_key(name) {
            self.note_change(name, left, seen);
        }
    }

    fn note_change(&mut self, name: &OsStr, left: &CacheEntry, seen: Instant) {
        let left = *left;
        let change = LastChange { left, seen };
        self.last_changes.insert(name.to_owned(), change);
    }

    /// Has a file no writer any more? `listed` is the time of day if a listing has found the file: then no change of it was seen,
    /// and its age counts.
    pub(super) fn is_finished(
        &mut self,
        name: &OsStr,
        entry: &CacheEntry,
        writers: Writers,
        at: Instant,
        listed: Option<SystemTime>,
    ) -> bool {
        match (writers, self.last_changes.get(name)) {
            (Writers::None, _) => true,
            (Writers::Some, _) => false,
            (Writers::Unknown, Some(last)) if last.left.is_same_file(entry) => {
                at.saturating_duration_since(last.seen) >= QUIET
            }
            (Writers::Unknown, last) => {
                let was_seen = last.is_some();
                self.note_change(name, entry, at);
                !was_seen && listed.is_some_and(|now| entry.is_old(now))
            }
        }
    }
}

/// As [`Queue::is_finished`], for a file that the mount covers: no process can open the file by name any more, and no earlier
/// check of it is known.
pub fn is_finished_at_mount(file: &File, meta: &Meta, at: Instant, now: SystemTime) -> bool {
    let writers = lease::writers(file);
    Queue::default().is_finished(
        OsStr::new(""),
        &CacheEntry::of(meta),
        writers,
        at,
        Some(now),
    )
}

impl CacheEntry {
    /// Was the last change so long ago that no process is writing the file?
    fn is_old(&self, now: SystemTime) -> bool {
        let ctime = u64::try_from(self.ctime).map(Duration::from_nanos);
        let ctime = SystemTime::UNIX_EPOCH + ctime.unwrap_or_default();
        let age = now.duration_since(self.mtime.max(ctime));
        age.is_ok_and(|age| age >= QUIET)
    }
}

impl Queues {
    /// Looks again at the names that could not be looked at, and adopts the strays that are finished.
    pub(super) fn retry(&mut self) {
        for ((dir, name), seen) in std::mem::take(&mut self.retries) {
            let Ok(path) = self.path(dir) else {
                continue;
            };
            let found = self.ctx.store.stat(&path, &name);
            match found.as_ref().map(CacheEntry::of) {
                Ok(entry) if self.may_adopt(dir, &name, &entry) => {
                    self.adopt(dir, &path, &name, entry, seen);
                }
                _ => self.looked_again(dir, &path, &name, seen, found),
            }
        }
    }

    /// Is this file to be adopted once no process writes it?
    pub(super) fn may_adopt(&self, dir: DirId, name: &OsStr, entry: &CacheEntry) -> bool {
        entry.kind == Kind::File && !is_empty_pending_md(name, entry) && self.is_stray(dir, name)
    }

    /// Adopts a stray if it is finished; otherwise the next use tries again.
    fn adopt(&mut self, dir: DirId, path: &Path, name: &OsStr, stray: CacheEntry, seen: Seen) {
        self.set(dir, name, Some(stray));
        let Some(queue) = self.cached.get_mut(&dir) else {
            return;
        };
        let file = self.ctx.store.open(path, name, Access::READ);
        let writers = file.map_or(Writers::Unknown, |file| lease::writers(&file));
        let listed = seen.listed.then(|| self.ctx.clock.now());
        if !queue.is_finished(name, &stray, writers, Instant::now(), listed) {
            log::debug!(
                "{}: another program may be writing it; it is adopted when none does",
                path.join(name).display()
            );
            self.retry_later(dir, name, seen);
            return;
        }
        let last_change = queue.last_changes.remove(name);
        let adopted = names::adopted(name, self.ctx.zone.stamp(stray.mtime));
        match self.move_free(dir, name, &adopted) {
            Ok(adopted) => {
                log::info!("adopted {} as {adopted}", path.join(name).display());
                self.set(dir, name, None);
                let adopted = adopted.to_os_string();
                let found = self.ctx.store.stat(path, &adopted);
                let Some(meta) = found.ok().filter(|now| now.ino == stray.ino) else {
                    // Another program has moved the file on already: the store will tell.
                    return;
                };
                let entry = CacheEntry::of(&meta);
                self.set(dir, &adopted, Some(entry));
                // The rename has moved the ctime, and is no change of the content.
                if let (Some(queue), Some(last)) = (self.queue_mut(dir), last_change) {
                    queue.note_change(&adopted, &entry, last.seen);
                }
            }
            Err(error) => {
                if !seen.logged {
                    log::warn!(
                        "{}: cannot be adopted as {adopted} ({error}); every use of the directory tries again",
                        path.join(name).display()
                    );
                }
                let logged = true;
                self.retry_later(dir, name, Seen { logged, ..seen });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64, changed: SystemTime) -> CacheEntry {
        let since = changed.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        CacheEntry {
            size,
            mtime: changed,
            ctime: i64::try_from(since.as_nanos()).unwrap(),
            ..CacheEntry::unlooked(Kind::File)
        }
    }

    /// spec 3.7d: where no lease tells, a file is finished once it was seen unchanged for five seconds; at the mount at
    /// once, if it is as old as that.
    #[test]
    fn unchanged_for_five_seconds() {
        let name = OsStr::new("x.md");
        let (at, now) = (Instant::now(), SystemTime::now());
        let second = Duration::from_secs(1);
        let mut queue = Queue::default();
        let mut is_finished = |size, after: u32, listed| {
            let entry = file(size, now - 60 * second);
            let at = at + after * second;
            queue.is_finished(name, &entry, Writers::Unknown, at, listed)
        };
        assert!(!is_finished(1, 0, None), "nobody has seen it before");
        assert!(!is_finished(1, 4, None));
        assert!(!is_finished(2, 5, None), "it has grown");
        assert!(
            !is_finished(2, 9, Some(now)),
            "seen to change, so its age tells nothing"
        );
        assert!(is_finished(2, 10, None));
        for (age, finished) in [(4, false), (5, true)] {
            let entry = file(1, now - age * second);
            let name = OsStr::new("y.md");
            let listed = Some(now);
            let mut queue = Queue::default();
            assert_eq!(
                queue.is_finished(name, &entry, Writers::Unknown, at, listed),
                finished
            );
        }
    }

    /// spec 3.7c: where a lease tells, nothing else counts.
    #[test]
    fn a_lease_decides() {
        let (name, at, now) = (OsStr::new("x.md"), Instant::now(), SystemTime::now());
        let (new, old) = (file(1, now), file(1, now - 3600 * Duration::from_secs(1)));
        let mut queue = Queue::default();
        assert!(queue.is_finished(name, &new, Writers::None, at, None));
        assert!(!queue.is_finished(name, &old, Writers::Some, at, Some(now)));
    }
}
