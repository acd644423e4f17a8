//! What a thread does next. A kernel that is answered ESTALE looks the name up and opens it again *on the same thread*;
//! mv and install unlink `pending.md` and then create it.

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fs::ids::{DirId, FileId};
use crate::session::Caller;
use crate::store::local::Area;

/// How long a thread that was answered ESTALE is expected back. It comes at once, but on a machine with much to do that
/// may take seconds, and a second ESTALE would reach the reader.
pub const REPLAY_WITHIN: Duration = Duration::from_secs(10);

/// Short-lived notes about what one thread does next.
#[derive(Default)]
pub struct EstaleReplays {
    /// Files that wait to be opened, because the open that wanted them held an older node.
    replays: Vec<EstaleReplay>,
    /// `pending.md` was unlinked by this thread: to it, and for one look-up, the name is free.
    unlinked_pending: Vec<(u32, DirId, Instant)>,
}

/// An open that was answered ESTALE and comes again.
struct EstaleReplay {
    tid: u32,
    dir: DirId,
    name: OsString,
    to: ReplayTarget,
    /// Who opens a handoff under an alias; `None` under its stamped name.
    caller: Option<Caller>,
    at: Instant,
    /// Looked up once. Callers outside our PID namespace are all thread 0: each look-up takes another replay of theirs.
    taken: bool,
}

/// What the open that comes again is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplayTarget {
    /// A new draft, or the draft of an edit.
    File(FileId),
    /// The session's own scratch file of the name, in this area (spec 4.6).
    Scratch(Area),
}

impl EstaleReplays {
    /// The node that a thread wants to open shows another file than the one to be opened, and others may have the node
    /// open. The answer is ESTALE: the kernel looks the name up again, on this thread, and is given a node of `to`.
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

    /// Forgets the replays that did not come, and answers the files that waited for them.
    pub fn expire(&mut self, now: Instant) -> Vec<FileId> {
        let mut left = Vec::new();
        self.replays.retain(|replay| {
            let keep = now.duration_since(replay.at) < REPLAY_WITHIN;
            if let (false, ReplayTarget::File(file)) = (keep, replay.to) {
                left.push(file);
            }
            keep
        });
        self.unlinked_pending
            .retain(|(_, _, at)| now.duration_since(*at) < REPLAY_WITHIN);
        left
    }

    /// Takes the replay of this thread and name, for a look-up, and who the thread is.
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
        // The kernel looks up twice: the second look-up, with nothing left to take, means what the first one did.
        let replay = of_thread.max_by_key(|replay| (!replay.taken, replay.at))?;
        replay.taken = true;
        Some((replay.to, replay.caller.clone()))
    }

    /// Does this thread come again for this very draft?
    pub fn is_for(&self, tid: u32, file: FileId) -> bool {
        let mut replays = self.replays.iter();
        replays.any(|replay| replay.tid == tid && replay.to == ReplayTarget::File(file))
    }

    /// Does any thread come again for this file?
    pub fn is_awaited(&self, file: FileId) -> bool {
        let to = ReplayTarget::File(file);
        self.replays.iter().any(|replay| replay.to == to)
    }

    /// The open has come again.
    pub fn forget(&mut self, tid: u32, file: FileId) {
        let to = ReplayTarget::File(file);
        self.replays
            .retain(|replay| replay.tid != tid || replay.to != to);
    }

    /// This thread has come again for a scratch file of its own.
    pub fn forget_scratch(&mut self, tid: u32) {
        let is_scratch = |to| matches!(to, ReplayTarget::Scratch(_));
        self.replays
            .retain(|replay| replay.tid != tid || !is_scratch(replay.to));
    }

    /// The open of a stamped name has come again.
    pub fn forget_stamped(&mut self, tid: u32, file: FileId) {
        let to = ReplayTarget::File(file);
        self.replays
            .retain(|replay| !(replay.tid == tid && replay.to == to && replay.caller.is_none()));
    }

    pub fn pending_unlinked(&mut self, tid: u32, dir: DirId) {
        self.unlinked_pending.push((tid, dir, Instant::now()));
    }

    /// Did this thread unlink `pending.md` just now? So answered once.
    pub fn take_unlinked_pending(&mut self, tid: u32, dir: DirId) -> bool {
        let found = self
            .unlinked_pending
            .iter()
            .position(|(by, of, _)| *by == tid && *of == dir);
        found.is_some_and(|at| {
            self.unlinked_pending.remove(at);
            true
        })
    }
}
