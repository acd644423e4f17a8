//! Renaming an ordinary or scratch file: the file stays what it is, or the rename publishes it (spec 4.6).

use std::path::Path;

use super::Renaming;
use crate::error::{Error, Result};
use crate::fs::handoff::state::{Content, FileName};
use crate::fs::ids::FileId;
use crate::fs::resolve::name::area_of_name;
use crate::fs::resolve::resolved::Resolved;
use crate::names::is_hidden;
use crate::names::{self, NameClass};
use crate::session::Caller;
use crate::store::DraftFile;
use crate::store::local::Area;

impl Renaming<'_> {
    pub(super) fn rename_other(&mut self, id: FileId) -> Result<()> {
        let Renaming {
            from, to, caller, ..
        } = *self;
        let file = self.state.files.known(id)?;
        // A hidden file of a queue may be the temporary file of an unknown tool, so that a rename publishes it, too.
        let is_scratch = file.other().is_some_and(|(area, _)| area.is_scratch())
            || self.state.queues.is_queue(from.dir) && is_hidden(from.name);
        let (from_path, to_path) = (
            self.state.queues.path(from.dir)?,
            self.state.queues.path(to.dir)?,
        );
        let (old, new) = (from_path.join(from.name), to_path.join(to.name));
        let is_recorded = self.fs.ctx.local.is_ordinary(&old);
        let is_text = self.state.is_ordinary_text(to.dir, to.name);
        let has_target = self.target.is_some();
        if is_text
            && (is_scratch || !is_recorded && has_target)
            && !self.state.edits_ordinary(to, caller)
        {
            // The caller is no editor, and the file is not the ordinary file under another name: a handoff's writer.
            self.target = None;
            return self.publish_other(id);
        }
        let replaced = self.replaced_area()?;
        if is_text && replaced.is_some() {
            self.fs.keep_ordinary(&to_path, to.name)?;
        }
        let kept_under = area_of_name(to.name, caller);
        if is_recorded && kept_under.is_some() && self.state.edits_ordinary(from, caller) {
            // The editor removes this backup once the new file is written.
            self.fs.keep_ordinary(&from_path, from.name)?;
        }
        let class = names::classify(to.name);
        let is_unknown =
            !is_scratch && !has_target && (is_recorded || !names::is_adoptable(to.name));
        let stays_ordinary = !self.state.queues.is_queue(to.dir)
            || self.fs.ctx.local.is_ordinary(&new)
            || matches!(class, NameClass::Backup | NameClass::Ordinary)
            || class == NameClass::Unstamped && (replaced.is_some() || is_unknown);
        match kept_under {
            _ if stays_ordinary && is_recorded && class != NameClass::Backup => {
                self.move_recorded(id, (&old, &new))
            }
            _ if stays_ordinary => self.move_other(id, Area::Backing),
            // An ordinary file does not expire, so that its backup is no scratch file. The backup stays unrecorded: the file
            // that takes the old name next is still ordinary.
            Some(_) if is_recorded => {
                let area = replaced.unwrap_or(Area::Backing);
                self.move_other(id, area)
            }
            Some(area) => self.move_other(id, replaced.unwrap_or(area)),
            None => {
                self.publish_other(id)?;
                self.state.queues.ordinary_removed(from.dir, from.name);
                Ok(())
            }
        }
    }

    /// Moves an ordinary file that the record of the first mount has. The record knows the new name before the file is there:
    /// the file would be adopted as a stray.
    fn move_recorded(&mut self, id: FileId, (old, new): (&Path, &Path)) -> Result<()> {
        let moved = self
            .fs
            .ctx
            .local
            .ordinary_made(new)
            .and_then(|()| self.move_other(id, Area::Backing));
        let replaces = matches!(self.target, Some(Resolved::Other(_)));
        let (gone, noted) = match &moved {
            Ok(()) => (old, self.fs.ctx.local.ordinary_moved(old, new)),
            Err(_) if !replaces => (new, self.fs.ctx.local.ordinary_gone(new)),
            Err(_) => (new, Ok(())),
        };
        if let Err(error) = noted {
            log::warn!(
                "{}: cannot be taken off the list of ordinary files ({error}); the next sweep tries again",
                gone.display()
            );
        }
        moved
    }

    /// Moves an ordinary or scratch file to this area, over the ordinary or scratch file that has the name.
    fn move_other(&mut self, id: FileId, area: Area) -> Result<()> {
        let to = self.to;
        let file = self.state.files.known(id)?;
        let (old_area, old_name) = file.other().ok_or(Error::NotFound)?;
        let (old_dir, old_name) = (file.dir, old_name.to_owned());
        let old = self.state.queues.path(old_dir)?;
        let new = self.state.queues.path(to.dir)?;
        let (from, onto) = ((old_area, &*old, &*old_name), (area, &*new, to.name));
        match self.target {
            Some(Resolved::Other(_)) => self.fs.ctx.local.rename(from, onto)?,
            // A stray that is not shown yet is not replaced: another program may be writing it.
            _ => self.fs.ctx.local.rename_new(from, onto)?,
        }
        self.state
            .queues
            .scratch
            .remove(old_area, old_dir, &old_name);
        self.state.queues.scratch.add(area, to.dir, to.name);
        let replaced = self.state.files.other_named(area, to.dir, to.name);
        if let Some(replaced) = replaced.filter(|replaced| *replaced != id) {
            self.state.handoffs().file_gone(replaced);
        }
        let name = FileName::Other(area, to.name.to_owned());
        self.state.handoffs().moved(id, to.dir, name);
        self.state.drop_alias(to, self.caller);
        Ok(())
    }

    /// A scratch or ordinary file becomes a handoff, or the new content of one.
    fn publish_other(&mut self, id: FileId) -> Result<()> {
        let Renaming {
            request,
            to,
            caller,
            ..
        } = *self;
        let file = self.state.files.known(id)?;
        let (area, name) = file.other().ok_or(Error::NotFound)?;
        let (from_dir, name, ino) = (file.dir, name.to_owned(), file.ino);
        let from = self.state.queues.path(from_dir)?;
        let queue = self.state.queues.path(to.dir)?;
        if to.name == names::PENDING {
            self.fs.note_pending_written(self.state, caller);
        }
        let handoff = match self.target {
            Some(Resolved::Handoff { doc, own }) if self.is_replaceable(doc, own, caller)? => {
                let stamped = self.state.files.known(doc)?.name.to_os_string();
                self.state
                    .handoffs()
                    .replace(&queue, &stamped, (area, &from, &name))?;
                let replaced = self.state.files.known_mut(doc)?;
                replaced.ino = ino;
                replaced.handoff.read_by.clear();
                self.state.queues.changed(to.dir, &stamped);
                doc
            }
            _ => {
                let naming = self.fs.naming_of(self.state, to, caller);
                let stamped = self
                    .state
                    .files
                    .free_name(&self.state.queues, to.dir, &naming)?;
                let dir = self.fs.ctx.local.dir(area, &from)?;
                let draft = DraftFile {
                    dir: &dir,
                    name: &name,
                };
                let stamped = self.fs.ctx.store.publish(draft, &queue, &stamped)?;
                self.fs
                    .enter_published(self.state, to.dir, stamped, ino, request)
            }
        };
        self.state.queues.changed(from_dir, &name);
        self.fs.alias_for(self.state, to, caller, handoff);
        self.state.adopt_handles(id, handoff, request.tid);
        self.state.queues.scratch.remove(area, from_dir, &name);
        self.state.handoffs().file_gone(id);
        Ok(())
    }

    /// Does a rename onto this handoff replace its content, rather than make a new handoff? `own` tells that the caller has
    /// named the handoff by its alias.
    pub(super) fn is_replaceable(
        &self,
        id: FileId,
        own: bool,
        caller: Option<&Caller>,
    ) -> Result<bool> {
        let handoff = self.state.files.known(id)?;
        let is_empty = || handoff.writers == 0 && self.state.files.is_empty(&self.state.queues, id);
        let edits = || caller.is_some_and(|caller| self.state.edits(caller, handoff));
        let is_stored = matches!(handoff.content, Content::Stored);
        Ok(is_stored && (!own || handoff.name.is_pending() && (is_empty() || edits())))
    }
}
