//! The stored file behind a [`RegularFile`]: handoffs lie in the store, all other files in their area.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::handoff::state::{Content, FileName, RegularFile};
use crate::fs::ids::FileId;
use crate::fs::state::{Fs, State};
use crate::store::dirfd::stat_file;
use crate::store::local::Area;
use crate::store::{Access, Meta};

impl Fs {
    pub(in crate::fs) fn open_stored(
        &self,
        state: &State,
        file: &RegularFile,
        access: Access,
    ) -> Result<File> {
        let path = state.queues.path(file.dir)?;
        match &file.name {
            FileName::Handoff(name) => self.ctx.store.open(&path, &name.to_os_string(), access),
            FileName::Other(area, name) => self.ctx.local.open_file(*area, &path, name, access),
        }
    }

    pub(in crate::fs) fn stat_stored(&self, state: &State, file: &RegularFile) -> Result<Meta> {
        let path = state.queues.path(file.dir)?;
        match &file.name {
            FileName::Handoff(name) => self.ctx.store.stat(&path, &name.to_os_string()),
            FileName::Other(area, name) => self.ctx.local.stat(*area, &path, name),
        }
    }

    /// The draft or the stored file, whichever has this inode number.
    pub(in crate::fs) fn open_seen(
        &self,
        state: &State,
        file: &RegularFile,
        ino: u64,
        access: Access,
    ) -> Result<Arc<File>> {
        if let Some(draft) = file.draft().filter(|draft| draft.ino == ino) {
            return Ok(draft.file.clone());
        }
        if file.is_gone() {
            return Err(Error::Stale);
        }
        self.open_stored(state, file, access).map(Arc::new)
    }

    /// What stat(2) says of what [`Fs::open_seen`] opens.
    pub(in crate::fs) fn stat_seen(
        &self,
        state: &State,
        file: &RegularFile,
        ino: u64,
    ) -> Result<Meta> {
        if let Some(draft) = file.draft().filter(|draft| draft.ino == ino) {
            return stat_file(&*draft.file);
        }
        if file.is_gone() {
            return Err(Error::NotFound);
        }
        self.stat_stored(state, file)
    }

    /// Has a handoff, as its own session sees it, not a byte?
    pub(in crate::fs) fn is_empty(&self, state: &State, id: FileId) -> bool {
        let Some(file) = state.files.get(id) else {
            return false;
        };
        let meta = match file.draft() {
            Some(draft) => stat_file(&*draft.file),
            None => self.stat_stored(state, file),
        };
        meta.is_ok_and(|meta| meta.size == 0)
    }

    /// The file has no name any more. An edit of an ordinary file that is under way is kept with the replaced versions,
    /// and its writers go on writing to that.
    pub(in crate::fs) fn file_gone(&self, state: &mut State, id: FileId) {
        if let Some(file) = state.files.get(id)
            && !file.is_handoff()
            && let (Content::Editing(_), Ok(path)) = (&file.content, state.queues.path(file.dir))
        {
            let name = file.name.to_os_string();
            if let Err(error) = self
                .ctx
                .local
                .keep(Area::Edits, &path, &name, self.ctx.clock.now())
            {
                log::warn!(
                    "{}: the edit that was not finished stays with the edits ({error})",
                    path.join(&name).display()
                );
            }
        }
        state.nodes.detach_file(id);
        state.files.gone(id);
        self.let_go_file(state, id);
    }

    /// Forgets a file that nothing refers to any more.
    pub(in crate::fs) fn let_go_file(&self, state: &mut State, id: FileId) {
        let idle = state.files.get(id).is_some_and(|file| {
            file.writers == 0
                && match file.content {
                    Content::Stored => !file.handoff.aliased,
                    Content::Gone => true,
                    Content::Reserved(_) | Content::New(_) | Content::Editing(_) => false,
                }
        });
        if idle && !state.nodes.has_file(id) {
            state.files.remove(id);
        }
    }
}

impl State {
    /// The key of every cached merge: another number whenever a file or a name has changed.
    pub(in crate::fs) fn generation(&self) -> u64 {
        self.queues.generation + self.files.generation()
    }
}
