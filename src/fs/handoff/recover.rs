//! Recovery of the drafts and rewrites that the last daemon left unfinished (spec 3.8, 3.9).

use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::ctx::Ctx;
use crate::names::StampedName;
use crate::store::local::{Area, Kept, version_of};
use crate::store::{Access, Meta};

impl Ctx {
    /// Publishes new drafts as `…-partial`, keeps unfinished edits with the replaced versions, and drops empty ones. A draft
    /// that cannot be recovered stays where it is, and the next mount tries again.
    pub fn recover(&self) -> Result<()> {
        self.recover_unanswered()?;
        self.recover_rewriting()?;
        for area in [Area::Drafts, Area::Edits] {
            for (queue, name, meta) in self.local.list_all(area)? {
                let path = queue.join(&name);
                match self.recover_one(area, &queue, &name, &meta) {
                    Ok(Some(done)) => log::warn!("{}: was being written; {done}", path.display()),
                    Ok(None) => {}
                    Err(error) => log::error!(
                        "{}: was being written and cannot be recovered ({error}); it is tried again at the next mount",
                        path.display()
                    ),
                }
            }
        }
        Ok(())
    }

    /// A handoff that is empty because rewriting it in place was cut short gets its content back (spec 3.9).
    fn recover_rewriting(&self) -> Result<()> {
        for (queue, name, _) in self.local.list_all(Area::Rewriting)? {
            let kept = Kept { queue, name };
            let of = version_of(&kept.name).map_or(&*kept.name, |(of, _)| of);
            let path = kept.queue.join(of);
            match self.put_back(&kept, &kept.queue, of) {
                Ok(Some(_)) => log::warn!(
                    "{}: was being rewritten; its old content is put back",
                    path.display()
                ),
                Ok(None) => {}
                Err(error) => log::error!(
                    "{}: was being rewritten, and its old content cannot be put back ({error}); it is tried again at \
                     the next mount",
                    path.display()
                ),
            }
        }
        Ok(())
    }

    /// Recovers one draft; returns in words for the log what was done, if anything was.
    fn recover_one(
        &self,
        area: Area,
        queue: &Path,
        name: &OsStr,
        meta: &Meta,
    ) -> Result<Option<String>> {
        if meta.size == 0 {
            self.local.remove(area, queue, name)?;
            return Ok(None);
        }
        let stored = match self.store.stat(queue, name) {
            // Without a look at the stored file nobody knows whether this is a second name of it.
            Err(error) if !error.is_absence() => return Err(error),
            stored => stored,
        };
        if stored.is_ok_and(|stored| stored.ino == meta.ino) {
            // The file has two names: a power cut came after the new name was durable and before the draft's name was gone.
            self.local.remove(area, queue, name)?;
            return Ok(None);
        }
        let stamped = StampedName::parse(name);
        let unfinished_edit = area == Area::Edits && stored.is_ok_and(|stored| stored.size > 0);
        let Some(stamped) = stamped.filter(|_| !unfinished_edit) else {
            self.local.keep(area, queue, name, self.clock.now())?;
            return Ok(Some(
                "the unfinished edit is kept with the replaced versions".into(),
            ));
        };
        if self.options.sync {
            match self.local.open_file(area, queue, name, Access::READ) {
                // The file's mode forbids even its owner to read it.
                Err(Error::AccessDenied) => rustix::fs::syncfs(self.local.dir(area, queue)?)?,
                file => file?.sync_all()?,
            }
        }
        let partial = stamped.pending().with_slug(stamped.slug().partial());
        let partial = self.move_draft((area, queue), &stamped, meta.ino, &partial)?;
        if self.options.sync {
            self.store.sync(queue)?;
        }
        Ok(Some(format!("published as {partial}")))
    }
}
