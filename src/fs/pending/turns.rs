//! Opening `pending.md`: readers take turns, and wait for writers whose RELEASE is on its way (spec 4.2, 6.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::fs::handoff::state::RegularFile;
use crate::fs::ids::{DirId, NodeId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::open_merge::{Consumer, OpenMerge};
use crate::fs::inode::types::{Opened, Request};
use crate::fs::pending::readers::{Asking, Claim, ReaderId};
use crate::fs::queue::snapshot::{Plan, Snapshot};
use crate::fs::state::{Fs, State};
use crate::programs::Role;
use crate::session::Caller;

/// How long a reader waits for the RELEASE of a writer that has closed (spec 4.2).
const RELEASE: Duration = Duration::from_millis(100);

impl RegularFile {
    /// Have all writers flushed everything just now? Their RELEASE is probably on its way.
    pub(in crate::fs) fn is_closing(&self, now: Instant) -> bool {
        self.flushed
            .is_some_and(|at| now.duration_since(at) < RELEASE)
    }
}

/// The answer to an open, or an open that has to wait for another reader's turn.
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

/// An open of `pending.md` that takes turns. The kernel has looked up `node`, which shows `plan`.
struct Opening {
    node: NodeId,
    plan: Arc<Plan>,
    caller: Caller,
    asking: Asking,
}

enum Step {
    Opened(Opened),
    WaitUntil(Instant),
}

impl Waiting {
    /// Waits for the turn, at most 2 s, and opens. Blocks: for a thread that serves no requests.
    pub fn finish(self) -> Result<Opened> {
        let mut state = self.fs.lock();
        loop {
            match self.fs.step(&mut state, &self.opening)? {
                Step::Opened(opened) => return Ok(opened),
                Step::WaitUntil(deadline) => {
                    self.fs.changed.wait_until(&mut state, deadline);
                }
            }
        }
    }
}

impl Drop for Waiting {
    /// Others stop waiting for this open, also if no thread could be started to wait in.
    fn drop(&mut self) {
        self.fs.lock().readers.stop_waiting(&self.opening.asking);
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
        {
            let mut state = self.lock();
            if peek || self.is_empty_for_all(&mut state, request, plan) {
                return Outcome::Ready(Ok(open_passive(&mut state, node, plan)));
            }
        }
        let caller = self.caller(request);
        let mut guard = self.lock();
        let state = &mut *guard;
        if self.reads_in_passing(&caller) || state.single_file.contains(caller.process) {
            return Outcome::Ready(Ok(open_passive(state, node, plan)));
        }
        let reader = ReaderId {
            tid: request.tid,
            process: caller.process,
        };
        let opening = Opening {
            node,
            plan: plan.clone(),
            caller,
            asking: state.readers.ask(reader, plan.queue, Instant::now()),
        };
        match self.step(state, &opening) {
            Ok(Step::Opened(opened)) => Outcome::Ready(Ok(opened)),
            Err(error) => Outcome::Ready(Err(error)),
            Ok(Step::WaitUntil(_)) => {
                state.readers.wait(&opening.asking);
                Outcome::Later(Waiting {
                    fs: self.clone(),
                    opening,
                })
            }
        }
    }

    /// Does the caller search, save or show only a part (spec 6.3, 6.5)? A thread with a searcher's name counts, too (`fff-*`
    /// of opencode).
    pub(in crate::fs) fn reads_in_passing(&self, caller: &Caller) -> bool {
        self.ctx.plays(caller, Role::Searcher)
            || self.ctx.plays(caller, Role::PartReader)
            || self.ctx.programs.is(Role::Searcher, &caller.thread)
    }

    /// Is the merge empty for every caller? Then `/proc` need not be read to know which caller opens it.
    fn is_empty_for_all(&self, state: &mut State, request: Request, plan: &Plan) -> bool {
        let (queue, now) = (plan.queue, Instant::now());
        plan.entries.is_empty()
            && !state.readers.second_looks.any(queue)
            && state.readers.invitation(request.tid, queue, now).is_none()
            && writers_closing(state, queue, now, now).is_none()
            && self
                .settled_plan(state, queue)
                .is_ok_and(|current| current.entries.is_empty())
    }

    /// Opens, or says until when to wait at most.
    fn step(&self, state: &mut State, opening: &Opening) -> Result<Step> {
        let Opening {
            node,
            plan,
            caller,
            asking,
        } = opening;
        let (queue, real) = (plan.queue, Instant::now());
        // Opened again through /proc/self/fd, without a LOOKUP: the snapshot that is open already.
        if let Some(snapshot) = state.snapshot_of(*node) {
            let claim = match state.readers.second_looks.shows(&snapshot) {
                true => Claim::SecondLook,
                false => Claim::Share,
            };
            return Ok(self.open_snapshot(state, opening, snapshot, claim));
        }
        if let Some(invitation) = state.readers.accept(asking, real) {
            let (mut snapshot, mut claim) = (invitation.snapshot, invitation.claim);
            if !claim.is_served(&snapshot, plan) {
                // Opened through /proc/self/fd, without a LOOKUP. The kernel does not come a third time.
                (snapshot, claim) = (state.readers.new_snapshot(plan), Claim::Turn);
            }
            return Ok(self.open_snapshot(state, opening, snapshot, claim));
        }
        if let Some(snapshot) = self.looks_again(state, queue, caller) {
            return self.serve(state, opening, snapshot, Claim::SecondLook);
        }
        if let Some(snapshot) = state.readers.shared(asking) {
            return self.serve(state, opening, snapshot, Claim::Share);
        }
        // Two queues share handoffs if one of them is within the other.
        let dirs = &state.queues.dirs;
        let overlaps = |other: DirId| dirs.is_within(other, queue) || dirs.is_within(queue, other);
        let now = (real, self.ctx.clock.monotonic());
        let turn = state.readers.waits_until(asking, now, overlaps);
        if let Some(until) = turn.or_else(|| writers_closing(state, queue, asking.since, real)) {
            return Ok(Step::WaitUntil(until));
        }
        let pending = self.settled_plan(state, queue)?;
        let current = self.merge_for(state, caller, pending);
        // A caller without a thread id cannot be invited (spec 5.4). It gets the plan of its LOOKUP, at worst a second time.
        let is_shown = current.same(plan) || asking.reader.tid == 0;
        let plan = if is_shown { plan } else { &current };
        let snapshot = state.readers.new_snapshot(plan);
        self.serve(state, opening, snapshot, Claim::Turn)
    }

    /// Opens a snapshot if the node shows it. Otherwise the kernel must look the name up and open again.
    fn serve(
        &self,
        state: &mut State,
        opening: &Opening,
        snapshot: Arc<Snapshot>,
        claim: Claim,
    ) -> Result<Step> {
        if claim.is_served(&snapshot, &opening.plan) {
            return Ok(self.open_snapshot(state, opening, snapshot, claim));
        }
        let now = Instant::now();
        state.readers.invite(&opening.asking, snapshot, claim, now);
        Err(Error::Stale)
    }

    /// Opens a snapshot. A read to its end will consume it, unless this is a second look.
    fn open_snapshot(
        &self,
        state: &mut State,
        opening: &Opening,
        snapshot: Arc<Snapshot>,
        claim: Claim,
    ) -> Step {
        let (caller, reader) = (&opening.caller, opening.asking.reader);
        let open = if claim == Claim::SecondLook {
            OpenMerge::new(snapshot, 0, None)
        } else {
            if !snapshot.plan.entries.is_empty() {
                let now = self.ctx.clock.monotonic();
                state.readers.opened(reader, &snapshot, now);
            }
            let consumer = Consumer {
                session: caller.session,
                process: caller.process,
                is_agent: self.ctx.plays(caller, Role::Agent),
            };
            OpenMerge::new(snapshot, reader.tid, Some(consumer))
        };
        Step::Opened(open_file(state, opening.node, open))
    }

    /// A handle was closed: the reader's turn ends with its last one.
    pub(in crate::fs) fn merge_closed(&self, state: &mut State, open: &OpenMerge) {
        if open.consumer.is_some() {
            state.readers.closed(&open.snapshot);
        }
    }
}

/// Until when an open waits for writers that had closed when the open came, but whose RELEASE has not come (spec 4.2). Later
/// writers do not count: they may go on closing for ever.
fn writers_closing(
    state: &mut State,
    queue: DirId,
    since: Instant,
    now: Instant,
) -> Option<Instant> {
    let until = since + RELEASE;
    let State { files, queues, .. } = state;
    let closing = |file: &RegularFile| {
        file.writers > 0
            && file.is_closing(now)
            && file.flushed.is_some_and(|at| at <= since)
            && queues.dirs.is_within(file.dir, queue)
    };
    (now < until && files.busy().any(closing)).then_some(until)
}

/// Opens what the node shows; reading it takes no turn and consumes nothing.
fn open_passive(state: &mut State, node: NodeId, plan: &Arc<Plan>) -> Opened {
    let open = state.snapshot_of(node);
    let snapshot = open
        .or_else(|| state.readers.second_looks.showing(plan))
        .unwrap_or_else(|| state.readers.new_snapshot(plan));
    open_file(state, node, OpenMerge::new(snapshot, 0, None))
}

fn open_file(state: &mut State, node: NodeId, open: OpenMerge) -> Opened {
    state.nodes.opened(node, None);
    let handle = state.handles.insert(node, Open::Merge(Arc::new(open)));
    Opened {
        handle,
        flush: false,
    }
}

impl State {
    /// The snapshot that is open on this node.
    fn snapshot_of(&self, node: NodeId) -> Option<Arc<Snapshot>> {
        if !self.nodes.get(node)?.is_open() {
            return None;
        }
        self.handles.iter().find_map(|handle| match &handle.open {
            Open::Merge(open) if handle.node == node => Some(open.snapshot.clone()),
            _ => None,
        })
    }
}
