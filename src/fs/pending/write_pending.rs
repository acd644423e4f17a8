//! An agent's write to `pending.md`: from then on the agent's reads of the file consume nothing (spec 4.7).

use crate::error::Result;
use crate::fs::handoff::state::FileName;
use crate::fs::ids::DirId;
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::programs::Role;
use crate::session::Caller;

impl Fs {
    /// An agent that writes to `pending.md` uses one file for reading and writing. So the handoffs that it consumed just now
    /// become pending again, and its later reads consume nothing (spec 4.7).
    pub(in crate::fs) fn note_pending_written(&self, state: &mut State, caller: Option<&Caller>) {
        let Some(caller) = caller.filter(|caller| self.ctx.plays(caller, Role::Agent)) else {
            return;
        };
        let Some(process) = caller.process else {
            return;
        };
        // From now on the session wants the current content, and not the handoffs that it has consumed.
        let looks = &mut state.readers.second_looks;
        looks.keep_sessions(|session| *session != caller.session);
        for (dir, done) in state.single_file.written(process, self.ctx.clock.now()) {
            if let Err(error) = self.give_back(state, dir, &done) {
                log::warn!("{done}: cannot be made pending again ({error})");
            }
        }
    }

    fn give_back(&self, state: &mut State, dir: DirId, done: &StampedName) -> Result<()> {
        let path = state.queues.path(dir)?;
        let meta = self.ctx.store.stat(&path, &done.to_os_string())?;
        let name = FileName::Handoff(done.clone());
        let id = state.files.stored(dir, name, meta.ino);
        state.handoffs().unconsume(id)?;
        state.handoffs().let_go_file(id);
        Ok(())
    }
}
