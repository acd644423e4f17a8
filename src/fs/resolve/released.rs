//! Creating a name that the same process has just unlinked or renamed away (spec 4.5).

use std::ffi::OsStr;

use crate::error::Result;
use crate::fs::handoff::queue_names::Naming;
use crate::fs::handoff::state::Fate;
use crate::fs::ids::{DirId, FileId};
use crate::fs::session::released_names::Release;
use crate::fs::state::State;
use crate::names::{Slug, StampedName};
use crate::session::Caller;
use crate::store::local::Area;

impl State {
    /// The naming of a new handoff that a process creates. If the process has just released the name, a retracted handoff is
    /// made pending again, and a handoff that was renamed to a backup gives its stamped name to the new one (spec 4.5).
    pub fn naming_after_release(&mut self, caller: &Caller, dir: DirId, name: &OsStr) -> Naming {
        match self.released.take(caller, dir, name) {
            Some(Release::Retracted(id)) => {
                if let Err(error) = self.unretract(id) {
                    log::warn!("{}: cannot be made pending again ({error})", name.display());
                }
            }
            Some(Release::BackedUp(stamped)) if self.can_reuse(dir, &stamped) => {
                return Naming::Exactly(stamped);
            }
            Some(Release::Removed(kept)) => {
                if let Err(error) = self.bring_back(dir, name, &kept) {
                    log::warn!(
                        "{}: the ordinary file cannot be brought back ({error}); it stays with the replaced versions",
                        name.display()
                    );
                }
            }
            Some(Release::BackedUp(_)) | None => {}
        }
        Naming::Stamp(Slug::from_written(name))
    }

    fn can_reuse(&self, dir: DirId, stamped: &StampedName) -> bool {
        let queues = &self.queues;
        let free = queues.path(dir).and_then(|path| {
            let exactly = true;
            self.files.is_free(queues, dir, &path, stamped, exactly)
        });
        stamped.is_pending() && matches!(free, Ok(true))
    }

    /// A process that has removed the ordinary file of this name makes a handoff in its place. Other sessions must still
    /// find the ordinary file.
    fn bring_back(&mut self, dir: DirId, name: &OsStr, kept: &OsStr) -> Result<()> {
        let path = self.queues.path(dir)?;
        let local = &self.ctx.local;
        local.ordinary_made(&path.join(name))?;
        local.rename_new((Area::Replaced, &path, kept), (Area::Backing, &path, name))?;
        self.queues.changed(dir, name);
        Ok(())
    }

    fn unretract(&mut self, id: FileId) -> Result<()> {
        let Some(file) = self.files.get_mut(id) else {
            return Ok(());
        };
        if file.is_new() {
            file.handoff.fate = Fate::Publish;
        } else if file.is_stored() && !file.name.is_pending() {
            let written = file.handoff.written.take();
            let (dir, pending) = self.handoffs().unconsume(id)?;
            self.aliases.unconsumed(dir, &pending.to_os_string());
            self.handoffs().apply_times(id, Some((None, written)));
        }
        Ok(())
    }
}
