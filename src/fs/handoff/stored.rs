//! The stored file behind a [`RegularFile`]: handoffs lie in the store, all other files in their area.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::handoff::below::Handoffs;
use crate::fs::handoff::state::{Content, FileName, RegularFile};
use crate::fs::handoff::table::Files;
use crate::fs::ids::FileId;
use crate::fs::queue::cache::Queues;
use crate::store::dirfd::stat_file;
use crate::store::local::Area;
use crate::store::{Access, Meta};

impl RegularFile {
    /// Opens the stored file.
    pub fn open(&self, queues: &Queues, access: Access) -> Result<File> {
        let path = queues.path(self.dir)?;
        match &self.name {
            FileName::Handoff(name) => queues.ctx.store.open(&path, &name.to_os_string(), access),
            FileName::Other(area, name) => queues.ctx.local.open_file(*area, &path, name, access),
        }
    }

    /// stat(2) of the stored file.
    pub fn stat(&self, queues: &Queues) -> Result<Meta> {
        let path = queues.path(self.dir)?;
        match &self.name {
            FileName::Handoff(name) => queues.ctx.store.stat(&path, &name.to_os_string()),
            FileName::Other(area, name) => queues.ctx.local.stat(*area, &path, name),
        }
    }

    /// The draft or the stored file, whichever has this inode number.
    pub fn open_seen(&self, queues: &Queues, ino: u64, access: Access) -> Result<Arc<File>> {
        if let Some(draft) = self.draft().filter(|draft| draft.ino == ino) {
            return Ok(draft.file.clone());
        }
        if self.is_gone() {
            return Err(Error::Stale);
        }
        self.open(queues, access).map(Arc::new)
    }

    /// What stat(2) says of what [`RegularFile::open_seen`] opens.
    pub fn stat_seen(&self, queues: &Queues, ino: u64) -> Result<Meta> {
        if let Some(draft) = self.draft().filter(|draft| draft.ino == ino) {
            return stat_file(&*draft.file);
        }
        if self.is_gone() {
            return Err(Error::NotFound);
        }
        self.stat(queues)
    }
}

impl Files {
    /// Has a handoff, as its own session sees it, not a byte?
    pub fn is_empty(&self, queues: &Queues, id: FileId) -> bool {
        let Some(file) = self.get(id) else {
            return false;
        };
        let meta = match file.draft() {
            Some(draft) => stat_file(&*draft.file),
            None => file.stat(queues),
        };
        meta.is_ok_and(|meta| meta.size == 0)
    }
}

impl Handoffs<'_> {
    /// The file has no name any more. An edit of an ordinary file that is under way is kept with the replaced versions,
    /// and its writers go on writing to that.
    pub fn file_gone(&mut self, id: FileId) {
        if let Some(file) = self.files.get(id)
            && !file.is_handoff()
            && let (Content::Editing(_), Ok(path)) = (&file.content, self.queues.path(file.dir))
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
        self.files.gone(id);
        self.let_go_file(id);
    }

    /// Forgets a file that nothing refers to any more.
    pub fn let_go_file(&mut self, id: FileId) {
        let idle = self.files.get(id).is_some_and(|file| {
            file.writers == 0
                && match file.content {
                    Content::Stored => !file.handoff.aliased,
                    Content::Gone => true,
                    Content::Reserved(_) | Content::New(_) | Content::Editing(_) => false,
                }
        });
        if idle && !self.nodes.has_file(id) {
            self.files.remove(id);
        }
    }
}
