//! Beginning drafts, and dropping those that came to nothing.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::ctx::Ctx;
use crate::fs::handoff::below::Handoffs;
use crate::fs::handoff::free_name::Naming;
use crate::fs::handoff::state::{Content, Draft, FileName, Origin, Progress};
use crate::fs::ids::{DirId, FileId};
use crate::fs::inode::types::Request;
use crate::names::{Slug, StampedName};
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;
use crate::store::{Access, Meta};

impl Ctx {
    /// Fills a file that was made just now. A file that cannot be filled is removed: half a copy is no file, and takes
    /// room that is wanted.
    pub fn filled(
        &self,
        file: &File,
        (area, path, name): (Area, &Path, &OsStr),
        fill: impl FnOnce() -> Result<()>,
    ) -> Result<Meta> {
        let filled = fill().and_then(|()| stat_file(file));
        if filled.is_err() {
            let _ = self.local.remove(area, path, name);
        }
        filled
    }
}

impl Handoffs<'_> {
    /// A new, empty handoff, listed from now on (spec 4.1, 4.2).
    pub fn new_draft(
        &mut self,
        request: Request,
        dir: DirId,
        naming: &Naming,
        mode: u32,
    ) -> Result<FileId> {
        let id = self.reserve_draft(request, dir, naming, mode)?;
        self.files.known_mut(id)?.claimed();
        Ok(id)
    }

    /// A new, empty handoff for an open that is to come. Until then the handoff is not listed.
    pub fn reserve_draft(
        &mut self,
        request: Request,
        dir: DirId,
        naming: &Naming,
        mode: u32,
    ) -> Result<FileId> {
        let path = self.queues.path(dir)?;
        let (base, exactly) = self.ctx.base_name(naming);
        for n in 1.. {
            let name = base.with_suffix(n);
            let file_name = name.to_os_string();
            if !self
                .files
                .is_free(self.queues, dir, &path, &name, exactly)?
            {
                if exactly {
                    return Err(Error::Exists);
                }
                continue;
            }
            let file = match self.ctx.local.create(Area::Drafts, &path, &file_name, mode) {
                Err(Error::Exists) => continue,
                file => Arc::new(file?),
            };
            let made = (Area::Drafts, path.as_path(), file_name.as_os_str());
            let meta = self.ctx.filled(&file, made, || self.ctx.admit(&file))?;
            let draft = Draft {
                file,
                ino: meta.ino,
                progress: Progress::Untouched,
                writers: 0,
                of_consumed: false,
            };
            return Ok(self.files.insert(
                dir,
                FileName::Handoff(name),
                Content::Reserved(draft),
                meta.ino,
                (request.tid, self.ctx.clock.now()),
            ));
        }
        Err(Error::Exists)
    }

    /// A new handoff under an alias that this session has already, for the open that follows (spec 4.1). With
    /// `copy`, it begins with the bytes of the old one.
    pub fn fork(
        &mut self,
        request: Request,
        dir: DirId,
        slug: Slug,
        old: FileId,
        copy: bool,
    ) -> Result<FileId> {
        let doc = self.files.known(old)?;
        let view = doc.view;
        let file = doc.open_seen(self.queues, doc.ino_seen(true), Access::READ)?;
        let meta = stat_file(&*file)?;
        let new = self.reserve_draft(request, dir, &Naming::Stamp(slug), meta.mode)?;
        let doc = self.files.known_mut(new)?;
        doc.view = view;
        if copy {
            doc.handoff.origin = Origin::CopyOf(old);
            self.fill_draft(new, &file)?;
        }
        Ok(new)
    }

    /// Copies a file into a new draft. Half a copy is dropped.
    pub fn fill_draft(&mut self, id: FileId, from: &File) -> Result<()> {
        let Some(draft) = self.files.known(id)?.draft() else {
            return Ok(());
        };
        let copied = self.ctx.local.with_room(|| dirfd::copy(from, &draft.file));
        if copied.is_err() {
            self.drop_draft(id);
        }
        copied
    }

    /// Begins an edit: a draft of new content for a stored handoff or ordinary file (spec 3.6, 4.4). With `copy`, the draft
    /// begins with the old content.
    pub fn begin_edit(&mut self, id: FileId, copy: bool) -> Result<()> {
        let doc = self.files.known(id)?;
        let path = self.queues.path(doc.dir)?;
        let (name, of_consumed) = (doc.name.to_os_string(), !doc.name.is_pending());
        // The stored file is not written, but its mode may forbid that; and without a copy it need not be readable.
        let access = Access {
            read: copy,
            write: true,
        };
        let (stored, meta) = self.ctx.store.open_known(&path, &name, access)?;
        let file = match self.ctx.local.create(Area::Edits, &path, &name, meta.mode) {
            Err(Error::Exists) => {
                // An earlier edit could not be published and has left its draft.
                self.ctx
                    .local
                    .keep(Area::Edits, &path, &name, self.ctx.clock.now())?;
                self.ctx
                    .local
                    .create(Area::Edits, &path, &name, meta.mode)?
            }
            file => file?,
        };
        let stored_ino = meta.ino;
        let filled = self.ctx.filled(&file, (Area::Edits, &path, &name), || {
            self.ctx.admit(&file)?;
            match copy {
                true => self.ctx.local.with_room(|| dirfd::copy(&stored, &file)),
                false => Ok(()),
            }
        })?;
        let draft = Draft {
            ino: filled.ino,
            file: Arc::new(file),
            progress: match copy {
                true => Progress::Untouched,
                false => Progress::Written,
            },
            writers: 0,
            of_consumed,
        };
        let doc = self.files.known_mut(id)?;
        doc.content = Content::Editing(draft);
        if !doc.is_handoff() {
            doc.seen.get_or_insert(stored_ino);
        }
        Ok(())
    }

    /// Removes a draft that nobody has open for writing. A new handoff is gone with it, an edited file is as it was.
    pub fn drop_draft(&mut self, id: FileId) {
        let Some(doc) = self.files.get(id) else {
            return;
        };
        if doc.draft().is_none() || doc.writers > 0 {
            return;
        }
        let new = doc.is_new();
        if let Ok(path) = self.queues.path(doc.dir) {
            let _ = self
                .ctx
                .local
                .remove(doc.draft_area(), &path, &doc.name.to_os_string());
        }
        if new {
            self.file_gone(id);
        } else if let Some(doc) = self.files.get_mut(id) {
            doc.content = Content::Stored;
            self.let_go_file(id);
        }
    }

    /// A stored file has another name now. An edit that is under way goes with it, so that it is found when it is
    /// published, and after a crash.
    pub fn file_renamed(&mut self, id: FileId, dir: DirId, name: FileName) {
        if let Some(doc) = self.files.get(id)
            && matches!(doc.content, Content::Editing(_))
            && let (Ok(from), Ok(to)) = (self.queues.path(doc.dir), self.queues.path(dir))
        {
            let old = doc.name.to_os_string();
            let moved = self.ctx.local.rename_new(
                (Area::Edits, &from, &old),
                (Area::Edits, &to, &name.to_os_string()),
            );
            if let Err(error) = moved {
                log::error!(
                    "{}: its unfinished edit cannot follow it to {} ({error}); it stays with the drafts and is recovered at the next mount",
                    from.join(&old).display(),
                    name.to_os_string().display()
                );
            }
        }
        self.files.rename(id, dir, name);
    }

    /// The mount has renamed a file, or the draft of a new handoff.
    pub fn moved(&mut self, id: FileId, dir: DirId, name: FileName) {
        if let Some(file) = self.files.get(id) {
            let (old_dir, old_name) = (file.dir, file.name.to_os_string());
            let new_name = name.to_os_string();
            self.queues.renamed((old_dir, &old_name), (dir, &new_name));
        }
        self.file_renamed(id, dir, name);
    }

    /// Makes a consumed handoff pending again, under its next free pending name.
    /// Answers that name, and its directory.
    pub fn unconsume(&mut self, id: FileId) -> Result<(DirId, StampedName)> {
        let doc = self.files.known(id)?;
        let (dir, done) = (doc.dir, doc.stamped()?.clone());
        let pending = self
            .queues
            .move_free(dir, &done.to_os_string(), &done.pending())?;
        if let Ok(path) = self.queues.path(dir) {
            self.ctx.pending_again(&path, &pending);
        }
        self.moved(id, dir, FileName::Handoff(pending.clone()));
        Ok((dir, pending))
    }
}
