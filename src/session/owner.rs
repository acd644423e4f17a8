//! Whose a scratch file is (spec 4.6): a session as the name of a directory, which outlives the daemon.

use std::fmt;
use std::str::FromStr;

use super::{Process, Session};

/// A session, in a form that can be written as a name and read again. Of a session that its user named it has a
/// number made of that name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// See [`Session::Named`].
    Named(u64),
    /// See [`Session::Agent`].
    Agent(Process),
    /// See [`Session::Terminal`].
    Terminal {
        /// The terminal's device number.
        tty: u32,
        /// The session's leader.
        leader: Process,
    },
    /// See [`Session::Kernel`].
    Kernel(Process),
    /// See [`Session::Anonymous`].
    Anonymous {
        /// The user's id.
        uid: u32,
    },
}

impl Owner {
    /// The owner of what this session makes.
    pub fn of(session: &Session) -> Owner {
        match session {
            Session::Named(name) => Owner::Named(fnv_1a(name)),
            Session::Agent(agent) => Owner::Agent(*agent),
            Session::Terminal { tty, leader } => Owner::Terminal {
                tty: *tty,
                leader: *leader,
            },
            Session::Kernel(leader) => Owner::Kernel(*leader),
            Session::Anonymous { uid } => Owner::Anonymous { uid: *uid },
        }
    }

    /// The session, if it is one that can end.
    pub fn session(self) -> Option<Session> {
        match self {
            Owner::Named(_) | Owner::Anonymous { .. } => None,
            Owner::Agent(agent) => Some(Session::Agent(agent)),
            Owner::Terminal { tty, leader } => Some(Session::Terminal { tty, leader }),
            Owner::Kernel(leader) => Some(Session::Kernel(leader)),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Named(name) => write!(f, "named-{name}"),
            Owner::Agent(Process { pid, start }) => write!(f, "agent-{pid}-{start}"),
            Owner::Terminal { tty, leader } => {
                write!(f, "terminal-{tty}-{}-{}", leader.pid, leader.start)
            }
            Owner::Kernel(Process { pid, start }) => write!(f, "session-{pid}-{start}"),
            Owner::Anonymous { uid } => write!(f, "user-{uid}"),
        }
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(text: &str) -> Result<Owner, ()> {
        fn number<T: FromStr>(text: &str) -> Result<T, ()> {
            text.parse().map_err(|_| ())
        }
        let process = |pid, start| {
            Ok(Process {
                pid: number(pid)?,
                start: number(start)?,
            })
        };
        let fields: Vec<&str> = text.split('-').collect();
        match *fields {
            ["named", name] => Ok(Owner::Named(number(name)?)),
            ["agent", pid, start] => Ok(Owner::Agent(process(pid, start)?)),
            ["terminal", tty, pid, start] => Ok(Owner::Terminal {
                tty: number(tty)?,
                leader: process(pid, start)?,
            }),
            ["session", pid, start] => Ok(Owner::Kernel(process(pid, start)?)),
            ["user", uid] => Ok(Owner::Anonymous { uid: number(uid)? }),
            _ => Err(()),
        }
    }
}

/// FNV-1a: the same in every version of this program, as std's hashes need not be.
fn fnv_1a(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
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
            Session::Named(b"a/\n\xff".as_slice().into()),
            Session::Agent(process),
            Session::Terminal {
                tty: u32::MAX,
                leader: process,
            },
            Session::Kernel(process),
            Session::Anonymous { uid: 1000 },
        ] {
            let owner = Owner::of(&session);
            assert_eq!(owner.to_string().parse(), Ok(owner));
            assert!(owner.session().is_none_or(|it| it == session));
        }
        for text in ["", "named-", "agent-1", "agent-1-2-3", "user--1", "drafts"] {
            assert_eq!(text.parse::<Owner>(), Err(()), "{text}");
        }
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
