//! Inode number, size, times and last byte of files of which only the name is cached.
//!
//! stat(2) of a hundred thousand names takes longer than to list them. It is called for the pending files when they are merged,
//! and for every file when the queue is listed.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::fs::queue::entry::{CacheEntry, is_never_shown, known};
use crate::parallel::in_two;
use crate::store::lease::{self, Writers};
use crate::store::{Access, Meta, Store};

/// How many files are looked at in one go: stat(2) says more than is cached.
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
            let batch = self.after(dir, last.as_deref(), BATCH);
            let Some((end, _)) = batch.last() else {
                return Ok(());
            };
            last = Some(end.clone());
            let unlooked = batch.into_iter().filter(|(_, known)| known.is_none());
            let unlooked: Vec<Arc<OsStr>> = unlooked.map(|(name, _)| name).collect();
            let found = in_two(&unlooked, |name| self.ctx.store.stat(&path, name));
            for (name, meta) in unlooked.iter().zip(found) {
                self.note_meta(dir, name, meta)?;
            }
        }
    }

    /// Reads what a merge must know of these pending files; answers the files of which that could not be read. Files that are
    /// gone leave the cache. `written` are those that somebody writes through the mount.
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
                    if let Some(writers) = writers
                        && !self.is_finished(dir, name, writers)
                    {
                        unread.insert(name.clone(), Unread::Unfinished);
                        continue;
                    }
                    if let Some(last) = last {
                        self.note_newline(dir, name, last == b'\n');
                    }
                    continue;
                }
                Err(error) => error,
            };
            let is_known = self.get(dir, name).is_some_and(|it| it.looked);
            if !is_known {
                self.note_meta(dir, name, self.ctx.store.stat(path, name))?;
            }
            unread.insert(
                name.clone(),
                match error {
                    Error::AccessDenied => Unread::Forbidden,
                    _ => Unread::LastByte,
                },
            );
        }
        Ok(unread)
    }

    /// Says of each of these pending files whether a process outside the mount may be writing it. In a queue that the store does
    /// not watch, none: every file would have to be asked about at every use.
    fn foreign<'a>(
        &self,
        dir: DirId,
        names: &'a [Arc<OsStr>],
        written: &HashSet<OsString>,
    ) -> Vec<(&'a Arc<OsStr>, bool)> {
        let watched = self.is_watched(dir);
        let foreign = |name: &Arc<OsStr>| {
            let ours = self.get(dir, name).is_some_and(|known| known.ours);
            watched && !ours && !written.contains::<OsStr>(name)
        };
        names.iter().map(|name| (name, foreign(name))).collect()
    }

    fn is_finished(&mut self, dir: DirId, name: &OsStr, writers: Writers) -> bool {
        let Some(queue) = self.cached.get_mut(&dir) else {
            return true;
        };
        let Some(known) = queue.get(name).copied() else {
            return true;
        };
        let listed = Some(self.ctx.clock.now());
        let finished = queue.is_finished(name, &known, writers, Instant::now(), listed);
        if finished {
            queue.last_changes.remove(name);
        }
        finished
    }

    fn note_meta(&mut self, dir: DirId, name: &OsStr, meta: Result<Meta>) -> Result<()> {
        match meta {
            Ok(meta) if is_never_shown(name, meta.kind) => self.set(dir, name, None),
            Ok(meta) => {
                let Some(old) = self.get_mut(dir, name) else {
                    return Ok(());
                };
                let new = known(&meta);
                if old.kind == new.kind {
                    let ours = old.ours && old.ino == new.ino;
                    *old = CacheEntry { ours, ..new };
                } else {
                    self.set(dir, name, Some(new));
                }
            }
            Err(error) if error.is_absence() => self.set(dir, name, None),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What is known of a file, and the last byte of its content, if it has any; of one that is `foreign` also who has it
/// open for writing.
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
    // First: what is read after nobody writes it stays so.
    let writers = foreign.then(|| lease::writers(&file));
    let mut last = [0];
    file.read_exact_at(&mut last, end)?;
    Ok((meta, Some(last[0]), writers))
}
