//! Processes, sessions and callers.

use std::fmt;
use std::str::FromStr;

use super::program::Program;

/// A process, told apart from all others that ever had its pid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Process {
    /// The thread group id, which user space calls pid.
    pub pid: u32,
    /// The start time, in clock ticks since boot.
    pub start: u64,
}

/// A group of processes that work together: each session has its own aliases (spec 4.3) and scratch files (spec 4.6).
///
/// [`Display`](fmt::Display) gives the name of the session's directory of scratch files, which outlive the daemon.
/// [`FromStr`] reads that name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Session {
    /// A hash of the name that the user gave the session in `HANDOFF_SESSION`. See [`Session::named`].
    Named(u64),
    /// The process itself or its ancestor, a coding agent.
    Agent(Process),
    /// The session of a terminal.
    Terminal {
        /// The terminal's device number.
        tty: u32,
        /// The leader of the terminal's kernel session; start 0 if the leader had ended before.
        leader: Process,
    },
    /// The leader of the kernel's session; start 0 if the leader had ended before.
    Kernel(Process),
    /// Only the user is known.
    Anonymous {
        /// The user's id.
        uid: u32,
    },
}

impl Session {
    /// The session that has `name` in `HANDOFF_SESSION`. FNV-1a, because std's hashes may differ between versions.
    pub fn named(name: &[u8]) -> Session {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        Session::Named(name.iter().fold(BASIS, mix))
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Session::Named(name) => write!(f, "named-{name}"),
            Session::Agent(Process { pid, start }) => write!(f, "agent-{pid}-{start}"),
            Session::Terminal { tty, leader } => {
                write!(f, "terminal-{tty}-{}-{}", leader.pid, leader.start)
            }
            Session::Kernel(Process { pid, start }) => write!(f, "session-{pid}-{start}"),
            Session::Anonymous { uid } => write!(f, "user-{uid}"),
        }
    }
}

impl FromStr for Session {
    type Err = ();

    /// Reads what [`Display`](fmt::Display) wrote.
    fn from_str(text: &str) -> Result<Session, ()> {
        let (kind, numbers) = text.split_once('-').ok_or(())?;
        let numbers = numbers.split('-').map(str::parse);
        let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().map_err(drop)?;
        let id = |number: u64| u32::try_from(number).map_err(drop);
        let process = |pid, start| id(pid).map(|pid| Process { pid, start });
        match (kind, &*numbers) {
            ("named", &[name]) => Ok(Session::Named(name)),
            ("agent", &[pid, start]) => Ok(Session::Agent(process(pid, start)?)),
            ("terminal", &[tty, pid, start]) => Ok(Session::Terminal {
                tty: id(tty)?,
                leader: process(pid, start)?,
            }),
            ("session", &[pid, start]) => Ok(Session::Kernel(process(pid, start)?)),
            ("user", &[uid]) => Ok(Session::Anonymous { uid: id(uid)? }),
            _ => Err(()),
        }
    }
}

/// The process that sent a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `None` if `/proc` could not be read.
    pub process: Option<Process>,
    /// The session that the process belongs to.
    pub session: Session,
    /// The program that the process runs.
    pub program: Program,
    /// The name of the calling thread, which may differ from its process's name.
    pub thread: Box<[u8]>,
}

impl Caller {
    /// A caller of which only the user is known (spec 5.4).
    pub(super) fn anonymous(uid: u32) -> Caller {
        Caller {
            process: None,
            session: Session::Anonymous { uid },
            program: Program::default(),
            thread: Box::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec 4.6f: a session finds its scratch files again after a remount
    #[test]
    fn read_as_it_is_written() {
        let process = Process {
            pid: 4711,
            start: u64::MAX,
        };
        for session in [
            Session::named(b"a/\n\xff"),
            Session::Agent(process),
            Session::Terminal {
                tty: u32::MAX,
                leader: process,
            },
            Session::Kernel(process),
            Session::Anonymous { uid: 1000 },
        ] {
            assert_eq!(session.to_string().parse(), Ok(session));
        }
        for text in ["", "named-", "agent-1", "agent-1-2-3", "user--1", "drafts"] {
            assert_eq!(text.parse::<Session>(), Err(()), "{text}");
        }
    }

    /// spec 4.6f: earlier versions gave a named session the same directory
    #[test]
    fn a_named_sessions_directory_stays() {
        let session = Session::named(b"foobar");
        assert_eq!(session, Session::Named(0x8594_4171_f739_67e8));
        assert_eq!(session.to_string(), "named-9625390261332436968");
    }
}
