//! Renaming what is no handoff: it stays what it is, or the rename publishes it (spec 4.6).

use std::path::Path;

use super::{Renaming, drop_own};
use crate::error::{Error, Result};
use crate::fs::handoff::free_name::Naming;
use crate::fs::handoff::state::{Content, FileName};
use crate::fs::ids::FileId;
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::name::area_of_name;
use crate::fs::resolve::resolved::Resolved;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, Slug};
use crate::session::Caller;
use crate::store::DraftFile;
use crate::store::first_mount::is_hidden;
use crate::store::local::Area;

impl Fs {
    pub(super) fn rename_other(
        &self,
        state: &mut State,
        id: FileId,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        let Renaming {
            from,
            to,
            target,
            caller,
            ..
        } = renaming;
        let file = state.files.known(id)?;
        // A hidden file of a queue may be the temporary file of an unknown tool, so that a rename publishes it, too.
        let scratch = file.other().is_some_and(|(area, _)| area.is_scratch())
            || state.queues.is_queue(from.dir) && is_hidden(from.name);
        let old = state.queues.join(from.dir, from.name)?;
        let new = state.queues.join(to.dir, to.name)?;
        let listed = self.ctx.local.is_ordinary(&old);
        let class = names::classify(to.name);
        let text = state.is_ordinary_text(to.dir, to.name);
        let edits = state.edits_ordinary(*to, *caller);
        if text && !edits && (scratch || !listed && target.is_some()) {
            // The caller is no editor, and the file is not the ordinary file under another name: a handoff's writer.
            let renaming = Renaming {
                target: None,
                ..*renaming
            };
            return self.publish_other(state, id, &renaming);
        }
        let onto_other = matches!(target, Some(Resolved::Other(_)));
        if text && onto_other {
            let path = state.queues.path(to.dir)?;
            self.keep_ordinary(&path, to.name)?;
        }
        let kept_under = area_of_name(to.name, *caller);
        if listed && kept_under.is_some() && state.edits_ordinary(*from, *caller) {
            // The editor removes this backup once it has written the file anew.
            let path = state.queues.path(from.dir)?;
            self.keep_ordinary(&path, from.name)?;
        }
        let unknown = !scratch && target.is_none() && (listed || !names::is_adoptable(to.name));
        let (area, recorded) = if !state.queues.is_queue(to.dir)
            || self.ctx.local.is_ordinary(&new)
            || matches!(class, NameClass::Backup | NameClass::Ordinary)
        {
            (Area::Backing, listed && class != NameClass::Backup)
        } else if let Some(area) = kept_under {
            let replaced = match target {
                Some(Resolved::Other(other)) => state.files.known(*other)?.other(),
                _ => None,
            };
            // An ordinary file does not expire.
            let area = if listed { Area::Backing } else { area };
            // An editor's backup stays unrecorded: the file that takes the old name next is still ordinary.
            (replaced.map_or(area, |(area, _)| area), false)
        } else if class == NameClass::Unstamped && (onto_other || unknown) {
            (Area::Backing, listed)
        } else {
            self.publish_other(state, id, renaming)?;
            state.queues.ordinary_removed(from.dir, from.name);
            return Ok(());
        };
        match recorded {
            true => self.move_ordinary(state, id, (&old, &new), *to, onto_other, *caller),
            false => self.move_other(state, id, area, *to, onto_other, *caller),
        }
    }

    /// Moves an ordinary file, which stays one under its new name. The record knows the new name before anybody can
    /// see the file there: it would be adopted as a stray.
    fn move_ordinary(
        &self,
        state: &mut State,
        id: FileId,
        (old, new): (&Path, &Path),
        to: Place<'_>,
        replaces: bool,
        caller: Option<&Caller>,
    ) -> Result<()> {
        let moved = self
            .ctx
            .local
            .ordinary_made(new)
            .and_then(|()| self.move_other(state, id, Area::Backing, to, replaces, caller));
        let (gone, noted) = match &moved {
            Ok(()) => (old, self.ctx.local.ordinary_moved(old, new)),
            Err(_) if !replaces => (new, self.ctx.local.ordinary_gone(new)),
            Err(_) => (new, Ok(())),
        };
        if let Err(error) = noted {
            log::warn!(
                "{}: it cannot be noted that it is not there ({error}); the next sweep tries again",
                gone.display()
            );
        }
        moved
    }

    /// Moves an ordinary or scratch file, over another one if it `replaces` that.
    fn move_other(
        &self,
        state: &mut State,
        id: FileId,
        area: Area,
        to: Place<'_>,
        replaces: bool,
        caller: Option<&Caller>,
    ) -> Result<()> {
        let file = state.files.known(id)?;
        let (old_area, old_name) = file.other().ok_or(Error::NotFound)?;
        let (old_dir, old_name) = (file.dir, old_name.to_owned());
        let old = state.queues.path(old_dir)?;
        let new = state.queues.path(to.dir)?;
        let (from, onto) = ((old_area, &*old, &*old_name), (area, &*new, to.name));
        if replaces {
            self.ctx.local.rename(from, onto)?;
        } else {
            // What is not shown yet, because somebody is writing it below, is not replaced unseen.
            self.ctx.local.rename_new(from, onto)?;
        }
        state.scratch.remove(old_area, old_dir, &old_name);
        state.scratch.add(area, to.dir, to.name);
        let new_name = FileName::Other(area, to.name.to_owned());
        let replaced = state.files.other_named(area, to.dir, to.name);
        if let Some(replaced) = replaced.filter(|replaced| *replaced != id) {
            state.handoffs().file_gone(replaced);
        }
        state.handoffs().moved(id, to.dir, new_name);
        drop_own(state, to, caller);
        Ok(())
    }

    /// A scratch or ordinary file becomes a handoff, or the new content of one.
    fn publish_other(&self, state: &mut State, id: FileId, renaming: &Renaming<'_>) -> Result<()> {
        let Renaming {
            to, target, caller, ..
        } = renaming;
        let file = state.files.known(id)?;
        let (area, name) = file.other().ok_or(Error::NotFound)?;
        let (from_dir, name, ino) = (file.dir, name.to_owned(), file.ino);
        let from = state.queues.path(from_dir)?;
        let queue = state.queues.path(to.dir)?;
        if to.name == names::PENDING {
            self.note_pending_written(state, *caller);
        }
        let replaced = match target {
            Some(Resolved::Handoff { doc, own }) => {
                self.replaceable(state, *doc, *own, *caller).then_some(*doc)
            }
            _ => None,
        };
        let doc = if let Some(doc) = replaced {
            let stamped = state.files.known(doc)?.name.to_os_string();
            state
                .handoffs()
                .replace(&queue, &stamped, (area, &from, &name))?;
            let replaced = state.files.known_mut(doc)?;
            replaced.ino = ino;
            replaced.handoff.read_by.clear();
            state.queues.changed(to.dir, &stamped);
            doc
        } else {
            let naming = match (names::classify(to.name), caller) {
                (NameClass::Stamped(stamped), _) => Naming::Exactly(stamped),
                (_, Some(caller)) => state.naming_after_release(caller, to.dir, to.name),
                (_, None) => Naming::Stamp(Slug::from_written(to.name)),
            };
            let stamped = state.files.free_name(&state.queues, to.dir, &naming)?;
            let dir = self.ctx.local.dir(area, &from)?;
            let draft = DraftFile {
                dir: &dir,
                name: &name,
            };
            let stamped = self.ctx.store.publish(draft, &queue, &stamped)?;
            state.queues.changed(to.dir, &stamped.to_os_string());
            let now = self.ctx.clock.now();
            let tid = renaming.request.tid;
            let stamped = FileName::Handoff(stamped);
            state
                .files
                .insert(to.dir, stamped, Content::Stored, ino, (tid, now))
        };
        state.queues.changed(from_dir, &name);
        self.alias_for(state, *to, *caller, doc);
        state.adopt_handles(id, doc, renaming.request.tid);
        state.scratch.remove(area, from_dir, &name);
        state.handoffs().file_gone(id);
        Ok(())
    }

    /// Does a rename onto this doc replace its content, rather than make a new handoff?
    pub(super) fn replaceable(
        &self,
        state: &State,
        id: FileId,
        own: bool,
        caller: Option<&Caller>,
    ) -> bool {
        let Some(doc) = state.files.get(id) else {
            return false;
        };
        if !matches!(doc.content, Content::Stored) {
            return false;
        }
        if !own {
            return true;
        }
        let empty = doc.writers == 0 && state.files.is_empty(&state.queues, id);
        doc.name.is_pending() && (empty || caller.is_some_and(|caller| state.edits(caller, doc)))
    }
}
