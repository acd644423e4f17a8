//! `pending.md`: planning the merge, taking turns, consuming what was read (spec 6).

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use super::dirs::DirId;
use super::docs::Doc;
use super::handles::Open;
use super::nodes::What;
use super::snapshot::{Consumer, Item, Plan, Reading, Snapshot};
use super::types::{Entry, NodeId, Opened, Outcome};
use super::{Fs, Request, State};
use crate::delivery::ReadSeen;
use crate::error::{Error, Result};
use crate::names::StampedName;
use crate::programs::Role;
use crate::session::{Caller, Process};
use crate::store::{Access, Kind};

/// How long an open waits for another reader's turn (spec 6.4). It cannot be killed meanwhile, hence a bound.
const TURN: Duration = Duration::from_secs(2);

/// How long a reader waits for the RELEASE of a writer that has closed (spec 4.2).
const RELEASE: Duration = Duration::from_millis(100);

/// How long a turn that was waited for stays reserved while the kernel looks the name up again.
const RESERVED: Duration = Duration::from_secs(1);

/// How long before an agent's own write to `pending.md` its reads of it count as reading what it replaces (spec 4.7).
const REPLACING: Duration = Duration::from_secs(5);

/// Who reads, who waits, and what was read lately.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The last plan of each queue, and the state of the index it was made from.
    plans: HashMap<DirId, (u64, Arc<Plan>)>,
    /// Unfinished snapshots that will consume.
    holders: Vec<Holder>,
    /// Opens that wait, first come first served.
    waiting: Vec<(u64, DirId)>,
    reserved: Vec<Reserved>,
    /// Every snapshot that may still be read.
    live: Vec<Weak<Snapshot>>,
    /// Agents that use `pending.md` as one file for reading and writing (spec 4.7).
    single_file: HashSet<Process>,
    /// What agents consumed in the last seconds.
    recent: VecDeque<Recent>,
    last: u64,
}

#[derive(Debug)]
struct Holder {
    snapshot: Arc<Snapshot>,
    process: Option<Process>,
    tid: u32,
    readings: u32,
}

#[derive(Debug)]
struct Reserved {
    tid: u32,
    queue: DirId,
    until: Instant,
    /// The holder's own snapshot, for its second open; else a turn of one's own.
    share: Option<Arc<Snapshot>>,
}

#[derive(Debug)]
struct Recent {
    process: Process,
    at: SystemTime,
    consumed: Vec<(DirId, StampedName)>,
}

impl Turns {
    /// The file with this inode number is about to change or go: whoever reads a snapshot of it reads this instead.
    pub(super) fn pin(&mut self, ino: u64, file: &Arc<File>) {
        self.live.retain(|snapshot| match snapshot.upgrade() {
            Some(snapshot) => {
                snapshot.pin(ino, file);
                true
            }
            None => false,
        });
    }

    /// Does anybody read a snapshot?
    pub(super) fn is_read(&self) -> bool {
        self.live.iter().any(|snapshot| snapshot.strong_count() > 0)
    }

    pub(super) fn forget_dead(&mut self, alive: impl Fn(Process) -> bool) {
        self.single_file.retain(|process| alive(*process));
    }

    fn uses_single_file(&self, process: Option<Process>) -> bool {
        process.is_some_and(|process| self.single_file.contains(&process))
    }

    fn reserved(&mut self, tid: u32, queue: DirId, now: Instant) -> Option<usize> {
        self.reserved.retain(|it| now < it.until);
        self.reserved
            .iter()
            .position(|it| it.tid == tid && it.queue == queue)
    }
}

impl Doc {
    /// Its writers have flushed everything just now: their RELEASE is on its way, as far as anybody can tell.
    fn is_closing(&self, now: Instant) -> bool {
        self.flushed
            .is_some_and(|at| now.duration_since(at) < RELEASE)
    }
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
                Step::Done(answer) => {
                    state
                        .turns
                        .waiting
                        .retain(|(place, _)| *place != self.opening.place);
                    drop(state);
                    self.fs.changed.notify_all();
                    return answer;
                }
                Step::WaitUntil(deadline) => {
                    self.fs.changed.wait_until(&mut state, deadline);
                }
            }
        }
    }
}

impl Fs {
    /// The merge of a queue as it stands.
    pub(super) fn plan(&self, state: &mut State, queue: DirId) -> Result<Arc<Plan>> {
        let queues = self.queues_below(state, queue)?;
        let generation = state.index.generation;
        let old = state.turns.plans.get(&queue);
        if let Some((of, plan)) = old
            && *of == generation
            && !plan.provisional
        {
            return Ok(plan.clone());
        }
        let top = state.dirs.path(queue).ok_or(Error::NotFound)?;
        let now = Instant::now();
        let mut items = Vec::new();
        let mut unread = Vec::new();
        let mut provisional = false;
        for dir in queues {
            let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
            let prefix = path.strip_prefix(&top).unwrap_or(&path);
            for (name, known) in state.index.names(dir) {
                if known.kind != Kind::File || known.size == 0 || known.in_the_making {
                    continue;
                }
                let Some(stamped) = StampedName::parse(name).filter(StampedName::is_pending) else {
                    continue;
                };
                let doc = state
                    .docs
                    .named(dir, &stamped)
                    .and_then(|id| state.docs.get(id));
                if let Some(doc) = doc.filter(|doc| doc.writers > 0) {
                    if !doc.is_closing(now) {
                        continue;
                    }
                    provisional = true;
                }
                if known.newline.is_none() {
                    unread.push(items.len());
                }
                items.push(Item {
                    dir,
                    shown: prefix.join(name).into_os_string(),
                    stays_as: self.stays_as(state, dir, &stamped).to_os_string(),
                    ino: known.ino,
                    size: known.size,
                    mtime: known.mtime,
                    newline: known.newline.unwrap_or(true),
                    written: self.zone.at(known.mtime),
                });
            }
        }
        for i in unread {
            let item = &mut items[i];
            item.newline = self.ends_with_newline(state, item);
            state
                .index
                .note_newline(item.dir, item.file_name(), item.newline);
        }
        items.sort_by_cached_key(|item| {
            (
                item.name().map(|name| name.stamp()),
                item.mtime,
                item.shown.clone(),
            )
        });
        let old = state.turns.plans.get(&queue).map(|(_, plan)| plan.clone());
        let plan = match old {
            Some(old) if old.items == items && old.provisional == provisional => old,
            old => {
                let now = self.clock.now();
                let mtime = match &old {
                    Some(old) if old.items == items => old.mtime,
                    // Two contents never share an mtime, whatever the clock does.
                    Some(old) => now.max(old.mtime + Duration::from_nanos(1)),
                    None => now,
                };
                Arc::new(Plan::new(queue, items, mtime, provisional))
            }
        };
        state.turns.plans.insert(queue, (generation, plan.clone()));
        Ok(plan)
    }

    /// What a handoff is called once it is consumed: no file nor draft has that name, nor will another pending handoff
    /// want it.
    pub(super) fn stays_as(&self, state: &State, dir: DirId, name: &StampedName) -> StampedName {
        let taken = |name: &StampedName| {
            let listed = state.index.get(dir, &name.to_os_string()).is_some();
            listed || state.is_reserved(dir, name)
        };
        let done = name.consumed();
        (1..)
            .map(|n| done.with_suffix(n))
            .find(|other| !taken(other) && (*other == done || !taken(&other.pending())))
            .unwrap_or(done.clone())
    }

    fn ends_with_newline(&self, state: &State, item: &Item) -> bool {
        let last_byte = || {
            let path = state.dirs.path(item.dir)?;
            let file = self
                .store
                .open(&path, item.file_name(), Access::READ)
                .ok()?;
            let mut last = [0];
            file.read_exact_at(&mut last, item.size.checked_sub(1)?)
                .ok()?;
            Some(last[0])
        };
        last_byte() == Some(b'\n')
    }

    /// A look-up of `pending.md`: a node of its own, with the content as it stands now.
    pub(super) fn enter_merge(
        &self,
        state: &mut State,
        request: Request,
        queue: DirId,
        peek: bool,
    ) -> Result<Entry> {
        let reserved = state.turns.reserved(request.tid, queue, Instant::now());
        let share = reserved.and_then(|at| state.turns.reserved[at].share.clone());
        let plan = match share {
            Some(snapshot) => snapshot.plan.clone(),
            None => self.plan(state, queue)?,
        };
        let what = What::Merge { plan, peek };
        let attr = self.attr_of(state, &what)?;
        let node = state.nodes.look_up(what);
        Ok(Entry { node, attr })
    }

    /// Opens `pending.md` or `.peek.md` for reading.
    pub(super) fn open_merge(
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
        let caller = self.caller(request);
        let passive = [Role::Searcher, Role::PartReader]
            .into_iter()
            .any(|role| self.plays(&caller, role));
        let mut state = self.lock();
        let single_file = state.turns.uses_single_file(caller.process);
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
            return Step::Done(Ok(self.open_snapshot(state, opening, snapshot)));
        }
        if let Some(at) = state.turns.reserved(request.tid, queue, now) {
            let reserved = state.turns.reserved.remove(at);
            let snapshot = match reserved.share {
                Some(snapshot) if snapshot.plan.same(plan) => snapshot,
                // The look-up's content, even if it has changed again: the kernel asks twice and no more.
                _ => state.new_snapshot(plan),
            };
            return Step::Done(Ok(self.open_snapshot(state, opening, snapshot)));
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
            self.reserve(state, opening, Some(snapshot));
            return Step::Done(Err(Error::Stale));
        }
        let deadline = opening.since + TURN;
        if now < deadline && self.is_blocked(state, opening, own) {
            return Step::WaitUntil(deadline);
        }
        if let Some(until) = self.writers_closing(state, queue, now) {
            return Step::WaitUntil(until);
        }
        match self.plan(state, queue) {
            Err(error) => Step::Done(Err(error)),
            Ok(current) if current.same(plan) => {
                let snapshot = state.new_snapshot(plan);
                Step::Done(Ok(self.open_snapshot(state, opening, snapshot)))
            }
            Ok(_) => {
                self.reserve(state, opening, None);
                Step::Done(Err(Error::Stale))
            }
        }
    }

    fn reserve(&self, state: &mut State, opening: &Opening, share: Option<Arc<Snapshot>>) {
        state.turns.reserved.push(Reserved {
            tid: opening.request.tid,
            queue: opening.plan.queue,
            until: Instant::now() + RESERVED,
            share,
        });
    }

    /// Is it somebody else's turn? Two queues are in each other's way when one is within the other.
    fn is_blocked(&self, state: &State, opening: &Opening, own: impl Fn(&&Holder) -> bool) -> bool {
        let queue = opening.plan.queue;
        let overlaps =
            |other: DirId| state.dirs.is_within(other, queue) || state.dirs.is_within(queue, other);
        let now = Instant::now();
        let held = state
            .turns
            .holders
            .iter()
            .any(|holder| overlaps(holder.snapshot.plan.queue) && !own(&holder));
        let reserved = state.turns.reserved.iter().any(|it| {
            it.share.is_none()
                && now < it.until
                && it.tid != opening.request.tid
                && overlaps(it.queue)
        });
        let earlier = state
            .turns
            .waiting
            .iter()
            .any(|(place, queue)| *place < opening.place && overlaps(*queue));
        held || reserved || earlier
    }

    /// Until when it is worth waiting for writers that have closed but not let go (spec 4.2).
    fn writers_closing(&self, state: &State, queue: DirId, now: Instant) -> Option<Instant> {
        state
            .docs
            .iter()
            .filter(|(_, doc)| {
                doc.writers > 0 && doc.is_closing(now) && state.dirs.is_within(doc.dir, queue)
            })
            .filter_map(|(_, doc)| doc.flushed)
            .map(|at| at + RELEASE)
            .max()
    }

    fn open_passive(&self, state: &mut State, node: NodeId, plan: &Arc<Plan>) -> Opened {
        let snapshot = match state.snapshot_of(node) {
            Some(snapshot) => snapshot,
            None => state.new_snapshot(plan),
        };
        self.open_reading(state, node, snapshot, None)
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
                None => state.turns.holders.push(Holder {
                    snapshot: snapshot.clone(),
                    process: caller.process,
                    tid: request.tid,
                    readings: 1,
                }),
            }
        }
        let consumer = Consumer {
            session: caller.session.clone(),
            process: caller.process,
            agent: self.plays(caller, Role::Agent),
        };
        self.open_reading(state, opening.node, snapshot, Some(consumer))
    }

    fn open_reading(
        &self,
        state: &mut State,
        node: NodeId,
        snapshot: Arc<Snapshot>,
        consumer: Option<Consumer>,
    ) -> Opened {
        let reading = Reading {
            snapshot,
            consumer,
            delivered: Default::default(),
        };
        state.nodes.opened(node, None);
        let handle = state.handles.insert(node, Open::Merge(Arc::new(reading)));
        Opened {
            handle,
            flush: false,
        }
    }

    /// A read was answered: if that was the last of it, the handoffs are consumed before the reader hears of it.
    pub(super) fn delivered(&self, reading: &Reading, seen: ReadSeen) {
        let complete = reading
            .delivered
            .lock()
            .record(seen, reading.snapshot.plan.size());
        if let (true, Some(consumer)) = (complete, &reading.consumer) {
            self.consume(&reading.snapshot, consumer);
            self.changed.notify_all();
        }
    }

    fn consume(&self, snapshot: &Arc<Snapshot>, consumer: &Consumer) {
        let mut consumed = Vec::new();
        // The lock is let go now and then: ten thousand renames take a while.
        for (batch, items) in snapshot.plan.items.chunks(64).enumerate() {
            let mut guard = self.lock();
            let state = &mut *guard;
            let held = |it: &Holder| Arc::ptr_eq(&it.snapshot, snapshot);
            if batch == 0 && !state.turns.holders.iter().any(held) {
                // Consumed already, by an earlier read or another handle of the same process.
                return;
            }
            if batch == 0 && state.turns.uses_single_file(consumer.process) {
                // It has written to pending.md since it began to read it: what it reads it replaces (spec 4.7).
                state.turns.holders.retain(|it| !held(it));
                return;
            }
            for (i, item) in items.iter().enumerate() {
                if snapshot.is_spoiled(batch * 64 + i) {
                    continue;
                }
                if let Some(done) = self.consume_item(state, item, consumer)
                    && consumer.agent
                {
                    consumed.push((item.dir, done));
                }
            }
        }
        let mut state = self.lock();
        state
            .turns
            .holders
            .retain(|holder| !Arc::ptr_eq(&holder.snapshot, snapshot));
        if let (Some(process), true) = (consumer.process, consumer.agent) {
            state.turns.recent.push_back(Recent {
                process,
                at: self.clock.now(),
                consumed,
            });
        }
    }

    fn consume_item(
        &self,
        state: &mut State,
        item: &Item,
        consumer: &Consumer,
    ) -> Option<StampedName> {
        let name = item.name()?;
        let path = state.dirs.path(item.dir)?;
        let id = state.docs.named(item.dir, &name);
        if id
            .and_then(|id| state.docs.get(id))
            .is_some_and(|doc| doc.writers > 0)
        {
            return None;
        }
        let file_name = item.file_name();
        let meta = self.store.stat(&path, file_name).ok()?;
        if (meta.ino, meta.size, meta.mtime) != (item.ino, item.size, item.mtime) {
            // Changed since it was read: delivered again (spec 6.4).
            return None;
        }
        // A draft may have taken the promised name since.
        let done = StampedName::parse(&item.stays_as)
            .filter(|done| !state.is_reserved(item.dir, done))
            .unwrap_or_else(|| self.stays_as(state, item.dir, &name));
        let done = match self.store.consume(&path, &name, &done, self.clock.now()) {
            Ok(done) => done,
            Err(error) => {
                log::warn!(
                    "{}: was read but cannot be renamed to {done} ({error}); it stays pending and is delivered again",
                    path.join(file_name).display()
                );
                return None;
            }
        };
        self.touch(state, item.dir, file_name);
        self.touch(state, item.dir, &done.to_os_string());
        if let Some(id) = id {
            state.docs.rename(id, item.dir, done.clone());
        }
        state.aliases.consume(
            item.dir,
            file_name.to_owned(),
            &consumer.session,
            done.clone(),
        );
        Some(done)
    }

    /// A reader has closed: its turn ends with its last handle.
    pub(super) fn reading_closed(&self, state: &mut State, reading: &Reading) {
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

    /// An agent writes to `pending.md`: it uses it as one file for both, so what it has just read of it, and what it
    /// reads of it from now on, is not consumed (spec 4.7).
    pub(super) fn note_pending_written(&self, state: &mut State, caller: Option<&Caller>) {
        let Some(caller) = caller.filter(|caller| self.plays(caller, Role::Agent)) else {
            return;
        };
        let Some(process) = caller.process else {
            return;
        };
        state.turns.single_file.insert(process);
        let now = self.clock.now();
        let recent = std::mem::take(&mut state.turns.recent);
        for read in recent {
            let fresh = now
                .duration_since(read.at)
                .is_ok_and(|age| age <= REPLACING);
            if read.process != process {
                if fresh {
                    state.turns.recent.push_back(read);
                }
                continue;
            }
            for (dir, done) in read.consumed.iter().filter(|_| fresh) {
                if let Err(error) = self.give_back(state, *dir, done) {
                    log::warn!("{done}: cannot be made pending again ({error})");
                }
            }
        }
    }

    fn give_back(&self, state: &mut State, dir: DirId, done: &StampedName) -> Result<()> {
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let meta = self.store.stat(&path, &done.to_os_string())?;
        let id = state.docs.stored(dir, done.clone(), meta.ino);
        self.unconsume(state, id)?;
        self.let_go_doc(state, id);
        Ok(())
    }

    /// `pending.md` is unlinked or renamed: that succeeds and changes nothing, but for the caller's next look-up, which
    /// may be that of a tool that unlinks before it creates.
    pub(super) fn pending_unlinked(&self, state: &mut State, request: Request, dir: DirId) {
        state
            .promised
            .unlinked_pending
            .push((request.tid, dir, Instant::now()));
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
