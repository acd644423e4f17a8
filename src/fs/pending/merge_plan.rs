//! Planning the merge of a queue: what `pending.md` holds as things stand (spec 6.1, 6.2).

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::Entry;
use crate::fs::pending::snapshot::Plan;
use crate::fs::queue::entry::CacheEntry;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::queue::stat::Unread;
use crate::fs::{Fs, Request, State};
use crate::names::StampedName;
use crate::session::Caller;

/// The last plan of each queue, and the state of the index it was made from.
#[derive(Debug, Default)]
pub(in crate::fs) struct Plans {
    last: HashMap<DirId, (u64, Arc<Plan>)>,
    newest: Option<SystemTime>,
}

impl Plans {
    /// The mtime of a new content. Two contents never share an mtime, whatever the clock does.
    pub(in crate::fs) fn new_mtime(&mut self, now: SystemTime) -> SystemTime {
        let after = |newest: SystemTime| newest + Duration::from_nanos(1);
        let mtime = self.newest.map_or(now, |newest| now.max(after(newest)));
        self.newest = Some(mtime);
        mtime
    }
}

/// The order of a merge (spec 6.1).
pub(in crate::fs) fn in_order(a: &Arc<MergeEntry>, b: &Arc<MergeEntry>) -> Ordering {
    let key = |item: &Arc<MergeEntry>| (item.stamp, item.mtime);
    key(a).cmp(&key(b)).then_with(|| a.shown().cmp(b.shown()))
}

impl Fs {
    /// The merge of a queue as it will stand once the writers that have closed have let go, as far as anybody can tell:
    /// what a look-up shows.
    pub(in crate::fs) fn plan(&self, state: &mut State, queue: DirId) -> Result<Arc<Plan>> {
        self.plan_with(state, queue, true)
    }

    /// The merge of a queue without what any writer still has open: what is delivered (spec 4.2).
    pub(in crate::fs) fn settled_plan(&self, state: &mut State, queue: DirId) -> Result<Arc<Plan>> {
        self.plan_with(state, queue, false)
    }

    fn plan_with(&self, state: &mut State, queue: DirId, closing: bool) -> Result<Arc<Plan>> {
        self.publish_left_if_due(state);
        let queues = self.noticed(self.queues_below(state, queue))?;
        let generation = state.index.generation;
        let old = state.plans.last.get(&queue);
        if let Some((of, plan)) = old
            && *of == generation
            && !plan.provisional
        {
            return Ok(plan.clone());
        }
        let now = Instant::now();
        let mut provisional = false;
        let mut left_out = HashSet::new();
        let mut renamed = Vec::new();
        for doc in state.docs.busy() {
            if doc.is_being_written() {
                provisional |= doc.is_closing(now);
                if !(closing && doc.is_closing(now)) {
                    left_out.insert((doc.dir, doc.name.to_os_string()));
                }
            }
            // A draft has the name that a pending one would get.
            if doc.is_new() && !doc.name.is_pending() {
                renamed.push((doc.dir, doc.name.clone()));
            }
        }
        for (dir, name) in renamed {
            state.index.taken(dir, &name);
        }
        let mut items = Vec::new();
        for dir in queues {
            provisional |= self.merge_queue(state, (queue, dir), &left_out, &mut items)?;
        }
        // They come by name, so mostly in order.
        items.sort_by(in_order);
        let old = state.plans.last.get(&queue).map(|(_, plan)| plan.clone());
        let plan = match old {
            Some(old) if old.items == items && old.provisional == provisional => old,
            old => {
                let mtime = match &old {
                    Some(old) if old.items == items => old.mtime,
                    _ => state.plans.new_mtime(self.clock.now()),
                };
                Arc::new(Plan::new(queue, items, mtime, provisional))
            }
        };
        state.plans.last.insert(queue, (generation, plan.clone()));
        Ok(plan)
    }

    /// Adds what is pending in one queue to the merge of `top`; true if the next look may find it otherwise, and nothing
    /// tells.
    fn merge_queue(
        &self,
        state: &mut State,
        (top, dir): (DirId, DirId),
        left_out: &HashSet<(DirId, OsString)>,
        items: &mut Vec<Arc<MergeEntry>>,
    ) -> Result<bool> {
        let above = state.dirs.path(top).ok_or(Error::NotFound)?;
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let prefix = path.strip_prefix(&above).unwrap_or(&path);
        state.index.seen_from(top, dir, prefix);
        let left_out: HashSet<&OsStr> = left_out
            .iter()
            .filter(|(of, _)| *of == dir)
            .map(|(_, name)| name.as_os_str())
            .collect();
        let wanted = |state: &State, wants: fn(&CacheEntry) -> bool| -> Vec<Arc<OsStr>> {
            let pending = state.index.pending(dir);
            let pending = pending.filter(|(_, it)| !it.is_left_out() && wants(&it.known));
            let names = pending.map(|(name, _)| name);
            let names = names.filter(|name| !left_out.contains::<OsStr>(name));
            names.cloned().collect()
        };
        let unasked = wanted(state, |known| known.newline.is_none());
        let unread = self.noticed(self.look_at_pending(state, dir, &path, &unasked))?;
        let mut missing = Vec::new();
        for (name, pending) in state.index.pending(dir) {
            if pending.is_left_out() || left_out.contains::<OsStr>(name) {
                continue;
            }
            match pending.item(top) {
                Some(item) => items.push(item.clone()),
                None => missing.push((name.clone(), pending.known)),
            }
        }
        for (name, known) in missing {
            let Some(stamped) = StampedName::parse(&name) else {
                continue;
            };
            if unread.get(&name) == Some(&Unread::Unfinished) {
                log::debug!(
                    "{}: somebody is writing it; it is merged when nobody does",
                    path.join(&*name).display()
                );
                continue;
            }
            if unread.get(&name) == Some(&Unread::Forbidden) {
                // Blanks in its place would tell nobody anything. It is merged once it can be read, which nothing tells us.
                log::debug!(
                    "{}: may not be read; it is left out",
                    path.join(&*name).display()
                );
                continue;
            }
            let stays_as = self.stays_as(state, dir, &stamped);
            // Then it is so until that name is taken.
            let settled = stays_as == stamped.consumed() && stays_as.pending() == stamped;
            let item = Arc::new(MergeEntry::new(
                dir,
                stamped.stamp(),
                prefix.join(&*name).as_os_str(),
                &stays_as.to_os_string(),
                &known,
                self.zone.at(known.mtime),
            ));
            if settled && known.newline.is_some() {
                state.index.keep_item(top, &name, &item);
            }
            items.push(item);
        }
        Ok(!unread.is_empty())
    }

    /// A look-up of `pending.md`: a node of its own, with the content as it stands now for this caller; `None` where all
    /// find the same.
    pub(in crate::fs) fn enter_merge(
        &self,
        state: &mut State,
        request: Request,
        queue: DirId,
        caller: Option<&Caller>,
    ) -> Result<Entry> {
        let reserved = state.turns.reserved(request.tid, queue, Instant::now());
        let plan = if let Some(reserved) = reserved {
            reserved.snapshot.plan.clone()
        } else if let Some(caller) = caller {
            match self.looks_again(state, queue, caller) {
                Some(snapshot) => snapshot.plan.clone(),
                None => {
                    let pending = self.plan(state, queue)?;
                    self.merge_for(state, caller, pending)
                }
            }
        } else {
            self.plan(state, queue)?
        };
        let what = NodeTarget::Merge { plan, peek: false };
        let attr = self.attr_of(state, &what)?;
        let node = state.nodes.look_up(what);
        Ok(Entry { node, attr })
    }
}
