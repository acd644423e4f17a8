//! Planning the merge of a queue: what `pending.md` holds as things stand (spec 6.1, 6.2).

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dirs::DirId;
use super::nodes::What;
use super::snapshot::{Item, Plan};
use super::types::Entry;
use super::{Fs, Request, State};
use crate::error::{Error, Result};
use crate::names::StampedName;
use crate::store::{Access, Kind};

/// How soon what could not be published is tried again.
const LEFT: Duration = Duration::from_secs(1);

/// The last plan of each queue, and the state of the index it was made from.
#[derive(Debug, Default)]
pub(super) struct Plans(HashMap<DirId, (u64, Arc<Plan>)>);

impl Fs {
    /// The merge of a queue as it will stand once the writers that have closed have let go, as far as anybody can tell:
    /// what a look-up shows.
    pub(super) fn plan(&self, state: &mut State, queue: DirId) -> Result<Arc<Plan>> {
        self.plan_with(state, queue, true)
    }

    /// The merge of a queue without what any writer still has open: what is delivered (spec 4.2).
    pub(super) fn settled_plan(&self, state: &mut State, queue: DirId) -> Result<Arc<Plan>> {
        self.plan_with(state, queue, false)
    }

    fn plan_with(&self, state: &mut State, queue: DirId, closing: bool) -> Result<Arc<Plan>> {
        if state.left.is_some_and(|at| at.elapsed() >= LEFT) {
            state.left = None;
            self.publish_left(state);
        }
        let queues = self.noticed(self.queues_below(state, queue))?;
        let generation = state.index.generation;
        let old = state.plans.0.get(&queue);
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
                if let Some(doc) = doc.filter(|doc| doc.is_being_written()) {
                    if !doc.is_closing(now) {
                        continue;
                    }
                    provisional = true;
                    if !closing {
                        continue;
                    }
                }
                if known.newline.is_none() {
                    unread.push(items.len());
                }
                items.push(Item {
                    dir,
                    shown: prefix.join(name).into_os_string(),
                    stays_as: self.stays_as(state, dir, &stamped).to_os_string(),
                    name: stamped,
                    ino: known.ino,
                    size: known.size,
                    mtime: known.mtime,
                    newline: known.newline.unwrap_or(true),
                    written: self.zone.at(known.mtime),
                });
            }
        }
        for i in unread.into_iter().rev() {
            let item = &mut items[i];
            match self.last_byte(state, item) {
                Ok(last) => {
                    item.newline = last == b'\n';
                    state
                        .index
                        .note_newline(item.dir, item.file_name(), item.newline);
                }
                Err(Error::AccessDenied) => {
                    // Its mode, or another owner, keeps us out: blanks in its place would tell nobody anything. It is
                    // merged once it can be read, which nothing tells us.
                    log::debug!("{}: may not be read; it is left out", item.shown.display());
                    items.remove(i);
                    provisional = true;
                }
                Err(_) => {
                    // Not to be told just now: one more does no harm, and the next look asks again.
                    item.newline = false;
                    provisional = true;
                }
            }
        }
        // They come by name, so mostly in order.
        items.sort_by(|a, b| {
            let key = |item: &Item| (item.name.stamp(), item.mtime);
            key(a).cmp(&key(b)).then_with(|| a.shown.cmp(&b.shown))
        });
        let old = state.plans.0.get(&queue).map(|(_, plan)| plan.clone());
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
        state.plans.0.insert(queue, (generation, plan.clone()));
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

    fn last_byte(&self, state: &State, item: &Item) -> Result<u8> {
        let path = state.dirs.path(item.dir).ok_or(Error::NotFound)?;
        let file = self.store.open(&path, item.file_name(), Access::READ)?;
        let mut last = [0];
        file.read_exact_at(&mut last, item.size.saturating_sub(1))?;
        Ok(last[0])
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
        let plan = match reserved {
            Some(reserved) => reserved.snapshot.plan.clone(),
            None => self.plan(state, queue)?,
        };
        let what = What::Merge { plan, peek };
        let attr = self.attr_of(state, &what)?;
        let node = state.nodes.look_up(what);
        Ok(Entry { node, attr })
    }
}
