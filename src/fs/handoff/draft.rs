//! Beginning, filling, renaming and dropping drafts.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::ctx::Ctx;
use crate::fs::handoff::below::Handoffs;
use crate::fs::handoff::queue_names::Naming;
use crate::fs::handoff::state::{Content, Draft, FileName, Origin, Progress};
use crate::fs::ids::{DirId, FileId};
use crate::fs::inode::types::Request;
use crate::names::{Slug, StampedName};
use crate::store::area::AreaFile;
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;
use crate::store::{Access, Meta};

impl Ctx {
    /// Fills a file that was made just now. A file that cannot be filled is removed, so that no half copy is left.
    pub fn filled(
        &self,
        file: &File,
        (area, path, name): AreaFile<'_>,
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
    /// Begins a new, empty handoff, which is listed from now on (spec 4.1, 4.2).
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

    /// Begins a new, empty handoff for an open that is to come. Until that open the handoff is not listed.
    pub fn reserve_draft(
        &mut self,
        request: Request,
        dir: DirId,
        naming: &Naming,
        mode: u32,
    ) -> Result<FileId> {
        let path = self.queues.path(dir)?;
        let (base, exactly) = self.ctx.base_name(naming);
        let mut n = 0;
        let (name, file) = loop {
            n += 1;
            let name = base.with_suffix(n);
            match self
                .files
                .is_free(self.queues, dir, &path, &name, exactly)?
            {
                true => {}
                false if exactly => return Err(Error::Exists),
                false => continue,
            }
            let file_name = name.to_os_string();
            match self.ctx.local.create(Area::Drafts, &path, &file_name, mode) {
                Err(Error::Exists) => {}
                file => break (name, Arc::new(file?)),
            }
        };
        let file_name = name.to_os_string();
        let made = (Area::Drafts, path.as_path(), file_name.as_os_str());
        let meta = self.ctx.filled(&file, made, || self.ctx.admit(&file))?;
        let draft = Draft::new(file, meta.ino, Progress::Untouched);
        let made_by = (request.tid, self.ctx.clock.now());
        let content = Content::Reserved(draft);
        let name = FileName::Handoff(name);
        Ok(self.files.insert(dir, name, content, meta.ino, made_by))
    }

    /// Begins a new handoff under an alias of the old one, for an open that is to come (spec 4.1). With `copy`, the draft
    /// begins with the bytes of the old handoff.
    pub fn fork(
        &mut self,
        request: Request,
        dir: DirId,
        slug: Slug,
        old: FileId,
        copy: bool,
    ) -> Result<FileId> {
        let file = self.files.known(old)?;
        let view = file.view;
        let old_file = file.open_seen(self.queues, file.ino_seen(true), Access::READ)?;
        let mode = stat_file(&*old_file)?.mode;
        let new = self.reserve_draft(request, dir, &Naming::Stamp(slug), mode)?;
        let file = self.files.known_mut(new)?;
        file.view = view;
        if copy {
            file.handoff.origin = Origin::CopyOf(old);
            self.fill_draft(new, &old_file)?;
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
        let edited = self.files.known(id)?;
        let path = self.queues.path(edited.dir)?;
        let (name, of_consumed) = (edited.name.to_os_string(), !edited.name.is_pending());
        // The stored file's mode must allow the write, although only the draft is written.
        let access = Access {
            read: copy,
            write: true,
        };
        let (stored, meta) = self.ctx.store.open_known(&path, &name, access)?;
        let create = || self.ctx.local.create(Area::Edits, &path, &name, meta.mode);
        let file = match create() {
            Err(Error::Exists) => {
                // An earlier edit could not be published and has left its draft.
                self.ctx.keep_edit(&path, &name)?;
                create()?
            }
            file => file?,
        };
        let filled = self.ctx.filled(&file, (Area::Edits, &path, &name), || {
            self.ctx.admit(&file)?;
            match copy {
                true => self.ctx.local.with_room(|| dirfd::copy(&stored, &file)),
                false => Ok(()),
            }
        })?;
        let progress = match copy {
            true => Progress::Untouched,
            false => Progress::Written,
        };
        let draft = Draft {
            of_consumed,
            ..Draft::new(Arc::new(file), filled.ino, progress)
        };
        let edited = self.files.known_mut(id)?;
        edited.content = Content::Editing(draft);
        if !edited.is_handoff() {
            edited.seen.get_or_insert(meta.ino);
        }
        Ok(())
    }

    /// Removes a draft that nobody has open for writing. A new handoff is gone then; an edited file is as it was.
    pub fn drop_draft(&mut self, id: FileId) {
        let file = self.files.get_mut(id);
        let Some(file) = file.filter(|file| file.draft().is_some() && file.writers == 0) else {
            return;
        };
        if let Ok(path) = self.queues.path(file.dir) {
            let (area, name) = (file.draft_area(), file.name.to_os_string());
            let _ = self.ctx.local.remove(area, &path, &name);
        }
        if file.is_new() {
            self.file_gone(id);
        } else {
            file.content = Content::Stored;
            self.let_go_file(id);
        }
    }

    /// A stored file has another name now. The draft of its edit gets the same name, so that the draft is found when it is
    /// published, and after a crash.
    pub fn file_renamed(&mut self, id: FileId, dir: DirId, name: FileName) {
        if let Some(file) = self.files.get(id)
            && matches!(file.content, Content::Editing(_))
            && let (Ok(from), Ok(to)) = (self.queues.path(file.dir), self.queues.path(dir))
        {
            let old = file.name.to_os_string();
            let moved = self.ctx.local.rename_new(
                (Area::Edits, &from, &old),
                (Area::Edits, &to, &name.to_os_string()),
            );
            if let Err(error) = moved {
                log::error!(
                    "{}: its unfinished edit cannot be renamed to {} ({error}); the edit stays with the drafts and is \
                     recovered at the next mount",
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
            let (old_name, new_name) = (file.name.to_os_string(), name.to_os_string());
            self.queues.renamed((file.dir, &old_name), (dir, &new_name));
        }
        self.file_renamed(id, dir, name);
    }

    /// Makes a consumed handoff pending again; returns its directory and its pending name, which may have a suffix.
    pub fn unconsume(&mut self, id: FileId) -> Result<(DirId, StampedName)> {
        let file = self.files.known(id)?;
        let (dir, done) = (file.dir, file.stamped()?.clone());
        let path = self.queues.path(dir)?;
        let done_file = done.to_os_string();
        let pending = self.queues.move_free(dir, &done_file, &done.pending())?;
        self.ctx.pending_again(&path, &pending);
        self.moved(id, dir, FileName::Handoff(pending.clone()));
        Ok((dir, pending))
    }
}
