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
        if names.is_empty() {
            return Ok(unread);
        }
        let names = self.foreign(dir, names, written);
        let batches = names.chunks(BATCH);
        let ctx = self.ctx.clone();
        let last_byte =
            |(name, foreign): &(&Arc<OsStr>, bool)| last_byte(&*ctx.store, path, name, *foreign);
        let found = batches.flat_map(|batch| in_two(batch, last_byte));
        for (&(name, _), found) in names.iter().zip(found) {
            let error = match found {
                Ok((meta, last, writers)) => {
                    self.note_meta(dir, name, Ok(meta))?;
                    if writers.is_some_and(|writers| !self.is_finished(dir, name, writers)) {
                        unread.insert(name.clone(), Unread::Unfinished);
                    } else if let Some(last) = last {
                        self.note_newline(dir, name, last == b'\n');
                    }
                    continue;
                }
                Err(error) => error,
            };
            if !self.get(dir, name).is_some_and(|it| it.looked) {
                self.note_meta(dir, name, self.ctx.store.stat(path, name))?;
            }
            let why = match error {
                Error::AccessDenied => Unread::Forbidden,
                _ => Unread::LastByte,
            };
            unread.insert(name.clone(), why);
        }
        Ok(unread)
    }

    /// Tells for each of these pending files whether a process outside the mount may be writing it. In a queue that the store does
    /// not watch the answer is no: otherwise every use would have to look for the writers of every file.
    fn foreign<'a>(
        &self,
        dir: DirId,
        names: &'a [Arc<OsStr>],
        written: &HashSet<OsString>,
    ) -> Vec<(&'a Arc<OsStr>, bool)> {
        let watched = self.is_watched(dir);
        let foreign = |name: &Arc<OsStr>| {
            let ours = self.get(dir, name).is_some_and(|entry| entry.ours);
            watched && !ours && !written.contains::<OsStr>(name)
        };
        names.iter().map(|name| (name, foreign(name))).collect()
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

/// stat(2) of a file, and its last byte, if it has any. If the file is `foreign`, also whether a process has it open for
/// writing.
fn last_byte(
    store: &dyn Store,
    path: &Path,
    name: &OsStr,
    foreign: bool,
) -> Result<(Meta, Option<u8>, Option<Writers>)> {
    let (file, meta) = store.open_known(path, name, Access::READ)?;
    let Some(end) = meta.size.checked_sub(1) else {
        return Ok((meta, None, None));
    };
    // The writers come first: what is read when no writer is left does not change any more.
    let writers = foreign.then(|| lease::writers(&file));
    let mut last = [0];
    file.read_exact_at(&mut last, end)?;
    Ok((meta, Some(last[0]), writers))
}
