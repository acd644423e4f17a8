//! rename(2): the table of what becomes what (spec 4.1, 4.4, 4.5, 4.6, 4.7).

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::dirs::{DirId, DirKind};
use super::docs::{Content, DocId, PlainId};
use super::drafts::Naming;
use super::handles::{Open, OpenDoc};
use super::resolve::{Object, check_name};
use super::types::NodeId;
use super::{Fs, Request, State, Vacation};
use crate::error::{Error, Result};
use crate::names::{self, NameClass, Slug, StampedName};
use crate::session::Caller;
use crate::store::beneath;
use crate::store::local::Area;
use crate::store::{Access, DraftFile};

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) dir: DirId,
    pub(super) name: &'a OsStr,
}

/// One rename, as far as it is understood before anything is changed.
struct Renaming<'a> {
    request: Request,
    caller: Option<&'a Caller>,
    from: Place<'a>,
    to: Place<'a>,
    /// What the new name means now, to this caller.
    target: Option<Object>,
}

impl Fs {
    /// rename(2); `flags` as in renameat2(2), of which RENAME_NOREPLACE is known.
    pub fn rename(
        &self,
        request: Request,
        (parent, name): (NodeId, &OsStr),
        (new_parent, new_name): (NodeId, &OsStr),
        flags: u32,
    ) -> Result<()> {
        check_name(name)?;
        check_name(new_name)?;
        if flags & !libc::RENAME_NOREPLACE != 0 {
            return Err(Error::Invalid);
        }
        let caller = self.caller_if(request, |state| {
            let (Ok(dir), Ok(new_dir)) = (state.dir(parent), state.dir(new_parent)) else {
                return false;
            };
            state.aliases.any(dir, name)
                || state.aliases.any(new_dir, new_name)
                || needs_alias(state, new_dir, new_name)
        });
        let (dir, new_dir) = {
            let state = self.lock();
            (state.dir(parent)?, state.dir(new_parent)?)
        };
        let from = Place { dir, name };
        let to = Place {
            dir: new_dir,
            name: new_name,
        };
        // What this publishes must be durable first, and that takes long: it is done without the lock.
        self.sync_scratch(from, caller.as_ref())?;
        let queues: Vec<_> = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let source = self.resolve(state, dir, name, caller.as_ref())?;
            self.make_way(state, new_dir, new_name);
            let target = match self.resolve(state, new_dir, new_name, caller.as_ref()) {
                Ok(Object::Pending) | Err(Error::NotFound) => None,
                Ok(Object::Peek | Object::Status) => return Err(Error::NotPermitted),
                target => Some(target?),
            };
            if flags & libc::RENAME_NOREPLACE != 0 && target.is_some() {
                return Err(Error::Exists);
            }
            let renaming = Renaming {
                request,
                caller: caller.as_ref(),
                from,
                to,
                target,
            };
            // Where it goes, and whence if that is another directory; an alias need not be where its handoff is.
            let whence = match &source {
                Object::Doc { doc, .. } => state.docs.get(*doc).map(|doc| doc.dir),
                Object::Dir(_) => Some(dir),
                _ => None,
            };
            self.rename_object(state, &source, &renaming)?;
            let whence = whence.filter(|whence| *whence != new_dir);
            let dirs = [Some(new_dir), whence].into_iter().flatten();
            dirs.filter_map(|dir| state.dirs.path(dir)).collect()
        };
        self.sync_names(&queues)
    }

    fn rename_object(
        &self,
        state: &mut State,
        source: &Object,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        if names::classify(renaming.to.name) == NameClass::Private
            && state.is_queue(renaming.to.dir)
        {
            return Err(Error::NotPermitted);
        }
        match (source, &renaming.target) {
            (Object::Pending, _) => Ok(()),
            (Object::Peek | Object::Status, _) => Err(Error::NotPermitted),
            (Object::Dir(dir), _) => self.rename_dir(state, *dir, renaming),
            (_, Some(Object::Dir(_))) => Err(Error::IsDirectory),
            (Object::Plain(plain), _) => self.rename_plain(state, *plain, renaming),
            (Object::Doc { doc, own }, Some(Object::Doc { doc: other, .. })) if doc == other => {
                if self.is_another_name(state, *doc, renaming.to) {
                    // Back to the name under which this session has found it all the time: `mv X_done.md X.md`.
                    let renaming = Renaming {
                        target: None,
                        ..*renaming
                    };
                    return self.rename_doc(state, *doc, *own, &renaming);
                }
                // An alias onto the very name its handoff has: `mv X.md X_done.md` after it was consumed.
                self.drop_alias(state, *own, renaming);
                Ok(())
            }
            (Object::Doc { doc, own }, _) => self.rename_doc(state, *doc, *own, renaming),
        }
    }

    /// Is this a stamped name, and another one than the doc's own?
    fn is_another_name(&self, state: &State, id: DocId, to: Place<'_>) -> bool {
        let stamped = StampedName::parse(to.name);
        let doc = state.docs.get(id);
        stamped
            .zip(doc)
            .is_some_and(|(stamped, doc)| (doc.dir, &doc.name) != (to.dir, &stamped))
    }

    /// Makes a scratch or ordinary file's content durable, in case the rename publishes it.
    fn sync_scratch(&self, from: Place<'_>, caller: Option<&Caller>) -> Result<()> {
        if !self.options.sync {
            return Ok(());
        }
        let file = {
            let mut guard = self.lock();
            let state = &mut *guard;
            match self.resolve(state, from.dir, from.name, caller)? {
                Object::Plain(plain) if state.is_queue(from.dir) => {
                    self.plain_file(state, plain).ok()
                }
                _ => None,
            }
        };
        match file {
            Some(file) => Ok(file.sync_all()?),
            None => Ok(()),
        }
    }

    pub(super) fn plain_file(&self, state: &State, id: PlainId) -> Result<File> {
        let plain = state.docs.plain(id).ok_or(Error::NotFound)?;
        let path = state.dirs.path(plain.dir).ok_or(Error::NotFound)?;
        self.local
            .open_file(plain.area, &path, &plain.name, Access::READ)
    }

    fn rename_plain(&self, state: &mut State, id: PlainId, renaming: &Renaming<'_>) -> Result<()> {
        let Renaming {
            from,
            to,
            target,
            caller,
            ..
        } = renaming;
        let plain = state.docs.plain(id).ok_or(Error::NotFound)?;
        let scratch = plain.area == Area::Scratch;
        let old = state
            .dirs
            .join(from.dir, from.name)
            .ok_or(Error::NotFound)?;
        let new = state.dirs.join(to.dir, to.name).ok_or(Error::NotFound)?;
        let listed = self.local.is_ordinary(&old);
        let class = names::classify(to.name);
        let onto_plain = matches!(target, Some(Object::Plain(_)));
        if !state.is_queue(to.dir) || self.local.is_ordinary(&new) || class == NameClass::Backup {
            if listed && class != NameClass::Backup {
                return self.move_ordinary(state, id, (&old, &new), *to, onto_plain, *caller);
            }
            self.move_plain(state, id, Area::Backing, *to, onto_plain, *caller)?;
        } else if class == NameClass::Scratch {
            let area = match target {
                Some(Object::Plain(other)) => {
                    state.docs.plain(*other).map_or(Area::Scratch, |it| it.area)
                }
                _ => Area::Scratch,
            };
            // An editor's backup: what takes the old name next is still the ordinary file.
            self.move_plain(state, id, area, *to, onto_plain, *caller)?;
        } else if class == NameClass::Unstamped
            && (onto_plain
                || !scratch && target.is_none() && (listed || !names::is_adoptable(to.name)))
        {
            if listed {
                return self.move_ordinary(state, id, (&old, &new), *to, onto_plain, *caller);
            }
            self.move_plain(state, id, Area::Backing, *to, onto_plain, *caller)?;
        } else {
            self.publish_plain(state, id, renaming)?;
            self.local.ordinary_gone(&old)?;
        }
        Ok(())
    }

    /// Moves an ordinary file, which stays one under its new name. The record knows the new name before anybody can
    /// see the file there: it would be adopted as a stray.
    fn move_ordinary(
        &self,
        state: &mut State,
        id: PlainId,
        (old, new): (&Path, &Path),
        to: Place<'_>,
        replaces: bool,
        caller: Option<&Caller>,
    ) -> Result<()> {
        self.local.ordinary_made(new)?;
        if let Err(error) = self.move_plain(state, id, Area::Backing, to, replaces, caller) {
            if !replaces {
                self.local.ordinary_gone(new)?;
            }
            return Err(error);
        }
        self.local.ordinary_gone(old)
    }

    /// Moves a plain file, over the plain file that is there if it `replaces` one.
    fn move_plain(
        &self,
        state: &mut State,
        id: PlainId,
        area: Area,
        to: Place<'_>,
        replaces: bool,
        caller: Option<&Caller>,
    ) -> Result<()> {
        let plain = state.docs.plain(id).ok_or(Error::NotFound)?;
        let (old_area, old_dir, old_name) = (plain.area, plain.dir, plain.name.clone());
        let old = state.dirs.path(old_dir).ok_or(Error::NotFound)?;
        let new = state.dirs.path(to.dir).ok_or(Error::NotFound)?;
        let (from, onto) = ((old_area, &*old, &*old_name), (area, &*new, to.name));
        if replaces {
            self.local.rename(from, onto)?;
        } else {
            // What is not shown yet, because somebody is writing it below, is not replaced unseen.
            self.local.rename_new(from, onto)?;
        }
        state.docs.plain_renamed(id, area, to.dir, to.name);
        drop_own(state, to, caller);
        self.touch(state, old_dir, &old_name);
        self.touch(state, to.dir, to.name);
        Ok(())
    }

    /// A scratch or ordinary file becomes a handoff, or the new content of one.
    fn publish_plain(&self, state: &mut State, id: PlainId, renaming: &Renaming<'_>) -> Result<()> {
        let Renaming {
            to, target, caller, ..
        } = renaming;
        let plain = state.docs.plain(id).ok_or(Error::NotFound)?;
        let (area, from_dir, name, ino) = (plain.area, plain.dir, plain.name.clone(), plain.ino);
        let from = state.dirs.path(from_dir).ok_or(Error::NotFound)?;
        let queue = state.dirs.path(to.dir).ok_or(Error::NotFound)?;
        if to.name == names::PENDING {
            self.note_pending_written(state, *caller);
        }
        let replaced = match target {
            Some(Object::Doc { doc, own }) => {
                self.replaceable(state, *doc, *own, *caller).then_some(*doc)
            }
            _ => None,
        };
        let doc = if let Some(doc) = replaced {
            let stamped = state.docs.get(doc).ok_or(Error::NotFound)?.name.clone();
            self.replace(state, &queue, &stamped, (area, &from, &name))?;
            if let Some(doc) = state.docs.get_mut(doc) {
                doc.ino = ino;
                doc.read_by.clear();
            }
            self.touch(state, to.dir, &stamped.to_os_string());
            doc
        } else {
            let naming = match (names::classify(to.name), caller) {
                (NameClass::Stamped(stamped), _) => Naming::Exactly(stamped),
                (_, Some(caller)) => self.naming_after_vacation(state, caller, to.dir, to.name),
                (_, None) => Naming::Stamp(Slug::from_written(to.name)),
            };
            let stamped = self.free_name(state, to.dir, &naming)?;
            let dir = self.local.dir(area, &from)?;
            let draft = DraftFile {
                dir: &dir,
                name: &name,
            };
            let stamped = self.store.publish(draft, &queue, &stamped)?;
            self.touch(state, to.dir, &stamped.to_os_string());
            let now = self.clock.now();
            let tid = renaming.request.tid;
            state
                .docs
                .insert(to.dir, stamped, Content::Stored, ino, tid, now)
        };
        self.touch(state, from_dir, &name);
        self.alias_for(state, *to, *caller, doc);
        state.adopt_handles(id, doc, renaming.request.tid);
        state.docs.plain_gone(id);
        state.nodes.detach_plain(id);
        state.index.generation += 1;
        Ok(())
    }

    /// Does a rename onto this doc replace its content, rather than make a new handoff?
    fn replaceable(&self, state: &State, id: DocId, own: bool, caller: Option<&Caller>) -> bool {
        let Some(doc) = state.docs.get(id) else {
            return false;
        };
        if !matches!(doc.content, Content::Stored) {
            return false;
        }
        if !own {
            return true;
        }
        let size = state
            .dirs
            .path(doc.dir)
            .and_then(|path| self.store.stat(&path, &doc.name.to_os_string()).ok())
            .map_or(0, |meta| meta.size);
        let empty = size == 0 && doc.writers == 0;
        doc.name.is_pending() && (empty || caller.is_some_and(|caller| self.edits(caller, doc)))
    }

    /// A name that no draft has reserved and no file has.
    pub(super) fn free_name(
        &self,
        state: &State,
        dir: DirId,
        naming: &Naming,
    ) -> Result<StampedName> {
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let (base, exactly) = match naming {
            Naming::Exactly(name) => (name.clone(), true),
            Naming::Nearly(name) => (name.clone(), false),
            Naming::Stamp(slug) => {
                let stamp = self.zone.stamp(self.clock.now());
                (StampedName::new(stamp, slug.clone()), false)
            }
        };
        let taken = |name: &StampedName| {
            state.docs.named(dir, name).is_some()
                || self.store.stat(&path, &name.to_os_string()).is_ok()
        };
        (1..)
            .map(|n| base.with_suffix(n))
            .find(|name| !taken(name) && (exactly || !taken(&name.consumed())))
            .ok_or(Error::Exists)
    }

    /// The session finds the doc under the name it wrote, unless that is the stamped name itself.
    pub(super) fn alias_for(
        &self,
        state: &mut State,
        to: Place<'_>,
        caller: Option<&Caller>,
        doc: DocId,
    ) {
        let Some(caller) = caller else {
            return;
        };
        let stamped = state.docs.get(doc).map(|doc| doc.name.to_os_string());
        if stamped.as_deref() != Some(to.name) {
            self.set_alias(state, to.dir, to.name, caller, doc);
        }
    }

    fn drop_alias(&self, state: &mut State, own: bool, renaming: &Renaming<'_>) {
        if let (true, Some(caller)) = (own, renaming.caller) {
            let from = renaming.from;
            state.aliases.remove(from.dir, from.name, &caller.session);
        }
    }

    fn rename_doc(
        &self,
        state: &mut State,
        id: DocId,
        own: bool,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        let Renaming {
            to, target, caller, ..
        } = renaming;
        self.pin_doc(state, id)?;
        let new = state.dirs.join(to.dir, to.name).ok_or(Error::NotFound)?;
        let class = names::classify(to.name);
        let onto_plain = matches!(target, Some(Object::Plain(_)));
        if !state.is_queue(to.dir) || onto_plain || self.local.is_ordinary(&new) {
            let area = match target {
                Some(Object::Plain(other)) => {
                    state.docs.plain(*other).map_or(Area::Backing, |it| it.area)
                }
                _ => Area::Backing,
            };
            self.unmake(state, id, area, *to, *caller, renaming.from)?;
        } else {
            if matches!(class, NameClass::Scratch | NameClass::Backup) {
                // Editors move the old version out of the way, and then remove it (spec 3.9).
                self.keep_version(state, id)?;
            }
            match class {
                NameClass::Scratch => {
                    self.unmake(state, id, Area::Scratch, *to, *caller, renaming.from)?;
                }
                NameClass::Backup => {
                    self.unmake(state, id, Area::Backing, *to, *caller, renaming.from)?;
                }
                NameClass::Stamped(stamped) => {
                    self.rename_stamped(state, id, &stamped, renaming)?;
                }
                _ => self.rename_slug(state, id, renaming)?,
            }
        }
        self.drop_alias(state, own, renaming);
        Ok(())
    }

    /// Renames a doc to a stamped name: consumes it, makes it pending again, or just renames it (spec 4.5).
    fn rename_stamped(
        &self,
        state: &mut State,
        id: DocId,
        stamped: &StampedName,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        let (to, caller) = (renaming.to, renaming.caller);
        if let Some(Object::Doc { doc: other, .. }) = renaming.target {
            return self.rename_over(state, id, other, renaming);
        }
        // Written without `.md` (spec 3.4) the name is not the file's, and another handoff may have that; or this one.
        let exactly = stamped.to_os_string() == to.name;
        let doc = state.docs.get(id).ok_or(Error::NotFound)?;
        if exactly || (doc.dir, &doc.name) != (to.dir, stamped) {
            self.move_doc(state, id, to.dir, stamped, exactly)?;
        }
        self.alias_for(state, to, caller, id);
        Ok(())
    }

    /// Renames a doc to an unstamped name: it keeps its stamp and takes the slug (spec 4.5, 4.6).
    fn rename_slug(&self, state: &mut State, id: DocId, renaming: &Renaming<'_>) -> Result<()> {
        let (to, caller) = (renaming.to, renaming.caller);
        if to.name == names::PENDING {
            self.note_pending_written(state, caller);
        }
        if let Some(Object::Doc { doc: other, own }) = renaming.target {
            let stored = state
                .docs
                .get(id)
                .is_some_and(|doc| matches!(doc.content, Content::Stored));
            if stored && self.replaceable(state, other, own, caller) {
                return self.rename_over(state, id, other, renaming);
            }
        }
        let doc = state.docs.get(id).ok_or(Error::NotFound)?;
        let (dir, old) = (doc.dir, doc.name.clone());
        let naming = caller.map(|it| self.naming_after_vacation(state, it, to.dir, to.name));
        let name = match naming {
            Some(Naming::Exactly(vacated)) => vacated,
            _ => old.with_slug(Slug::from_written(to.name)),
        };
        if name != old || dir != to.dir {
            self.move_doc(state, id, to.dir, &name, false)?;
        }
        self.alias_for(state, to, caller, id);
        Ok(())
    }

    /// Gives a doc another name, free as yet, or with `exactly` not the next suffix but an error where it is taken.
    fn move_doc(
        &self,
        state: &mut State,
        id: DocId,
        dir: DirId,
        name: &StampedName,
        exactly: bool,
    ) -> Result<()> {
        let doc = state.docs.get(id).ok_or(Error::NotFound)?;
        let (old_dir, old) = (doc.dir, doc.name.clone());
        let (new, editing) = (doc.is_new(), matches!(doc.content, Content::Editing(_)));
        let from = state.dirs.path(old_dir).ok_or(Error::NotFound)?;
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let naming = Naming::Exactly(name.clone());
        let name = if exactly {
            name.clone()
        } else {
            self.free_name(state, dir, &naming)?
        };
        let (old_file, file) = (old.to_os_string(), name.to_os_string());
        let move_draft = |area| {
            self.local
                .rename_new((area, &from, &old_file), (area, &path, &file))
        };
        if new {
            move_draft(Area::Drafts)?;
        } else {
            let consumes = old.is_pending() && !name.is_pending();
            if consumes && dir == old_dir {
                // The seven days count from now (spec 3.5).
                let done = self.store.consume(&path, &old, &name, self.clock.now())?;
                if done != name {
                    log::warn!("{old}: became {done}, because {name} was there already");
                }
            } else {
                if consumes {
                    self.seven_days_from_now(&from, &old_file)?;
                }
                self.store.rename((&from, &old_file), (&path, &file))?;
            }
            if editing {
                move_draft(Area::Edits)?;
            }
        }
        if name.is_pending() {
            state.aliases.unconsumed(dir, &file);
        }
        self.touch(state, old_dir, &old_file);
        self.touch(state, dir, &file);
        state.docs.rename(id, dir, name);
        state.index.generation += 1;
        Ok(())
    }

    /// Before a pending handoff gets a consumed name: an old mtime would have it expire at once (spec 3.5).
    fn seven_days_from_now(&self, queue: &Path, name: &OsStr) -> Result<()> {
        let file = self.store.open(queue, name, Access::READ)?;
        beneath::set_times(&file, None, Some(self.clock.now()))
    }

    /// A doc takes the place of another; the other's content is kept with the replaced versions (spec 3.9).
    fn rename_over(
        &self,
        state: &mut State,
        id: DocId,
        other: DocId,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        let doc = state.docs.get(id).ok_or(Error::NotFound)?;
        let over = state.docs.get(other).ok_or(Error::NotFound)?;
        if !matches!(
            (&doc.content, &over.content),
            (Content::Stored, Content::Stored)
        ) {
            // One of them is being written: neither may be lost, so both stay.
            let name = over.name.clone();
            self.move_doc(state, id, renaming.to.dir, &name, false)?;
            self.alias_for(state, renaming.to, renaming.caller, id);
            return Ok(());
        }
        let (from_dir, from_name, ino) = (doc.dir, doc.name.to_os_string(), doc.ino);
        let (to_dir, to_name) = (over.dir, over.name.clone());
        let from = state.dirs.path(from_dir).ok_or(Error::NotFound)?;
        let to = state.dirs.path(to_dir).ok_or(Error::NotFound)?;
        if doc.name.is_pending() && !to_name.is_pending() {
            self.seven_days_from_now(&from, &from_name)?;
        }
        self.replace(state, &to, &to_name, (Area::Backing, &from, &from_name))?;
        // What was open or aliased under either is one now.
        state.aliases.retarget(other, id);
        self.doc_gone(state, other);
        state.docs.rename(id, to_dir, to_name.clone());
        if let Some(doc) = state.docs.get_mut(id) {
            doc.ino = ino;
            doc.read_by.clear();
        }
        self.touch(state, from_dir, &from_name);
        self.touch(state, to_dir, &to_name.to_os_string());
        self.alias_for(state, renaming.to, renaming.caller, id);
        Ok(())
    }

    /// A doc stops being a handoff: it is moved to a scratch, backup or ordinary name (spec 4.5).
    fn unmake(
        &self,
        state: &mut State,
        id: DocId,
        area: Area,
        to: Place<'_>,
        caller: Option<&Caller>,
        from: Place<'_>,
    ) -> Result<()> {
        let doc = state.docs.get(id).ok_or(Error::NotFound)?;
        let (dir, name, new) = (doc.dir, doc.name.clone(), doc.is_new());
        let path = state.dirs.path(dir).ok_or(Error::NotFound)?;
        let to_path = state.dirs.path(to.dir).ok_or(Error::NotFound)?;
        let old_area = if new { Area::Drafts } else { Area::Backing };
        let file = name.to_os_string();
        self.local
            .rename((old_area, &path, &file), (area, &to_path, to.name))?;
        if matches!(doc.content, Content::Editing(_)) {
            self.local
                .keep(Area::Edits, &path, &file, self.clock.now())?;
        }
        drop_own(state, to, caller);
        if let Some(caller) = caller {
            state.vacate(caller, from.dir, from.name, Vacation::BackedUp(name));
        }
        self.doc_gone(state, id);
        self.touch(state, dir, &file);
        self.touch(state, to.dir, to.name);
        state.index.generation += 1;
        Ok(())
    }

    /// Whoever reads a snapshot goes on reading this doc's file, whatever it is called from now on.
    pub(super) fn pin_doc(&self, state: &mut State, id: DocId) -> Result<()> {
        if !state.turns.is_read() {
            return Ok(());
        }
        let doc = state.docs.get(id).ok_or(Error::NotFound)?;
        if doc.is_stored() {
            let path = state.dirs.path(doc.dir).ok_or(Error::NotFound)?;
            let (ino, name) = (doc.ino, doc.name.to_os_string());
            let file = Arc::new(self.store.open(&path, &name, Access::READ)?);
            state.turns.pin(ino, &file);
        }
        Ok(())
    }

    fn rename_dir(&self, state: &mut State, dir: DirId, renaming: &Renaming<'_>) -> Result<()> {
        let Renaming {
            from, to, target, ..
        } = renaming;
        if state.dirs.is_within(to.dir, dir) {
            return Err(Error::Invalid);
        }
        match target {
            None if to.name == names::PENDING && state.is_queue(to.dir) => {
                return Err(Error::Exists);
            }
            None => {}
            Some(Object::Dir(other)) => self.remove_dir(state, *other, to.dir, to.name)?,
            Some(_) => return Err(Error::NotDirectory),
        }
        let old = state.dirs.path(from.dir).ok_or(Error::NotFound)?;
        let new = state.dirs.path(to.dir).ok_or(Error::NotFound)?;
        self.local
            .rename_queue((&old, from.name), (&new, to.name), false)?;
        let kind = self.kind_of_dir(state, to.dir, to.name);
        for changed in state.dirs.renamed(dir, to.dir, to.name, kind) {
            state.index.drop_queue(changed);
        }
        self.touch(state, from.dir, from.name);
        self.touch(state, to.dir, to.name);
        state.index.generation += 1;
        Ok(())
    }
}

impl State {
    pub(super) fn is_queue(&self, dir: DirId) -> bool {
        self.dirs.kind(dir) == DirKind::Queue
    }

    /// What was open as a plain file is open as a handoff from now on: it is delivered when its writers are done.
    /// What is written meanwhile may not be durable yet, so their next close sees to it.
    pub(super) fn adopt_handles(&mut self, plain: PlainId, doc: DocId, tid: u32) {
        let mut writers = 0;
        for handle in self.handles.iter_mut() {
            let Open::Plain {
                plain: of,
                file,
                write,
            } = &handle.open
            else {
                continue;
            };
            if *of != plain {
                continue;
            }
            writers += u32::from(*write);
            handle.open = Open::Doc(OpenDoc {
                doc,
                file: file.clone(),
                write: *write,
                dirty: write.then_some(tid),
                writes: 0,
                flushed: false,
            });
        }
        if let Some(doc) = self.docs.get_mut(doc) {
            doc.writers += writers;
        }
    }
}

/// The name means to its session what was renamed to it, and no longer what it was an alias of.
fn drop_own(state: &mut State, name: Place<'_>, caller: Option<&Caller>) {
    if let Some(caller) = caller {
        state.aliases.remove(name.dir, name.name, &caller.session);
    }
}

/// May this name, given to a file, become an alias?
fn needs_alias(state: &State, dir: DirId, name: &OsStr) -> bool {
    state.is_queue(dir)
        && match names::classify(name) {
            NameClass::Stamped(stamped) => stamped.to_os_string() != name,
            NameClass::Unstamped | NameClass::Backup | NameClass::Pending => true,
            _ => false,
        }
}
