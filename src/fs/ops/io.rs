//! Reading, writing, flushing and closing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::MutexGuard;
use rustix::fs::FallocateFlags;

use crate::error::{Error, Result};
use crate::fs::handoff::state::{Content, RegularFile};
use crate::fs::ids::{FileId, Handle};
use crate::fs::inode::handles::{Open, OpenFile};
use crate::fs::inode::table::NodeTarget;
use crate::fs::inode::types::Request;
use crate::fs::pending::consume::Answer;
use crate::fs::state::{Fs, State};
use crate::store::dirfd::{self, stat_file};
use crate::store::local::Area;

impl Fs {
    /// Reads at most `size` bytes. `cached` tells that the kernel reads ahead for its page cache: such a read carries no
    /// lock owner (spec 6.3).
    pub fn read(
        self: &Arc<Self>,
        request: Request,
        handle: Handle,
        offset: u64,
        size: u32,
        cached: bool,
    ) -> Result<Answer> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let open_node = state.handles.get(handle).ok_or(Error::BadHandle)?;
        let file = match &open_node.open {
            Open::File(open) => {
                if let Some(reader) = open.reader
                    && let Ok(handoff) = state.files.note_mut(open.id)
                    && let Some(node) = state.nodes.get(open_node.node)
                    && let NodeTarget::File { ino, .. } = node.what
                    // Having read a version that was since replaced does not entitle an agent to edit the current one (4.4).
                    && ino == handoff.ino_seen(true)
                {
                    handoff.handoff.read_by.insert(reader);
                }
                open.file.clone()
            }
            Open::Merge(merge) => {
                let merge = merge.clone();
                drop(guard);
                return self.read_merge(request, &merge, offset, u64::from(size), cached);
            }
            Open::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = bytes.get(start..).unwrap_or_default();
                return Ok(rest[..rest.len().min(size as usize)].to_vec().into());
            }
            Open::Dir(_) => return Err(Error::IsDirectory),
        };
        drop(guard);
        read_at(&file, offset, size).map(Answer::from)
    }

    /// Writes all of `data`. With `append`, at the end, wherever that is by now.
    pub fn write(
        &self,
        request: Request,
        handle: Handle,
        offset: u64,
        data: &[u8],
        append: bool,
    ) -> Result<u32> {
        let at = (!append).then_some(offset);
        let (file, id) = {
            let mut guard = self.lock();
            let (file, id) = guard.writable(handle)?;
            if let Err(error) = self.before_write(&mut guard, (id, &file), at, data) {
                self.write_failed(&mut guard, id, &file);
                return Err(error);
            }
            guard.mark_dirty(handle, request.tid);
            (file, id)
        };
        if let Err(error) = self.write_data(&file, data, at) {
            self.write_failed(&mut self.lock(), id, &file);
            return self.ctx.noticed(Err(error));
        }
        Ok(data.len() as u32)
    }

    /// Writes all of `data`. On a full disk replaced versions make room.
    fn write_data(&self, file: &File, data: &[u8], at: Option<u64>) -> Result<()> {
        let mut done = 0;
        self.ctx.local.with_room(|| {
            while done < data.len() {
                let at = at.map(|at| at.saturating_add(done as u64));
                done += dirfd::write(file, &data[done..], at)?;
            }
            Ok(())
        })
    }

    /// Prepares for writing these bytes, `at` an offset or else at the end.
    fn before_write(
        &self,
        guard: &mut MutexGuard<'_, State>,
        (id, file): (FileId, &Arc<File>),
        at: Option<u64>,
        data: &[u8],
    ) -> Result<()> {
        let max_size = self.ctx.options.max_size;
        if max_size.is_none() && guard.files.known(id)?.is_draft(file) {
            // A draft has no readers but its writers, so that nothing of it needs to be kept.
            self.before_change(guard, id, file, false)?;
            let draft = guard.files.note_mut(id)?;
            if let (Some(at), Some(last)) = (at, data.last())
                && draft.writers == 1
            {
                draft.handoff.last = Some((at.saturating_add(data.len() as u64), *last == b'\n'));
            }
            return Ok(());
        }
        let size = stat_file(&**file)?.size;
        let from = at.unwrap_or(size);
        let end = from.saturating_add(data.len() as u64);
        if max_size.is_some_and(|max| end > max) {
            return Err(Error::TooLarge);
        }
        self.before_change(guard, id, file, from < size)
    }

    /// A write failed, so that the file is no whole handoff (spec 4.9).
    fn write_failed(&self, state: &mut State, id: FileId, file: &Arc<File>) {
        state.damage(id, file);
        // An earlier close has published the file, and its writers have not finished.
        let is_stored = |file: &RegularFile| file.is_handoff() && file.draft().is_none();
        if !state.files.get(id).is_some_and(is_stored) {
            return;
        }
        match state.handoffs().unfinished(id) {
            Ok(()) => {
                if let Some(handoff) = state.files.get_mut(id) {
                    handoff.handoff.unfinished = false;
                }
            }
            Err(error) => {
                log::warn!(
                    "{}: only a part was written, and the file cannot be renamed to …-partial ({error})",
                    state.path(id).display()
                );
            }
        }
    }

    /// A descriptor of the file was closed. Data that was written through the handle is published before this returns
    /// (spec 4.2).
    pub fn flush(&self, request: Request, handle: Handle) -> Result<()> {
        let (id, file, dirty, writes) = {
            let mut guard = self.lock();
            let Some(open) = guard.handles.file_mut(handle).filter(|open| open.write) else {
                return Ok(());
            };
            open.flushed = true;
            // The handle stays dirty until its data is durable: a child of the caller may close meanwhile, and its close must
            // wait for that, too.
            (open.id, open.file.clone(), open.dirty, open.writes)
        };
        // The writer is being killed, so its content is not whole (spec 4.9).
        let killed = dirty.is_some_and(|by| {
            self.resolver.dying_by_signal(request.tid)
                && (by == request.tid || self.resolver.same_process(by, request.tid))
        });
        // A shell that redirects closes a first time before anything is written. An edit that is still empty then is not
        // published: a writer that dies leaves the old content. If nothing is written, the RELEASE publishes the edit.
        let publishes = dirty.is_some() && (killed || !self.lock().is_emptied_edit(id, &file));
        if publishes && let Err(error) = self.ctx.noticed(self.publish_written(id, &file, killed)) {
            // The next close tries again.
            if let Some(open) = self.lock().handles.file_mut(handle) {
                open.flushed = false;
            }
            return Err(error);
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        if publishes {
            let open = state.handles.file_mut(handle);
            if let Some(open) = open.filter(|open| open.writes == writes) {
                open.dirty = None;
            }
            state.handoffs().version_written(id);
        }
        state.closing(id);
        Ok(())
    }

    /// Makes the content so far durable and recoverable (spec 4.2).
    pub fn fsync(&self, handle: Handle) -> Result<()> {
        let (file, written) = {
            let state = self.lock();
            match &state.handles.get(handle).ok_or(Error::BadHandle)?.open {
                Open::File(open) => (open.file.clone(), open.write.then_some(open.id)),
                Open::Merge(_) | Open::Bytes(_) | Open::Dir(_) => return Ok(()),
            }
        };
        if self.ctx.options.sync {
            file.sync_all()?;
            // A close may have published the draft meanwhile, without making its name durable yet.
            let mut last = None;
            while let Some((area, path)) = written.and_then(|id| self.lock().place_of(id))
                && last != Some(area)
            {
                match area {
                    Area::Backing => self.ctx.store.sync(&path)?,
                    _ => self.ctx.local.sync(area, &path)?,
                }
                last = Some(area);
            }
        }
        Ok(())
    }

    /// The last descriptor of a handle is closed.
    pub fn release(&self, handle: Handle) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(closed) = state.handles.remove(handle) else {
            return;
        };
        match &closed.open {
            Open::File(open) if open.write => {
                let last = state.files.get_mut(open.id).is_some_and(|file| {
                    file.writers = file.writers.saturating_sub(1);
                    if let Some(draft) = file.draft_of(&open.file) {
                        draft.writers = draft.writers.saturating_sub(1);
                    }
                    file.writers == 0 && file.is_published_by_close()
                });
                if last {
                    state.last_writer_gone(open.id);
                    self.changed.notify_all();
                }
            }
            Open::Merge(merge) => {
                self.merge_closed(state, merge);
                self.changed.notify_all();
            }
            _ => {}
        }
        let gone = state.nodes.closed(closed.node);
        state.let_go(gone.as_ref());
        if let Open::File(open) = &closed.open {
            state.handoffs().let_go_file(open.id);
        }
        // Closing the backing file may take long, so the lock is not held.
        drop(guard);
        if let Open::Merge(merge) = &closed.open {
            merge.read_ahead.close();
        }
    }

    /// fallocate(2); `mode` as there.
    pub fn fallocate(
        &self,
        request: Request,
        handle: Handle,
        offset: u64,
        len: u64,
        mode: i32,
    ) -> Result<()> {
        let flags = FallocateFlags::from_bits(mode.cast_unsigned()).ok_or(Error::NotSupported)?;
        let mut guard = self.lock();
        let (file, id) = guard.writable(handle)?;
        let grows = !flags.contains(FallocateFlags::KEEP_SIZE);
        let max_size = self.ctx.options.max_size.unwrap_or(u64::MAX);
        if grows && offset.saturating_add(len) > max_size {
            return Err(Error::TooLarge);
        }
        self.before_change(&mut guard, id, &file, flags != FallocateFlags::empty())?;
        guard.mark_dirty(handle, request.tid);
        drop(guard);
        self.ctx
            .local
            .with_room(|| Ok(rustix::fs::fallocate(&*file, flags, offset, len)?))
    }

    /// lseek(2) for holes and data, the only ones that the kernel asks about.
    pub fn lseek(&self, handle: Handle, offset: i64, whence: i32) -> Result<i64> {
        let from = offset.try_into().map_err(|_| Error::Invalid)?;
        let file = {
            let state = self.lock();
            match &state.handles.get(handle).ok_or(Error::BadHandle)?.open {
                Open::File(open) => open.file.clone(),
                Open::Merge(merge) => return seek_dense(merge.snapshot.plan.size(), from, whence),
                Open::Bytes(bytes) => return seek_dense(bytes.len() as u64, from, whence),
                Open::Dir(_) => return Err(Error::Invalid),
            }
        };
        let from = match whence {
            libc::SEEK_DATA => rustix::fs::SeekFrom::Data(from),
            libc::SEEK_HOLE => rustix::fs::SeekFrom::Hole(from),
            _ => return Err(Error::Invalid),
        };
        Ok(rustix::fs::seek(&*file, from)?.cast_signed())
    }
}

/// Where data and the hole at the end are in a file without holes.
fn seek_dense(size: u64, from: u64, whence: i32) -> Result<i64> {
    match whence {
        _ if from >= size => Err(Error::Os(libc::ENXIO)),
        libc::SEEK_DATA => Ok(from.cast_signed()),
        libc::SEEK_HOLE => Ok(size.cast_signed()),
        _ => Err(Error::Invalid),
    }
}

impl State {
    /// The file of a handle that may be written.
    fn writable(&self, handle: Handle) -> Result<(Arc<File>, FileId)> {
        match &self.handles.get(handle).ok_or(Error::BadHandle)?.open {
            Open::File(open) if open.write => Ok((open.file.clone(), open.id)),
            _ => Err(Error::BadHandle),
        }
    }

    /// Is this the draft of an edit, and still empty?
    fn is_emptied_edit(&self, id: FileId, file: &Arc<File>) -> bool {
        let edited = self.files.get(id);
        edited.is_some_and(|it| matches!(it.content, Content::Editing(_)) && it.is_draft(file))
            && stat_file(&**file).is_ok_and(|meta| meta.size == 0)
    }

    /// The area and the queue in which the name of a file that is being written must be made durable.
    fn place_of(&self, id: FileId) -> Option<(Area, PathBuf)> {
        let file = self.files.get(id)?;
        if file.is_gone() || !file.is_published_by_close() {
            return None;
        }
        let draft_area = file.draft().map(|_| file.draft_area());
        let area = draft_area.unwrap_or(Area::Backing);
        Some((area, self.queues.path(file.dir).ok()?))
    }

    pub(super) fn mark_dirty(&mut self, handle: Handle, tid: u32) {
        if let Some(open) = self.handles.file_mut(handle) {
            let file = self.files.get(open.id);
            let is_published = file.is_some_and(RegularFile::is_published_by_close);
            open.dirty = is_published.then_some(tid);
            open.writes += 1;
            open.flushed = false;
        }
    }

    /// A writer has closed a descriptor. If every writer has, the RELEASE of the last one is probably on its way.
    pub(in crate::fs) fn closing(&mut self, id: FileId) {
        let is_open = |open: &OpenFile| open.id == id && open.write && !open.flushed;
        if !self.handles.files().any(is_open)
            && let Some(file) = self.files.get_mut(id).filter(|file| file.is_handoff())
        {
            file.flushed = Some(Instant::now());
        }
    }

    /// A write failed, so that the draft is not what its writer meant (spec 4.9).
    pub(in crate::fs) fn damage(&mut self, id: FileId, file: &Arc<File>) {
        if let Some(written) = self.files.get_mut(id) {
            written.handoff.last = None;
            if let Some(draft) = written.draft_of(file) {
                draft.progress.damage();
            }
        }
    }
}

fn read_at(file: &File, offset: u64, size: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
