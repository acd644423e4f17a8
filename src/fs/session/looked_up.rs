//! The name that each thread looked up last. One system call is several requests of one thread, and only the first of them needs
//! to read `/proc` for the caller.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use crate::fs::ids::DirId;
use crate::session::Caller;

/// How long a look-up is kept. The request for which the kernel looked the name up follows at once.
const FOLLOWS: Duration = Duration::from_secs(1);

/// How many look-ups are kept before old ones are dropped.
const MANY: usize = 64;

/// See the [module](self).
///
/// The kernel caches no name of the mount (TTL 0), so every system call begins with a LOOKUP. Its OPEN, CREATE, RENAME or UNLINK
/// follows at once on the same thread, and takes the caller from here.
#[derive(Default)]
pub struct LookedUp {
    by_thread: HashMap<u32, Looked>,
}

struct Looked {
    dir: DirId,
    name: OsString,
    /// `None` if the name means the same to every caller.
    caller: Option<Caller>,
    /// Whether there was no such name.
    absent: bool,
    at: Instant,
}

impl LookedUp {
    /// A thread has looked a name up. `caller` is `None` if the name means the same to every caller; `absent` tells that there is no
    /// such name.
    pub fn note(
        &mut self,
        tid: u32,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
        absent: bool,
    ) {
        // Every caller outside the PID namespace is thread 0.
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

    /// The caller, if the thread looked up this name last.
    pub fn take(&mut self, tid: u32, dir: DirId, name: &OsStr) -> Option<Caller> {
        self.last(tid, dir, name)?.caller.take()
    }

    /// Has the thread's LOOKUP just found no such name? The kernel keeps the directory locked from the LOOKUP to the CREATE, so no
    /// other request through the mount can make the name in between.
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
