//! Renaming a handoff: to another stamped name, to another slug, over another one, or away (spec 4.5).

use std::sync::Arc;

use super::{Renaming, drop_own};
use crate::error::Result;
use crate::fs::handoff::below::Pins;
use crate::fs::handoff::free_name::Naming;
use crate::fs::handoff::state::{Content, FileName};
use crate::fs::ids::{DirId, FileId};
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::name::area_of_name;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::session::released_names::Release;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, Slug, StampedName};
use crate::session::Caller;
use crate::store::Access;
use crate::store::local::Area;

impl Fs {
    pub(super) fn rename_handoff(
        &self,
        state: &mut State,
        id: FileId,
        own: bool,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        let Renaming {
            to, target, caller, ..
        } = renaming;
        self.pin_handoff(state, id)?;
        let new = state.queues.join(to.dir, to.name)?;
        let kept_under = area_of_name(to.name, *caller);
        let text = state.is_ordinary_text(to.dir, to.name);
        let edits = state.edits_ordinary(*to, *caller);
        if state.queues.is_queue(to.dir) && kept_under.is_some() {
            // Editors move the old version out of the way, and then remove it (spec 3.9).
            state.handoffs().keep_moved(id)?;
        }
        let replaced = match target {
            Some(Resolved::Other(other)) => Some(*other),
            _ => None,
        };
        if text && replaced.is_some() && edits {
            let path = state.queues.path(to.dir)?;
            self.keep_ordinary(&path, to.name)?;
        }
        let passed_through = !state.queues.is_queue(to.dir)
            || (edits || !text) && (replaced.is_some() || self.ctx.local.is_ordinary(&new));
        let area = match replaced {
            Some(other) if passed_through => {
                let area = state.files.known(other)?.other().map(|(area, _)| area);
                Some(area.unwrap_or(Area::Backing))
            }
            None if passed_through => Some(Area::Backing),
            _ => kept_under,
        };
        match (area, names::classify(to.name)) {
            (Some(area), _) => self.unmake(state, id, area, *to, *caller, renaming.from)?,
            (None, NameClass::Stamped(stamped)) => {
                self.rename_stamped(state, id, &stamped, renaming)?;
            }
            (None, _) => match self.marked(state, id, own, renaming) {
                Some(name) => self.rename_to(state, id, &name, false, renaming)?,
                None => self.rename_slug(state, id, renaming)?,
            },
        }
        self.drop_alias(state, own, renaming);
        Ok(())
    }

    /// Renames a handoff to a stamped name: consumes it, makes it pending again, or just renames it (spec 4.5).
    fn rename_stamped(
        &self,
        state: &mut State,
        id: FileId,
        stamped: &StampedName,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        if let Some(Resolved::Handoff { doc: other, .. }) = renaming.target {
            return self.rename_over(state, id, other, renaming);
        }
        // A name that is written without `.md` (spec 3.4) is not the file's name. This or another handoff may have that.
        let exactly = stamped.to_os_string() == renaming.to.name;
        self.rename_to(state, id, stamped, exactly, renaming)
    }

    /// Gives a handoff this name, unless it has the name already, and its session the alias that it wrote.
    fn rename_to(
        &self,
        state: &mut State,
        id: FileId,
        name: &StampedName,
        exactly: bool,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        let (to, caller) = (renaming.to, renaming.caller);
        let doc = state.files.known(id)?;
        if exactly || (doc.dir, doc.stamped()?) != (to.dir, name) {
            self.move_handoff(state, id, to.dir, name, exactly)?;
        }
        self.alias_for(state, to, caller, id);
        Ok(())
    }

    /// The name that a handoff gets by `mv auth.md auth_done.md`, where `auth.md` is an own alias, or by its way back.
    fn marked(
        &self,
        state: &State,
        id: FileId,
        own: bool,
        renaming: &Renaming<'_>,
    ) -> Option<StampedName> {
        let (from, to) = (renaming.from.name, renaming.to.name);
        let name = state.files.get(id).filter(|_| own)?.stamped().ok()?;
        if names::is_done_form(from, to) {
            return Some(name.consumed());
        }
        // A handoff that was written as `auth_done.md` has that in its slug (spec 3.2), and stays consumed if it is.
        let written = Slug::from_written(from);
        let was_renamed = !name.slug().starts_with(&written);
        (names::is_done_form(to, from) && was_renamed).then(|| name.pending())
    }

    /// Renames a handoff to an unstamped name: it keeps its stamp and takes the slug (spec 4.5, 4.6).
    fn rename_slug(&self, state: &mut State, id: FileId, renaming: &Renaming<'_>) -> Result<()> {
        let (to, caller) = (renaming.to, renaming.caller);
        if to.name == names::PENDING {
            self.note_pending_written(state, caller);
        }
        if let Some(Resolved::Handoff { doc: other, own }) = renaming.target {
            let stored = state
                .files
                .get(id)
                .is_some_and(|doc| matches!(doc.content, Content::Stored));
            if stored && self.replaceable(state, other, own, caller) {
                return self.rename_over(state, id, other, renaming);
            }
        }
        let doc = state.files.known(id)?;
        let old = doc.stamped()?.clone();
        let naming = caller.map(|it| state.naming_after_release(it, to.dir, to.name));
        let name = match naming {
            Some(Naming::Exactly(vacated)) => vacated,
            _ => old.with_slug(Slug::from_written(to.name)),
        };
        self.rename_to(state, id, &name, false, renaming)
    }

    /// Gives a handoff another name, or its next free suffix. With `exactly`, a name that is taken is an error.
    fn move_handoff(
        &self,
        state: &mut State,
        id: FileId,
        dir: DirId,
        name: &StampedName,
        exactly: bool,
    ) -> Result<()> {
        let doc = state.files.known(id)?;
        let (old_dir, old) = (doc.dir, doc.stamped()?.clone());
        let new = doc.is_new();
        let from = state.queues.path(old_dir)?;
        let path = state.queues.path(dir)?;
        let naming = Naming::Exactly(name.clone());
        let mut name = if exactly {
            name.clone()
        } else {
            state.files.free_name(&state.queues, dir, &naming)?
        };
        let old_file = old.to_os_string();
        let file = name.to_os_string();
        if new {
            let drafts = Area::Drafts;
            self.ctx
                .local
                .rename_new((drafts, &from, &old_file), (drafts, &path, &file))?;
        } else {
            let consumes = old.is_pending() && !name.is_pending();
            if consumes && dir == old_dir {
                // The seven days count from now (spec 3.5).
                let mtime = self.ctx.store.stat(&path, &old.to_os_string())?.mtime;
                let done = self
                    .ctx
                    .consume_as(&path, &old, &name, mtime, self.ctx.clock.now())?;
                if done != name {
                    log::warn!("{old}: became {done}, because {name} was there already");
                    name = done;
                }
            } else {
                if consumes {
                    self.ctx.seven_days_from_now(&from, &old_file)?;
                }
                self.ctx.store.rename((&from, &old_file), (&path, &file))?;
                if !old.is_pending() && name.is_pending() {
                    self.ctx.pending_again(&path, &name);
                }
            }
        }
        if name.is_pending() {
            state.aliases.unconsumed(dir, &name.to_os_string());
        }
        state.handoffs().moved(id, dir, FileName::Handoff(name));
        Ok(())
    }

    /// A handoff takes the place of another, whose content is kept with the replaced versions (spec 3.9).
    fn rename_over(
        &self,
        state: &mut State,
        id: FileId,
        other: FileId,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        let doc = state.files.known(id)?;
        let over = state.files.known(other)?;
        if !matches!(
            (&doc.content, &over.content),
            (Content::Stored, Content::Stored)
        ) {
            // One of them is being written: neither may be lost, so both stay.
            let name = over.stamped()?.clone();
            self.move_handoff(state, id, renaming.to.dir, &name, false)?;
            self.alias_for(state, renaming.to, renaming.caller, id);
            return Ok(());
        }
        let (from_dir, from_name, ino) = (doc.dir, doc.name.to_os_string(), doc.ino);
        let (to_dir, to_name) = (over.dir, over.stamped()?.clone());
        let from = state.queues.path(from_dir)?;
        let to = state.queues.path(to_dir)?;
        if doc.name.is_pending() && !to_name.is_pending() {
            self.ctx.seven_days_from_now(&from, &from_name)?;
        }
        let again = !doc.name.is_pending() && to_name.is_pending();
        let to_file = to_name.to_os_string();
        state
            .handoffs()
            .replace(&to, &to_file, (Area::Backing, &from, &from_name))?;
        if again {
            self.ctx.pending_again(&to, &to_name);
        }
        // Aliases of either lead to the one that is left.
        state.aliases.retarget(other, id);
        state.handoffs().file_gone(other);
        state
            .handoffs()
            .moved(id, to_dir, FileName::Handoff(to_name));
        let doc = state.files.known_mut(id)?;
        doc.ino = ino;
        doc.handoff.read_by.clear();
        self.alias_for(state, renaming.to, renaming.caller, id);
        Ok(())
    }

    /// A handoff stops being one: it is moved to a scratch, backup or ordinary name (spec 4.5).
    fn unmake(
        &self,
        state: &mut State,
        id: FileId,
        area: Area,
        to: Place<'_>,
        caller: Option<&Caller>,
        from: Place<'_>,
    ) -> Result<()> {
        let doc = state.files.known(id)?;
        let (dir, name, new) = (doc.dir, doc.stamped()?.clone(), doc.is_new());
        let path = state.queues.path(dir)?;
        let to_path = state.queues.path(to.dir)?;
        let old_area = if new { Area::Drafts } else { Area::Backing };
        let file = name.to_os_string();
        self.ctx
            .local
            .rename((old_area, &path, &file), (area, &to_path, to.name))?;
        if matches!(doc.content, Content::Editing(_)) {
            self.ctx
                .local
                .keep(Area::Edits, &path, &file, self.ctx.clock.now())?;
        }
        state.scratch.add(area, to.dir, to.name);
        drop_own(state, to, caller);
        if let Some(caller) = caller {
            state
                .released
                .add(caller, from.dir, from.name, Release::BackedUp(name));
        }
        state.handoffs().file_gone(id);
        state.queues.changed(dir, &file);
        state.queues.changed(to.dir, to.name);
        Ok(())
    }

    /// Readers of a snapshot go on reading this handoff's file, whatever its name is from now on.
    pub(in crate::fs) fn pin_handoff(&self, state: &mut State, id: FileId) -> Result<()> {
        if !state.readers.is_read() {
            return Ok(());
        }
        let doc = state.files.known(id)?;
        if doc.is_stored() {
            let ino = doc.ino;
            let file = Arc::new(doc.open(&state.queues, Access::READ)?);
            state.readers.pin(ino, &file);
        }
        Ok(())
    }
}
