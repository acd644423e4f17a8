//! The second look of a caller at `pending.md`: when it begins, which handoffs it shows, and when it ends (spec 6.7).

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use crate::fs::handoff::below::Pins;
use crate::fs::ids::DirId;
use crate::fs::inode::open_merge::Consumer;
use crate::fs::pending::merge_plan::in_order;
use crate::fs::pending::second_look::BegunBy;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::queue::snapshot::{Plan, Snapshot};
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::programs::Role;
use crate::session::{Caller, Session};
use crate::store::Access;

impl Fs {
    /// In which session the handoffs that are consumed now may be looked at again; `None` if in none. `reader` is the caller of
    /// the read that met the end, or `None` if that read came through the page cache.
    pub(super) fn second_look_of(
        &self,
        consumer: &Consumer,
        reader: Option<&Caller>,
    ) -> Option<(BegunBy, Session)> {
        let Some(reader) = reader else {
            return consumer
                .is_agent
                .then_some((BegunBy::Agent, consumer.session));
        };
        let in_agents_session = matches!(reader.session, Session::Agent(_) | Session::Named(_));
        let begun_by = if self.ctx.plays(reader, Role::Agent) {
            BegunBy::Agent
        } else if in_agents_session && self.ctx.plays(reader, Role::PageReader) {
            BegunBy::PageReader
        } else {
            return None;
        };
        Some((begun_by, reader.session))
    }

    /// The snapshot that this caller may look at again. Reading it consumes nothing.
    pub(super) fn looks_again(
        &self,
        state: &mut State,
        queue: DirId,
        caller: &Caller,
    ) -> Option<Arc<Snapshot>> {
        let now = self.ctx.clock.monotonic();
        let looks = &mut state.readers.second_looks;
        let look = looks.get_mut(queue, &caller.session, now)?;
        // An agent that writes to pending.md wants the current content (spec 4.7).
        let may = (self.ctx.plays(caller, Role::Agent) || self.ctx.plays(caller, Role::PageReader))
            && !state.single_file.contains(caller.process);
        may.then(|| look.snapshot.clone())
    }

    /// The merge for this caller while `pending` is pending. If an agent's own process has consumed handoffs, the other programs
    /// of its session find these handoffs once more.
    pub(super) fn merge_for(
        &self,
        state: &mut State,
        caller: &Caller,
        pending: Arc<Plan>,
    ) -> Arc<Plan> {
        let State {
            readers,
            queues,
            plans,
            single_file,
            ..
        } = state;
        let looks = &mut readers.second_looks;
        let now = self.ctx.clock.monotonic();
        let Some(look) = looks
            .get_mut(pending.queue, &caller.session, now)
            .filter(|look| look.begun_by == BegunBy::Agent)
            .filter(|_| !single_file.contains(caller.process))
        else {
            return pending;
        };
        // Handoffs that were changed, removed or made pending again since, or have expired, are left out.
        let is_still_consumed = |(entry, done): &(&Arc<MergeEntry>, &StampedName)| {
            let path = queues.path(entry.dir);
            let meta = path.and_then(|path| self.ctx.store.stat(&path, &done.to_os_string()));
            meta.is_ok_and(|meta| {
                (meta.ino, meta.size) == (entry.ino, entry.size)
                    && !self.ctx.retention.expired(meta.mtime, self.ctx.clock.now())
            })
        };
        let again = look.unchanged().filter(is_still_consumed);
        let mut entries: Vec<_> = again.map(|(entry, _)| entry.clone()).collect();
        if entries.is_empty() {
            return pending;
        }
        entries.extend(pending.entries.iter().cloned());
        entries.sort_by(in_order);
        let (old, now) = (look.merged.as_ref(), self.ctx.clock.now());
        let plan = plans.renewed(old, pending.queue, entries, pending.provisional, now);
        look.merged = Some(plan.clone());
        plan
    }

    /// Ends the second looks of the caller's session if its agent has ended. Programs that the agent has started may live
    /// longer. Reads `/proc`: never called with the state locked.
    pub(in crate::fs) fn end_second_look_of_ended(&self, caller: &Caller) {
        let Session::Agent(agent) = caller.session else {
            return;
        };
        let is_of_caller = |session: &Session| *session == caller.session;
        // A statement of its own: the state must not be locked while `/proc` is read.
        let looks_again = (self.lock().readers.second_looks.sessions()).any(is_of_caller);
        if caller.process != Some(agent) && looks_again && !self.resolver.is_alive(agent) {
            let looks = &mut self.lock().readers.second_looks;
            looks.keep_sessions(|session| !is_of_caller(session));
        }
    }

    /// A file that may be in a snapshot is about to be deleted, or has another consumed name than its header line said: readers
    /// of the snapshot go on reading this file.
    pub(in crate::fs) fn pin_file(&self, state: &mut State, queue: &Path, name: &OsStr) {
        if state.readers.is_read()
            && let Ok((file, meta)) = self.ctx.store.open_known(queue, name, Access::READ)
        {
            state.readers.pin(meta.ino, &Arc::new(file));
        }
    }
}
