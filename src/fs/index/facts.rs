//! Number, size, times and last byte of what is known by its name only.
//!
//! A listing gives names. With a hundred thousand of them, asking for the rest takes longer than listing, and most of it
//! nobody wants to know: it is asked of what is pending when it is merged, and of everything when it is listed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::super::dirs::DirId;
use super::super::in_two::in_two;
use super::super::{Fs, State};
use super::memory::known;
use super::{Known, is_never_shown};
use crate::error::{Error, Result};
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
        let batches = names.chunks(BATCH);
        let found = batches.flat_map(|batch| in_two(batch, |name| self.last_byte(path, name)));
        for (name, found) in names.iter().zip(found) {
            let error = match found {
                Ok((meta, last)) => {
                    self.note_meta(state, dir, name, Ok(meta))?;
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

    /// What is known of a file, and the last byte of its content, if it has any.
    fn last_byte(&self, path: &Path, name: &OsStr) -> Result<(Meta, Option<u8>)> {
        let (file, meta) = self.store.open_known(path, name, Access::READ)?;
        let Some(end) = meta.size.checked_sub(1) else {
            return Ok((meta, None));
        };
        let mut last = [0];
        file.read_exact_at(&mut last, end)?;
        Ok((meta, Some(last[0])))
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
                let new = known(&meta, old.in_the_making);
                if old.kind == new.kind {
                    let ours = old.ours && old.ino == new.ino;
                    *old = Known { ours, ..new };
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
