//! Who calls, asked of `/proc` as seldom as the rules allow (spec 5).
//!
//! What a request costs when its process was seen before, in reads of `/proc`:
//!
//! | request | reads | why |
//! |---|---|---|
//! | look-up of an alias of anybody's, or the first thing done to a name that becomes one | 1 | whose it is (4.3) |
//! | a scratch file of a session's own is made, opened for writing, renamed or removed, or looked up while several sessions have one | 1 | whose it is (4.6) |
//! | what the same system call does to that name then | 0 | it is the same thread |
//! | look-up of `pending.md` while anybody looks at it twice | 1, or 2 with the agent | what it shows (6.7) |
//! | FLUSH of a document that was written | 1 | whether its writer is being killed (4.9) |
//! | OPEN of `pending.md` when there is anything in it | 1 | who holds the turn (6.4) |
//! | the READ that would consume it | 1 | whether the program searches or shows a part (6.3, 6.5) |
//! | everything else | 0 | |
//!
//! The last two cannot be had for less. A shell opens `pending.md` for `cat <&3` as it does for `grep x <&3`, with the same
//! requests from the same thread; what runs there by then is told by `/proc` alone.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use crate::fs::ids::{DirId, NodeId};
use crate::fs::{Fs, Request, State};
use crate::names;
use crate::session::Caller;

/// How long a look-up is remembered. What it is for follows at once.
const FOLLOWS: Duration = Duration::from_secs(1);

/// How many look-ups are remembered before old ones are dropped.
const MANY: usize = 64;

/// What each thread looked up last, and who it was.
///
/// Names are looked up with TTL 0, so every system call does that anew; its OPEN, CREATE, RENAME or UNLINK follows at once,
/// on the same thread, and need not ask again.
#[derive(Default)]
pub(in crate::fs) struct LookedUp {
    by_thread: HashMap<u32, Looked>,
}

struct Looked {
    dir: DirId,
    name: OsString,
    /// Where it mattered who it was.
    caller: Option<Caller>,
    /// There was nothing of that name.
    absent: bool,
    at: Instant,
}

impl LookedUp {
    /// The thread has looked this name up; the caller is `None` if it does not matter who it is, and `absent` tells that
    /// there is nothing.
    pub(in crate::fs) fn note(
        &mut self,
        tid: u32,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
        absent: bool,
    ) {
        // Thread 0 is everybody outside our PID namespace.
        if tid == 0 || (caller.is_none() && !absent) {
            self.by_thread.remove(&tid);
            return;
        }
        if self.by_thread.len() >= MANY {
            self.by_thread
                .retain(|_, looked| looked.at.elapsed() < FOLLOWS);
        }
        let looked = Looked {
            dir,
            name: name.to_owned(),
            caller: caller.cloned(),
            absent,
            at: Instant::now(),
        };
        self.by_thread.insert(tid, looked);
    }

    /// Who the thread is, if this is what it looked up last.
    fn take(&mut self, tid: u32, dir: DirId, name: &OsStr) -> Option<Caller> {
        self.last(tid, dir, name)?.caller.take()
    }

    /// Has the thread just found that there is no such name? The kernel holds the directory's lock from then until it has
    /// made the name, so that no name comes in between through the mount.
    pub(in crate::fs) fn is_absent(&mut self, tid: u32, dir: DirId, name: &OsStr) -> bool {
        let last = self.last(tid, dir, name);
        last.is_some_and(|looked| std::mem::take(&mut looked.absent))
    }

    fn last(&mut self, tid: u32, dir: DirId, name: &OsStr) -> Option<&mut Looked> {
        let looked = self.by_thread.get_mut(&tid)?;
        let same = looked.dir == dir && looked.name == name && looked.at.elapsed() < FOLLOWS;
        same.then_some(looked)
    }
}

impl Fs {
    /// The session of a request. Reads `/proc`: never called with the state locked.
    pub(in crate::fs) fn caller(&self, request: Request) -> Caller {
        self.resolver.caller(request.tid, request.uid)
    }

    /// The caller of what follows the look-up of this name.
    pub(in crate::fs) fn caller_of(&self, request: Request, dir: DirId, name: &OsStr) -> Caller {
        let known = self.lock().looked_up.take(request.tid, dir, name);
        known.unwrap_or_else(|| self.caller(request))
    }

    /// The caller of what follows the look-up of one of these names, if `needed` says so of the state.
    pub(in crate::fs) fn caller_if(
        &self,
        request: Request,
        names: &[(NodeId, &OsStr)],
        needed: impl FnOnce(&State) -> bool,
    ) -> Option<Caller> {
        let known = {
            let mut state = self.lock();
            if !needed(&state) {
                return None;
            }
            names.iter().find_map(|(parent, name)| {
                let dir = state.dir(*parent).ok()?;
                state.looked_up.take(request.tid, dir, name)
            })
        };
        Some(known.unwrap_or_else(|| self.caller(request)))
    }

    /// The caller of what follows the look-up of this name, if anybody has an alias of it or looks at it twice, or several
    /// sessions have a scratch file of that name: only then does it matter who asks.
    pub(in crate::fs) fn caller_of_alias(
        &self,
        request: Request,
        parent: NodeId,
        name: &OsStr,
    ) -> Option<Caller> {
        self.caller_if(request, &[(parent, name)], |state| {
            let dir = state.dir(parent);
            dir.is_ok_and(|dir| {
                state.aliases.any(dir, name)
                    || (name == names::PENDING && state.readers.second_looks.any(dir))
                    || state.scratch.are_many(dir, name)
            })
        })
    }
}
