//! Making the plan of a merge from what is pending in a queue and in the queues below (spec 6.1, 6.2).

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Instant;

use crate::error::Result;
use crate::fs::ids::DirId;
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::Request;
use crate::fs::inode::types::{Attr, Entry};
use crate::fs::pending::merge_plan::in_order;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::queue::names::Pending;
use crate::fs::queue::snapshot::Plan;
use crate::fs::queue::stat::Unread;
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::session::Caller;

impl Fs {
    /// The merge of a queue as it will be once the writers that have closed have let go: what a LOOKUP shows.
    pub(in crate::fs) fn plan(&self, state: &mut State, queue: DirId) -> Result<Arc<Plan>> {
        self.plan_with(state, queue, true)
    }

    /// The merge of a queue without anything that a writer still has open: what is delivered (spec 4.2).
    pub(in crate::fs) fn settled_plan(&self, state: &mut State, queue: DirId) -> Result<Arc<Plan>> {
        self.plan_with(state, queue, false)
    }

    fn plan_with(&self, state: &mut State, queue: DirId, closing: bool) -> Result<Arc<Plan>> {
        self.publish_left_if_due(state);
        let queues = self.ctx.noticed(state.queues.queues_below(queue))?;
        let generation = state.generation();
        if let Some(plan) = state.plans.current(queue, generation) {
            return Ok(plan);
        }
        let now = Instant::now();
        let mut provisional = false;
        let mut being_written: HashMap<DirId, HashSet<OsString>> = HashMap::new();
        let mut renamed = Vec::new();
        for doc in state.files.busy() {
            if doc.is_being_written() && !doc.is_gone() {
                provisional |= doc.is_closing(now);
                if !(closing && doc.is_closing(now)) {
                    let names = being_written.entry(doc.dir).or_default();
                    names.insert(doc.name.to_os_string());
                }
            }
            // The draft of a consumed name: no pending handoff may get that name when it is consumed.
            if doc.is_new()
                && let Some(name) = doc.stamped_if_handoff().filter(|name| !name.is_pending())
            {
                renamed.push((doc.dir, name.clone()));
            }
        }
        for (dir, name) in renamed {
            state.queues.taken(dir, &name);
        }
        let nothing = HashSet::new();
        let mut entries = Vec::new();
        for dir in queues {
            let being_written = being_written.get(&dir).unwrap_or(&nothing);
            provisional |= self.merge_queue(state, (queue, dir), being_written, &mut entries)?;
        }
        // Each queue's entries come by name, so mostly in order.
        entries.sort_by(in_order);
        let now = self.ctx.clock.now();
        Ok(state
            .plans
            .update(queue, generation, entries, provisional, now))
    }

    /// Adds what is pending in one queue to the merge of `top`. True if a file could not be read, or not be merged yet: the
    /// next look may find it otherwise, and nothing tells of that.
    fn merge_queue(
        &self,
        state: &mut State,
        (top, dir): (DirId, DirId),
        being_written: &HashSet<OsString>,
        entries: &mut Vec<Arc<MergeEntry>>,
    ) -> Result<bool> {
        let above = state.queues.path(top)?;
        let path = state.queues.path(dir)?;
        let prefix = path.strip_prefix(&above).unwrap_or(&path);
        state.queues.seen_from(top, dir, prefix);
        let is_merged = |(name, pending): &(&Arc<OsStr>, &Pending)| {
            !pending.is_empty() && !being_written.contains(&***name)
        };
        let unasked = state.queues.pending(dir).filter(is_merged);
        let unasked = unasked.filter(|(_, pending)| pending.known.newline.is_none());
        let unasked: Vec<_> = unasked.map(|(name, _)| name.clone()).collect();
        let written = state.files.busy().filter(|file| file.dir == dir);
        let written: HashSet<_> = written.map(|file| file.name.to_os_string()).collect();
        let looked_at = state.queues.look_at_pending(dir, &path, &unasked, &written);
        let unread = self.ctx.noticed(looked_at)?;
        let mut missing = Vec::new();
        for (name, pending) in state.queues.pending(dir).filter(is_merged) {
            match pending.entry(top) {
                Some(entry) => entries.push(entry.clone()),
                None => missing.push((name.clone(), pending.known)),
            }
        }
        for (name, known) in missing {
            let Some(stamped) = StampedName::parse(&name) else {
                continue;
            };
            let left_out = match unread.get(&name) {
                Some(Unread::Unfinished) => {
                    Some("somebody is writing it; it is merged when nobody does")
                }
                // Blanks in its place would tell nobody anything.
                Some(Unread::Forbidden) => Some("may not be read; it is left out"),
                Some(Unread::LastByte) | None => None,
            };
            if let Some(why) = left_out {
                log::debug!("{}: {why}", path.join(&*name).display());
                continue;
            }
            let stays_as = state.files.stays_as(&state.queues, dir, &stamped);
            let entry = Arc::new(MergeEntry::new(
                dir,
                stamped.stamp(),
                prefix.join(&*name).as_os_str(),
                &stays_as.to_os_string(),
                &known,
                self.ctx.zone.at(known.mtime),
            ));
            // The default name stays right until the name is taken; the index is told then.
            let is_default = stays_as == stamped.consumed() && stays_as.pending() == stamped;
            if is_default && known.newline.is_some() {
                state.queues.keep_entry(top, &name, &entry);
            }
            entries.push(entry);
        }
        Ok(!unread.is_empty())
    }

    /// A LOOKUP of `pending.md`: a node of its own, with the content as it is now for this caller. `caller` is `None` where
    /// all callers find the same.
    pub(in crate::fs) fn enter_merge(
        &self,
        state: &mut State,
        request: Request,
        queue: DirId,
        caller: Option<&Caller>,
    ) -> Result<Entry> {
        let invitation = state.readers.invitation(request.tid, queue, Instant::now());
        let invited = invitation.map(|invitation| invitation.snapshot.clone());
        let second_look = || self.looks_again(state, queue, caller?);
        let plan = match invited.or_else(second_look) {
            Some(snapshot) => snapshot.plan.clone(),
            None => {
                let pending = self.plan(state, queue)?;
                match caller {
                    Some(caller) => self.merge_for(state, caller, pending),
                    None => pending,
                }
            }
        };
        let attr = Attr::of_merge(&plan, false);
        let node = state.nodes.look_up(NodeTarget::Merge { plan, peek: false });
        Ok(Entry { node, attr })
    }
}
