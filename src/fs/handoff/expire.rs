//! Which handoffs may be deleted because their time has passed (spec 4.8, 7.1).

use crate::error::Result;
use crate::fs::handoff::table::Files;
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;
use crate::names::StampedName;
use crate::store::{Kind, Meta};

impl Files {
    /// May handoff-fs delete the file of this name, of which stat(2) says this, of its own accord? A consumed handoff past its
    /// time (spec 7.1) or an empty one (4.8), unless a writer has it open or the first mount found it expired (3.6j).
    pub fn may_delete(
        &self,
        queues: &Queues,
        dir: DirId,
        name: &StampedName,
        meta: &Meta,
    ) -> Result<bool> {
        let (retention, now) = (queues.ctx.retention, queues.ctx.clock.now());
        let known = self.named(dir, name).and_then(|id| self.get(id));
        let path = queues.join(dir, &name.to_os_string())?;
        Ok(meta.kind == Kind::File
            && (!name.is_pending() || meta.size == 0)
            && known.is_none_or(|handoff| handoff.writers == 0)
            && retention.expired(meta.mtime, now)
            && !queues.ctx.local.found_expired(&path))
    }
}
