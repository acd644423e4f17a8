//! The plan of a merge: which handoffs `pending.md` holds, in which order, and where each stands (spec 6.1, 6.2).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::fs::ids::DirId;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::queue::snapshot::Plan;

/// The last plan of each queue, and the generation of the state that the plan was made from.
#[derive(Debug, Default)]
pub struct Plans {
    last: HashMap<DirId, (u64, Arc<Plan>)>,
    newest: Option<SystemTime>,
}

impl Plans {
    /// The plan of this queue, if nothing changed since it was made.
    pub(super) fn current(&self, queue: DirId, generation: u64) -> Option<Arc<Plan>> {
        let (made_from, plan) = self.last.get(&queue)?;
        (*made_from == generation && !plan.provisional).then(|| plan.clone())
    }

    /// The plan of a queue with these entries, to be used again while the generation stays.
    pub(super) fn update(
        &mut self,
        queue: DirId,
        generation: u64,
        entries: Vec<Arc<MergeEntry>>,
        provisional: bool,
        now: SystemTime,
    ) -> Arc<Plan> {
        let old = self.last.get(&queue).map(|(_, plan)| plan.clone());
        let plan = self.renewed(old.as_ref(), queue, entries, provisional, now);
        self.last.insert(queue, (generation, plan.clone()));
        plan
    }

    /// A plan of these entries: `old` itself if nothing differs, and with the mtime of `old` if the content is the same.
    pub(super) fn renewed(
        &mut self,
        old: Option<&Arc<Plan>>,
        queue: DirId,
        entries: Vec<Arc<MergeEntry>>,
        provisional: bool,
        now: SystemTime,
    ) -> Arc<Plan> {
        let mtime = match old.filter(|old| old.entries == entries) {
            Some(old) if old.provisional == provisional => return old.clone(),
            Some(old) => old.mtime,
            None => self.new_mtime(now),
        };
        Arc::new(Plan::new(queue, entries, mtime, provisional))
    }

    /// The mtime of a new content. Two contents never share an mtime, also if the clock is set back.
    fn new_mtime(&mut self, now: SystemTime) -> SystemTime {
        let after = |newest: SystemTime| newest + Duration::from_nanos(1);
        let mtime = self.newest.map_or(now, |newest| now.max(after(newest)));
        self.newest = Some(mtime);
        mtime
    }
}

/// The order of a merge: by stamp, then mtime, then name (spec 6.1).
pub(super) fn in_order(a: &Arc<MergeEntry>, b: &Arc<MergeEntry>) -> Ordering {
    let key = |entry: &Arc<MergeEntry>| (entry.stamp, entry.mtime);
    key(a).cmp(&key(b)).then_with(|| a.shown().cmp(b.shown()))
}
