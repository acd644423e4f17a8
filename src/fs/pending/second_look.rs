//! The second look (spec 6.7): for two minutes an agent finds again in `pending.md` what it has consumed there.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fs::ids::DirId;
use crate::fs::pending::merge_plan::in_order;
use crate::fs::pending::open_merge::Consumer;
use crate::fs::pending::snapshot::{Plan, Snapshot};
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::{Fs, State};
use crate::names::{self, StampedName};
use crate::programs::Role;
use crate::session::{Caller, Session};
use crate::store::Access;

/// How long a second look lasts.
const LASTS: Duration = Duration::from_secs(120);

/// How many changed or removed files one second look keeps open. A session that removes more than that of what it has
/// read does not come back for it.
const KEPT_OPEN: usize = 32;

/// What lets a session look twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::fs) enum Reader {
    /// An agent's own process has consumed: everybody in its session may look again.
    Agent,
    /// A program that reads pages has consumed: agents' processes and such programs may look again.
    PageReader,
}

/// Who may look twice at what.
#[derive(Debug, Default)]
pub(in crate::fs) struct SecondLooks(Vec<SecondLook>);

/// INVARIANT: there is one for each queue and session at most.
#[derive(Debug)]
struct SecondLook {
    queue: DirId,
    session: Session,
    reader: Reader,
    snapshot: Arc<Snapshot>,
    /// The items of the snapshot that were consumed, and their consumed names.
    consumed: Vec<(usize, StampedName)>,
    until: Instant,
    merged: Option<Merged>,
}

/// What other readers of the session find.
#[derive(Debug)]
struct Merged {
    /// The generation of the index, and the merge of what is pending, that it was made from.
    generation: u64,
    pending: Arc<Plan>,
    plan: Arc<Plan>,
}

impl SecondLook {
    fn item(&self, i: usize) -> &Arc<MergeEntry> {
        &self.snapshot.plan.items[i]
    }
}

impl SecondLooks {
    /// Does anybody look twice at this queue? Only then is it worth asking who calls.
    pub(in crate::fs) fn any(&self, queue: DirId) -> bool {
        self.0.iter().any(|look| look.queue == queue)
    }

    /// Is this what somebody looks at twice?
    pub(in crate::fs) fn shows(&self, snapshot: &Arc<Snapshot>) -> bool {
        let mut snapshots = self.0.iter().map(|look| &look.snapshot);
        snapshots.any(|it| Arc::ptr_eq(it, snapshot))
    }

    /// The snapshot with this very plan that somebody looks at twice.
    pub(in crate::fs) fn showing(&self, plan: &Arc<Plan>) -> Option<Arc<Snapshot>> {
        let mut snapshots = self.0.iter().map(|look| &look.snapshot);
        snapshots.find(|it| Arc::ptr_eq(&it.plan, plan)).cloned()
    }

    /// The sessions that look twice.
    pub(in crate::fs) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.0.iter().map(|look| &look.session)
    }

    /// Ends those whose time is over.
    pub(in crate::fs) fn expire(&mut self, now: Instant) {
        self.0.retain(|look| now < look.until);
    }

    /// Ends those of sessions that are not so.
    pub(in crate::fs) fn keep_sessions(&mut self, alive: impl Fn(&Session) -> bool) {
        self.0.retain(|look| alive(&look.session));
    }

    /// Ends those that keep too many files open, and that nobody reads.
    pub(in crate::fs) fn drop_costly(&mut self) {
        self.0.retain(|look| {
            Arc::strong_count(&look.snapshot) > 1 || look.snapshot.kept_open() <= KEPT_OPEN
        });
    }

    /// A reader of this session has met the end of this snapshot: if it shows what the session had consumed before, that
    /// was the second look.
    fn end_met(&mut self, session: &Session, snapshot: &Snapshot) {
        let plan = &snapshot.plan;
        self.0.retain(|look| {
            if look.queue != plan.queue || look.session != *session || look.consumed.is_empty() {
                return true;
            }
            let shown: HashSet<_> = plan.items.iter().map(Arc::as_ptr).collect();
            let mut consumed = look.consumed.iter().map(|(i, _)| look.item(*i));
            !consumed.any(|item| shown.contains(&Arc::as_ptr(item)))
        });
    }

    fn get_mut(&mut self, queue: DirId, session: &Session) -> Option<&mut SecondLook> {
        let mut looks = self.0.iter_mut();
        looks.find(|look| look.queue == queue && look.session == *session)
    }
}

impl Fs {
    /// Whether a snapshot that is consumed now may be looked at twice, and by whom. `reader` is the caller of the read that
    /// met the end, or `None` if that came through the page cache.
    pub(in crate::fs) fn second_look_of(
        &self,
        consumer: &Consumer,
        reader: Option<&Caller>,
    ) -> Option<(Reader, Session)> {
        let Some(reader) = reader else {
            return (consumer.agent).then_some((Reader::Agent, consumer.session));
        };
        let is_agents = matches!(reader.session, Session::Agent(_) | Session::Named(_));
        if self.plays(reader, Role::Agent) {
            Some((Reader::Agent, reader.session))
        } else if is_agents && self.plays(reader, Role::PageReader) {
            Some((Reader::PageReader, reader.session))
        } else {
            None
        }
    }

    /// A snapshot was read to its end by a reader of `consumer`'s session, and these items of it were consumed.
    pub(in crate::fs) fn read_to_its_end(
        &self,
        state: &mut State,
        snapshot: &Arc<Snapshot>,
        consumer: &Consumer,
        consumed: Vec<(usize, StampedName)>,
        second_look: Option<(Reader, Session)>,
    ) {
        let looks = &mut state.turns.second_looks;
        looks.expire(self.clock.monotonic());
        looks.end_met(&consumer.session, snapshot);
        let Some((reader, session)) = second_look.filter(|_| !consumed.is_empty()) else {
            return;
        };
        let queue = snapshot.plan.queue;
        looks
            .0
            .retain(|look| look.queue != queue || look.session != session);
        looks.0.push(SecondLook {
            queue,
            session,
            reader,
            snapshot: snapshot.clone(),
            consumed,
            until: self.clock.monotonic() + LASTS,
            merged: None,
        });
    }

    /// What this caller looks at a second time, if reading it consumes nothing.
    pub(in crate::fs) fn looks_again(
        &self,
        state: &mut State,
        queue: DirId,
        caller: &Caller,
    ) -> Option<Arc<Snapshot>> {
        state.turns.second_looks.expire(self.clock.monotonic());
        let look = state.turns.second_looks.get_mut(queue, &caller.session)?;
        // An agent that writes to pending.md watches what is there now (spec 4.7).
        let writes = |process| state.single_file.contains(process);
        let may = (self.plays(caller, Role::Agent) || self.plays(caller, Role::PageReader))
            && !caller.process.is_some_and(writes);
        may.then(|| look.snapshot.clone())
    }

    /// The merge that this caller finds where `pending` is what is pending. Where an agent's own process has consumed,
    /// another reader of its session finds that once more.
    pub(in crate::fs) fn merge_for(
        &self,
        state: &mut State,
        caller: &Caller,
        pending: Arc<Plan>,
    ) -> Arc<Plan> {
        let queue = pending.queue;
        let now = self.clock.now();
        let State {
            turns,
            index,
            dirs,
            plans,
            single_file,
            ..
        } = state;
        let looks = &mut turns.second_looks;
        looks.expire(self.clock.monotonic());
        let writes = |process| single_file.contains(process);
        let look = looks
            .get_mut(queue, &caller.session)
            .filter(|look| look.reader == Reader::Agent && !caller.process.is_some_and(writes));
        let Some(look) = look else {
            return pending;
        };
        if let Some(merged) = &look.merged
            && merged.generation == index.generation
            && Arc::ptr_eq(&merged.pending, &pending)
        {
            return merged.plan.clone();
        }
        // What was changed, removed or made pending again since, or has expired, is none of it.
        let is_as_it_was = |(i, done): &&(usize, StampedName)| {
            let item = look.item(*i);
            let meta = dirs
                .path(item.dir)
                .and_then(|path| self.store.stat(&path, &done.to_os_string()).ok());
            look.snapshot.is_current(*i)
                && meta.is_some_and(|meta| {
                    (meta.ino, meta.size) == (item.ino, item.size) && !self.is_expired(done, &meta)
                })
        };
        let again = look.consumed.iter().filter(is_as_it_was);
        let mut items: Vec<Arc<MergeEntry>> = again.map(|(i, _)| look.item(*i).clone()).collect();
        items.extend(pending.items.iter().cloned());
        items.sort_by(in_order);
        let plan = match &look.merged {
            _ if items.len() == pending.items.len() => pending.clone(),
            Some(old) if old.plan.items == items => old.plan.clone(),
            _ => {
                let mtime = plans.new_mtime(now);
                Arc::new(Plan::new(queue, items, mtime, pending.provisional))
            }
        };
        look.merged = Some(Merged {
            generation: index.generation,
            pending,
            plan: plan.clone(),
        });
        plan
    }

    /// Ends the second looks of the caller's session if its agent has ended: what the agent has started may live longer.
    /// Reads `/proc`: never called with the state locked.
    pub(in crate::fs) fn end_second_look_of_ended(&self, caller: &Caller) {
        match caller.session {
            Session::Agent(agent) if caller.process != Some(agent) => {
                let looks = |state: &State| {
                    let mut sessions = state.turns.second_looks.sessions();
                    sessions.any(|session| *session == caller.session)
                };
                if looks(&self.lock()) && !self.resolver.is_alive(agent) {
                    self.end_second_looks(&mut self.lock(), &caller.session);
                }
            }
            _ => {}
        }
    }

    /// Ends the second looks of a session.
    pub(in crate::fs) fn end_second_looks(&self, state: &mut State, session: &Session) {
        let looks = &mut state.turns.second_looks;
        looks.keep_sessions(|other| other != session);
    }

    /// A file that may be in a snapshot is about to be deleted, or has another name than was promised: whoever reads the
    /// snapshot goes on reading it.
    pub(in crate::fs) fn pin_file(&self, state: &mut State, queue: &Path, name: &OsStr) {
        if state.turns.is_read()
            && let Ok((file, meta)) = self.store.open_known(queue, name, Access::READ)
        {
            state.turns.pin(meta.ino, &Arc::new(file));
        }
    }
}

impl State {
    /// Does it matter who looks at this name, because somebody looks at it twice?
    pub(in crate::fs) fn is_looked_at_twice(&self, queue: DirId, name: &OsStr) -> bool {
        name == names::PENDING && self.turns.second_looks.any(queue)
    }
}
