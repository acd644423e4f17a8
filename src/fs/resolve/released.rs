//! A name that its process has just unlinked or renamed away, and creates again (spec 4.5).

use std::ffi::OsStr;

use crate::error::Result;
use crate::fs::handoff::free_name::Naming;
use crate::fs::handoff::state::Fate;
use crate::fs::ids::{DirId, FileId};
use crate::fs::session::released_names::Release;
use crate::fs::state::{Fs, State};
use crate::names::Slug;
use crate::session::Caller;
use crate::store::local::Area;

impl Fs {
    /// A process creates a name that it has just unlinked or renamed away. The handoff that it retracted is pending again;
    /// the one that it renamed to a backup gives its stamped name to the new content (spec 4.5).
    pub(in crate::fs) fn naming_after_release(
        &self,
        state: &mut State,
        caller: &Caller,
        dir: DirId,
        name: &OsStr,
    ) -> Naming {
        let slug = Slug::from_written(name);
        match state.released.take(caller, dir, name) {
            Some(Release::Retracted(doc)) => {
                if let Err(error) = self.unretract(state, doc) {
                    log::warn!("{}: cannot be made pending again ({error})", name.display());
                }
                Naming::Stamp(slug)
            }
            Some(Release::BackedUp(stamped)) => {
                let path = state.queues.path(dir);
                let free = path.map(|path| {
                    state
                        .files
                        .is_free(&state.queues, dir, &path, &stamped, true)
                });
                if matches!(free, Ok(Ok(true))) && stamped.is_pending() {
                    Naming::Exactly(stamped)
                } else {
                    Naming::Stamp(slug)
                }
            }
            Some(Release::Removed(kept)) => {
                if let Err(error) = self.bring_back(state, dir, name, &kept) {
                    log::warn!(
                        "{}: the ordinary file cannot be brought back ({error}); it stays with the replaced versions",
                        name.display()
                    );
                }
                Naming::Stamp(slug)
            }
            None => Naming::Stamp(slug),
        }
    }

    /// A process that has removed the ordinary file of this name makes a handoff in its place. Other sessions must still
    /// find the ordinary file.
    fn bring_back(&self, state: &mut State, dir: DirId, name: &OsStr, kept: &OsStr) -> Result<()> {
        let path = state.queues.path(dir)?;
        self.ctx.local.ordinary_made(&path.join(name))?;
        self.ctx
            .local
            .rename_new((Area::Replaced, &path, kept), (Area::Backing, &path, name))?;
        state.queues.changed(dir, name);
        Ok(())
    }

    fn unretract(&self, state: &mut State, id: FileId) -> Result<()> {
        let Some(doc) = state.files.get_mut(id) else {
            return Ok(());
        };
        if doc.is_new() {
            doc.handoff.fate = Fate::Publish;
            return Ok(());
        }
        if doc.is_stored() && !doc.name.is_pending() {
            let written = doc.handoff.written.take();
            let (dir, pending) = state.handoffs().unconsume(id)?;
            state.aliases.unconsumed(dir, &pending.to_os_string());
            state.handoffs().apply_times(id, Some((None, written)));
        }
        Ok(())
    }
}
