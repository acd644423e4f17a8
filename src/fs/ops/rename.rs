//! rename(2): the table of what becomes what (spec 4.1, 4.4, 4.5, 4.6, 4.7).

use std::ffi::OsStr;

use crate::error::{Error, Result};
use crate::fs::handoff::state::FileName;
use crate::fs::ids::{DirId, FileId, NodeId};
use crate::fs::inode::types::Request;
use crate::fs::queue::dirs::Place;
use crate::fs::resolve::name::{check_name, may_become_alias};
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::is_own_name;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, StampedName};
use crate::session::Caller;
use crate::store::Access;

mod handoff;
mod other;

/// One rename, before anything is changed.
struct Renaming<'a> {
    request: Request,
    caller: Option<&'a Caller>,
    from: Place<'a>,
    to: Place<'a>,
    /// What the new name means now, to this caller.
    target: Option<Resolved>,
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
        let names = [(parent, name), (new_parent, new_name)];
        let caller = self.caller_if(request, &names, |state| {
            let (Ok(dir), Ok(new_dir)) = (state.dir(parent), state.dir(new_parent)) else {
                return false;
            };
            state.aliases.any(dir, name)
                || state.aliases.any(new_dir, new_name)
                || state.is_ordinary_text(dir, name)
                || may_become_alias(state, new_dir, new_name)
                || is_own_name(state, dir, name)
                || is_own_name(state, new_dir, new_name)
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
        self.inherit(dir, name, caller.as_ref())?;
        // The content that a rename publishes must be durable first. An fsync takes long, so the lock is not held.
        self.sync_scratch(from, to, caller.as_ref())?;
        let queues: Vec<_> = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let source = state.resolve_own(dir, name, caller.as_ref())?;
            self.make_way(state, new_dir, new_name);
            let target = match source {
                Resolved::Dir(_) => state.resolve(new_dir, new_name, caller.as_ref()),
                _ => state.resolve_own(new_dir, new_name, caller.as_ref()),
            };
            let target = match target {
                Ok(Resolved::Pending) | Err(Error::NotFound) => None,
                Ok(Resolved::Peek | Resolved::Status) => return Err(Error::NotPermitted),
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
            // The directories whose names are made durable. An alias may lie in another directory than its handoff.
            let whence = match &source {
                Resolved::Handoff { doc, .. } => state.files.get(*doc).map(|doc| doc.dir),
                Resolved::Dir(_) => Some(dir),
                _ => None,
            };
            self.rename_object(state, &source, &renaming)?;
            let whence = whence.filter(|whence| *whence != new_dir);
            let dirs = [Some(new_dir), whence].into_iter().flatten();
            dirs.filter_map(|dir| state.queues.path(dir).ok()).collect()
        };
        self.ctx.sync_names(&queues)
    }

    fn rename_object(
        &self,
        state: &mut State,
        source: &Resolved,
        renaming: &Renaming<'_>,
    ) -> Result<()> {
        if names::classify(renaming.to.name) == NameClass::Private
            && state.queues.is_queue(renaming.to.dir)
        {
            return Err(Error::NotPermitted);
        }
        match (source, &renaming.target) {
            (Resolved::Pending, _) => Ok(()),
            (Resolved::Peek | Resolved::Status, _) => Err(Error::NotPermitted),
            (Resolved::Dir(dir), _) => self.rename_dir(state, *dir, renaming),
            (_, Some(Resolved::Dir(_))) => Err(Error::IsDirectory),
            (Resolved::Other(plain), _) => self.rename_other(state, *plain, renaming),
            (Resolved::Handoff { doc, own }, Some(Resolved::Handoff { doc: other, .. }))
                if doc == other =>
            {
                if self.is_another_name(state, *doc, renaming.to) {
                    // `mv X_done.md X.md`, by the session that finds the handoff under both names.
                    let renaming = Renaming {
                        target: None,
                        ..*renaming
                    };
                    return self.rename_handoff(state, *doc, *own, &renaming);
                }
                // `mv X.md X_done.md`, where X.md is the alias of what was consumed, and so has that name already.
                self.drop_alias(state, *own, renaming);
                Ok(())
            }
            (Resolved::Handoff { doc, own }, _) => self.rename_handoff(state, *doc, *own, renaming),
        }
    }

    /// Is this a stamped name, and another one than the handoff's own?
    fn is_another_name(&self, state: &State, id: FileId, to: Place<'_>) -> bool {
        let stamped = StampedName::parse(to.name);
        let doc = state.files.get(id);
        stamped.zip(doc).is_some_and(|(stamped, doc)| {
            (doc.dir, &doc.name) != (to.dir, &FileName::Handoff(stamped))
        })
    }

    /// Makes a scratch or ordinary file's content durable, in case the rename publishes it.
    fn sync_scratch(&self, from: Place<'_>, to: Place<'_>, caller: Option<&Caller>) -> Result<()> {
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
        match file {
            Some(file) => Ok(file.sync_all()?),
            None => Ok(()),
        }
    }

    /// The session finds the handoff under the name it wrote, unless that is the stamped name itself.
    pub(in crate::fs) fn alias_for(
        &self,
        state: &mut State,
        to: Place<'_>,
        caller: Option<&Caller>,
        doc: FileId,
    ) {
        let Some(caller) = caller else {
            return;
        };
        let stamped = state.files.get(doc).map(|doc| doc.name.to_os_string());
        if stamped.as_deref() != Some(to.name) {
            state.set_alias(to, caller, doc);
        }
    }

    fn drop_alias(&self, state: &mut State, own: bool, renaming: &Renaming<'_>) {
        if let (true, Some(caller)) = (own, renaming.caller) {
            let from = renaming.from;
            state.aliases.remove(from.dir, from.name, &caller.session);
        }
    }

    fn rename_dir(&self, state: &mut State, dir: DirId, renaming: &Renaming<'_>) -> Result<()> {
        let Renaming {
            from, to, target, ..
        } = renaming;
        if state.queues.dirs.is_within(to.dir, dir) {
            return Err(Error::Invalid);
        }
        match target {
            None if to.name == names::PENDING && state.queues.is_queue(to.dir) => {
                return Err(Error::Exists);
            }
            None => {}
            Some(Resolved::Dir(other)) => self.remove_dir(state, *other, to.dir, to.name)?,
            Some(_) => return Err(Error::NotDirectory),
        }
        let old = state.queues.path(from.dir)?;
        let new = state.queues.path(to.dir)?;
        state.queues.before_dir_rename(dir)?;
        self.ctx
            .local
            .rename_queue((&old, from.name), (&new, to.name), false)?;
        state.queues.dir_renamed(dir, to.dir, to.name);
        state.queues.changed(from.dir, from.name);
        state.queues.changed(to.dir, to.name);
        state.queues.generation += 1;
        Ok(())
    }
}

impl State {
    /// Handles of a scratch or ordinary file are handles of a handoff from now on, which is delivered when its writers are
    /// done. What is written meanwhile may not be durable yet, so their next close sees to it.
    pub(in crate::fs) fn adopt_handles(&mut self, from: FileId, to: FileId, tid: u32) {
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
            // Writers that have closed just before the rename: their RELEASE is on its way.
            self.closing(to);
        }
    }
}

/// The session's alias of this name ends: another file has the name now.
fn drop_own(state: &mut State, name: Place<'_>, caller: Option<&Caller>) {
    if let Some(caller) = caller {
        state.aliases.remove(name.dir, name.name, &caller.session);
    }
}
