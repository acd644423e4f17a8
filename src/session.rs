//! The caller of a request (spec 5): its process, its program, and the session of the process.
//!
//! FUSE only gives a thread id. Everything else comes from `/proc`, where any file may be missing, unreadable or gone a
//! moment later. So each step falls back on the next, down to one anonymous session per user. The answer for a process
//! holds as long as the process lives. A shell command that an agent left in the background therefore still belongs to that
//! agent after its parent died and `init` adopted it.

mod cache;
mod line;
mod proc;
mod program;
mod system;
mod types;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use self::cache::{Cache, Known, Thread};
use self::line::Line;
pub use self::proc::Proc;
use self::proc::Stat;
pub use self::program::Program;
pub use self::system::SystemProc;
pub use self::types::{Caller, Process, Session};
use crate::programs::Programs;

/// The variable in which the user names a session.
const SESSION_VARIABLE: &[u8] = b"HANDOFF_SESSION";

/// At most this many ancestors are read. Real processes have a dozen. Parents may seem to form a circle, because they change
/// while this program reads.
const MAX_DEPTH: usize = 64;

/// Resolving a new process may take this long. While an ancestor executes another program, its `/proc` files cannot be read
/// until it has closed its own files, and closing one of those may wait for this filesystem.
const RESOLVE_WITHIN: Duration = Duration::from_millis(500);

/// Finds the caller of a request, with a cache. Clones share the cache.
#[derive(Clone)]
pub struct Resolver {
    proc: Arc<dyn Proc>,
    programs: Arc<Programs>,
    /// Never locked while `/proc` is read: `environ` and `cmdline` wait for the address space of their process, and that
    /// process may be waiting for an answer from this filesystem.
    cache: Arc<Mutex<Cache>>,
    /// See [`RESOLVE_WITHIN`].
    within: Duration,
}

impl Resolver {
    /// A resolver with an empty cache.
    pub fn new(proc: Box<dyn Proc>, programs: Arc<Programs>) -> Resolver {
        Resolver {
            proc: proc.into(),
            programs,
            cache: Arc::default(),
            within: RESOLVE_WITHIN,
        }
    }

    /// The caller that the thread `tid` of user `uid` belongs to (spec 5); anonymous if `/proc` cannot be read.
    ///
    /// A thread that called before costs one read of its `stat`. The `stat` shows whether the id was reused, and whether the
    /// process executed another program.
    pub fn caller(&self, tid: u32, uid: u32) -> Caller {
        let content = (tid != 0).then(|| self.proc.read_of_caller(tid, "stat").ok());
        let Some(stat) = content.flatten().and_then(|content| Stat::parse(&content)) else {
            return Caller::anonymous(uid);
        };
        let thread = stat.comm.clone();
        if let Some(caller) = self.cache.lock().caller(tid, &stat) {
            return Caller { thread, ..caller };
        }
        // The caller waits for this answer, so it cannot be executing another program; its ancestors may be.
        let (answer, answered) = mpsc::sync_channel(1);
        let resolver = self.clone();
        let asked = thread::Builder::new().spawn(move || {
            let caller = resolver
                .leading_thread(tid, stat)
                .and_then(|(process, stat)| resolver.resolve(process, stat, uid).ok());
            let _ = answer.send(caller.unwrap_or_else(|| Caller::anonymous(uid)));
        });
        let caller = asked
            .ok()
            .and_then(|_| answered.recv_timeout(self.within).ok());
        let caller = caller.unwrap_or_else(|| {
            log::warn!(
                "process {tid}: its ancestors cannot be read from /proc just now; this call is anonymous, and the next call reads \
                 them again"
            );
            Caller::anonymous(uid)
        });
        Caller { thread, ..caller }
    }

    /// Does this process still run? Another process that reused its pid does not count.
    pub fn is_alive(&self, process: Process) -> bool {
        match self.read_stat(process.pid) {
            Ok(Some(stat)) => stat.start == process.start && !stat.is_dead(),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Is any process left that could use the session's aliases (spec 4.3)? A named or anonymous session never ends. An
    /// agent's session ends with the agent. A terminal's or the kernel's session ends with its leader and the last of its
    /// known callers, because a leader may end before its session first calls.
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

    /// Is a signal killing the thread just now (spec 4.9)? A FLUSH may come from the kernel, which closes the files of a
    /// dying process.
    ///
    /// `statm` is read first, and is enough for most callers. A process in execve(2) closes files while it holds the lock
    /// that a reader of `stat` waits for. `statm` needs no lock, and is the cheapest of these files to read.
    pub fn dying_by_signal(&self, tid: u32) -> bool {
        let statm = || self.proc.read_of_caller(tid, "statm");
        let exiting = tid != 0 && statm().is_ok_and(|statm| proc::has_no_memory(&statm));
        exiting && self.stat(tid).is_some_and(|stat| stat.is_dying_by_signal())
    }

    /// Do both threads belong to one process? Then a close by `closer` ends the writing of `writer`.
    ///
    /// The other threads of a killed process may be gone when the last thread closes the files. A writer that has ended is
    /// known if it called before. A writer that never called counts as a thread of the closer's process. (If such a thread
    /// ends by itself while another process with the same file is killed, a whole handoff may be called partial.)
    pub fn same_process(&self, writer: u32, closer: u32) -> bool {
        if writer == closer {
            return writer != 0;
        }
        match (self.process_of(writer), self.process_of(closer)) {
            (Some(writer), closer) => Some(writer) == closer,
            (None, closer) => closer.is_some() && writer != 0,
        }
    }

    /// Forgets the processes that have ended, and their threads. Costs one read of `/proc` for each known process.
    pub fn forget_dead(&self) {
        let mut dead = self.cache.lock().processes();
        dead.retain(|process| !self.is_alive(*process));
        self.cache.lock().forget(&dead);
    }

    /// As [`Resolver::read_stat`]; `None` after an error, too.
    fn stat(&self, pid: u32) -> Option<Stat> {
        self.read_stat(pid).ok().flatten()
    }

    /// The `stat` of a process or thread; `None` if the process has ended or is hidden.
    fn read_stat(&self, pid: u32) -> io::Result<Option<Stat>> {
        // Pid 0 stands for every process outside the daemon's PID namespace.
        if pid == 0 {
            return Ok(None);
        }
        Ok(Stat::parse(&self.read(pid, "stat")?))
    }

    /// The content of a file of `/proc`; empty if its process has ended or is hidden. After any other error, such as a lack
    /// of descriptors, the caller counts as anonymous for this call, and nothing is cached.
    fn read(&self, pid: u32, file: &'static str) -> io::Result<Vec<u8>> {
        use io::ErrorKind::{NotFound, PermissionDenied};
        self.proc.read(pid, file).or_else(|error| {
            let is_final = matches!(error.kind(), NotFound | PermissionDenied)
                || error.raw_os_error() == Some(libc::ESRCH);
            is_final.then(Vec::new).ok_or(error)
        })
    }

    fn process_of(&self, tid: u32) -> Option<Process> {
        match self.stat(tid) {
            Some(stat) => {
                let known = self.cache.lock().process(tid, stat.start);
                known.or_else(|| Some(self.leading_thread(tid, stat)?.0))
            }
            None => self.cache.lock().process_of_ended(tid),
        }
    }

    /// The process of a thread, and the `stat` of its leading thread, whose name is the process's.
    fn leading_thread(&self, tid: u32, stat: Stat) -> Option<(Process, Stat)> {
        let known = self.cache.lock().process(tid, stat.start);
        let pid = known
            .map(|process| process.pid)
            .or_else(|| proc::thread_group(&self.proc.read(tid, "status").ok()?));
        // If `status` cannot be read: most threads that call are the only thread of their process.
        let pid = pid.unwrap_or(tid);
        if pid == tid {
            return Some((stat.process(pid), stat));
        }
        let leading = self.stat(pid)?;
        let (start, process) = (stat.start, leading.process(pid));
        let thread = Thread { start, process };
        self.cache.lock().threads.insert(tid, thread);
        self.trim_cache();
        Some((process, leading))
    }

    fn resolve(&self, process: Process, stat: Stat, uid: u32) -> io::Result<Caller> {
        let known = self.cache.lock().caller(process.pid, &stat);
        if let Some(caller) = known {
            return Ok(caller);
        }
        let known = self.cache.lock().known(process, &stat.comm);
        let (program, line) = match known {
            Some(known) => known,
            None => self.trace(process, stat)?,
        };
        let environ = self.read(process.pid, "environ")?;
        let session = match proc::variable(&environ, SESSION_VARIABLE) {
            Some(name) => Session::named(name),
            None => line.session().unwrap_or(Session::Anonymous { uid }),
        };
        let caller = Caller {
            process: Some(process),
            session,
            program,
            thread: Box::default(),
        };
        self.cache.lock().add_caller(process, &caller);
        Ok(caller)
    }

    /// Goes up from a process to the first cached ancestor, and caches every process on the way.
    fn trace(&self, process: Process, stat: Stat) -> io::Result<(Program, Line)> {
        let mut above = self.cache.lock().above(process);
        let mut pid = stat.parent;
        let mut youngest = process.start;
        let mut unknown = vec![(process, stat)];
        while above.is_none() && unknown.len() < MAX_DEPTH {
            let Some(stat) = self.read_stat(pid)? else {
                // The parent may have called before it ended.
                above = self.cache.lock().line_of_ended(pid, youngest);
                break;
            };
            let process = stat.process(pid);
            if process.start > youngest {
                // No parent is younger than its child: the parent has ended, and another process reused its pid.
                break;
            }
            let cache = self.cache.lock();
            if let Some((_, line)) = cache.known(process, &stat.comm) {
                above = Some(line);
            } else {
                above = cache.above(process);
                pid = stat.parent;
                youngest = process.start;
                unknown.push((process, stat));
            }
        }

        let mut traced = (Program::default(), Line::default());
        for (process, stat) in unknown.into_iter().rev() {
            let cmdline = self.read(process.pid, "cmdline")?;
            let program = Program::of(&stat.comm, &cmdline, &self.programs);
            let (parent, programs) = (above.as_ref(), &self.programs);
            let leader = self.leader(process, stat.session, parent)?;
            let line = Line::below(parent, process, leader, stat.tty, &program, programs);
            let known = Known {
                process,
                comm: stat.comm,
                program: program.clone(),
                above: above.replace(line.clone()),
                line: line.clone(),
                caller: None,
                used: 0,
            };
            self.cache.lock().add(known);
            traced = (program, line);
        }
        self.trim_cache();
        Ok(traced)
    }

    /// The leader of the kernel session `pid` of a process.
    fn leader(&self, process: Process, pid: u32, above: Option<&Line>) -> io::Result<Process> {
        if pid == process.pid {
            return Ok(process);
        }
        if let Some(above) = above.filter(|above| above.leader.pid == pid) {
            return Ok(above.leader);
        }
        let start = self.read_stat(pid)?.map_or(0, |leader| leader.start);
        Ok(Process { pid, start })
    }

    fn trim_cache(&self) {
        let is_full = self.cache.lock().is_full();
        if is_full {
            self.forget_dead();
            self.cache.lock().trim();
        }
    }
}
