//! Who reads, who waits, and for whom a turn is kept (spec 6.4).

use std::fs::File;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::fs::ids::DirId;
use crate::fs::pending::second_look::SecondLooks;
use crate::fs::pending::snapshot::Snapshot;
use crate::fs::session::estale_replay::REPLAY_WITHIN;
use crate::session::Process;

/// Who reads, and who waits.
#[derive(Debug, Default)]
pub(in crate::fs) struct Turns {
    /// What sessions have consumed and may look at once more (spec 6.7).
    pub(in crate::fs) second_looks: SecondLooks,
    /// Unfinished snapshots that will consume.
    pub(super) holders: Vec<Holder>,
    /// Opens that wait, first come first served.
    pub(super) waiting: Vec<(u64, DirId)>,
    pub(super) reserved: Vec<Reserved>,
    /// Every snapshot that may still be read.
    pub(super) live: Vec<Weak<Snapshot>>,
    pub(super) last: u64,
}

#[derive(Debug)]
pub(super) struct Holder {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) process: Option<Process>,
    pub(super) tid: u32,
    pub(super) readings: u32,
    /// When its turn began, in monotonic time.
    pub(super) since: Instant,
    /// When it last read, likewise.
    pub(super) last_read: Instant,
}

/// What a thread is promised at its next open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// A turn of its own, for which others wait.
    Turn,
    /// A share in the turn of its process.
    Share,
    /// Its session's second look.
    SecondLook,
}

#[derive(Debug)]
pub(in crate::fs) struct Reserved {
    pub(super) tid: u32,
    pub(super) queue: DirId,
    pub(super) since: Instant,
    pub(in crate::fs) snapshot: Arc<Snapshot>,
    pub(super) claim: Claim,
}

impl Turns {
    /// The file with this inode number is about to change or go: whoever reads a snapshot of it reads this instead.
    pub(in crate::fs) fn pin(&mut self, ino: u64, file: &Arc<File>) {
        self.live.retain(|snapshot| match snapshot.upgrade() {
            Some(snapshot) => {
                snapshot.pin(ino, file);
                true
            }
            None => false,
        });
        self.second_looks.drop_costly();
    }

    /// Whose turn it is in which queue, since when and when they last read, in monotonic time.
    pub(in crate::fs) fn held(&self) -> impl Iterator<Item = (DirId, u32, Instant, Instant)> {
        self.holders.iter().map(|holder| {
            let pid = holder.process.map_or(holder.tid, |process| process.pid);
            let queue = holder.snapshot.plan.queue;
            (queue, pid, holder.since, holder.last_read)
        })
    }

    /// A reader of this snapshot reads at `now`, in monotonic time.
    pub(in crate::fs) fn reads(&mut self, snapshot: &Arc<Snapshot>, now: Instant) {
        for holder in &mut self.holders {
            if Arc::ptr_eq(&holder.snapshot, snapshot) {
                holder.last_read = now;
            }
        }
    }

    /// How many readers there are, in whatever state.
    pub(in crate::fs) fn len(&self) -> usize {
        self.holders.len() + self.waiting.len() + self.reserved.len()
    }

    /// Does anybody read a snapshot?
    pub(in crate::fs) fn is_read(&self) -> bool {
        self.live.iter().any(|snapshot| snapshot.strong_count() > 0)
    }

    /// What this thread is promised at its next open.
    pub(in crate::fs) fn reserved(
        &mut self,
        tid: u32,
        queue: DirId,
        now: Instant,
    ) -> Option<&Reserved> {
        let at = self.reserved_at(tid, queue, now)?;
        self.reserved.get(at)
    }

    /// Forgets who did not come back.
    pub(in crate::fs) fn forget_missing(&mut self, now: Instant) {
        self.reserved
            .retain(|it| now.duration_since(it.since) < REPLAY_WITHIN);
    }

    pub(super) fn reserved_at(&mut self, tid: u32, queue: DirId, now: Instant) -> Option<usize> {
        self.forget_missing(now);
        self.reserved
            .iter()
            .position(|it| it.tid == tid && it.queue == queue)
    }

    /// Whether nobody has consumed it yet.
    pub(in crate::fs) fn holds(&self, snapshot: &Arc<Snapshot>) -> bool {
        self.holders
            .iter()
            .any(|holder| Arc::ptr_eq(&holder.snapshot, snapshot))
    }

    /// Its turn is over: it is consumed.
    pub(in crate::fs) fn end(&mut self, snapshot: &Arc<Snapshot>) {
        self.holders
            .retain(|holder| !Arc::ptr_eq(&holder.snapshot, snapshot));
    }
}
