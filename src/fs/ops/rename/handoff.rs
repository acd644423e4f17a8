//! Renaming a handoff: to another stamped name, to another slug, over another handoff, or away (spec 4.5).

use super::Renaming;
use crate::error::Result;
use crate::fs::handoff::queue_names::Naming;
use crate::fs::handoff::state::{Content, FileName, RegularFile};
use crate::fs::ids::{DirId, FileId};
use crate::fs::resolve::name::area_of_name;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::session::released_names::Release;
use crate::names::{self, NameClass, Slug, StampedName};
use crate::store::local::Area;

impl Renaming<'_> {
    /// `own` tells that the caller has named the handoff by its alias.
    pub(super) fn rename_handoff(&mut self, id: FileId, own: bool) -> Result<()> {
        let (to, caller) = (self.to, self.caller);
        let path = self.state.queues.path(to.dir)?;
        let is_queue = self.state.queues.is_queue(to.dir);
        let kept_under = area_of_name(to.name, caller);
        let is_text = self.state.is_ordinary_text(to.dir, to.name);
        let edits = self.state.edits_ordinary(to, caller);
        if is_queue && kept_under.is_some() {
            // An editor renames the old version to a backup and then removes it, so a copy is kept (spec 3.9). Readers of a
            // snapshot read the copy: a writer may change the renamed file.
            self.state.handoffs().keep_moved(id)?;
        }
        self.state.pin_handoff(id)?;
        let replaced = self.replaced_area()?;
        if is_text && replaced.is_some() && edits {
            self.fs.keep_ordinary(&path, to.name)?;
        }
        let is_ordinary = replaced.is_some() || self.fs.ctx.local.is_ordinary(&path.join(to.name));
        let area = match !is_queue || (edits || !is_text) && is_ordinary {
            true => Some(replaced.unwrap_or(Area::Backing)),
            false => kept_under,
        };
        match (area, names::classify(to.name)) {
            (Some(area), _) => self.unmake(id, area)?,
            (None, NameClass::Stamped(stamped)) => match self.target {
                Some(Resolved::Handoff { doc: other, .. }) => self.rename_over(id, other)?,
                _ => {
                    // A name that is written without `.md` (spec 3.4) is not the file's name. A handoff may have that name.
                    let exactly = stamped.to_os_string() == to.name;
                    self.rename_to(id, &stamped, exactly)?;
                }
            },
            (None, _) => match self.marked(id, own) {
                Some(name) => self.rename_to(id, &name, false)?,
                None => self.rename_slug(id)?,
            },
        }
        if own {
            self.state.drop_alias(self.from, caller);
        }
        Ok(())
    }

    /// Gives a handoff this name, unless the handoff has it already, and sets the alias that the session wrote. `exactly` as
    /// for [`Renaming::move_handoff`].
    fn rename_to(&mut self, id: FileId, name: &StampedName, exactly: bool) -> Result<()> {
        let to = self.to;
        let handoff = self.state.files.known(id)?;
        if exactly || (handoff.dir, handoff.stamped()?) != (to.dir, name) {
            self.move_handoff(id, to.dir, name, exactly)?;
        }
        self.fs.alias_for(self.state, to, self.caller, id);
        Ok(())
    }

    /// The name that a handoff gets by `mv auth.md auth_done.md`, where `auth.md` is an own alias, or by its way back.
    fn marked(&self, id: FileId, own: bool) -> Option<StampedName> {
        let (from, to) = (self.from.name, self.to.name);
        let name = self.state.files.get(id).filter(|_| own)?.stamped().ok()?;
        if names::is_done_form(from, to) {
            return Some(name.consumed());
        }
        // A handoff that was written as `auth_done.md` has that in its slug (spec 3.2), and stays consumed if it is.
        let was_renamed = !name.slug().starts_with(&Slug::from_written(from));
        (names::is_done_form(to, from) && was_renamed).then(|| name.pending())
    }

    /// Renames a handoff to an unstamped name: the handoff keeps its stamp and takes the slug (spec 4.5, 4.6).
    fn rename_slug(&mut self, id: FileId) -> Result<()> {
        let (to, caller) = (self.to, self.caller);
        if to.name == names::PENDING {
            self.fs.note_pending_written(self.state, caller);
        }
        if let Some(Resolved::Handoff { doc: other, own }) = self.target
            && matches!(self.state.files.known(id)?.content, Content::Stored)
            && self.is_replaceable(other, own, caller)?
        {
            return self.rename_over(id, other);
        }
        let name = match self.fs.naming_of(self.state, to, caller) {
            Naming::Exactly(released) => released,
            _ => {
                let old = self.state.files.known(id)?.stamped()?;
                old.with_slug(Slug::from_written(to.name))
            }
        };
        self.rename_to(id, &name, false)
    }

    /// Gives a handoff another name, or its next free suffix. With `exactly`, a name that is taken is an error.
    fn move_handoff(
        &mut self,
        id: FileId,
        dir: DirId,
        name: &StampedName,
        exactly: bool,
    ) -> Result<()> {
        let handoff = self.state.files.known(id)?;
        let (old_dir, old, is_new) = (handoff.dir, handoff.stamped()?, handoff.is_new());
        let from = self.state.queues.path(old_dir)?;
        let path = self.state.queues.path(dir)?;
        let mut name = name.clone();
        if !exactly {
            let (files, queues) = (&self.state.files, &self.state.queues);
            name = files.free_name(queues, dir, &Naming::Exactly(name))?;
        }
        let (old_file, file) = (old.to_os_string(), name.to_os_string());
        let consumes = old.is_pending() && !name.is_pending();
        let ctx = &self.fs.ctx;
        if is_new {
            let drafts = Area::Drafts;
            ctx.local
                .rename_new((drafts, &from, &old_file), (drafts, &path, &file))?;
        } else if consumes && dir == old_dir {
            // The seven days count from now (spec 3.5).
            let mtime = ctx.store.stat(&path, &old_file)?.mtime;
            let done = ctx.consume_as(&path, old, &name, mtime, ctx.clock.now())?;
            if done != name {
                log::warn!("{old}: became {done}, because {name} was there already");
                name = done;
            }
        } else {
            if consumes {
                ctx.seven_days_from_now(&from, &old_file)?;
            }
            ctx.store.rename((&from, &old_file), (&path, &file))?;
            if !old.is_pending() && name.is_pending() {
                ctx.pending_again(&path, &name);
            }
        }
        if name.is_pending() {
            self.state.aliases.unconsumed(dir, &name.to_os_string());
        }
        self.state
            .handoffs()
            .moved(id, dir, FileName::Handoff(name));
        Ok(())
    }

    /// A handoff takes the place of another, whose content is kept with the replaced versions (spec 3.9).
    fn rename_over(&mut self, id: FileId, other: FileId) -> Result<()> {
        let handoff = self.state.files.known(id)?;
        let over = self.state.files.known(other)?;
        let (to_dir, to_name) = (over.dir, over.stamped()?.clone());
        let is_stored = |file: &RegularFile| matches!(file.content, Content::Stored);
        if !is_stored(handoff) || !is_stored(over) {
            // One of them is being written: neither may be lost, so both stay.
            self.move_handoff(id, self.to.dir, &to_name, false)?;
            self.fs.alias_for(self.state, self.to, self.caller, id);
            return Ok(());
        }
        let was_pending = handoff.name.is_pending();
        let (from_name, to_file) = (handoff.name.to_os_string(), to_name.to_os_string());
        let from = self.state.queues.path(handoff.dir)?;
        let to = self.state.queues.path(to_dir)?;
        if was_pending && !to_name.is_pending() {
            self.fs.ctx.seven_days_from_now(&from, &from_name)?;
        }
        self.state
            .handoffs()
            .replace(&to, &to_file, (Area::Backing, &from, &from_name))?;
        if !was_pending && to_name.is_pending() {
            self.fs.ctx.pending_again(&to, &to_name);
        }
        // Aliases of either lead to the handoff that is left.
        self.state.aliases.retarget(other, id);
        self.state.handoffs().file_gone(other);
        self.state
            .handoffs()
            .moved(id, to_dir, FileName::Handoff(to_name));
        self.state.files.known_mut(id)?.handoff.read_by.clear();
        self.fs.alias_for(self.state, self.to, self.caller, id);
        Ok(())
    }

    /// A handoff stops being one: it is renamed to a scratch, backup or ordinary name (spec 4.5).
    fn unmake(&mut self, id: FileId, area: Area) -> Result<()> {
        let Renaming {
            from, to, caller, ..
        } = *self;
        let handoff = self.state.files.known(id)?;
        let (dir, name) = (handoff.dir, handoff.stamped()?.clone());
        let is_edited = matches!(handoff.content, Content::Editing(_));
        let old_area = match handoff.is_new() {
            true => Area::Drafts,
            false => Area::Backing,
        };
        let path = self.state.queues.path(dir)?;
        let to_path = self.state.queues.path(to.dir)?;
        let file = name.to_os_string();
        let local = &self.fs.ctx.local;
        local.rename((old_area, &path, &file), (area, &to_path, to.name))?;
        if is_edited {
            local.keep(Area::Edits, &path, &file, self.fs.ctx.clock.now())?;
        }
        self.state.queues.scratch.add(area, to.dir, to.name);
        self.state.drop_alias(to, caller);
        if let Some(caller) = caller {
            let (released, how) = (&mut self.state.released, Release::BackedUp(name));
            released.add(caller, from.dir, from.name, how);
        }
        self.state.handoffs().file_gone(id);
        self.state.queues.renamed((dir, &file), (to.dir, to.name));
        Ok(())
    }
}
