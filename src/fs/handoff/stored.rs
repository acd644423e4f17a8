//! The stored file of a [`RegularFile`]: the store has the handoffs, an area has every other file.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::handoff::below::Handoffs;
use crate::fs::handoff::state::{Content, FileName, RegularFile};
use crate::fs::handoff::table::Files;
use crate::fs::ids::FileId;
use crate::fs::queue::cache::Queues;
use crate::store::dirfd::stat_file;
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

    /// stat(2) of the file that [`RegularFile::open_seen`] opens.
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
    /// Is a handoff empty, as its own session sees it?
    pub fn is_empty(&self, queues: &Queues, id: FileId) -> bool {
        let file = self.get(id);
        let meta = file.map(|file| file.stat_seen(queues, file.ino_seen(true)));
        meta.is_some_and(|meta| meta.is_ok_and(|meta| meta.size == 0))
    }
}

impl Handoffs<'_> {
    /// The file has no name any more. The unfinished edit of an ordinary file is kept with the replaced versions, and its
    /// writers go on writing to the kept file.
    pub fn file_gone(&mut self, id: FileId) {
        if let Some(file) = self.files.get(id)
            && !file.is_handoff()
            && let (Content::Editing(_), Ok(path)) = (&file.content, self.queues.path(file.dir))
        {
            let name = file.name.to_os_string();
            if let Err(error) = self.ctx.keep_edit(&path, &name) {
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
