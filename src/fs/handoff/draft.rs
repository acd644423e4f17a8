//! Beginning drafts, and dropping those that came to nothing.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::handoff::state::{Content, Draft, Fate, FileName, Origin, Progress};
use crate::fs::ids::{DirId, FileId};
use crate::fs::inode::types::Request;
use crate::fs::session::released_names::Release;
use crate::fs::state::{Fs, State};
use crate::names::{Slug, StampedName};
use crate::session::Caller;
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;
use crate::store::{Access, Meta};

/// How the name of a new handoff is found.
#[derive(Clone, Debug)]
pub(in crate::fs) enum Naming {
    /// Stamped now, with this slug, or the next suffix of it.
    Stamp(Slug),
    /// Exactly this name, which its writer chose, and which is free.
    Exactly(StampedName),
    /// This name, or the next suffix of it: its writer chose it but for the extension (spec 3.4).
    Nearly(StampedName),
}

impl Fs {
    /// A new, empty handoff, listed from now on (spec 4.1, 4.2).
    pub(in crate::fs) fn new_draft(
        &self,
        state: &mut State,
        request: Request,
        dir: DirId,
        naming: &Naming,
        mode: u32,
    ) -> Result<FileId> {
        let id = self.reserve_draft(state, request, dir, naming, mode)?;
        state.files.known_mut(id)?.claimed();
        Ok(id)
    }

    /// A new, empty handoff for an open that is to come. Until then the handoff is not listed.
    pub(in crate::fs) fn reserve_draft(
        &self,
        state: &mut State,
        request: Request,
        dir: DirId,
        naming: &Naming,
        mode: u32,
    ) -> Result<FileId> {
        let path = state.queues.path(dir)?;
        let (base, exactly) = self.base_name(naming);
        for n in 1.. {
            let name = base.with_suffix(n);
            let file_name = name.to_os_string();
            if !self.is_free(state, dir, &path, &name, exactly)? {
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
            let meta = self.filled(&file, made, || self.ctx.admit(&file))?;
            let draft = Draft {
                file,
                ino: meta.ino,
                progress: Progress::Untouched,
                writers: 0,
                of_consumed: false,
            };
            return Ok(state.files.insert(
                dir,
                FileName::Handoff(name),
                Content::Reserved(draft),
                meta.ino,
                (request.tid, self.ctx.clock.now()),
            ));
        }
        Err(Error::Exists)
    }

    /// Fills a file that was made just now. A file that cannot be filled is removed: half a copy is no file, and takes
    /// room that is wanted.
    pub(in crate::fs) fn filled(
        &self,
        file: &File,
        (area, path, name): (Area, &Path, &OsStr),
        fill: impl FnOnce() -> Result<()>,
    ) -> Result<Meta> {
        let filled = fill().and_then(|()| stat_file(file));
        if filled.is_err() {
            let _ = self.ctx.local.remove(area, path, name);
        }
        filled
    }

    /// A name that no draft has reserved and no file has.
    pub(in crate::fs) fn free_name(
        &self,
        state: &State,
        dir: DirId,
        naming: &Naming,
    ) -> Result<StampedName> {
        let path = state.queues.path(dir)?;
        let (base, exactly) = self.base_name(naming);
        for name in (1..).map(|n| base.with_suffix(n)) {
            if self.is_free(state, dir, &path, &name, exactly)? {
                return Ok(name);
            }
        }
        Err(Error::Exists)
    }

    /// The name without a suffix, and whether it was written exactly so.
    fn base_name(&self, naming: &Naming) -> (StampedName, bool) {
        match naming {
            Naming::Stamp(slug) => {
                let stamp = self.ctx.zone.stamp(self.ctx.clock.now());
                (StampedName::new(stamp, slug.clone()), false)
            }
            Naming::Exactly(name) => (name.clone(), true),
            Naming::Nearly(name) => (name.clone(), false),
        }
    }

    /// Has neither a draft nor a file this name? Unless the writer chose it `exactly`, the consumed name must be free, too.
    fn is_free(
        &self,
        state: &State,
        dir: DirId,
        queue: &Path,
        name: &StampedName,
        exactly: bool,
    ) -> Result<bool> {
        let taken = |name: &StampedName| {
            if state.files.named(dir, name).is_some() {
                return Ok(true);
            }
            // The cache may be late. Publishing never replaces a file, and takes the next suffix then.
            if !exactly && state.queues.seems_to_lack(dir, name) {
                return Ok(false);
            }
            match self.ctx.store.stat(queue, &name.to_os_string()) {
                Ok(_) => Ok(true),
                Err(error) if error.is_absence() => Ok(false),
                Err(error) => Err(error),
            }
        };
        Ok(!taken(name)? && (exactly || !taken(&name.consumed())?))
    }

    /// A new handoff under an alias that this session has already, for the open that follows (spec 4.1). With
    /// `copy`, it begins with the bytes of the old one.
    pub(in crate::fs) fn fork(
        &self,
        state: &mut State,
        request: Request,
        dir: DirId,
        slug: Slug,
        old: FileId,
        copy: bool,
    ) -> Result<FileId> {
        let doc = state.files.known(old)?;
        let view = doc.view;
        let file = self.open_seen(state, doc, doc.ino_seen(true), Access::READ)?;
        let meta = stat_file(&*file)?;
        let new = self.reserve_draft(state, request, dir, &Naming::Stamp(slug), meta.mode)?;
        let doc = state.files.known_mut(new)?;
        doc.view = view;
        if copy {
            doc.handoff.origin = Origin::CopyOf(old);
            self.fill_draft(state, new, &file)?;
        }
        Ok(new)
    }

    /// Copies a file into a new draft. Half a copy is dropped.
    pub(in crate::fs) fn fill_draft(
        &self,
        state: &mut State,
        id: FileId,
        from: &File,
    ) -> Result<()> {
        let Some(draft) = state.files.known(id)?.draft() else {
            return Ok(());
        };
        let copied = self.ctx.local.with_room(|| dirfd::copy(from, &draft.file));
        if copied.is_err() {
            self.drop_draft(state, id);
        }
        copied
    }

    /// Begins an edit: a draft of new content for a stored handoff or ordinary file (spec 3.6, 4.4). With `copy`, the draft
    /// begins with the old content.
    pub(in crate::fs) fn begin_edit(
        &self,
        state: &mut State,
        id: FileId,
        copy: bool,
    ) -> Result<()> {
        let doc = state.files.known(id)?;
        let path = state.queues.path(doc.dir)?;
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
        let filled = self.filled(&file, (Area::Edits, &path, &name), || {
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
        let doc = state.files.known_mut(id)?;
        doc.content = Content::Editing(draft);
        if !doc.is_handoff() {
            doc.seen.get_or_insert(stored_ino);
        }
        Ok(())
    }

    /// Removes a draft that nobody has open for writing. A new handoff is gone with it, an edited file is as it was.
    pub(in crate::fs) fn drop_draft(&self, state: &mut State, id: FileId) {
        let Some(doc) = state.files.get(id) else {
            return;
        };
        if doc.draft().is_none() || doc.writers > 0 {
            return;
        }
        let new = doc.is_new();
        if let Ok(path) = state.queues.path(doc.dir) {
            let _ = self
                .ctx
                .local
                .remove(doc.draft_area(), &path, &doc.name.to_os_string());
        }
        if new {
            self.file_gone(state, id);
        } else if let Some(doc) = state.files.get_mut(id) {
            doc.content = Content::Stored;
            self.let_go_file(state, id);
        }
    }

    /// A stored file has another name now. An edit that is under way goes with it, so that it is found when it is
    /// published, and after a crash.
    pub(in crate::fs) fn file_renamed(
        &self,
        state: &mut State,
        id: FileId,
        dir: DirId,
        name: FileName,
    ) {
        if let Some(doc) = state.files.get(id)
            && matches!(doc.content, Content::Editing(_))
            && let (Ok(from), Ok(to)) = (state.queues.path(doc.dir), state.queues.path(dir))
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
        state.files.rename(id, dir, name);
    }

    /// The mount has renamed a file, or the draft of a new handoff.
    pub(in crate::fs) fn moved(&self, state: &mut State, id: FileId, dir: DirId, name: FileName) {
        if let Some(file) = state.files.get(id) {
            let (old_dir, old_name) = (file.dir, file.name.to_os_string());
            let new_name = name.to_os_string();
            state.queues.renamed((old_dir, &old_name), (dir, &new_name));
        }
        self.file_renamed(state, id, dir, name);
    }

    /// A process creates a name that it has just unlinked or renamed away. The handoff that it retracted is pending again;
    /// the one that it renamed to a backup gives its stamped name to the new content (spec 4.5).
    pub(in crate::fs) fn naming_after_release(
        &self,
        state: &mut State,
        caller: &Caller,
        dir: DirId,
        name: &OsStr,
    ) -> Naming {
        let slug = Slug::from_written(name);
        match state.released.take(caller, dir, name) {
            Some(Release::Retracted(doc)) => {
                if let Err(error) = self.unretract(state, doc) {
                    log::warn!("{}: cannot be made pending again ({error})", name.display());
                }
                Naming::Stamp(slug)
            }
            Some(Release::BackedUp(stamped)) => {
                let path = state.queues.path(dir);
                let free = path.map(|path| self.is_free(state, dir, &path, &stamped, true));
                if matches!(free, Ok(Ok(true))) && stamped.is_pending() {
                    Naming::Exactly(stamped)
                } else {
                    Naming::Stamp(slug)
                }
            }
            Some(Release::Removed(kept)) => {
                if let Err(error) = self.bring_back(state, dir, name, &kept) {
                    log::warn!(
                        "{}: the ordinary file cannot be brought back ({error}); it stays with the replaced versions",
                        name.display()
                    );
                }
                Naming::Stamp(slug)
            }
            None => Naming::Stamp(slug),
        }
    }

    /// A process that has removed the ordinary file of this name makes a handoff in its place. Other sessions must still
    /// find the ordinary file.
    fn bring_back(&self, state: &mut State, dir: DirId, name: &OsStr, kept: &OsStr) -> Result<()> {
        let path = state.queues.path(dir)?;
        self.ctx.local.ordinary_made(&path.join(name))?;
        self.ctx
            .local
            .rename_new((Area::Replaced, &path, kept), (Area::Backing, &path, name))?;
        state.queues.changed(dir, name);
        Ok(())
    }

    fn unretract(&self, state: &mut State, id: FileId) -> Result<()> {
        let Some(doc) = state.files.get_mut(id) else {
            return Ok(());
        };
        if doc.is_new() {
            doc.handoff.fate = Fate::Publish;
            return Ok(());
        }
        if doc.is_stored() && !doc.name.is_pending() {
            let written = doc.handoff.written.take();
            self.unconsume(state, id)?;
            self.apply_times(state, id, Some((None, written)));
        }
        Ok(())
    }

    /// Makes a consumed handoff pending again, under its next free pending name.
    pub(in crate::fs) fn unconsume(&self, state: &mut State, id: FileId) -> Result<()> {
        let doc = state.files.known(id)?;
        let (dir, done) = (doc.dir, doc.stamped()?.clone());
        let pending = state
            .queues
            .move_free(dir, &done.to_os_string(), &done.pending())?;
        if let Ok(path) = state.queues.path(dir) {
            self.pending_again(&path, &pending);
        }
        state.aliases.unconsumed(dir, &pending.to_os_string());
        self.moved(state, id, dir, FileName::Handoff(pending));
        Ok(())
    }
}
