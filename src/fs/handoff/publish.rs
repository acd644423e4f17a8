//! Publishing: a draft appears under its stamped name, atomically, durably, never over another file (spec 4.2).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::fs::ctx::Ctx;
use crate::fs::handoff::below::Handoffs;
use crate::fs::handoff::free_name::Naming;
use crate::fs::handoff::state::{
    Content, Draft, Fate, FileName, Origin, RegularFile, Times, Version,
};
use crate::fs::ids::{DirId, FileId};
use crate::names::StampedName;
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;
use crate::store::{Access, DraftFile, Meta};

impl Ctx {
    /// Makes the names in these queues durable, and those of what was replaced there (spec 3.9).
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

    /// Moves a draft, the file with this inode number, into its queue.
    pub fn move_draft(
        &self,
        (area, path): (Area, &Path),
        reserved: &StampedName,
        ino: u64,
        name: &StampedName,
    ) -> Result<StampedName> {
        let file_name = reserved.to_os_string();
        let drafts = self.local.dir(area, path)?;
        let draft = DraftFile {
            dir: &drafts,
            name: &file_name,
        };
        // A network filesystem may report an error of a rename that was done, or that left the old name as well.
        let is_there = || {
            let found = self.store.stat(path, &name.to_os_string());
            found.is_ok_and(|meta| meta.ino == ino)
        };
        match self
            .local
            .with_room(|| self.store.publish(draft, path, name))
        {
            Err(_) if is_there() => Ok(name.clone()),
            // Somebody removed the queue below the mount. It is made again, so that the handoff is not lost.
            Err(Error::NotFound) => {
                self.local.restore_queue(path)?;
                self.store.publish(draft, path, name)
            }
            published => published,
        }
    }
}

impl Handoffs<'_> {
    pub fn unfinished(&mut self, id: FileId) -> Result<()> {
        let Some(doc) = self.files.get_mut(id) else {
            return Ok(());
        };
        if let Some(draft) = doc.draft_mut() {
            draft.progress.damage();
        } else if doc.handoff.unfinished && doc.is_stored() {
            // An earlier close has published it and it was written since, or it is being written anew in place.
            let (dir, name) = (doc.dir, doc.stamped()?.clone());
            if self.files.is_empty(self.queues, id) {
                if let Some(doc) = self.files.get_mut(id)
                    && let Version::Kept(kept) = &mut doc.handoff.version
                    && let Some(kept) = kept.take()
                {
                    doc.handoff.version = Version::CutShort(kept);
                }
                return Ok(());
            }
            let partial = name.with_slug(name.slug().partial());
            let partial = self.queues.move_free(dir, &name.to_os_string(), &partial)?;
            self.moved(id, dir, FileName::Handoff(partial));
        }
        Ok(())
    }

    /// Publishes a draft; answers the queue whose names are to be made durable. Does nothing for what is published.
    pub fn publish(&mut self, id: FileId) -> Result<Option<PathBuf>> {
        let Some(doc) = self.files.get(id) else {
            return Ok(None);
        };
        let path = self.queues.path(doc.dir)?;
        match &doc.content {
            Content::New(_) => self.publish_new(id, &path)?,
            Content::Editing(_) if doc.is_handoff() => self.publish_edit(id, &path)?,
            Content::Editing(_) => self.publish_ordinary(id, &path)?,
            // Published by another close, which may not have made the name durable yet.
            Content::Stored => {}
            Content::Reserved(_) | Content::Gone => return Ok(None),
        }
        Ok(Some(path))
    }

    fn publish_new(&mut self, id: FileId, path: &Path) -> Result<()> {
        let doc = self.files.known(id)?;
        let (dir, reserved) = (doc.dir, doc.stamped()?.clone());
        let Some(draft) = doc.draft() else {
            return Ok(());
        };
        if comes_to_nothing(doc, draft) {
            return Ok(());
        }
        let ino = draft.ino;
        let mut name = reserved.clone();
        if draft.progress.is_damaged() {
            name = name.with_slug(name.slug().partial());
        }
        let mut written = None;
        if doc.handoff.fate == Fate::Consume {
            name = self.files.stays_as(self.queues, dir, &name);
            written = Some(stat_file(&*draft.file)?.mtime);
            let now = Some(self.ctx.clock.now());
            dirfd::set_times(&*draft.file, now, now)?;
        }
        let name = self
            .ctx
            .move_draft((Area::Drafts, path), &reserved, ino, &name)?;
        self.files.rename(id, dir, FileName::Handoff(name.clone()));
        let doc = self.files.known_mut(id)?;
        doc.content = Content::Stored;
        doc.ino = ino;
        doc.handoff.unfinished = doc.writers > 0;
        doc.handoff.written = written;
        self.touch_published(id, &name);
        Ok(())
    }

    /// A draft was published: looks at it, and notes whether it ends with a newline, where its last write tells.
    fn touch_published(&mut self, id: FileId, name: &StampedName) {
        let Some(doc) = self.files.get_mut(id) else {
            return;
        };
        let (dir, last, name) = (doc.dir, doc.handoff.last.take(), name.to_os_string());
        self.queues.changed(dir, &name);
        if let Some((end, newline)) = last
            && self.queues.get(dir, &name).is_some_and(|it| it.size == end)
        {
            self.queues.note_newline(dir, &name, newline);
        }
    }

    fn publish_edit(&mut self, id: FileId, path: &Path) -> Result<()> {
        let doc = self.files.known(id)?;
        let (dir, reserved) = (doc.dir, doc.stamped()?.clone());
        let Some(draft) = doc.draft() else {
            return Ok(());
        };
        let (ino, damaged, of_consumed) =
            (draft.ino, draft.progress.is_damaged(), draft.of_consumed);
        if comes_to_nothing(doc, draft) {
            // The draft is empty after a failed write: the RELEASE drops it.
            return Ok(());
        }
        let stored = match self.ctx.store.stat(path, &reserved.to_os_string()) {
            Err(error) if !error.is_absence() => return Err(error),
            stored => stored.is_ok(),
        };
        let name = if damaged {
            // The old content stays. The part that was written of the new one becomes another handoff.
            let partial = reserved.pending().with_slug(reserved.slug().partial());
            let partial = self
                .ctx
                .move_draft((Area::Edits, path), &reserved, ino, &partial)?;
            self.queues.changed(dir, &partial.to_os_string());
            reserved
        } else if stored && (of_consumed || reserved.is_pending()) {
            let file_name = reserved.to_os_string();
            self.replace(path, &file_name, (Area::Edits, path, &file_name))?;
            reserved
        } else {
            // The handoff was consumed or removed during the edit. Its readers have had the old content, so the new content
            // is a handoff of its own.
            let name = match of_consumed || reserved.is_pending() {
                true => reserved.clone(),
                // A draft may have taken the pending name meanwhile.
                false => {
                    let naming = Naming::Exactly(reserved.pending());
                    self.files.free_name(self.queues, dir, &naming)?
                }
            };
            self.ctx
                .move_draft((Area::Edits, path), &reserved, ino, &name)?
        };
        self.files.rename(id, dir, FileName::Handoff(name.clone()));
        let doc = self.files.known_mut(id)?;
        doc.content = Content::Stored;
        if damaged {
            // The file under the name is still the old one.
            doc.handoff.last = None;
        } else {
            doc.ino = ino;
            doc.handoff.unfinished = doc.writers > 0;
        }
        doc.handoff.read_by.clear();
        self.touch_published(id, &name);
        Ok(())
    }

    /// An ordinary file that was edited keeps its name. An edit that its writer has not finished is kept with the replaced
    /// versions, and the file stays as it was.
    fn publish_ordinary(&mut self, id: FileId, path: &Path) -> Result<()> {
        let file = self.files.known(id)?;
        let Some((area, name)) = file.other() else {
            return Ok(());
        };
        let (dir, name) = (file.dir, name.to_owned());
        let Some(draft) = file.draft() else {
            return Ok(());
        };
        if comes_to_nothing(file, draft) {
            return Ok(());
        }
        let (ino, damaged) = (draft.ino, draft.progress.is_damaged());
        let edit = (Area::Edits, path, name.as_os_str());
        if damaged {
            self.ctx
                .local
                .keep(Area::Edits, path, &name, self.ctx.clock.now())?;
        } else {
            match file.stat(self.queues) {
                Ok(_) if area == Area::Backing => self.replace(path, &name, edit)?,
                Err(error) if !error.is_absence() => return Err(error),
                // The file was removed below the mount, or was renamed to a scratch name: there is no version to be kept.
                _ => self.ctx.local.rename(edit, (area, path, &name))?,
            }
        }
        let file = self.files.known_mut(id)?;
        file.content = Content::Stored;
        if !damaged {
            file.ino = ino;
        }
        self.queues.changed(dir, &name);
        Ok(())
    }

    /// Puts a local file in the place of a stored one. The old version is kept (spec 3.9), and readers of a snapshot go
    /// on reading it (spec 6.2).
    pub fn replace(
        &mut self,
        queue: &Path,
        name: &OsStr,
        new: (Area, &Path, &OsStr),
    ) -> Result<()> {
        let old = match self.ctx.store.open(queue, name, Access::READ) {
            // The file's mode forbids even its owner to read it, so that no snapshot has it.
            Err(Error::AccessDenied) => None,
            old => Some(old?),
        };
        let new_dir = self.ctx.local.dir(new.0, new.1)?;
        let draft = DraftFile {
            dir: &new_dir,
            name: new.2,
        };
        // A process that has the old version open may go on writing to it, so the kept version must be a copy as well.
        let (mut copy, mut nothing) = (None, false);
        let mut ino = 0;
        if let Some(old) = &old {
            let meta = stat_file(old)?;
            ino = meta.ino;
            let written = self.is_written(&meta);
            nothing = meta.size == 0 && !written;
            if meta.size > 0 && written {
                let now = self.ctx.clock.now();
                let area = Area::Replaced;
                let keep = || self.ctx.local.keep_copy(old, area, queue, name, now);
                copy = Some(self.ctx.local.with_room(keep)?.0);
            }
        }
        self.ctx.store.replace(draft, queue, name)?;
        // The new content is in place: from here on a failure is logged, and is no error of the caller.
        if let Some(old) = old {
            self.readers.pin(ino, &Arc::new(copy.unwrap_or(old)));
        }
        let kept = if nothing {
            self.ctx.local.remove(new.0, new.1, new.2)
        } else {
            self.ctx
                .local
                .keep_as(new, queue, name, self.ctx.clock.now())
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

    /// The last handle that may write a file is closed, so that a handoff is finished and deliverable.
    ///
    /// `awaited` tells of an open that is to come. Answers the handoff to which the aliases of a dropped copy go back.
    pub fn last_writer_gone(&mut self, id: FileId, awaited: bool) -> Option<FileId> {
        self.version_left(id);
        let doc = self.files.get_mut(id)?;
        doc.handoff.unfinished = false;
        doc.flushed = None;
        let (dir, name) = (doc.dir, doc.name.to_os_string());
        let times = doc.times.take();
        let nothing = doc.is_nothing_unwritten();
        let mut goes_back = None;
        match &doc.content {
            // The edit was begun for an open that is to come (spec 4.4), and not for this writer.
            Content::Editing(draft) if draft.writers == 0 && awaited => {}
            Content::New(draft) | Content::Editing(draft) if draft.progress.is_changed() => {
                // A FLUSH has published it already, unless that failed.
                self.publish_or_leave(id);
            }
            Content::Editing(_) => {
                self.drop_draft(id);
                self.apply_times(id, times);
            }
            Content::New(draft) if nothing || draft.progress.is_damaged() => {
                match doc.handoff.origin.clone() {
                    Origin::CopyOf(old) => {
                        goes_back = Some(old);
                        self.apply_times(old, times);
                    }
                    Origin::OverOrdinary(dir, name) => {
                        self.apply_times_below(dir, &name, times);
                    }
                    Origin::Created | Origin::PendingMd => {}
                }
                self.drop_draft(id);
            }
            // An empty handoff that somebody made on purpose: `touch x.md` (spec 4.8).
            Content::New(_) => self.publish_or_leave(id),
            // Where the queue is watched, inotify tells what was written since it was published.
            Content::Reserved(_) => {}
            Content::Stored | Content::Gone if self.queues.is_watched(dir) => {
                if let Some(name) = doc.stamped_if_handoff() {
                    self.queues.written_by_us(dir, name);
                }
            }
            Content::Stored | Content::Gone => self.queues.changed(dir, &name),
        }
        goes_back
    }

    fn publish_or_leave(&mut self, id: FileId) {
        if let Some(doc) = self.files.get(id)
            && doc
                .draft()
                .is_some_and(|draft| comes_to_nothing(doc, draft))
        {
            self.drop_draft(id);
            return;
        }
        if let Err(error) = self.publish(id) {
            let name = self.files.get(id).map(|doc| doc.name.to_os_string());
            log::error!(
                "{}: cannot be published ({error}); it stays with the drafts and is tried again when pending.md is \
                 looked at, and at the next sweep",
                name.unwrap_or_default().display()
            );
            self.files.left = Some(Instant::now());
        }
    }

    pub fn apply_times(&mut self, id: FileId, times: Option<Times>) {
        if let Some(doc) = self.files.get(id) {
            let (dir, name) = (doc.dir, doc.name.to_os_string());
            self.apply_times_below(dir, &name, times);
        }
    }

    /// Sets the times of a stored file, if any are given.
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

/// Is the draft empty because a write failed, or because `pending.md` was only truncated? Then nothing is published.
fn comes_to_nothing(doc: &RegularFile, draft: &Draft) -> bool {
    (draft.progress.is_damaged() || doc.is_new() && doc.handoff.origin == Origin::PendingMd)
        && stat_file(&*draft.file).is_ok_and(|meta| meta.size == 0)
}

impl Handoffs<'_> {
    /// Has anybody this file open for writing?
    fn is_written(&self, file: &Meta) -> bool {
        self.handles
            .files()
            .any(|open| open.write && stat_file(&*open.file).is_ok_and(|meta| meta.ino == file.ino))
    }
}
