//! What a listing finds that may still be written: by somebody who began before the queue was watched (spec 3.7).

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::super::dirs::DirId;
use super::super::{Fs, State};
use super::doubts::{Ours, Seen};
use super::{Known, is_stray, same_names};
use crate::names::StampedName;
use crate::store::{Access, Kind, writers};

/// A queue that was just listed, or where something was adopted. What may still be written in it is taken for being in the
/// making, until it is known who has it open: an adopted stray could else be read, and so consumed, before it is whole.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) dir: DirId,
    pub(super) path: PathBuf,
    /// What was known of it before.
    pub(super) old: Option<BTreeMap<OsString, Known>>,
}

/// Is this a file that a reader might be given? Where the store does not tell of a close, only strays are asked about: they
/// are so no more once they are adopted, and all the others would be asked about at every use.
pub(super) fn may_be_written(name: &OsStr, kind: Kind, watched: bool) -> bool {
    let pending = || StampedName::parse(name).is_some_and(|name| name.is_pending());
    kind == Kind::File && (is_stray(name) || watched && pending())
}

impl Fs {
    /// Somebody may be writing this file: it is in the making until that is known.
    pub(super) fn undecided(&self, state: &mut State, dir: DirId, name: &OsStr) {
        if let (Some(queue), Some(path)) = (state.index.queues.get_mut(&dir), state.dirs.path(dir))
        {
            queue.undecided.insert(name.to_owned());
            let old = None;
            state.index.unsettled.push(Listed { dir, path, old });
        }
    }

    /// Decides of all that is undecided, by one look at who has what open, and adopts what is finished. What that renames is
    /// looked at once more: a writer may have come in between.
    pub(super) fn settle_listed(&self, state: &mut State) {
        while !state.index.unsettled.is_empty() {
            let listed = std::mem::take(&mut state.index.unsettled);
            self.settle_these(state, listed);
        }
    }

    fn settle_these(&self, state: &mut State, listed: Vec<Listed>) {
        let undecided: HashSet<OsString> = listed
            .iter()
            .filter_map(|it| state.index.queues.get(&it.dir))
            .flat_map(|queue| queue.undecided.iter().cloned())
            .collect();
        let open = writers::of(&undecided);
        for Listed { dir, path, old } in listed {
            // Gone when there were more changes than are kept: it is listed again.
            let Some(queue) = state.index.queues.get_mut(&dir) else {
                continue;
            };
            let mut finished = Vec::new();
            for name in std::mem::take(&mut queue.undecided) {
                let Some(known) = queue.names.get_mut(&name) else {
                    continue;
                };
                let is_open = writers::has(&open, &name, || {
                    self.store.open(&path, &name, Access::READ).ok()
                });
                if is_open {
                    queue.held.insert(name.clone());
                    log::info!(
                        "{}: somebody is writing it; it is delivered when it is closed",
                        path.join(&name).display()
                    );
                } else {
                    known.in_the_making = false;
                    finished.push((name, *known));
                }
            }
            for (name, known) in finished {
                let seen = Seen {
                    in_the_making: false,
                    ours: Ours::Only(None),
                    tried: false,
                };
                self.settle_known(state, dir, &path, &name, known, seen);
            }
            let Some(new) = state.index.queues.get_mut(&dir) else {
                continue;
            };
            match old {
                Some(old) if same_names(&old, &new.names) => new.names = old,
                _ => state.index.generation += 1,
            }
        }
    }
}
