//! Opens that were answered ESTALE. The kernel looks the name up again, on the same thread, and opens what it finds.

use std::time::Instant;

use crate::error::Result;
use crate::fs::handoff::state::RegularFile;
use crate::fs::ids::FileId;
use crate::fs::inode::types::{Entry, Request};
use crate::fs::queue::dirs::Place;
use crate::fs::session::estale_replay::ReplayTarget;
use crate::fs::state::State;
use crate::session::Caller;

impl State {
    /// The answer to the LOOKUP of a thread whose open was answered ESTALE: the file that waits for the open. `None` if the
    /// name must be resolved as usual.
    pub fn replayed(&mut self, request: Request, place: Place<'_>) -> Result<Option<Entry>> {
        let Place { dir, name } = place;
        self.drop_expired_replays();
        let Some((to, caller)) = self.replays.take(request.tid, dir, name) else {
            return Ok(None);
        };
        let id = match to {
            ReplayTarget::File(id) => id,
            ReplayTarget::Scratch(own) => {
                // The file is made again if another process of the session has renamed it since.
                if !self.queues.scratch.areas(dir, name).contains(&own) {
                    self.make_own(place, own, None)?;
                }
                return Ok(None);
            }
        };
        let Some(file) = self.files.get(id) else {
            return Ok(None);
        };
        let by_alias = caller.is_some() && file.is_handoff();
        let looked_up = &mut self.looked_up;
        looked_up.note(request.tid, dir, name, caller.as_ref(), false);
        let entry = match by_alias {
            true => self.enter_alias(id, place)?,
            false => self.enter_edit(id)?,
        };
        Ok(Some(entry))
    }

    /// Called when the open has come that a draft was made for: the draft is listed from now on, and the alias leads to it.
    pub fn draft_opened(
        &mut self,
        request: Request,
        alias: Place<'_>,
        caller: &Caller,
        id: FileId,
    ) {
        self.replays.forget(request.tid, id);
        if let Some(file) = self.files.get_mut(id) {
            file.claimed();
        }
        self.set_alias(alias, caller, id);
    }

    /// Drops the drafts that were made for an open that has not come in time.
    pub fn drop_expired_replays(&mut self) {
        if self.replays.is_empty() {
            return;
        }
        for id in self.replays.expire(Instant::now()) {
            // Another writer may use the draft, or another open may be expected for it.
            let file = self.files.get(id);
            if !self.replays.is_awaited(id) && file.is_some_and(RegularFile::waits_for_its_open) {
                self.handoffs().drop_draft(id);
            }
        }
    }
}
