//! Opening `pending.md`: readers take turns, and wait for writers that are just letting go (spec 4.2, 6.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::fs::handoff::state::Doc;
use crate::fs::ids::{DirId, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::types::Opened;
use crate::fs::pending::open_merge::{Consumer, OpenMerge};
use crate::fs::pending::readers::{Claim, Holder, Reserved};
use crate::fs::pending::snapshot::{Plan, Snapshot};
use crate::fs::{Fs, Request, State};
use crate::programs::Role;
use crate::session::Caller;

/// How long an open waits for another reader's turn (spec 6.4). It cannot be killed meanwhile, hence a bound.
const TURN: Duration = Duration::from_secs(2);

/// A reader that has read nothing for so long is waited for no more (spec 6.8).
const IDLE: Duration = Duration::from_secs(10);

/// How long a reader waits for the RELEASE of a writer that has closed (spec 4.2).
const RELEASE: Duration = Duration::from_millis(100);

/// How long a turn that was waited for keeps others waiting while the kernel looks the name up again.
const RESERVED: Duration = Duration::from_secs(1);

impl Doc {
    /// Its writers have flushed everything just now: their RELEASE is on its way, as far as anybody can tell.
    pub(in crate::fs) fn is_closing(&self, now: Instant) -> bool {
        self.flushed
            .is_some_and(|at| now.duration_since(at) < RELEASE)
    }
}

/// An answer, or a promise of one: opening `pending.md` may have to wait for another reader's turn.
pub enum Outcome {
    /// Answer now.
    Ready(Result<Opened>),
    /// Call [`Waiting::finish`] on a thread that serves no requests, and answer then.
    Later(Waiting),
}

/// An open of `pending.md` that has to wait; see [`Outcome::Later`].
pub struct Waiting {
    fs: Arc<Fs>,
    opening: Opening,
}

#[derive(Clone)]
struct Opening {
    request: Request,
    node: NodeId,
    plan: Arc<Plan>,
    caller: Caller,
    /// Its place among those that wait.
    place: u64,
    since: Instant,
}

enum Step {
    Done(Result<Opened>),
    WaitUntil(Instant),
}

impl Waiting {
    /// Waits for the turn, at most 2 s, and opens. Blocks: for a thread that serves no requests.
    pub fn finish(self) -> Result<Opened> {
        let mut state = self.fs.lock();
        loop {
            match self.fs.step(&mut state, &self.opening) {
                Step::Done(answer) => return answer,
                Step::WaitUntil(deadline) => {
                    self.fs.changed.wait_until(&mut state, deadline);
                }
            }
        }
    }
}

impl Drop for Waiting {
    /// Its place is free, however it ended: also when no thread could be had to wait in.
    fn drop(&mut self) {
        let mut state = self.fs.lock();
        state
            .turns
            .waiting
            .retain(|(place, _)| *place != self.opening.place);
        drop(state);
        self.fs.changed.notify_all();
    }
}

impl Fs {
    /// Opens `pending.md` or `.peek.md` for reading.
    pub(in crate::fs) fn open_merge(
        self: &Arc<Self>,
        request: Request,
        node: NodeId,
        plan: &Arc<Plan>,
        peek: bool,
    ) -> Outcome {
        if peek {
            let mut state = self.lock();
            return Outcome::Ready(Ok(self.open_passive(&mut state, node, plan)));
        }
        {
            let mut state = self.lock();
            if self.has_nothing(&mut state, request, plan) {
                return Outcome::Ready(Ok(self.open_passive(&mut state, node, plan)));
            }
        }
        let caller = self.caller(request);
        let passive = self.reads_in_passing(&caller);
        let mut state = self.lock();
        let single_file = caller
            .process
            .is_some_and(|process| state.single_file.contains(process));
        if passive || single_file {
            return Outcome::Ready(Ok(self.open_passive(&mut state, node, plan)));
        }
        state.turns.last += 1;
        let opening = Opening {
            request,
            node,
            plan: plan.clone(),
            caller,
            place: state.turns.last,
            since: Instant::now(),
        };
        match self.step(&mut state, &opening) {
            Step::Done(answer) => Outcome::Ready(answer),
            Step::WaitUntil(_) => {
                state.turns.waiting.push((opening.place, plan.queue));
                Outcome::Later(Waiting {
                    fs: self.clone(),
                    opening,
                })
            }
        }
    }

    /// Does this program search, save or show a part (spec 6.3, 6.5)? A thread may do so for a program that does not.
    pub(in crate::fs) fn reads_in_passing(&self, caller: &Caller) -> bool {
        self.plays(caller, Role::Searcher)
            || self.plays(caller, Role::PartReader)
            || self.programs.is(Role::Searcher, &caller.thread)
    }

    /// Is there nothing to take turns about? Then it does not matter who asks.
    fn has_nothing(&self, state: &mut State, request: Request, plan: &Plan) -> bool {
        let now = Instant::now();
        plan.items.is_empty()
            && !state.turns.second_looks.any(plan.queue)
            && state
                .turns
                .reserved_at(request.tid, plan.queue, now)
                .is_none()
            && self.writers_closing(state, plan.queue, now, now).is_none()
            && self
                .settled_plan(state, plan.queue)
                .is_ok_and(|current| current.items.is_empty())
    }

    /// Opens, or says until when to wait at most.
    fn step(&self, state: &mut State, opening: &Opening) -> Step {
        let Opening {
            request,
            node,
            plan,
            caller,
            ..
        } = opening;
        let (queue, now) = (plan.queue, Instant::now());
        // Reopened through /proc/self/fd, without a look-up: the snapshot that is open already.
        if let Some(snapshot) = state.snapshot_of(*node) {
            return Step::Done(Ok(match state.turns.second_looks.shows(&snapshot) {
                true => self.open_reading(state, *node, snapshot, 0, None),
                false => self.open_snapshot(state, opening, snapshot),
            }));
        }
        if let Some(at) = state.turns.reserved_at(request.tid, queue, now) {
            let reserved = state.turns.reserved.remove(at);
            if reserved.claim == Claim::SecondLook && Arc::ptr_eq(&reserved.snapshot.plan, plan) {
                let snapshot = reserved.snapshot;
                return Step::Done(Ok(self.open_reading(state, *node, snapshot, 0, None)));
            }
            let snapshot = if reserved.snapshot.plan.same(plan) {
                reserved.snapshot
            } else {
                // There was no look-up (it was opened through /proc/self/fd), and the kernel asks no third time.
                state.new_snapshot(plan)
            };
            return Step::Done(Ok(self.open_snapshot(state, opening, snapshot)));
        }
        if let Some(snapshot) = self.looks_again(state, queue, caller) {
            if Arc::ptr_eq(&snapshot.plan, plan) {
                return Step::Done(Ok(self.open_reading(state, *node, snapshot, 0, None)));
            }
            self.reserve(state, opening, snapshot, Claim::SecondLook);
            return Step::Done(Err(Error::Stale));
        }
        let own = |holder: &&Holder| match (holder.process, caller.process) {
            (Some(holds), Some(asks)) => holds == asks,
            _ => holder.tid == request.tid && request.tid != 0,
        };
        let mine = state
            .turns
            .holders
            .iter()
            .find(|holder| holder.snapshot.plan.queue == queue && own(holder))
            .map(|holder| holder.snapshot.clone());
        if let Some(snapshot) = mine {
            if snapshot.plan.same(plan) {
                return Step::Done(Ok(self.open_snapshot(state, opening, snapshot)));
            }
            self.reserve(state, opening, snapshot, Claim::Share);
            return Step::Done(Err(Error::Stale));
        }
        let deadline = opening.since + TURN;
        if now < deadline
            && let Some(until) = self.blocked_until(state, opening, own)
        {
            return Step::WaitUntil(until.min(deadline));
        }
        if let Some(until) = self.writers_closing(state, queue, opening.since, now) {
            return Step::WaitUntil(until);
        }
        let current = self.settled_plan(state, queue);
        match current.map(|pending| self.merge_for(state, caller, pending)) {
            Err(error) => Step::Done(Err(error)),
            // Nothing can be reserved for a caller whom nothing tells from others (spec 5): he is served what his look-up
            // found, at worst a second time.
            Ok(current) if current.same(plan) || request.tid == 0 => {
                let snapshot = state.new_snapshot(plan);
                Step::Done(Ok(self.open_snapshot(state, opening, snapshot)))
            }
            Ok(current) => {
                let snapshot = state.new_snapshot(&current);
                self.reserve(state, opening, snapshot, Claim::Turn);
                Step::Done(Err(Error::Stale))
            }
        }
    }

    fn reserve(&self, state: &mut State, opening: &Opening, snapshot: Arc<Snapshot>, claim: Claim) {
        state.turns.reserved.push(Reserved {
            tid: opening.request.tid,
            queue: opening.plan.queue,
            since: Instant::now(),
            snapshot,
            claim,
        });
    }

    /// Until when it is somebody else's turn, if it is. Two queues are in each other's way when one is within the other.
    fn blocked_until(
        &self,
        state: &State,
        opening: &Opening,
        own: impl Fn(&&Holder) -> bool,
    ) -> Option<Instant> {
        let queue = opening.plan.queue;
        let overlaps =
            |other: DirId| state.dirs.is_within(other, queue) || state.dirs.is_within(queue, other);
        let (now, monotonic) = (Instant::now(), self.clock.monotonic());
        let others = state
            .turns
            .holders
            .iter()
            .filter(|holder| overlaps(holder.snapshot.plan.queue) && !own(holder));
        // Until they are idle, if they read nothing more.
        let held = others.filter_map(|holder| {
            let left = IDLE.checked_sub(monotonic.duration_since(holder.last_read))?;
            (!left.is_zero()).then_some(now + left)
        });
        let reserved = state.turns.reserved.iter().any(|it| {
            it.claim == Claim::Turn
                && now.duration_since(it.since) < RESERVED
                && it.tid != opening.request.tid
                && overlaps(it.queue)
        });
        let earlier = state
            .turns
            .waiting
            .iter()
            .any(|(place, queue)| *place < opening.place && overlaps(*queue));
        let waits = (reserved || earlier).then_some(opening.since + TURN);
        held.chain(waits).max()
    }

    /// Until when it is worth waiting for writers that had closed when the open came, but have not let go (spec 4.2).
    /// Others may go on closing for ever.
    fn writers_closing(
        &self,
        state: &mut State,
        queue: DirId,
        since: Instant,
        now: Instant,
    ) -> Option<Instant> {
        let until = since + RELEASE;
        let State { docs, dirs, .. } = state;
        let closing = |doc: &Doc| {
            doc.writers > 0
                && doc.is_closing(now)
                && doc.flushed.is_some_and(|at| at <= since)
                && dirs.is_within(doc.dir, queue)
        };
        (now < until && docs.busy().any(closing)).then_some(until)
    }

    fn open_passive(&self, state: &mut State, node: NodeId, plan: &Arc<Plan>) -> Opened {
        let open = state.snapshot_of(node);
        let snapshot = open
            .or_else(|| state.turns.second_looks.showing(plan))
            .unwrap_or_else(|| state.new_snapshot(plan));
        self.open_reading(state, node, snapshot, 0, None)
    }

    fn open_snapshot(
        &self,
        state: &mut State,
        opening: &Opening,
        snapshot: Arc<Snapshot>,
    ) -> Opened {
        let Opening {
            request, caller, ..
        } = opening;
        if !snapshot.plan.items.is_empty() {
            let held = state
                .turns
                .holders
                .iter_mut()
                .find(|holder| Arc::ptr_eq(&holder.snapshot, &snapshot));
            match held {
                Some(holder) => holder.readings += 1,
                None => {
                    let now = self.clock.monotonic();
                    state.turns.holders.push(Holder {
                        snapshot: snapshot.clone(),
                        process: caller.process,
                        tid: request.tid,
                        readings: 1,
                        since: now,
                        last_read: now,
                    });
                }
            }
        }
        let consumer = Consumer {
            session: caller.session,
            process: caller.process,
            agent: self.plays(caller, Role::Agent),
        };
        self.open_reading(state, opening.node, snapshot, request.tid, Some(consumer))
    }

    fn open_reading(
        &self,
        state: &mut State,
        node: NodeId,
        snapshot: Arc<Snapshot>,
        tid: u32,
        consumer: Option<Consumer>,
    ) -> Opened {
        let reading = OpenMerge {
            snapshot,
            consumer,
            delivered: Default::default(),
            reader: tid.into(),
            ahead: Default::default(),
        };
        state.nodes.opened(node, None);
        let handle = state.handles.insert(node, Open::Merge(Arc::new(reading)));
        Opened {
            handle,
            flush: false,
        }
    }

    /// A reader has closed: its turn ends with its last handle.
    pub(in crate::fs) fn reading_closed(&self, state: &mut State, reading: &OpenMerge) {
        if reading.consumer.is_none() {
            return;
        }
        for holder in &mut state.turns.holders {
            if Arc::ptr_eq(&holder.snapshot, &reading.snapshot) {
                holder.readings = holder.readings.saturating_sub(1);
            }
        }
        state.turns.holders.retain(|holder| holder.readings > 0);
        state
            .turns
            .live
            .retain(|snapshot| snapshot.strong_count() > 0);
    }
}

impl State {
    fn new_snapshot(&mut self, plan: &Arc<Plan>) -> Arc<Snapshot> {
        let snapshot = Arc::new(Snapshot::new(plan.clone()));
        self.turns
            .live
            .retain(|snapshot| snapshot.strong_count() > 0);
        self.turns.live.push(Arc::downgrade(&snapshot));
        snapshot
    }

    /// The snapshot that is open on this node.
    fn snapshot_of(&self, node: NodeId) -> Option<Arc<Snapshot>> {
        if !self.nodes.get(node)?.is_open() {
            return None;
        }
        self.handles.iter().find_map(|handle| match &handle.open {
            Open::Merge(reading) if handle.node == node => Some(reading.snapshot.clone()),
            _ => None,
        })
    }
}
