//! What a name means to a caller.

use std::ffi::OsStr;

use crate::error::{Error, Result};
use crate::fs::handoff::state::{Content, FileName};
use crate::fs::ids::{DirId, FileId};
use crate::fs::resolve::resolved::Resolved;
use crate::fs::resolve::scratch::own_area;
use crate::fs::state::{Fs, State};
use crate::names::{self, NameClass, StampedName};
use crate::session::Caller;
use crate::store::Kind;
use crate::store::local::Area;

/// The longest name of a file, in bytes.
const NAME_MAX: usize = 255;

/// ENAMETOOLONG for a name that is too long.
pub fn check_name(name: &OsStr) -> Result<()> {
    if name.len() > NAME_MAX {
        return Err(Error::NameTooLong);
    }
    Ok(())
}

/// EEXIST if a look-up has found anything.
pub fn must_be_free(found: &Result<Resolved>) -> Result<()> {
    match found {
        Ok(_) => Err(Error::Exists),
        Err(Error::NotFound) => Ok(()),
        Err(error) => Err(*error),
    }
}

/// Can this name become an alias of the file that is created under it or renamed to it?
pub fn may_become_alias(state: &State, dir: DirId, name: &OsStr) -> bool {
    state.queues.is_queue(dir)
        && match names::classify(name) {
            NameClass::Stamped(stamped) => stamped.to_os_string() != name,
            class => class.gets_stamp() || class == NameClass::Pending,
        }
}

/// Where a queue keeps a file that is renamed to this name. `None` where the name makes a handoff of the file.
pub fn area_of_name(name: &OsStr, caller: Option<&Caller>) -> Option<Area> {
    match names::classify(name) {
        NameClass::Scratch => Some(caller.map_or(Area::Scratch, own_area)),
        NameClass::SharedScratch => Some(Area::Scratch),
        NameClass::Hidden | NameClass::Ordinary | NameClass::Backup => Some(Area::Backing),
        _ => None,
    }
}

/// As [`area_of_name`], for a file that is made or linked: then the name of a backup makes a handoff.
pub fn area_of_new_name(name: &OsStr, caller: Option<&Caller>) -> Option<Area> {
    match names::classify(name) {
        NameClass::Backup => None,
        _ => area_of_name(name, caller),
    }
}

impl Fs {
    /// Called before a name is given to a file. An expired handoff that still has the name, though hidden (spec 7.1), is
    /// deleted now and not at the next sweep.
    pub(in crate::fs) fn make_way(&self, state: &mut State, dir: DirId, name: &OsStr) {
        let stamped = match names::classify(name) {
            NameClass::Stamped(stamped) if !stamped.is_pending() && state.queues.is_queue(dir) => {
                stamped
            }
            _ => return,
        };
        let Ok(path) = state.queues.path(dir) else {
            return;
        };
        let name = stamped.to_os_string();
        let expired = self
            .ctx
            .store
            .stat(&path, &name)
            .and_then(|meta| state.files.may_delete(&state.queues, dir, &stamped, &meta));
        if expired == Ok(true) {
            self.pin_file(state, &path, &name);
            if self.ctx.store.remove(&path, &name).is_err() {
                return;
            }
            if let Some(id) = state.files.named(dir, &stamped) {
                state.handoffs().file_gone(id);
            }
            state.queues.changed(dir, &name);
        }
    }
}

impl State {
    /// What a name means to this caller. Without a caller, no name is taken for an alias.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the name means nothing to the caller.
    pub fn resolve(
        &mut self,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Resolved> {
        if !self.queues.is_queue(dir) {
            return self.resolve_backing(dir, name);
        }
        match names::classify(name) {
            NameClass::Pending => Ok(Resolved::Pending),
            NameClass::Peek => Ok(Resolved::Peek),
            NameClass::Status if dir == DirId::ROOT => Ok(Resolved::Status),
            NameClass::Private => Err(Error::NotFound),
            // A stamped name with another extension is an alias, an old file, or a directory.
            NameClass::Stamped(stamped) if stamped.to_os_string() == name => {
                match self.resolve_stamped(dir, &stamped) {
                    Err(error) if error.is_absence() => {
                        self.resolve_alias(dir, name, caller)?.ok_or(error)
                    }
                    found => found,
                }
            }
            class => {
                if let Some(handoff) = self.resolve_alias(dir, name, caller)? {
                    return Ok(handoff);
                }
                match self.resolve_backing(dir, name) {
                    // rsync's temporary files have hidden names.
                    Err(Error::NotFound) if class.is_scratch() || class == NameClass::Hidden => {
                        self.resolve_scratch(dir, name, caller)
                    }
                    found => found,
                }
            }
        }
    }

    fn resolve_stamped(&mut self, dir: DirId, stamped: &StampedName) -> Result<Resolved> {
        let known = self.files.named(dir, stamped);
        let file = known.and_then(|id| self.files.get(id));
        let content = file.map(|file| &file.content);
        if let (Some(id), Some(Content::New(_))) = (known, content) {
            return Ok(Resolved::Handoff {
                doc: id,
                own: false,
            });
        }
        let is_stored = matches!(content, Some(Content::Stored));
        let name = stamped.to_os_string();
        let path = self.queues.path(dir)?;
        let meta = match self.ctx.store.stat(&path, &name) {
            Ok(meta) => meta,
            Err(error) => {
                // The file was removed below the mount.
                if let Some(id) = known.filter(|_| is_stored && error.is_absence()) {
                    self.handoffs().file_gone(id);
                }
                return Err(error);
            }
        };
        match meta.kind {
            Kind::File if !self.ctx.is_expired(stamped, meta.mtime) => {
                let name = FileName::Handoff(stamped.clone());
                Ok(Resolved::Handoff {
                    doc: self.files.stored(dir, name, meta.ino),
                    own: false,
                })
            }
            Kind::Directory => self.resolve_backing(dir, &name),
            Kind::File | Kind::Other => Err(Error::NotFound),
        }
    }

    fn resolve_alias(
        &mut self,
        dir: DirId,
        name: &OsStr,
        caller: Option<&Caller>,
    ) -> Result<Option<Resolved>> {
        let Some(session) = caller.map(|caller| &caller.session) else {
            return Ok(None);
        };
        if let Some(id) = self.aliases.written(dir, name, session)
            && self.is_there(id)?
        {
            return Ok(Some(Resolved::Handoff { doc: id, own: true }));
        }
        let Some(consumed) = self.aliases.consumed(dir, name, session).cloned() else {
            return Ok(None);
        };
        match self.resolve_stamped(dir, &consumed) {
            Ok(Resolved::Handoff { doc, .. }) => Ok(Some(Resolved::Handoff { doc, own: true })),
            Err(error) if !error.is_absence() => Err(error),
            _ => Ok(None),
        }
    }

    /// Does this handoff still have a file? The file may have been removed, renamed or consumed below the mount.
    fn is_there(&mut self, id: FileId) -> Result<bool> {
        let Some(file) = self.files.get(id) else {
            return Ok(false);
        };
        let Ok(path) = self.queues.path(file.dir) else {
            return Ok(false);
        };
        let (dir, name) = (file.dir, file.stamped()?.clone());
        if !matches!(file.content, Content::Stored) {
            // A consumed handoff expires also while it is edited (spec 7.1).
            let may_expire = file.is_stored() && !name.is_pending();
            let expired = may_expire
                && match self.ctx.store.stat(&path, &name.to_os_string()) {
                    Ok(meta) => self.ctx.is_expired(&name, meta.mtime),
                    Err(error) => error.is_absence(),
                };
            return Ok(!file.is_gone() && !expired);
        }
        for name in [name.clone(), name.consumed(), name.pending()] {
            let meta = match self.ctx.store.stat(&path, &name.to_os_string()) {
                Ok(meta) => meta,
                Err(error) if error.is_absence() => continue,
                Err(error) => return Err(error),
            };
            let owner = self.files.named(dir, &name);
            if meta.kind != Kind::File
                || self.ctx.is_expired(&name, meta.mtime)
                || owner.is_some_and(|owner| owner != id)
            {
                continue;
            }
            if owner.is_none() {
                self.files.rename(id, dir, FileName::Handoff(name));
            }
            self.files.note_mut(id)?.ino = meta.ino;
            return Ok(true);
        }
        self.handoffs().file_gone(id);
        Ok(false)
    }

    /// An ordinary file or a directory, as it lies in the backing directory.
    fn resolve_backing(&mut self, dir: DirId, name: &OsStr) -> Result<Resolved> {
        let path = self.queues.path(dir)?;
        if dir == DirId::ROOT && name == names::PRIVATE {
            return Err(Error::NotFound);
        }
        let mut meta = self.ctx.local.stat(Area::Backing, &path, name)?;
        if meta.kind == Kind::File && self.queues.is_stray(dir, name) {
            // This adopts the stray if it is finished. Until then the name must not be found: a writer would overwrite the stray.
            self.queues.load_names(dir)?;
            meta = self.ctx.local.stat(Area::Backing, &path, name)?;
            if meta.kind == Kind::File && self.queues.is_stray(dir, name) {
                return Err(Error::NotFound);
            }
        }
        match meta.kind {
            Kind::File => {
                let name = FileName::Other(Area::Backing, name.to_owned());
                Ok(Resolved::Other(self.files.stored(dir, name, meta.ino)))
            }
            Kind::Directory => Ok(Resolved::Dir(self.queues.enter_dir(dir, name, meta.ino)?)),
            Kind::Other => Err(Error::NotFound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec 3.4b, 3.6k, 4.5f, 4.6a: the name tells where a queue keeps a file, and a backup is one only after a rename.
    #[test]
    fn where_a_queue_keeps_a_file() {
        let (backing, scratch) = (Some(Area::Backing), Some(Area::Scratch));
        for (name, renamed, made) in [
            ("notes.md", None, None),
            ("pending.md", None, None),
            ("2026-01-15_103000_x.md", None, None),
            ("notes.md.bak", backing, None),
            ("2026-01-15_103000_state.json", backing, backing),
            (".gitignore", backing, backing),
            ("notes.md.tmp", scratch, scratch),
            ("notes.md.lock", scratch, scratch),
        ] {
            let name = OsStr::new(name);
            assert_eq!(area_of_name(name, None), renamed, "{name:?}");
            assert_eq!(area_of_new_name(name, None), made, "{name:?}");
        }
    }
}
