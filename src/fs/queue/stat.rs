//! Number, size, times and last byte of what is known by its name only.
//!
//! A listing gives names. With a hundred thousand of them, asking for the rest takes longer than listing, and most of it
//! nobody wants to know: it is asked of what is pending when it is merged, and of everything when it is listed.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::queue::entry::{CacheEntry, known};
use crate::fs::queue::sync::is_never_shown;
use crate::fs::{Fs, State};
use crate::parallel::in_two;
use crate::store::lease::{self, Writers};
use crate::store::{Access, Meta};

/// How many are asked for in one go: the answers are longer than what is kept of them.
const BATCH: usize = 4096;

/// What could not be read of a file that is to be merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::fs) enum Unread {
    /// Its mode, or another owner, keeps us out.
    Forbidden,
    /// Its last byte, just now.
    LastByte,
    /// Somebody outside of the mount is writing it (spec 3.7).
    Unfinished,
}

impl Fs {
    /// Asks for the facts of every name of a queue.
    pub(super) fn look_at_all(&self, state: &mut State, dir: DirId) -> Result<()> {
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let mut last: Option<Arc<OsStr>> = None;
        loop {
            let batch = state.index.after(dir, last.as_deref(), BATCH);
            let Some((end, _)) = batch.last() else {
                return Ok(());
            };
            last = Some(end.clone());
            let unlooked = batch.into_iter().filter(|(_, known)| known.is_none());
            let unlooked: Vec<Arc<OsStr>> = unlooked.map(|(name, _)| name).collect();
            let found = in_two(&unlooked, |name| self.store.stat(&path, name));
            for (name, meta) in unlooked.iter().zip(found) {
                self.note_meta(state, dir, name, meta)?;
            }
        }
    }

    /// Asks for what a merge must know of these pending files, and answers of which that could not be had. What is gone is
    /// forgotten.
    pub(in crate::fs) fn look_at_pending(
        &self,
        state: &mut State,
        dir: DirId,
        path: &Path,
        names: &[Arc<OsStr>],
    ) -> Result<HashMap<Arc<OsStr>, Unread>> {
        let mut unread = HashMap::new();
        if names.is_empty() {
            return Ok(unread);
        }
        let names = self.foreign(state, dir, names);
        let batches = names.chunks(BATCH);
        let last_byte =
            |(name, foreign): &(&Arc<OsStr>, bool)| self.last_byte(path, name, *foreign);
        let found = batches.flat_map(|batch| in_two(batch, last_byte));
        for (&(name, _), found) in names.iter().zip(found) {
            let error = match found {
                Ok((meta, last, writers)) => {
                    self.note_meta(state, dir, name, Ok(meta))?;
                    if let Some(writers) = writers
                        && !self.is_finished(state, dir, name, writers)
                    {
                        unread.insert(name.clone(), Unread::Unfinished);
                        continue;
                    }
                    if let Some(last) = last {
                        state.index.note_newline(dir, name, last == b'\n');
                    }
                    continue;
                }
                Err(error) => error,
            };
            let is_known = state.index.get(dir, name).is_some_and(|it| it.looked);
            if !is_known {
                self.note_meta(state, dir, name, self.store.stat(path, name))?;
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

    /// Tells of each of these pending files whether somebody outside of the mount may be writing it. Where the store does
    /// not tell of changes only strays are asked about, or all the others would be asked about at every use.
    fn foreign<'a>(
        &self,
        state: &mut State,
        dir: DirId,
        names: &'a [Arc<OsStr>],
    ) -> Vec<(&'a Arc<OsStr>, bool)> {
        let watched = state.index.is_watched(dir);
        let written = state.files.busy().filter(|doc| doc.dir == dir);
        let written: HashSet<_> = written.map(|doc| doc.name.to_os_string()).collect();
        let foreign = |name: &Arc<OsStr>| {
            let ours = state.index.get(dir, name).is_some_and(|known| known.ours);
            watched && !ours && !written.contains(&**name)
        };
        names.iter().map(|name| (name, foreign(name))).collect()
    }

    fn is_finished(&self, state: &mut State, dir: DirId, name: &OsStr, writers: Writers) -> bool {
        let Some(queue) = state.index.queues.get_mut(&dir) else {
            return true;
        };
        let Some(known) = queue.get(name).copied() else {
            return true;
        };
        let listed = Some(self.clock.now());
        let finished = queue.is_finished(name, &known, writers, Instant::now(), listed);
        if finished {
            queue.still.remove(name);
        }
        finished
    }

    /// What is known of a file, and the last byte of its content, if it has any; of one that is `foreign` also who has it
    /// open for writing.
    fn last_byte(
        &self,
        path: &Path,
        name: &OsStr,
        foreign: bool,
    ) -> Result<(Meta, Option<u8>, Option<Writers>)> {
        let (file, meta) = self.store.open_known(path, name, Access::READ)?;
        let Some(end) = meta.size.checked_sub(1) else {
            return Ok((meta, None, None));
        };
        // First: what is read after nobody writes it stays so.
        let writers = foreign.then(|| lease::writers(&file));
        let mut last = [0];
        file.read_exact_at(&mut last, end)?;
        Ok((meta, Some(last[0]), writers))
    }

    fn note_meta(
        &self,
        state: &mut State,
        dir: DirId,
        name: &OsStr,
        meta: Result<Meta>,
    ) -> Result<()> {
        match meta {
            Ok(meta) if is_never_shown(name, meta.kind) => state.index.set(dir, name, None),
            Ok(meta) => {
                let Some(old) = state.index.get_mut(dir, name) else {
                    return Ok(());
                };
                let new = known(&meta);
                if old.kind == new.kind {
                    let ours = old.ours && old.ino == new.ino;
                    *old = CacheEntry { ours, ..new };
                } else {
                    state.index.set(dir, name, Some(new));
                }
            }
            Err(error) if error.is_absence() => state.index.set(dir, name, None),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
