//! rename(2): a table of the kinds of file that may be renamed, and of their targets (spec 4.1, 4.4, 4.5, 4.6, 4.7).

use std::ffi::OsStr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::handoff::below::Pins;
use crate::fs::handoff::queue_names::Naming;
use crate::fs::handoff::state::{Content, FileName, RegularFile};
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::types::Request;
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::name::{check_name, may_become_alias};
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::is_own_name;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, Slug, StampedName};
use crate::session::Caller;
use crate::store::Access;
use crate::store::local::Area;

mod handoff;
mod other;

/// One rename.
struct Renaming<'a> {
    fs: &'a Fs,
    state: &'a mut State,
    request: Request,
    caller: Option<&'a Caller>,
    from: Place<'a>,
    to: Place<'a>,
    /// The meaning of the new name to this caller; `None` where the name is free.
    target: Option<Resolved>,
}

impl Renaming<'_> {
    /// Renames the file or directory that the old name means.
    fn rename(&mut self, source: &Resolved) -> Result<()> {
        let to = self.to;
        if names::classify(to.name) == NameClass::Private && self.state.queues.is_queue(to.dir) {
            return Err(Error::NotPermitted);
        }
        match (source, &self.target) {
            (Resolved::Pending, _) => Ok(()),
            (Resolved::Peek | Resolved::Status, _) => Err(Error::NotPermitted),
            (Resolved::Dir(dir), _) => self.rename_dir(*dir),
            (_, Some(Resolved::Dir(_))) => Err(Error::IsDirectory),
            (Resolved::Other(file), _) => self.rename_other(*file),
            (Resolved::Handoff { doc, own }, Some(Resolved::Handoff { doc: target, .. }))
                if doc == target =>
            {
                if is_another_name(self.state.files.known(*doc)?, to) {
                    // `mv X_done.md X.md`, by the session that finds the handoff under both names.
                    self.target = None;
                    return self.rename_handoff(*doc, *own);
                }
                // `mv X.md X_done.md`: X.md is the session's alias of the consumed handoff, which has the new name already.
                if *own {
                    self.state.drop_alias(self.from, self.caller);
                }
                Ok(())
            }
            (Resolved::Handoff { doc, own }, _) => self.rename_handoff(*doc, *own),
        }
    }

    fn rename_dir(&mut self, dir: DirId) -> Result<()> {
        let (from, to) = (self.from, self.to);
        let state = &mut *self.state;
        if state.queues.dirs.is_within(to.dir, dir) {
            return Err(Error::Invalid);
        }
        match self.target {
            None if to.name == names::PENDING && state.queues.is_queue(to.dir) => {
                return Err(Error::Exists);
            }
            None => {}
            Some(Resolved::Dir(replaced)) => self.fs.remove_dir(state, replaced, to)?,
            Some(_) => return Err(Error::NotDirectory),
        }
        let old = state.queues.path(from.dir)?;
        let new = state.queues.path(to.dir)?;
        state.queues.before_dir_rename(dir)?;
        let local = &self.fs.ctx.local;
        local.rename_queue((&old, from.name), (&new, to.name), false)?;
        state.queues.dir_renamed(dir, to.dir, to.name);
        state
            .queues
            .renamed((from.dir, from.name), (to.dir, to.name));
        Ok(())
    }

    /// The area of the ordinary or scratch file that the rename replaces.
    fn replaced_area(&self) -> Result<Option<Area>> {
        match self.target {
            Some(Resolved::Other(file)) => {
                let name = self.state.files.known(file)?.other();
                Ok(Some(name.map_or(Area::Backing, |(area, _)| area)))
            }
            _ => Ok(None),
        }
    }
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
        let (from, to) = {
            let state = self.lock();
            let place = |parent, name| state.dir(parent).map(|dir| Place { dir, name });
            (place(parent, name)?, place(new_parent, new_name)?)
        };
        let names = [(parent, name), (new_parent, new_name)];
        let caller = self.caller_if(request, &names, |state| {
            let depends_on_caller = |place: Place<'_>| {
                state.aliases.any(place.dir, place.name)
                    || is_own_name(state, place.dir, place.name)
            };
            depends_on_caller(from)
                || depends_on_caller(to)
                || state.is_ordinary_text(from.dir, from.name)
                || may_become_alias(state, to.dir, to.name)
        });
        let caller = caller.as_ref();
        self.inherit(from.dir, name, caller)?;
        self.sync_content(from, to, caller)?;
        let queues: Vec<_> = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let source = state.resolve_own(from.dir, from.name, caller)?;
            self.make_way(state, to.dir, to.name);
            let target = match source {
                Resolved::Dir(_) => state.resolve(to.dir, to.name, caller),
                _ => state.resolve_own(to.dir, to.name, caller),
            };
            let target = match target {
                Ok(Resolved::Pending) | Err(Error::NotFound) => None,
                Ok(Resolved::Peek | Resolved::Status) => return Err(Error::NotPermitted),
                target => Some(target?),
            };
            if flags & libc::RENAME_NOREPLACE != 0 && target.is_some() {
                return Err(Error::Exists);
            }
            // An alias may lie in another directory than its handoff.
            let old_dir = match &source {
                Resolved::Handoff { doc, .. } => Some(state.files.known(*doc)?.dir),
                Resolved::Dir(_) => Some(from.dir),
                _ => None,
            };
            let mut renaming = Renaming {
                fs: self,
                state,
                request,
                caller,
                from,
                to,
                target,
            };
            renaming.rename(&source)?;
            let old_dir = old_dir.filter(|old_dir| *old_dir != to.dir);
            let changed = [Some(to.dir), old_dir].into_iter().flatten();
            changed
                .filter_map(|dir| state.queues.path(dir).ok())
                .collect()
        };
        self.ctx.sync_names(&queues)
    }

    /// Makes the content of an ordinary or scratch file durable, in case the rename publishes the file. The lock is not held:
    /// an fsync takes long.
    fn sync_content(&self, from: Place<'_>, to: Place<'_>, caller: Option<&Caller>) -> Result<()> {
        if !self.ctx.options.sync {
            return Ok(());
        }
        let file = {
            let mut guard = self.lock();
            let state = &mut *guard;
            match state.resolve(from.dir, from.name, caller)? {
                Resolved::Other(file)
                    if state.queues.is_queue(from.dir) || state.queues.is_queue(to.dir) =>
                {
                    let file = state.files.known(file)?;
                    file.open(&state.queues, Access::READ).ok()
                }
                _ => None,
            }
        };
        file.map_or(Ok(()), |file| Ok(file.sync_all()?))
    }

    /// The name of the handoff that a file becomes under this name (spec 3.4, 4.1, 4.5).
    pub(super) fn naming_of(
        &self,
        state: &mut State,
        place: Place<'_>,
        caller: Option<&Caller>,
    ) -> Naming {
        match (names::classify(place.name), caller) {
            (NameClass::Stamped(stamped), _) => Naming::Exactly(stamped),
            (_, Some(caller)) => state.naming_after_release(caller, place.dir, place.name),
            (_, None) => Naming::Stamp(Slug::from_written(place.name)),
        }
    }

    /// The session finds the handoff under the name it wrote, unless that is the stamped name itself.
    pub(super) fn alias_for(
        &self,
        state: &mut State,
        to: Place<'_>,
        caller: Option<&Caller>,
        id: FileId,
    ) {
        let stamped = state.files.get(id).map(|file| file.name.to_os_string());
        if let Some(caller) = caller
            && stamped.as_deref() != Some(to.name)
        {
            state.set_alias(to, caller, id);
        }
    }

    /// Enters a file that was published as a new handoff.
    pub(super) fn enter_published(
        &self,
        state: &mut State,
        dir: DirId,
        name: StampedName,
        ino: u64,
        request: Request,
    ) -> FileId {
        state.queues.changed(dir, &name.to_os_string());
        let made = (request.tid, self.ctx.clock.now());
        state
            .files
            .insert(dir, FileName::Handoff(name), Content::Stored, ino, made)
    }
}

impl State {
    /// Drops the session's alias of this name.
    pub(super) fn drop_alias(&mut self, place: Place<'_>, caller: Option<&Caller>) {
        if let Some(caller) = caller {
            let Place { dir, name } = place;
            self.aliases.remove(dir, name, &caller.session);
        }
    }

    /// A handoff is about to be renamed or consumed: readers of a snapshot go on reading its file.
    pub(super) fn pin_handoff(&mut self, id: FileId) -> Result<()> {
        let handoff = self.files.known(id)?;
        if self.readers.is_read() && handoff.is_stored() {
            let file = Arc::new(handoff.open(&self.queues, Access::READ)?);
            self.readers.pin(handoff.ino, &file);
        }
        Ok(())
    }

    /// The open handles of a scratch or ordinary file become handles of the handoff that the file was published as. Their writers
    /// may have written data that is not durable yet, so their next close makes it durable.
    pub(super) fn adopt_handles(&mut self, from: FileId, to: FileId, tid: u32) {
        let mut writers = 0;
        for open in self.handles.files_mut().filter(|open| open.id == from) {
            open.id = to;
            if open.write {
                open.dirty = Some(tid);
                writers += 1;
            }
        }
        if let Some(file) = self.files.get_mut(from) {
            file.writers = 0;
        }
        if let Some(handoff) = self.files.get_mut(to) {
            handoff.writers += writers;
        }
        if writers > 0 {
            // The RELEASE of a writer that has closed just before the rename may be on its way.
            self.closing(to);
        }
    }
}

/// Is this a stamped name other than the handoff's own?
fn is_another_name(handoff: &RegularFile, to: Place<'_>) -> bool {
    StampedName::parse(to.name).is_some_and(|stamped| {
        (handoff.dir, &handoff.name) != (to.dir, &FileName::Handoff(stamped))
    })
}
