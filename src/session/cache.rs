//! The resolver's cache.

use std::collections::{HashMap, HashSet};

use super::line::Line;
use super::proc::Stat;
use super::program::Program;
use super::types::{Caller, Process, Session};

/// At most this many processes, and this many threads, are cached.
pub(super) const MAX_KNOWN: usize = 4096;

/// Every process that called, and its ancestors. Ended processes stay until the cache is full, because their children may
/// call later.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) processes: HashMap<u32, Known>,
    /// Threads that do not lead their process.
    pub(super) threads: HashMap<u32, Thread>,
    /// Counts look-ups. The difference to [`Known::used`] tells how long ago a process called.
    now: u64,
}

/// A process that called, or an ancestor of one.
pub(super) struct Known {
    pub(super) process: Process,
    /// The process's name then. Another name now means that the process executed another program.
    pub(super) comm: Box<[u8]>,
    pub(super) program: Program,
    /// The parent's line when the process was first seen.
    pub(super) above: Option<Line>,
    pub(super) line: Line,
    /// `None` for an ancestor that never called.
    pub(super) caller: Option<Caller>,
    /// The value of [`Cache::now`] at the last call of the process.
    pub(super) used: u64,
}

/// A thread, and the process that it belongs to.
pub(super) struct Thread {
    pub(super) start: u64,
    pub(super) process: Process,
}

impl Cache {
    fn get(&self, process: Process) -> Option<&Known> {
        let known = self.processes.get(&process.pid)?;
        (known.process == process).then_some(known)
    }

    fn get_mut(&mut self, process: Process) -> Option<&mut Known> {
        let known = self.processes.get_mut(&process.pid)?;
        (known.process == process).then_some(known)
    }

    /// The process of a thread that started at `start`.
    pub(super) fn process(&self, tid: u32, start: u64) -> Option<Process> {
        let leads = Process { pid: tid, start };
        match self.threads.get(&tid) {
            Some(thread) if thread.start == start => Some(thread.process),
            _ => self.get(leads).map(|known| known.process),
        }
    }

    /// The process of a thread that has ended.
    pub(super) fn process_of_ended(&self, tid: u32) -> Option<Process> {
        self.threads.get(&tid).map(|thread| thread.process)
    }

    /// The cached caller of a thread with this `stat`; `None` if its process has executed another program since.
    pub(super) fn caller(&mut self, tid: u32, stat: &Stat) -> Option<Caller> {
        self.now += 1;
        let now = self.now;
        let process = self.process(tid, stat.start)?;
        let known = self.get_mut(process)?;
        // Only the leading thread's name counts: other threads name themselves, and execve(2) ends them.
        if process.pid == tid && known.comm != stat.comm {
            return None;
        }
        known.used = now;
        known.caller.clone()
    }

    /// The program and line of a process that is called `comm`.
    pub(super) fn known(&self, process: Process, comm: &[u8]) -> Option<(Program, Line)> {
        let known = self.get(process).filter(|known| *known.comm == *comm)?;
        Some((known.program.clone(), known.line.clone()))
    }

    /// The line of a process's parent when the process was first seen.
    pub(super) fn above(&self, process: Process) -> Option<Line> {
        self.get(process)?.above.clone()
    }

    /// The line of a parent that has ended: of the cached process with that pid, if that process is older than the child.
    pub(super) fn line_of_ended(&self, pid: u32, child_start: u64) -> Option<Line> {
        let known = self.processes.get(&pid)?;
        (known.process.start <= child_start).then(|| known.line.clone())
    }

    /// The processes of a session that have called.
    pub(super) fn callers_of(&self, session: &Session) -> Vec<Process> {
        let callers = self.processes.values().filter(|known| {
            let caller = known.caller.as_ref();
            caller.is_some_and(|caller| caller.session == *session)
        });
        callers.map(|known| known.process).collect()
    }

    /// All processes, also those of which only a thread is cached.
    pub(super) fn processes(&self) -> HashSet<Process> {
        let leading = self.processes.values().map(|known| known.process);
        let threads = self.threads.values().map(|thread| thread.process);
        leading.chain(threads).collect()
    }

    /// Adds a process.
    pub(super) fn add(&mut self, mut known: Known) {
        // Two threads may resolve the same process at once: the first answer counts.
        if self.known(known.process, &known.comm).is_none() {
            known.used = self.now;
            self.processes.insert(known.process.pid, known);
        }
    }

    pub(super) fn add_caller(&mut self, process: Process, caller: &Caller) {
        if let Some(known) = self.get_mut(process) {
            known.caller.get_or_insert_with(|| caller.clone());
        }
    }

    pub(super) fn forget(&mut self, dead: &HashSet<Process>) {
        self.processes
            .retain(|_, known| !dead.contains(&known.process));
        self.threads
            .retain(|_, thread| !dead.contains(&thread.process));
    }

    /// Is it time to [`trim`](Cache::trim)?
    pub(super) fn is_full(&self) -> bool {
        self.processes.len().max(self.threads.len()) > MAX_KNOWN
    }

    /// Makes room: drops the quarter of the processes that called longest ago, or all threads. A dropped process costs a few
    /// reads when it calls again.
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
