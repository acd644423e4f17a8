//! Agents that use `pending.md` as a single file: they read the file and then write it (spec 4.7).

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use crate::fs::ids::DirId;
use crate::names::StampedName;
use crate::session::Process;

/// An agent's reads of `pending.md` in this time before its own write count as reading what it replaces (spec 4.7).
const REPLACING: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct SingleFile {
    agents: HashSet<Process>,
    /// The handoffs that agents consumed in the last seconds.
    recent: Vec<Recent>,
}

#[derive(Debug)]
struct Recent {
    process: Process,
    at: SystemTime,
    consumed: Vec<(DirId, StampedName)>,
}

impl SingleFile {
    /// Is this such an agent? Its reads of `pending.md` consume nothing.
    pub(super) fn contains(&self, process: Option<Process>) -> bool {
        process.is_some_and(|process| self.agents.contains(&process))
    }

    /// An agent has consumed handoffs, which now have these names.
    pub(super) fn consumed(
        &mut self,
        process: Process,
        now: SystemTime,
        consumed: Vec<(DirId, StampedName)>,
    ) {
        self.drop_old(now);
        self.recent.push(Recent {
            process,
            at: now,
            consumed,
        });
    }

    /// An agent writes to `pending.md`. Answers the handoffs that it has consumed just now, which must be pending again.
    pub(super) fn written(
        &mut self,
        process: Process,
        now: SystemTime,
    ) -> Vec<(DirId, StampedName)> {
        self.agents.insert(process);
        self.drop_old(now);
        let of_process = |recent: &mut Recent| recent.process == process;
        let taken = self.recent.extract_if(.., of_process);
        taken.flat_map(|recent| recent.consumed).collect()
    }

    fn drop_old(&mut self, now: SystemTime) {
        let is_fresh = |age: Duration| age <= REPLACING;
        self.recent
            .retain(|recent| now.duration_since(recent.at).is_ok_and(is_fresh));
    }

    /// Such agents; see [`SingleFile::forget`].
    pub fn agents(&self) -> Vec<Process> {
        self.agents.iter().copied().collect()
    }

    /// These agents have ended: other processes may get their pids.
    pub fn forget(&mut self, ended: &HashSet<Process>) {
        self.agents.retain(|agent| !ended.contains(agent));
    }
}
