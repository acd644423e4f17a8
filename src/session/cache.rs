//! What the resolver remembers.

use std::collections::{HashMap, HashSet};

use super::proc::Stat;
use super::{Caller, Line, Process, Program, Session};

/// How many processes, and how many threads, are remembered.
pub(super) const MAX_KNOWN: usize = 4096;

/// What is known. Ended processes stay until they are in the way: their children may be heard of later.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) processes: HashMap<u32, Known>,
    /// Those that do not lead their process.
    pub(super) threads: HashMap<u32, Thread>,
    /// Counts look-ups, to tell what was not asked for since long.
    now: u64,
}

pub(super) struct Known {
    pub(super) process: Process,
    /// With another name it runs another program.
    pub(super) comm: Box<[u8]>,
    pub(super) program: Program,
    /// The parent's, as it was when the process was first seen.
    pub(super) above: Option<Line>,
    pub(super) line: Line,
    /// None for those that are known as an ancestor only.
    pub(super) caller: Option<Caller>,
    pub(super) used: u64,
}

pub(super) struct Thread {
    pub(super) start: u64,
    pub(super) process: Process,
}

impl Cache {
    fn get(&self, process: Process) -> Option<&Known> {
        self.processes
            .get(&process.pid)
            .filter(|known| known.process == process)
    }

    pub(super) fn process(&self, tid: u32, start: u64) -> Option<Process> {
        let leads = Process { pid: tid, start };
        let thread = self
            .threads
            .get(&tid)
            .filter(|thread| thread.start == start);
        thread
            .map(|thread| thread.process)
            .or_else(|| self.get(leads).map(|_| leads))
    }

    pub(super) fn caller(&mut self, tid: u32, stat: &Stat) -> Option<Caller> {
        self.now += 1;
        let now = self.now;
        let process = self.process(tid, stat.start)?;
        let known = self
            .processes
            .get_mut(&process.pid)
            .filter(|known| known.process == process)?;
        // A thread may call itself what it likes. It has not run another program: that ends all threads but one.
        if process.pid == tid && known.comm != stat.comm {
            return None;
        }
        known.used = now;
        known.caller.clone()
    }

    pub(super) fn known(&self, process: Process, comm: &[u8]) -> Option<(Program, Line)> {
        let known = self.get(process).filter(|known| *known.comm == *comm)?;
        Some((known.program.clone(), known.line.clone()))
    }

    pub(super) fn above(&self, process: Process) -> Option<Line> {
        self.get(process)?.above.clone()
    }

    pub(super) fn line_of_ended(&self, pid: u32, child_start: u64) -> Option<Line> {
        let known = self
            .processes
            .get(&pid)
            .filter(|known| known.process.start <= child_start)?;
        Some(known.line.clone())
    }

    pub(super) fn callers_of(&self, session: &Session) -> Vec<Process> {
        let callers = self
            .processes
            .values()
            .filter_map(|known| known.caller.as_ref());
        callers
            .filter(|caller| caller.session == *session)
            .filter_map(|caller| caller.process)
            .collect()
    }

    pub(super) fn processes(&self) -> HashSet<Process> {
        let leading = self.processes.values().map(|known| known.process);
        leading
            .chain(self.threads.values().map(|thread| thread.process))
            .collect()
    }

    /// Like all that adds, says whether it is time to [`Cache::trim`].
    pub(super) fn add(&mut self, mut known: Known) -> bool {
        // Of two that resolve the same process at once the first one counts.
        if self.known(known.process, &known.comm).is_none() {
            known.used = self.now;
            self.processes.insert(known.process.pid, known);
        }
        self.processes.len() > MAX_KNOWN
    }

    pub(super) fn add_thread(&mut self, tid: u32, thread: Thread) -> bool {
        self.threads.insert(tid, thread);
        self.threads.len() > MAX_KNOWN
    }

    pub(super) fn add_caller(&mut self, process: Process, caller: &Caller) {
        if let Some(known) = self
            .processes
            .get_mut(&process.pid)
            .filter(|known| known.process == process)
        {
            known.caller.get_or_insert_with(|| caller.clone());
        }
    }

    pub(super) fn forget(&mut self, dead: &HashSet<Process>) {
        self.processes
            .retain(|_, known| !dead.contains(&known.process));
        self.threads
            .retain(|_, thread| !dead.contains(&thread.process));
    }

    /// Makes room, with some to spare so that it is not needed again at once. What is forgotten costs a few reads.
    pub(super) fn trim(&mut self) {
        if self.threads.len() > MAX_KNOWN {
            self.threads.clear();
        }
        if self.processes.len() > MAX_KNOWN {
            let mut used: Vec<u64> = self.processes.values().map(|known| known.used).collect();
            let (_, limit, _) = used.select_nth_unstable(MAX_KNOWN / 4);
            let limit = *limit;
            self.processes.retain(|_, known| known.used > limit);
        }
    }
}
