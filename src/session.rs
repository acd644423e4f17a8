//! Who is calling (spec 5): which process, which program, and which session it belongs to.
//!
//! FUSE hands over no more than a thread id. Everything else comes from `/proc`, where any file may be missing,
//! unreadable or gone a moment later; each step therefore falls back on the next, down to one anonymous session per
//! user. What was found out about a process holds as long as it lives, also when its parent dies and it is handed to
//! `init`: a shell command that an agent left in the background is still that agent's.

mod cache;
mod owner;
mod proc;
mod program;
mod system;

#[cfg(test)]
mod tests;

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use self::cache::{Cache, Known, Thread};
pub use self::owner::Owner;
pub use self::proc::Proc;
use self::proc::Stat;
pub use self::program::Program;
pub use self::system::SystemProc;
use crate::programs::{Programs, Role};

/// The variable by which the user says what a session is.
const SESSION_VARIABLE: &[u8] = b"HANDOFF_SESSION";

/// How many ancestors are looked at. Real ones are a dozen; what changes while it is read might go round in circles.
const MAX_DEPTH: usize = 64;

/// A process, told apart from all others that ever had its pid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Process {
    /// The thread group id: what everybody but the kernel calls pid.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

/// On whose behalf a process calls: aliases are kept per session (spec 4.3).
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Session {
    /// What the process has in `HANDOFF_SESSION`.
    Named(Arc<[u8]>),
    /// The agent that it is, or works for.
    Agent(Process),
    /// The session of a terminal.
    Terminal {
        /// The terminal's device number.
        tty: u32,
        /// The leader of the kernel session that the terminal controls; start 0 if it was gone already.
        leader: Process,
    },
    /// The kernel's session, by its leader; start 0 if that was gone already.
    Kernel(Process),
    /// Nothing is known but the user.
    Anonymous {
        /// The user's id.
        uid: u32,
    },
}

/// One who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// None if it cannot be told.
    pub process: Option<Process>,
    /// What it belongs to.
    pub session: Session,
    /// What it runs.
    pub program: Program,
    /// What the calling thread is called, which may be another name than its process has.
    pub thread: Box<[u8]>,
}

impl Caller {
    fn anonymous(uid: u32) -> Caller {
        Caller {
            process: None,
            session: Session::Anonymous { uid },
            program: Program::default(),
            thread: Box::default(),
        }
    }
}

/// How long finding out about a process that was never seen before may take. Reading about an ancestor that is just
/// running another program waits until that one has closed its files, and one of them may be here.
const PATIENCE: Duration = Duration::from_millis(500);

/// Finds out who calls, and remembers it. Clones share what they remember.
#[derive(Clone)]
pub struct Resolver {
    proc: Arc<dyn Proc>,
    programs: Arc<Programs>,
    /// Never held while `/proc` is read: `environ` and `cmdline` wait for the address space of the process they
    /// belong to, which may itself be waiting for an answer from this file system.
    cache: Arc<Mutex<Cache>>,
}

impl Resolver {
    /// A resolver that knows nothing yet.
    pub fn new(proc: Box<dyn Proc>, programs: Arc<Programs>) -> Resolver {
        Resolver {
            proc: proc.into(),
            programs,
            cache: Arc::default(),
        }
    }

    /// Who the thread `tid` of user `uid` is (spec 5). It never fails: what cannot be told is anonymous.
    ///
    /// For a thread seen before this costs one read of its `stat`, which shows whether its id is in use for another
    /// one by now, and whether it runs another program.
    pub fn caller(&self, tid: u32, uid: u32) -> Caller {
        let Some(stat) = self.caller_stat(tid) else {
            return Caller::anonymous(uid);
        };
        let thread = stat.comm.clone();
        if let Some(caller) = self.cache.lock().caller(tid, &stat) {
            return Caller { thread, ..caller };
        }
        // The caller itself waits for us, and cannot be running another program; of its ancestors nobody knows.
        let (answer, answered) = mpsc::sync_channel(1);
        let resolver = self.clone();
        let asked = thread::Builder::new().spawn(move || {
            let caller = match resolver.leading_thread(tid, stat) {
                Some((process, stat)) => resolver.resolve(process, stat, uid),
                None => Caller::anonymous(uid),
            };
            let _ = answer.send(caller);
        });
        let caller = asked
            .ok()
            .and_then(|_| answered.recv_timeout(PATIENCE).ok());
        let caller = caller.unwrap_or_else(|| {
            log::warn!(
                "process {tid}: its ancestors cannot be read just now; it is nobody's for this call"
            );
            Caller::anonymous(uid)
        });
        Caller { thread, ..caller }
    }

    /// Whether this very process, not another with its pid, still runs.
    pub fn is_alive(&self, process: Process) -> bool {
        let mut sure = true;
        let stat = self.stat_if(process.pid, &mut sure);
        stat.map_or(!sure, |stat| stat.start == process.start && !stat.is_dead())
    }

    /// Whether anything of the session is left that could ask for its aliases (spec 4.3). What the user named, and
    /// the anonymous, never ends; an agent's session ends with the agent; a terminal's or the kernel's with its leader or
    /// the last of its known callers, for a leader may be gone before the session is first seen.
    pub fn session_alive(&self, session: &Session) -> bool {
        match session {
            Session::Named(_) | Session::Anonymous { .. } => true,
            Session::Agent(agent) => self.is_alive(*agent),
            Session::Terminal { leader, .. } | Session::Kernel(leader) => {
                self.is_alive(*leader) || {
                    let callers = self.cache.lock().callers_of(session);
                    callers.into_iter().any(|process| self.is_alive(process))
                }
            }
        }
    }

    /// Whether the thread is being killed by a signal just now (spec 4.9). Asked at the FLUSH of a process that closes
    /// nothing itself any more.
    ///
    /// `statm` is asked first, and for most callers it is all: a process that closes files because it runs another
    /// program holds the lock that a reader of its `stat` waits for, and waits for us. `statm` asks for no such lock, and is
    /// the cheapest to read of all that tells.
    pub fn dying_by_signal(&self, tid: u32) -> bool {
        let exiting = tid != 0
            && self
                .proc
                .statm(tid)
                .is_ok_and(|statm| proc::has_no_memory(&statm));
        exiting && self.stat(tid).is_some_and(|stat| stat.is_dying_by_signal())
    }

    /// Whether two threads belong to one process: what `writer` wrote `closer` may close.
    ///
    /// Of a killed process the other threads may be gone by the time that the last one closes its files. A writer that has
    /// ended is known if it ever called; one that only wrote is taken for a thread of the closer's process: a process that
    /// ends closes what it wrote, which is no news then. (Of one that goes on without that thread, while another that shares
    /// its file is killed, the handoff is called partial that may yet be whole.)
    pub fn same_process(&self, writer: u32, closer: u32) -> bool {
        if writer == closer {
            return writer != 0;
        }
        match (self.process_of(writer), self.process_of(closer)) {
            (Some(writer), closer) => Some(writer) == closer,
            (None, closer) => closer.is_some() && writer != 0,
        }
    }

    /// Forgets the processes that have ended, and their threads. Costs one read of `/proc` for each that is known.
    pub fn forget_dead(&self) {
        let mut dead = self.cache.lock().processes();
        dead.retain(|process| !self.is_alive(*process));
        self.cache.lock().forget(&dead);
    }

    fn stat(&self, pid: u32) -> Option<Stat> {
        self.stat_if(pid, &mut true)
    }

    /// The same, of the thread that calls.
    fn caller_stat(&self, tid: u32) -> Option<Stat> {
        if tid == 0 {
            return None;
        }
        Stat::parse(&self.proc.caller_stat(tid).ok()?)
    }

    /// The same as `stat`; `sure` becomes false where only just now it cannot be told.
    fn stat_if(&self, pid: u32, sure: &mut bool) -> Option<Stat> {
        // Pid 0 is no process, but whoever the daemon's PID namespace does not show.
        if pid == 0 {
            return None;
        }
        Stat::parse(&told(self.proc.stat(pid), sure)?)
    }

    fn process_of(&self, tid: u32) -> Option<Process> {
        match self.stat(tid) {
            Some(stat) => {
                let known = self.cache.lock().process(tid, stat.start);
                known.or_else(|| Some(self.leading_thread(tid, stat)?.0))
            }
            None => self
                .cache
                .lock()
                .threads
                .get(&tid)
                .map(|thread| thread.process),
        }
    }

    /// The process of a thread, and the `stat` of the thread that leads it: the one that bears its name.
    fn leading_thread(&self, tid: u32, stat: Stat) -> Option<(Process, Stat)> {
        let known = self.cache.lock().process(tid, stat.start);
        let pid = known
            .map(|process| process.pid)
            .or_else(|| proc::thread_group(&self.proc.status(tid).ok()?));
        // Not to be told: most threads that call are the only one of their process.
        let pid = pid.unwrap_or(tid);
        let thread_start = stat.start;
        let stat = if pid == tid { stat } else { self.stat(pid)? };
        let process = Process {
            pid,
            start: stat.start,
        };
        if pid != tid {
            let thread = Thread {
                start: thread_start,
                process,
            };
            let full = self.cache.lock().add_thread(tid, thread);
            self.trim_if(full);
        }
        Some((process, stat))
    }

    fn resolve(&self, process: Process, stat: Stat, uid: u32) -> Caller {
        let known = self.cache.lock().caller(process.pid, &stat);
        if let Some(caller) = known {
            return caller;
        }
        let known = self.cache.lock().known(process, &stat.comm);
        let mut sure = true;
        let (program, line) = known.unwrap_or_else(|| self.trace(process, stat, &mut sure));
        let environ = told(self.proc.environ(process.pid), &mut sure).unwrap_or_default();
        let session = match proc::variable(&environ, SESSION_VARIABLE) {
            Some(name) => Session::Named(name.into()),
            None => line.session().unwrap_or(Session::Anonymous { uid }),
        };
        let caller = Caller {
            process: Some(process),
            session,
            program,
            thread: Box::default(),
        };
        if sure {
            self.cache.lock().add_caller(process, &caller);
        }
        caller
    }

    /// Goes up from a process until an ancestor is known, and remembers all on the way that could be told for `sure`.
    fn trace(&self, process: Process, stat: Stat, sure: &mut bool) -> (Program, Line) {
        let mut above = self.cache.lock().above(process);
        let mut parent = stat.parent;
        let mut youngest = process.start;
        let mut unknown = vec![(process, stat)];
        while above.is_none() && unknown.len() < MAX_DEPTH {
            let Some(stat) = self.stat_if(parent, sure) else {
                // It may have ended since its child said who it was.
                above = self.cache.lock().line_of_ended(parent, youngest);
                break;
            };
            let process = Process {
                pid: parent,
                start: stat.start,
            };
            if process.start > youngest {
                // Nobody is younger than his child: the parent has ended, and its pid is another's by now.
                break;
            }
            let cache = self.cache.lock();
            if let Some((_, line)) = cache.known(process, &stat.comm) {
                above = Some(line);
            } else {
                above = cache.above(process);
                parent = stat.parent;
                youngest = process.start;
                unknown.push((process, stat));
            }
        }

        let mut traced = (Program::default(), Line::default());
        let mut full = false;
        for (process, stat) in unknown.into_iter().rev() {
            let cmdline = told(self.proc.cmdline(process.pid), sure).unwrap_or_default();
            let program = Program::of(&stat.comm, &cmdline, &self.programs);
            let line = self.line(process, &stat, &program, above.as_ref());
            let known = Known {
                process,
                comm: stat.comm,
                program: program.clone(),
                above: above.replace(line.clone()),
                line: line.clone(),
                caller: None,
                used: 0,
            };
            full = *sure && self.cache.lock().add(known);
            traced = (program, line);
        }
        self.trim_if(full);
        traced
    }

    fn line(&self, process: Process, stat: &Stat, program: &Program, above: Option<&Line>) -> Line {
        let leader = if stat.session == process.pid {
            process
        } else if let Some(above) = above.filter(|above| above.leader.pid == stat.session) {
            above.leader
        } else {
            let start = self.stat(stat.session).map_or(0, |leader| leader.start);
            Process {
                pid: stat.session,
                start,
            }
        };
        let agent_above = above.and_then(|above| above.agent.as_ref());
        let agent = if program.plays(&self.programs, Role::Agent) {
            let outer = agent_above.filter(|outer| {
                outer.unbroken && outer.program.is_same_agent(program, &self.programs)
            });
            Some(Agent {
                session: outer.map_or(process, |outer| outer.session),
                program: program.clone(),
                unbroken: true,
            })
        } else {
            let in_sandbox = program.plays(&self.programs, Role::SandboxHelper);
            agent_above.map(|agent| Agent {
                unbroken: agent.unbroken && in_sandbox,
                ..agent.clone()
            })
        };
        let terminal = match stat.tty {
            0 => above.and_then(|above| above.terminal),
            tty => Some((tty, leader)),
        };
        Line {
            agent,
            terminal,
            leader,
        }
    }

    fn trim_if(&self, full: bool) {
        if full {
            self.forget_dead();
            self.cache.lock().trim();
        }
    }
}

/// What `/proc` says, if anything; `sure` becomes false where it only just now says nothing: no descriptor or memory was
/// left. A process that has ended, or is hidden, is another matter.
fn told(content: std::io::Result<Vec<u8>>, sure: &mut bool) -> Option<Vec<u8>> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    content
        .inspect_err(|error| {
            let for_good = matches!(error.kind(), NotFound | PermissionDenied)
                || error.raw_os_error() == Some(libc::ESRCH);
            *sure &= for_good;
        })
        .ok()
}

/// What a process has from its ancestors and itself: all of spec 5 but the environment, which each has of its own.
#[derive(Clone, Debug, Default)]
struct Line {
    agent: Option<Agent>,
    terminal: Option<(u32, Process)>,
    leader: Process,
}

impl Line {
    fn session(&self) -> Option<Session> {
        if let Some(agent) = &self.agent {
            return Some(Session::Agent(agent.session));
        }
        if let Some((tty, leader)) = self.terminal {
            return Some(Session::Terminal { tty, leader });
        }
        // All leaders outside the PID namespace are 0 here, whosever they are.
        (self.leader.pid != 0).then_some(Session::Kernel(self.leader))
    }
}

#[derive(Clone, Debug)]
struct Agent {
    /// The outermost of an unbroken line of the same program.
    session: Process,
    /// Of the nearest.
    program: Program,
    /// Whether the process is the agent, or nothing but sandbox helpers are between them.
    unbroken: bool,
}
