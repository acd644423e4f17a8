//! Inode number, size, times and last byte of files of which only the name is cached.
//!
//! stat(2) of a hundred thousand names takes longer than to list them. So the daemon calls it for pending files when they are
//! merged, and for every file when a client lists the queue.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::fs::queue::entry::CacheEntry;
use crate::parallel::in_two;
use crate::store::lease::{self, Writers};
use crate::store::{Access, Meta, Store};

/// How many files are looked at in one go. An answer of stat(2) is larger than a cache entry.
const BATCH: usize = 4096;

/// Why a pending file cannot be merged now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    /// The daemon may not read the file, by its mode or its owner.
    Forbidden,
    /// The last byte could not be read.
    LastByte,
    /// A process outside the mount is writing the file (spec 3.7).
    Unfinished,
}

impl Queues {
    /// Calls stat(2) for every name of a queue for which it was not called yet.
    pub(super) fn look_at_all(&mut self, dir: DirId) -> Result<()> {
        let path = self.path(dir)?;
        let mut last: Option<Arc<OsStr>> = None;
        loop {
            let batch = self.queue(dir).after(last.as_deref(), BATCH);
            let Some((end, _)) = batch.last() else {
                return Ok(());
            };
            last = Some(end.clone());
            let unlooked = batch.into_iter().filter(|(_, entry)| entry.is_none());
            let unlooked: Vec<Arc<OsStr>> = unlooked.map(|(name, _)| name).collect();
            let found = in_two(&unlooked, |name| self.ctx.store.stat(&path, name));
            for (name, meta) in unlooked.iter().zip(found) {
                self.note_meta(dir, name, meta)?;
            }
        }
    }

    /// Reads what a merge needs of these pending files: stat(2) and the last byte. Answers the files that cannot be merged. Files
    /// that are gone leave the cache. `written` names the files that are being written through the mount.
    pub fn look_at_pending(
        &mut self,
        dir: DirId,
        path: &Path,
        names: &[Arc<OsStr>],
        written: &HashSet<OsString>,
    ) -> Result<HashMap<Arc<OsStr>, Unread>> {
        let mut unread = HashMap::new();
        for batch in names.chunks(BATCH) {
            let found = in_two(batch, |name| {
                let foreign = self.may_be_foreign(dir, name) && !written.contains::<OsStr>(name);
                last_byte(&*self.ctx.store, path, name, foreign)
            });
            for (name, found) in batch.iter().zip(found) {
                if let Some(why) = self.note_last_byte(dir, path, name, found)? {
                    unread.insert(name.clone(), why);
                }
            }
        }
        Ok(unread)
    }

    /// Caches the answer of [`last_byte`]; returns why the file cannot be merged, if so.
    fn note_last_byte(
        &mut self,
        dir: DirId,
        path: &Path,
        name: &OsStr,
        found: Result<LastByte>,
    ) -> Result<Option<Unread>> {
        let error = match found {
            Ok((meta, last, writers)) => {
                self.note_meta(dir, name, Ok(meta))?;
                if writers.is_some_and(|writers| !self.is_finished(dir, name, writers)) {
                    return Ok(Some(Unread::Unfinished));
                }
                if let Some(last) = last {
                    self.note_newline(dir, name, last == b'\n');
                }
                return Ok(None);
            }
            Err(error) => error,
        };
        if !self.get(dir, name).is_some_and(|entry| entry.looked) {
            self.note_meta(dir, name, self.ctx.store.stat(path, name))?;
        }
        Ok(Some(match error {
            Error::AccessDenied => Unread::Forbidden,
            _ => Unread::LastByte,
        }))
    }

    /// May a process outside the mount be writing this pending file? In a queue that the store does not watch the answer is no:
    /// otherwise every use would have to look for the writers of every file.
    fn may_be_foreign(&self, dir: DirId, name: &OsStr) -> bool {
        self.is_watched(dir) && !self.get(dir, name).is_some_and(|entry| entry.ours)
    }

    fn is_finished(&mut self, dir: DirId, name: &OsStr, writers: Writers) -> bool {
        let Some(queue) = self.cached.get_mut(&dir) else {
            return true;
        };
        let Some(entry) = queue.get(name).copied() else {
            return true;
        };
        let listed = Some(self.ctx.clock.now());
        let finished = queue.is_finished(name, &entry, writers, Instant::now(), listed);
        if finished {
            queue.last_changes.remove(name);
        }
        finished
    }

    fn note_meta(&mut self, dir: DirId, name: &OsStr, meta: Result<Meta>) -> Result<()> {
        let new = CacheEntry::shown(name, meta)?;
        match (self.get_mut(dir, name), new) {
            (Some(old), Some(new)) if old.kind == new.kind => {
                let ours = old.ours && old.ino == new.ino;
                *old = CacheEntry { ours, ..new };
            }
            // The name has left the cache meanwhile.
            (None, Some(_)) => {}
            (_, new) => self.set(dir, name, new),
        }
        Ok(())
    }
}

/// stat(2) of a file, its last byte, and its writers; see [`last_byte`].
type LastByte = (Meta, Option<u8>, Option<Writers>);

/// stat(2) of a file, and its last byte, if it has any. If the file is `foreign`, also whether a process has it open for
/// writing.
fn last_byte(store: &dyn Store, path: &Path, name: &OsStr, foreign: bool) -> Result<LastByte> {
    let (file, meta) = store.open_known(path, name, Access::READ)?;
    let Some(end) = meta.size.checked_sub(1) else {
        return Ok((meta, None, None));
    };
    // The writers come first: bytes that are read when no writer is left do not change any more.
    let writers = foreign.then(|| lease::writers(&file));
    let mut last = [0];
    file.read_exact_at(&mut last, end)?;
    Ok((meta, Some(last[0]), writers))
}
