//! Drafts whose publishing failed at the close: they are tried again (spec 4.2).

use std::time::Duration;

use crate::fs::ids::FileId;
use crate::fs::state::{Fs, State};

/// How long after a failure the next look at `pending.md` tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Fs {
    /// As [`Fs::publish_left`], but only if publishing has failed and the last failure is at least [`RETRY_AFTER`] ago.
    pub(in crate::fs) fn publish_left_if_due(&self, state: &mut State) {
        if state
            .files
            .left
            .is_some_and(|at| at.elapsed() >= RETRY_AFTER)
        {
            state.files.left = None;
            self.publish_left(state);
        }
    }

    /// Publishes the drafts that could not be published at the close: the disk may have room by now.
    pub(in crate::fs) fn publish_left(&self, state: &mut State) {
        let left: Vec<FileId> = state
            .files
            .iter()
            .filter(|(_, file)| {
                let draft = file.draft();
                file.writers == 0 && draft.is_some_and(|it| it.progress.is_changed())
            })
            .map(|(id, _)| id)
            // A draft that was emptied for an open that is to come must not replace the old content by nothing.
            .filter(|id| !state.replays.is_awaited(*id))
            .collect();
        for id in left {
            state.last_writer_gone(id);
        }
    }
}

impl State {
    /// See [`Handoffs::last_writer_gone`](crate::fs::handoff::below::Handoffs::last_writer_gone).
    pub(in crate::fs) fn last_writer_gone(&mut self, id: FileId) {
        let awaited = self.replays.is_awaited(id);
        if let Some(old) = self.handoffs().last_writer_gone(id, awaited) {
            self.aliases.retarget(id, old);
        }
    }
}
