//! What a listing finds that may still be written: by somebody who began before the queue was watched (spec 3.7).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::super::dirs::DirId;
use super::super::{Fs, State};
use super::doubts::{Ours, Seen};
use super::queue::Queue;
use crate::store::{Access, writers};

/// A queue that was just listed, or where something was adopted. What may still be written in it is taken for being in the
/// making, until it is known who has it open: an adopted stray could else be read, and so consumed, before it is whole.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) dir: DirId,
    pub(super) path: PathBuf,
    /// What was known of it before.
    pub(super) old: Option<Queue>,
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
        let mut undecided = HashSet::new();
        let mut pending = false;
        for queue in listed
            .iter()
            .filter_map(|it| state.index.queues.get(&it.dir))
        {
            undecided.extend(queue.undecided.iter().cloned());
            pending |= queue.decided.is_some() && !queue.pending().is_empty();
        }
        let open = writers::of(undecided, pending);
        for Listed { dir, path, old } in listed {
            // Gone when there were more changes than are kept: it is listed again.
            let Some(queue) = state.index.queues.get_mut(&dir) else {
                continue;
            };
            let undecided = std::mem::take(&mut queue.undecided);
            let pending = open.iter().map(|(name, _)| name);
            let pending: HashSet<OsString> = pending
                .filter(|name| queue.is_undecided(name) && !undecided.contains(*name))
                .cloned()
                .collect();
            queue.decided = None;
            let mut finished = Vec::new();
            for name in undecided.into_iter().chain(pending) {
                let is_open = writers::has(&open, &name, || {
                    self.store.open(&path, &name, Access::READ).ok()
                });
                let Some(known) = queue.get_mut(&name) else {
                    continue;
                };
                known.in_the_making = is_open;
                if is_open {
                    log::info!(
                        "{}: somebody is writing it; it is delivered when it is closed",
                        path.join(&name).display()
                    );
                    queue.held.insert(name);
                } else if known.looked {
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
            if !old.is_some_and(|old| new.keep_if_same(old)) {
                state.index.generation += 1;
            }
        }
    }
}
