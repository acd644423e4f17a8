//! `pending.md` as a single file that is written, removed and renamed like any other (spec 4.7).

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::fs::handoff::state::FileName;
use crate::fs::ids::DirId;
use crate::fs::{Fs, Request, State};
use crate::names::StampedName;
use crate::programs::Role;
use crate::session::{Caller, Process};

/// How long before an agent's own write to `pending.md` its reads of it count as reading what it replaces (spec 4.7).
const REPLACING: Duration = Duration::from_secs(5);

/// Which agents use `pending.md` so.
#[derive(Debug, Default)]
pub(in crate::fs) struct SingleFile {
    agents: HashSet<Process>,
    /// What agents consumed in the last seconds.
    recent: VecDeque<Recent>,
}

#[derive(Debug)]
struct Recent {
    process: Process,
    at: SystemTime,
    consumed: Vec<(DirId, StampedName)>,
}

impl Recent {
    fn is_fresh(&self, now: SystemTime) -> bool {
        now.duration_since(self.at)
            .is_ok_and(|age| age <= REPLACING)
    }
}

impl SingleFile {
    pub(in crate::fs) fn contains(&self, process: Process) -> bool {
        self.agents.contains(&process)
    }

    /// An agent has read these to the end, and they were consumed.
    pub(in crate::fs) fn consumed(
        &mut self,
        process: Process,
        at: SystemTime,
        consumed: Vec<(DirId, StampedName)>,
    ) {
        self.recent.retain(|read| read.is_fresh(at));
        self.recent.push_back(Recent {
            process,
            at,
            consumed,
        });
    }

    /// The agents that do; see [`SingleFile::forget`].
    pub(in crate::fs) fn agents(&self) -> Vec<Process> {
        self.agents.iter().copied().collect()
    }

    /// These have ended: their pids may come again as somebody else's.
    pub(in crate::fs) fn forget(&mut self, dead: &HashSet<Process>) {
        self.agents.retain(|agent| !dead.contains(agent));
    }
}

impl Fs {
    /// An agent writes to `pending.md`: it uses it as one file for both, so what it has just read of it, and what it
    /// reads of it from now on, is not consumed (spec 4.7).
    pub(in crate::fs) fn note_pending_written(&self, state: &mut State, caller: Option<&Caller>) {
        let Some(caller) = caller.filter(|caller| self.plays(caller, Role::Agent)) else {
            return;
        };
        let Some(process) = caller.process else {
            return;
        };
        state.single_file.agents.insert(process);
        // What its session consumed is not all that it looks for from now on.
        self.end_second_looks(state, &caller.session);
        let now = self.clock.now();
        let recent = std::mem::take(&mut state.single_file.recent);
        for read in recent {
            let fresh = read.is_fresh(now);
            if read.process != process {
                if fresh {
                    state.single_file.recent.push_back(read);
                }
                continue;
            }
            for (dir, done) in read.consumed.iter().filter(|_| fresh) {
                if let Err(error) = self.give_back(state, *dir, done) {
                    log::warn!("{done}: cannot be made pending again ({error})");
                }
            }
        }
    }

    fn give_back(&self, state: &mut State, dir: DirId, done: &StampedName) -> Result<()> {
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let meta = self.store.stat(&path, &done.to_os_string())?;
        let id = state
            .files
            .stored(dir, FileName::Handoff(done.clone()), meta.ino);
        self.unconsume(state, id)?;
        self.let_go_file(state, id);
        Ok(())
    }

    /// `pending.md` is unlinked or renamed: that succeeds and changes nothing, but for the caller's next look-up, which
    /// may be that of a tool that unlinks before it creates.
    pub(in crate::fs) fn pending_unlinked(&self, state: &mut State, request: Request, dir: DirId) {
        state.replays.pending_unlinked(request.tid, dir);
    }
}
