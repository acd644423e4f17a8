//! What each thread looked up last, and who it was: one system call is several requests, and only the first has to ask.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use crate::fs::ids::DirId;
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
pub struct LookedUp {
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
    pub fn note(
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
    pub fn take(&mut self, tid: u32, dir: DirId, name: &OsStr) -> Option<Caller> {
        self.last(tid, dir, name)?.caller.take()
    }

    /// Has the thread just found that there is no such name? The kernel holds the directory's lock from then until it has
    /// made the name, so that no name comes in between through the mount.
    pub fn is_absent(&mut self, tid: u32, dir: DirId, name: &OsStr) -> bool {
        let last = self.last(tid, dir, name);
        last.is_some_and(|looked| std::mem::take(&mut looked.absent))
    }

    fn last(&mut self, tid: u32, dir: DirId, name: &OsStr) -> Option<&mut Looked> {
        let looked = self.by_thread.get_mut(&tid)?;
        let same = looked.dir == dir && looked.name == name && looked.at.elapsed() < FOLLOWS;
        same.then_some(looked)
    }
}
