//! Making the plan of a merge from the pending handoffs of a queue and of the queues below (spec 6.1, 6.2).

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Instant;

use crate::error::Result;
use crate::fs::ids::DirId;
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::{Attr, Entry, Request};
use crate::fs::pending::merge_plan::in_order;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::queue::names::Pending;
use crate::fs::queue::snapshot::Plan;
use crate::fs::queue::stat::Unread;
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::session::Caller;

/// The handoffs of a queue that are being written through the mount.
#[derive(Default)]
struct Writers {
    /// All that are open for writing, or have a draft.
    open: HashSet<OsString>,
    /// Those that no merge shows.
    left_out: HashSet<OsString>,
}

impl Fs {
    /// The merge of a queue as a LOOKUP shows it: handoffs whose writers have closed are part of it, though their RELEASE has not
    /// come.
    pub(in crate::fs) fn plan(&self, state: &mut State, queue: DirId) -> Result<Arc<Plan>> {
        self.plan_with(state, queue, true)
    }

    /// The merge of a queue as it is delivered: without the handoffs that a writer still has open (spec 4.2).
    pub(in crate::fs) fn settled_plan(&self, state: &mut State, queue: DirId) -> Result<Arc<Plan>> {
        self.plan_with(state, queue, false)
    }

    /// `closing` tells whether handoffs belong to the merge whose writers have closed, but whose RELEASE has not come.
    fn plan_with(&self, state: &mut State, queue: DirId, closing: bool) -> Result<Arc<Plan>> {
        self.publish_left_if_due(state);
        let queues = self.ctx.noticed(state.queues.queues_below(queue))?;
        let generation = state.generation();
        if let Some(plan) = state.plans.current(queue, generation) {
            return Ok(plan);
        }
        let now = Instant::now();
        let mut provisional = false;
        let mut writers: HashMap<DirId, Writers> = HashMap::new();
        let State {
            files,
            queues: cache,
            ..
        } = state;
        for file in files.busy() {
            let in_queue = writers.entry(file.dir).or_default();
            in_queue.open.insert(file.name.to_os_string());
            if file.is_being_written() && !file.is_gone() {
                provisional |= file.is_closing(now);
                if !(closing && file.is_closing(now)) {
                    in_queue.left_out.insert(file.name.to_os_string());
                }
            }
            // The draft of a consumed name: no pending handoff may get that name when it is consumed.
            if file.is_new()
                && let Some(name) = file.stamped_if_handoff()
                && let Some(queue) = cache.queue_mut(file.dir)
            {
                queue.taken(name);
            }
        }
        let mut entries = Vec::new();
        for dir in queues {
            let writers = writers.remove(&dir).unwrap_or_default();
            provisional |= self.merge_queue(state, (queue, dir), &writers, &mut entries)?;
        }
        // Each queue's entries come by name, so mostly in order.
        entries.sort_by(in_order);
        let now = self.ctx.clock.now();
        Ok(state
            .plans
            .update(queue, generation, entries, provisional, now))
    }

    /// Adds the pending handoffs of one queue to the merge of `top`. True if a file could not be read, or not be merged yet: the
    /// next look may find another state of the file, of which no change of the store tells.
    fn merge_queue(
        &self,
        state: &mut State,
        (top, dir): (DirId, DirId),
        writers: &Writers,
        entries: &mut Vec<Arc<MergeEntry>>,
    ) -> Result<bool> {
        let State { files, queues, .. } = state;
        let above = queues.path(top)?;
        let path = queues.path(dir)?;
        let prefix = path.strip_prefix(&above).unwrap_or(&path);
        let is_merged = |(name, pending): &(&Arc<OsStr>, &Pending)| {
            !pending.is_empty() && !writers.left_out.contains(&***name)
        };
        let unasked = queues.queue(dir).pending().iter().filter(is_merged);
        let unasked = unasked.filter(|(_, pending)| pending.cached.newline.is_none());
        let unasked: Vec<_> = unasked.map(|(name, _)| name.clone()).collect();
        let looked_at = queues.look_at_pending(dir, &path, &unasked, &writers.open);
        let unread = self.ctx.noticed(looked_at)?;
        let mut missing = Vec::new();
        for (name, pending) in queues.queue(dir).pending().iter().filter(is_merged) {
            match pending.entry(top) {
                Some(entry) => entries.push(entry.clone()),
                None => missing.push((name.clone(), pending.cached)),
            }
        }
        for (name, cached) in missing {
            let Some(stamped) = StampedName::parse(&name) else {
                continue;
            };
            let left_out = match unread.get(&name) {
                Some(Unread::Unfinished) => {
                    Some("another program is writing it; it is merged when none does")
                }
                // Blanks in the place of the content would be of no use.
                Some(Unread::Forbidden) => Some("may not be read; it is left out"),
                Some(Unread::LastByte) | None => None,
            };
            if let Some(why) = left_out {
                log::debug!("{}: {why}", path.join(&*name).display());
                continue;
            }
            let stays_as = files.stays_as(queues, dir, &stamped);
            let entry = Arc::new(MergeEntry::new(
                dir,
                stamped.stamp(),
                prefix.join(&*name).as_os_str(),
                &stays_as.to_os_string(),
                &cached,
                self.ctx.zone.at(cached.mtime),
            ));
            // The default name stays right until the name is taken; then the queue drops the cached entry.
            let is_default = stays_as == stamped.consumed() && stays_as.pending() == stamped;
            if is_default
                && cached.newline.is_some()
                && let Some(queue) = queues.queue_mut(dir)
            {
                queue.keep_entry(top, &name, &entry);
            }
            entries.push(entry);
        }
        Ok(!unread.is_empty())
    }

    /// A LOOKUP of `pending.md`: a new node, with the current content for this caller. `caller` is `None` where all callers find
    /// the same.
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
