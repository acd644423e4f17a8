//! The second look (spec 6.7): for two minutes an agent finds the handoffs that it has consumed in `pending.md` again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fs::ids::DirId;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::queue::snapshot::{Plan, Snapshot};
use crate::names::StampedName;
use crate::session::Session;

/// How long a second look lasts.
const LASTS: Duration = Duration::from_secs(120);

/// How many changed or removed files one second look keeps open. A session that removes more of the handoffs that it has consumed
/// does not come back for them.
const KEPT_OPEN: usize = 32;

/// The kind of program that consumed the handoffs, and so began the second look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BegunBy {
    /// An agent's own process: every program of its session may look again.
    Agent,
    /// A program that reads pages: agents' processes and such programs may look again.
    PageReader,
}

/// All second looks.
#[derive(Debug, Default)]
pub struct SecondLooks(Vec<SecondLook>);

/// INVARIANT: each queue and session has one at most.
#[derive(Debug)]
pub(super) struct SecondLook {
    session: Session,
    pub(super) begun_by: BegunBy,
    pub(super) snapshot: Arc<Snapshot>,
    /// The entries of the snapshot that were consumed, and their consumed names.
    consumed: Vec<(usize, StampedName)>,
    until: Instant,
    /// The last merge that other programs of the session found.
    pub(super) merged: Option<Arc<Plan>>,
}

impl SecondLook {
    /// The entries that were consumed and have not changed since, with their consumed names.
    pub(super) fn unchanged(&self) -> impl Iterator<Item = (&Arc<MergeEntry>, &StampedName)> {
        let unchanged = self.consumed.iter();
        let unchanged = unchanged.filter(|(i, _)| self.snapshot.is_current(*i));
        unchanged.map(|(i, done)| (&self.snapshot.plan.entries[*i], done))
    }

    fn is_of(&self, queue: DirId, session: &Session) -> bool {
        self.snapshot.plan.queue == queue && self.session == *session
    }

    /// Does this plan show any of the handoffs that were consumed?
    fn is_shown_in(&self, plan: &Plan) -> bool {
        let shown: HashSet<_> = plan.entries.iter().map(Arc::as_ptr).collect();
        let entries = &self.snapshot.plan.entries;
        let mut consumed = self.consumed.iter().map(|(i, _)| &entries[*i]);
        consumed.any(|entry| shown.contains(&Arc::as_ptr(entry)))
    }
}

impl SecondLooks {
    /// Has any session a second look at this queue? Only then is it worth asking `/proc` for the caller.
    pub fn any(&self, queue: DirId) -> bool {
        self.0.iter().any(|look| look.snapshot.plan.queue == queue)
    }

    /// The second look of this session at this queue, if its time is not over.
    pub(super) fn get_mut(
        &mut self,
        queue: DirId,
        session: &Session,
        now: Instant,
    ) -> Option<&mut SecondLook> {
        self.drop_expired(now);
        self.0.iter_mut().find(|look| look.is_of(queue, session))
    }

    /// A reader of this session met the end of a snapshot, now in the clock's monotonic time. If the snapshot shows handoffs that
    /// the session had consumed before, that was the second look at them. With `begins`, the entries `consumed` may be looked at
    /// again in that session, in place of those that it had consumed before.
    pub(super) fn end_met(
        &mut self,
        session: &Session,
        snapshot: &Arc<Snapshot>,
        consumed: Vec<(usize, StampedName)>,
        begins: Option<(BegunBy, Session)>,
        now: Instant,
    ) {
        self.drop_expired(now);
        let queue = snapshot.plan.queue;
        self.0
            .retain(|look| !look.is_of(queue, session) || !look.is_shown_in(&snapshot.plan));
        if let Some((begun_by, session)) = begins.filter(|_| !consumed.is_empty()) {
            self.0.retain(|look| !look.is_of(queue, &session));
            self.0.push(SecondLook {
                session,
                begun_by,
                snapshot: snapshot.clone(),
                consumed,
                until: now + LASTS,
                merged: None,
            });
        }
    }

    /// May any session look at this snapshot again?
    pub(super) fn shows(&self, snapshot: &Arc<Snapshot>) -> bool {
        let mut looks = self.0.iter();
        looks.any(|look| Arc::ptr_eq(&look.snapshot, snapshot))
    }

    /// The snapshot with this very plan that any session may look at again.
    pub(super) fn showing(&self, plan: &Arc<Plan>) -> Option<Arc<Snapshot>> {
        let mut looks = self.0.iter();
        let look = looks.find(|look| Arc::ptr_eq(&look.snapshot.plan, plan))?;
        Some(look.snapshot.clone())
    }

    /// The sessions that may look again.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.0.iter().map(|look| &look.session)
    }

    /// Ends the second looks whose time is over.
    pub fn drop_expired(&mut self, now: Instant) {
        self.0.retain(|look| now < look.until);
    }

    /// Ends the second looks of all sessions but these.
    pub fn keep_sessions(&mut self, keep: impl Fn(&Session) -> bool) {
        self.0.retain(|look| keep(&look.session));
    }

    /// Ends the second looks that keep too many files open, unless a reader has the snapshot open.
    pub(super) fn drop_costly(&mut self) {
        self.0.retain(|look| {
            Arc::strong_count(&look.snapshot) > 1 || look.snapshot.kept_open() <= KEPT_OPEN
        });
    }
}
