//! The readers of `pending.md` take turns: which process reads, which opens wait, and for how long (spec 6.4, 6.8).

use std::fs::File;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::fs::handoff::below::Pins;
use crate::fs::ids::DirId;
use crate::fs::pending::second_look::SecondLooks;
use crate::fs::queue::snapshot::{Plan, Snapshot};
use crate::fs::session::estale_replay::REPLAY_WITHIN;
use crate::session::Process;

/// How long an open waits for other readers (spec 6.4). Bounded, because a process that waits in open(2) cannot be killed.
const WAIT: Duration = Duration::from_secs(2);

/// Opens do not wait for a reader that has read nothing for this long (spec 6.8).
const IDLE: Duration = Duration::from_secs(10);

/// How long opens wait for a reader that was invited to open again.
const INVITED: Duration = Duration::from_secs(1);

/// A thread, and its process if `/proc` showed the process.
#[derive(Clone, Copy, Debug)]
pub struct ReaderId {
    pub tid: u32,
    pub process: Option<Process>,
}

impl ReaderId {
    /// All threads of a process are one reader. Thread 0 stands for every thread outside our PID namespace.
    fn is(self, other: ReaderId) -> bool {
        match (self.process, other.process) {
            (Some(process), Some(other)) => process == other,
            _ => self.tid == other.tid && self.tid != 0,
        }
    }
}

/// An open of `pending.md` that asks for its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) reader: ReaderId,
    pub(super) queue: DirId,
    pub(super) since: Instant,
    /// Opens that wait are served in this order.
    ticket: u64,
}

/// The reason for opening a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// A new turn, for which others wait.
    Turn,
    /// A share in the turn that the same process has already.
    Share,
    /// The second look of the reader's session.
    SecondLook,
}

impl Claim {
    /// May this snapshot be opened on a node that shows this plan? A second look needs its very plan, not only the same bytes.
    pub(super) fn is_served(self, snapshot: &Snapshot, plan: &Arc<Plan>) -> bool {
        match self {
            Claim::Turn | Claim::Share => snapshot.plan.same(plan),
            Claim::SecondLook => Arc::ptr_eq(&snapshot.plan, plan),
        }
    }
}

/// A snapshot that is kept for a thread. The open was answered ESTALE, so the kernel looks the name up and opens again.
#[derive(Debug)]
pub struct Invitation {
    pub snapshot: Arc<Snapshot>,
    pub(super) claim: Claim,
    tid: u32,
    queue: DirId,
    since: Instant,
}

/// A reader with open handles of a snapshot that is not consumed yet. Both times are the clock's monotonic time.
#[derive(Debug)]
struct Turn {
    snapshot: Arc<Snapshot>,
    reader: ReaderId,
    handles: u32,
    since: Instant,
    last_read: Instant,
}

impl Turn {
    fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot)
    }

    fn queue(&self) -> DirId {
        self.snapshot.plan.queue
    }
}

/// All readers, and the snapshots that they read.
#[derive(Debug, Default)]
pub struct Readers {
    /// Handoffs that sessions have consumed and may look at once more (spec 6.7).
    pub second_looks: SecondLooks,
    turns: Vec<Turn>,
    waiting: Vec<Asking>,
    invited: Vec<Invitation>,
    /// Every snapshot that may still be read.
    snapshots: Vec<Weak<Snapshot>>,
    last_ticket: u64,
}

impl Readers {
    /// An open that begins now.
    pub(super) fn ask(&mut self, reader: ReaderId, queue: DirId, now: Instant) -> Asking {
        self.last_ticket += 1;
        Asking {
            reader,
            queue,
            since: now,
            ticket: self.last_ticket,
        }
    }

    /// Until when this open waits: for the turns of other processes, for threads that were invited to a turn, and for opens that
    /// wait already. `None` if there is nothing to wait for. `overlaps` tells whether a queue's merge and the asker's share
    /// handoffs. `monotonic` is the clock's time, which a test may have set.
    pub(super) fn waits_until(
        &self,
        asking: &Asking,
        (now, monotonic): (Instant, Instant),
        overlaps: impl Fn(DirId) -> bool,
    ) -> Option<Instant> {
        let longest = asking.since + WAIT;
        if now >= longest {
            return None;
        }
        let invited = self.invited.iter().any(|it| {
            it.claim == Claim::Turn
                && now.duration_since(it.since) < INVITED
                && it.tid != asking.reader.tid
                && overlaps(it.queue)
        });
        let mut earlier = self.waiting.iter().filter(|it| it.ticket < asking.ticket);
        if invited || earlier.any(|it| overlaps(it.queue)) {
            return Some(longest);
        }
        let others = self.turns.iter().filter(|turn| {
            let is_other = !turn.reader.is(asking.reader);
            is_other && overlaps(turn.queue())
        });
        let until_idle = others.filter_map(|turn| {
            let left = IDLE.checked_sub(monotonic.duration_since(turn.last_read))?;
            (!left.is_zero()).then(|| longest.min(now + left))
        });
        until_idle.max()
    }

    /// This open waits, and later opens wait for it.
    pub(super) fn wait(&mut self, asking: &Asking) {
        self.waiting.push(*asking);
    }

    /// This open does not wait any more.
    pub(super) fn stop_waiting(&mut self, asking: &Asking) {
        self.waiting.retain(|it| it.ticket != asking.ticket);
    }

    /// Keeps this snapshot for the thread, which will open again.
    pub(super) fn invite(
        &mut self,
        asking: &Asking,
        snapshot: Arc<Snapshot>,
        claim: Claim,
        now: Instant,
    ) {
        self.invited.push(Invitation {
            snapshot,
            claim,
            tid: asking.reader.tid,
            queue: asking.queue,
            since: now,
        });
    }

    /// The invitation of this thread, which looks the name up before it opens again.
    pub fn invitation(&mut self, tid: u32, queue: DirId, now: Instant) -> Option<&Invitation> {
        self.forget_missing(now);
        let mut invited = self.invited.iter();
        invited.find(|it| (it.tid, it.queue) == (tid, queue))
    }

    /// The thread has opened again: its invitation is used up.
    pub(super) fn accept(&mut self, asking: &Asking, now: Instant) -> Option<Invitation> {
        self.forget_missing(now);
        let wanted = (asking.reader.tid, asking.queue);
        let is_wanted = |it: &mut Invitation| (it.tid, it.queue) == wanted;
        self.invited.extract_if(.., is_wanted).next()
    }

    /// Drops the invitations of threads that did not open again in time.
    pub fn forget_missing(&mut self, now: Instant) {
        self.invited
            .retain(|it| now.duration_since(it.since) < REPLAY_WITHIN);
    }

    /// The snapshot of this queue that the asker has open already.
    pub(super) fn shared(&self, asking: &Asking) -> Option<Arc<Snapshot>> {
        let mut turns = self.turns.iter();
        let own = turns.find(|it| it.queue() == asking.queue && it.reader.is(asking.reader))?;
        Some(own.snapshot.clone())
    }

    /// A new snapshot of this plan.
    pub(super) fn new_snapshot(&mut self, plan: &Arc<Plan>) -> Arc<Snapshot> {
        let snapshot = Arc::new(Snapshot::new(plan.clone()));
        self.snapshots.retain(|old| old.strong_count() > 0);
        self.snapshots.push(Arc::downgrade(&snapshot));
        snapshot
    }

    /// A handle was opened that will consume this snapshot: the reader's turn begins, or has one more handle.
    pub(super) fn opened(&mut self, reader: ReaderId, snapshot: &Arc<Snapshot>, now: Instant) {
        match self.turns.iter_mut().find(|turn| turn.is_of(snapshot)) {
            Some(turn) => turn.handles += 1,
            None => self.turns.push(Turn {
                snapshot: snapshot.clone(),
                reader,
                handles: 1,
                since: now,
                last_read: now,
            }),
        }
    }

    /// Such a handle was closed: the turn ends with the last one.
    pub(super) fn closed(&mut self, snapshot: &Arc<Snapshot>) {
        for turn in self.turns.iter_mut().filter(|turn| turn.is_of(snapshot)) {
            turn.handles -= 1;
        }
        self.turns.retain(|turn| turn.handles > 0);
    }

    /// A reader of this snapshot reads now, in the clock's monotonic time.
    pub(super) fn reads(&mut self, snapshot: &Arc<Snapshot>, now: Instant) {
        for turn in self.turns.iter_mut().filter(|turn| turn.is_of(snapshot)) {
            turn.last_read = now;
        }
    }

    /// Has this snapshot a turn? The turn ends when the snapshot is consumed or its last handle is closed.
    pub(super) fn holds(&self, snapshot: &Arc<Snapshot>) -> bool {
        self.turns.iter().any(|turn| turn.is_of(snapshot))
    }

    /// This snapshot is consumed: its turn is over.
    pub(super) fn end(&mut self, snapshot: &Arc<Snapshot>) {
        self.turns.retain(|turn| !turn.is_of(snapshot));
    }

    /// Is any snapshot open, or may any session look at one again?
    pub fn is_read(&self) -> bool {
        self.snapshots.iter().any(|it| it.strong_count() > 0)
    }

    /// Each turn: its queue, its process (its thread, where the process is not known), when it began, and when its reader last
    /// read. Both times are the clock's monotonic time.
    pub fn held(&self) -> impl Iterator<Item = (DirId, u32, Instant, Instant)> {
        self.turns.iter().map(|turn| {
            let process = turn.reader.process;
            let pid = process.map_or(turn.reader.tid, |process| process.pid);
            (turn.queue(), pid, turn.since, turn.last_read)
        })
    }

    /// How many turns, waiting opens and invitations there are.
    pub fn len(&self) -> usize {
        self.turns.len() + self.waiting.len() + self.invited.len()
    }
}

impl Pins for Readers {
    fn pin(&mut self, ino: u64, file: &Arc<File>) {
        for snapshot in self.snapshots.iter().filter_map(Weak::upgrade) {
            snapshot.pin(ino, file);
        }
        self.second_looks.drop_costly();
    }
}
