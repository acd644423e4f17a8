//! The next request of a thread. The kernel, answered ESTALE, looks the name up and opens it again *on the same thread*; mv and
//! install unlink `pending.md` and then create it.

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fs::ids::{DirId, FileId};
use crate::session::Caller;
use crate::store::local::Area;

/// How long a thread that was answered ESTALE is expected to open again. On a busy machine that may take seconds, and a second
/// ESTALE would reach the program.
pub const REPLAY_WITHIN: Duration = Duration::from_secs(10);

/// Short-lived notes about the next request of a thread.
#[derive(Default)]
pub struct EstaleReplays {
    /// Opens that were answered ESTALE, because their node showed another file than the one to be opened.
    replays: Vec<EstaleReplay>,
    /// Threads that have unlinked a `pending.md`: for one look-up of the thread, the name is free.
    unlinked_pending: Vec<(u32, DirId, Instant)>,
}

/// An open that was answered ESTALE and comes again.
struct EstaleReplay {
    tid: u32,
    dir: DirId,
    name: OsString,
    to: ReplayTarget,
    /// The caller that opens a handoff under an alias; `None` under its stamped name.
    caller: Option<Caller>,
    at: Instant,
    /// A look-up has taken this replay. Callers outside the daemon's PID namespace are all thread 0: each of their look-ups takes
    /// another replay.
    taken: bool,
}

/// The file that the open gets when it comes again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplayTarget {
    /// A new draft, or the draft of an edit.
    File(FileId),
    /// The session's own scratch file of the name, in this area (spec 4.6).
    Scratch(Area),
}

impl EstaleReplays {
    /// The node that a thread opens shows another file than the one to be opened, and other threads may have the node open.
    /// Answers ESTALE: the kernel looks the name up again, on this thread, and gets a node of `to`.
    pub fn look_again(
        &mut self,
        tid: u32,
        dir: DirId,
        name: &OsStr,
        to: ReplayTarget,
        caller: Option<&Caller>,
    ) -> Error {
        self.replays.push(EstaleReplay {
            tid,
            dir,
            name: name.to_owned(),
            to,
            caller: caller.cloned(),
            at: Instant::now(),
            taken: false,
        });
        Error::Stale
    }

    pub fn len(&self) -> usize {
        self.replays.len()
    }

    pub fn is_empty(&self) -> bool {
        self.replays.is_empty() && self.unlinked_pending.is_empty()
    }

    /// Forgets the opens that did not come again; returns the files that waited for them.
    pub fn expire(&mut self, now: Instant) -> Vec<FileId> {
        let is_old = |at: Instant| now.duration_since(at) >= REPLAY_WITHIN;
        self.unlinked_pending.retain(|(_, _, at)| !is_old(*at));
        let old = self.replays.extract_if(.., |replay| is_old(replay.at));
        old.filter_map(|replay| match replay.to {
            ReplayTarget::File(file) => Some(file),
            ReplayTarget::Scratch(_) => None,
        })
        .collect()
    }

    /// Takes the replay of this thread and name for a look-up: the file that is opened, and the caller.
    pub fn take(
        &mut self,
        tid: u32,
        dir: DirId,
        name: &OsStr,
    ) -> Option<(ReplayTarget, Option<Caller>)> {
        let of_thread = self
            .replays
            .iter_mut()
            .filter(|replay| replay.tid == tid && replay.dir == dir && replay.name == name);
        // The kernel looks up twice. When every replay is taken, the second look-up gets the latest replay again.
        let replay = of_thread.max_by_key(|replay| (!replay.taken, replay.at))?;
        replay.taken = true;
        Some((replay.to, replay.caller.clone()))
    }

    /// Is this thread expected to open this file again?
    pub fn is_for(&self, tid: u32, file: FileId) -> bool {
        let mut replays = self.replays.iter();
        replays.any(|replay| replay.tid == tid && replay.to == ReplayTarget::File(file))
    }

    /// Is any thread expected to open this file again?
    pub fn is_awaited(&self, file: FileId) -> bool {
        let to = ReplayTarget::File(file);
        self.replays.iter().any(|replay| replay.to == to)
    }

    /// The open of this file has come again.
    pub fn forget(&mut self, tid: u32, file: FileId) {
        let to = ReplayTarget::File(file);
        self.replays
            .retain(|replay| replay.tid != tid || replay.to != to);
    }

    /// The open of the session's own scratch file has come again.
    pub fn forget_scratch(&mut self, tid: u32) {
        self.replays
            .retain(|replay| replay.tid != tid || matches!(replay.to, ReplayTarget::File(_)));
    }

    /// The open of a stamped name has come again.
    pub fn forget_stamped(&mut self, tid: u32, file: FileId) {
        let to = ReplayTarget::File(file);
        self.replays
            .retain(|replay| replay.tid != tid || replay.to != to || replay.caller.is_some());
    }

    /// This thread has unlinked `pending.md`.
    pub fn pending_unlinked(&mut self, tid: u32, dir: DirId) {
        self.unlinked_pending.push((tid, dir, Instant::now()));
    }

    /// Did this thread unlink `pending.md` just now? Answers yes once.
    pub fn take_unlinked_pending(&mut self, tid: u32, dir: DirId) -> bool {
        let mut unlinked = self.unlinked_pending.iter();
        let found = unlinked.position(|(by, of, _)| (*by, *of) == (tid, dir));
        found.map(|at| self.unlinked_pending.remove(at)).is_some()
    }
}
