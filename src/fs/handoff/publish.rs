//! Publishing: a draft appears under its stamped name, atomically, durably, never over another file (spec 4.2).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::ctx::Ctx;
use crate::fs::handoff::below::Handoffs;
use crate::fs::handoff::queue_names::Naming;
use crate::fs::handoff::state::{Content, Draft, Fate, FileName, Origin, RegularFile, Times};
use crate::fs::ids::{DirId, FileId};
use crate::names::StampedName;
use crate::store::area::AreaFile;
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;
use crate::store::{Access, DraftFile, Meta};

impl Ctx {
    /// Makes the names in these queues durable, and those of the versions that were replaced there (spec 3.9).
    pub fn sync_names(&self, queues: &[PathBuf]) -> Result<()> {
        if !self.options.sync {
            return Ok(());
        }
        for queue in queues {
            match self.local.sync(Area::Replaced, queue) {
                // Nothing was replaced in this queue so far.
                Ok(()) | Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
            self.store.sync(queue)?;
        }
        Ok(())
    }

    /// Moves a draft into its queue, from the name `reserved` to `name`, or to the next free suffix of `name`. Returns the
    /// final name. `ino` is the draft's inode number.
    pub fn move_draft(
        &self,
        (area, queue): (Area, &Path),
        reserved: &StampedName,
        ino: u64,
        name: &StampedName,
    ) -> Result<StampedName> {
        let draft = DraftFile {
            dir: &self.local.dir(area, queue)?,
            name: &reserved.to_os_string(),
        };
        let publish = || self.store.publish(draft, queue, name);
        // A network filesystem may report an error although the rename was done, or although both names exist now.
        let is_published = || {
            let found = self.store.stat(queue, &name.to_os_string());
            found.is_ok_and(|meta| meta.ino == ino)
        };
        match self.local.with_room(publish) {
            Err(_) if is_published() => Ok(name.clone()),
            // A process removed the queue below the mount. The queue is made again, so that the handoff is not lost.
            Err(Error::NotFound) => {
                self.local.restore_queue(queue)?;
                publish()
            }
            published => published,
        }
    }
}

impl Handoffs<'_> {
    /// Called when a writer failed or was killed before it finished (spec 4.9). A draft will be published as `…-partial`. A
    /// handoff that an earlier close published is renamed to `…-partial`; if its writer had emptied it, the kept content is
    /// put back (spec 3.9).
    pub fn unfinished(&mut self, id: FileId) -> Result<()> {
        let empty = self.files.is_empty(self.queues, id);
        let Some(file) = self.files.get_mut(id) else {
            return Ok(());
        };
        if let Some(draft) = file.draft_mut() {
            draft.progress.damage();
            return Ok(());
        }
        if !file.handoff.unfinished || !file.is_stored() {
            return Ok(());
        }
        if empty {
            file.handoff.version.cut_short();
            return Ok(());
        }
        let (dir, name) = (file.dir, file.stamped()?.clone());
        let partial = name.with_slug(name.slug().partial());
        let partial = self.queues.move_free(dir, &name.to_os_string(), &partial)?;
        self.moved(id, dir, FileName::Handoff(partial));
        Ok(())
    }

    /// Publishes a draft; returns the queue whose names are to be made durable. Does nothing for a file that is published.
    pub fn publish(&mut self, id: FileId) -> Result<Option<PathBuf>> {
        let Some(file) = self.files.get(id) else {
            return Ok(None);
        };
        let path = self.queues.path(file.dir)?;
        let draft = match &file.content {
            Content::New(draft) | Content::Editing(draft) if !file.comes_to_nothing() => {
                draft.clone()
            }
            // The RELEASE drops the draft.
            Content::New(_) | Content::Editing(_) => return Ok(Some(path)),
            // Another close has published the file, and may not have made its name durable yet.
            Content::Stored => return Ok(Some(path)),
            Content::Reserved(_) | Content::Gone => return Ok(None),
        };
        let (dir, new, name) = (file.dir, file.is_new(), file.name.clone());
        let name = match name {
            FileName::Handoff(name) if new => {
                FileName::Handoff(self.publish_new(id, &path, &name, &draft)?)
            }
            FileName::Handoff(name) => {
                FileName::Handoff(self.publish_edit(dir, &path, name, &draft)?)
            }
            FileName::Other(area, name) => {
                self.publish_ordinary(id, (area, &path, &name), &draft)?;
                FileName::Other(area, name)
            }
        };
        self.files.rename(id, dir, name);
        let file = self.files.known_mut(id)?;
        file.content = Content::Stored;
        if !new {
            file.handoff.read_by.clear();
        }
        if draft.progress.is_damaged() && !new {
            // The file under the name is still the old one.
            file.handoff.last = None;
        } else {
            file.ino = draft.ino;
            file.handoff.unfinished = file.is_handoff() && file.writers > 0;
        }
        self.look_at_published(id);
        Ok(Some(path))
    }

    /// Publishes a new handoff; returns its name.
    fn publish_new(
        &mut self,
        id: FileId,
        path: &Path,
        reserved: &StampedName,
        draft: &Draft,
    ) -> Result<StampedName> {
        let mut name = reserved.clone();
        if draft.progress.is_damaged() {
            name = name.with_slug(name.slug().partial());
        }
        let file = self.files.known_mut(id)?;
        let dir = file.dir;
        file.handoff.written = None;
        if file.handoff.fate == Fate::Consume {
            file.handoff.written = Some(stat_file(&*draft.file)?.mtime);
            name = self.files.stays_as(self.queues, dir, &name);
            let now = Some(self.ctx.clock.now());
            dirfd::set_times(&*draft.file, now, now)?;
        }
        self.move_free(dir, (Area::Drafts, path), reserved, draft.ino, name)
    }

    /// Publishes the edit of a handoff; returns the handoff's name.
    fn publish_edit(
        &mut self,
        dir: DirId,
        path: &Path,
        name: StampedName,
        draft: &Draft,
    ) -> Result<StampedName> {
        let file_name = name.to_os_string();
        let stored = match self.ctx.store.stat(path, &file_name) {
            Err(error) if !error.is_absence() => return Err(error),
            stored => stored.is_ok(),
        };
        if draft.progress.is_damaged() {
            // The old content stays. The part that was written of the new one becomes another handoff.
            let partial = name.pending().with_slug(name.slug().partial());
            let partial = self.move_free(dir, (Area::Edits, path), &name, draft.ino, partial)?;
            self.queues.changed(dir, &partial.to_os_string());
            Ok(name)
        } else if stored && (draft.of_consumed || name.is_pending()) {
            self.replace(path, &file_name, (Area::Edits, path, &file_name))?;
            Ok(name)
        } else {
            // The handoff was consumed or removed during the edit. Its readers have had the old content, so the new content
            // is a handoff of its own.
            let new = match draft.of_consumed {
                true => name.clone(),
                false => name.pending(),
            };
            self.move_free(dir, (Area::Edits, path), &name, draft.ino, new)
        }
    }

    /// Moves a draft into its queue under `wanted`, or under the next suffix of it that no file and no other draft has.
    fn move_free(
        &self,
        dir: DirId,
        from: (Area, &Path),
        reserved: &StampedName,
        ino: u64,
        wanted: StampedName,
    ) -> Result<StampedName> {
        let name = match wanted == *reserved {
            true => wanted,
            false => self
                .files
                .free_name(self.queues, dir, &Naming::Exactly(wanted))?,
        };
        self.ctx.move_draft(from, reserved, ino, &name)
    }

    /// Publishes the edit of an ordinary file, which keeps its name. If a writer has not finished, the edit is kept with the
    /// replaced versions, and the file stays as it was.
    fn publish_ordinary(&mut self, id: FileId, to: AreaFile<'_>, draft: &Draft) -> Result<()> {
        let (area, path, name) = to;
        let edit = (Area::Edits, path, name);
        if draft.progress.is_damaged() {
            return self.ctx.keep_edit(path, name);
        }
        match self.files.known(id)?.stat(self.queues) {
            Ok(_) if area == Area::Backing => self.replace(path, name, edit),
            Err(error) if !error.is_absence() => Err(error),
            // The file was removed below the mount, or was renamed to a scratch name: there is no version to keep.
            _ => self.ctx.local.rename(edit, to),
        }
    }

    /// Updates the cached entry of a file that was published just now, and whether the file ends with a newline.
    fn look_at_published(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(id) else {
            return;
        };
        let (dir, last, name) = (file.dir, file.handoff.last.take(), file.name.to_os_string());
        self.queues.changed(dir, &name);
        if let Some((end, newline)) = last
            && self
                .queues
                .get(dir, &name)
                .is_some_and(|known| known.size == end)
        {
            self.queues.note_newline(dir, &name, newline);
        }
    }

    /// Puts a file of an area in the place of a stored one. The old version is kept (spec 3.9), and readers of a snapshot go
    /// on reading it (spec 6.2).
    pub fn replace(&mut self, queue: &Path, name: &OsStr, new: AreaFile<'_>) -> Result<()> {
        let old = match self.ctx.store.open(queue, name, Access::READ) {
            // The file's mode forbids even its owner to read it, so no snapshot has it.
            Err(Error::AccessDenied) => None,
            old => Some(old?),
        };
        let (mut pinned, mut nothing) = (None, false);
        if let Some(mut old) = old {
            let meta = stat_file(&old)?;
            let written = self.is_written(&meta);
            nothing = meta.size == 0 && !written;
            if meta.size > 0 && written {
                // A writer may go on writing to the old version, so the kept version must be a copy.
                old = self.ctx.keep_copy(&old, Area::Replaced, queue, name)?.0;
            }
            pinned = Some((meta.ino, Arc::new(old)));
        }
        let dir = &self.ctx.local.dir(new.0, new.1)?;
        let draft = DraftFile { dir, name: new.2 };
        self.ctx.store.replace(draft, queue, name)?;
        // The new content is in place: from here on a failure is logged, and is no error of the caller.
        if let Some((ino, file)) = pinned {
            self.readers.pin(ino, &file);
        }
        let local = &self.ctx.local;
        let kept = match nothing {
            true => local.remove(new.0, new.1, new.2),
            false => local.keep_as(new, queue, name, self.ctx.clock.now()),
        };
        if let Err(error) = kept {
            // The old content is safe in the area that the new one came from.
            log::warn!(
                "{}: the replaced version could not be moved to the replaced ones ({error})",
                queue.join(name).display()
            );
        }
        Ok(())
    }

    /// Does any handle have this file open for writing?
    fn is_written(&self, file: &Meta) -> bool {
        self.handles
            .files()
            .any(|open| open.write && stat_file(&*open.file).is_ok_and(|meta| meta.ino == file.ino))
    }

    /// The last handle that may write a file is closed: a handoff is finished and deliverable. `awaited` tells that an open
    /// of the file is to come. Answers the handoff to which the aliases of a dropped copy go back.
    pub fn last_writer_gone(&mut self, id: FileId, awaited: bool) -> Option<FileId> {
        self.version_left(id);
        let file = self.files.get_mut(id)?;
        file.handoff.unfinished = false;
        file.flushed = None;
        let times = file.times.take();
        let (dir, name) = (file.dir, file.name.clone());
        match &file.content {
            // The edit was begun for an open that is to come (spec 4.4), and not for this writer.
            Content::Editing(draft) if draft.writers == 0 && awaited => {}
            Content::New(draft) | Content::Editing(draft) if draft.progress.is_changed() => {
                // The FLUSH could not publish the draft, or there was none.
                self.publish_or_leave(id);
            }
            Content::Editing(_) => {
                self.drop_draft(id);
                self.apply_times(id, times);
            }
            Content::New(draft) if file.is_nothing_unwritten() || draft.progress.is_damaged() => {
                let origin = file.handoff.origin.clone();
                self.drop_draft(id);
                match origin {
                    Origin::CopyOf(old) => {
                        self.apply_times(old, times);
                        return Some(old);
                    }
                    Origin::OverOrdinary(dir, name) => self.apply_times_below(dir, &name, times),
                    Origin::Created | Origin::PendingMd => {}
                }
            }
            // An empty handoff, made on purpose: `touch x.md` (spec 4.8).
            Content::New(_) => self.publish_or_leave(id),
            Content::Reserved(_) => {}
            // Where the queue is watched, inotify reports the writes since the file was published.
            Content::Stored | Content::Gone if self.queues.is_watched(dir) => {
                if let FileName::Handoff(name) = &name {
                    self.queues.written_by_us(dir, name);
                }
            }
            Content::Stored | Content::Gone => self.queues.changed(dir, &name.to_os_string()),
        }
        None
    }

    fn publish_or_leave(&mut self, id: FileId) {
        let file = self.files.get(id);
        if file.is_some_and(RegularFile::comes_to_nothing) {
            self.drop_draft(id);
            return;
        }
        let name = file.map(|file| file.name.to_os_string());
        if let Err(error) = self.publish(id) {
            log::error!(
                "{}: cannot be published ({error}); it stays with the drafts and is tried again when pending.md is \
                 looked at, and at the next sweep",
                name.unwrap_or_default().display()
            );
            self.files.left = Some(Instant::now());
        }
    }

    /// Sets the times of the stored file with this id, if any are given.
    pub fn apply_times(&mut self, id: FileId, times: Option<Times>) {
        if let Some(file) = self.files.get(id) {
            self.apply_times_below(file.dir, &file.name.to_os_string(), times);
        }
    }

    /// Sets the times of the stored file with this name, if any are given.
    fn apply_times_below(&mut self, dir: DirId, name: &OsStr, times: Option<Times>) {
        let (Some((atime, mtime)), Ok(path)) = (times, self.queues.path(dir)) else {
            return;
        };
        if let Ok(file) = self.ctx.store.open(&path, name, Access::READ) {
            let _ = dirfd::set_times(&file, atime, mtime);
            self.queues.changed(dir, name);
        }
    }
}
