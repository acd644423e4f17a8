//! Reading a merge, and consuming what was read to its end (spec 6.3, 6.4).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::delivery::ReadSeen;
use crate::error::Result;
use crate::fs::handoff::state::{FileName, RegularFile};
use crate::fs::ids::FileId;
use crate::fs::inode::open_merge::{Consumer, OpenMerge};
use crate::fs::inode::types::Request;
use crate::fs::pending::consume_intent::ConsumeIntent;
use crate::fs::pending::read_snapshot::SnapshotSource;
use crate::fs::pending::second_look::BegunBy;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::queue::snapshot::Snapshot;
use crate::fs::state::{Fs, State};
use crate::names::StampedName;
use crate::parallel::do_in_two;
use crate::read_ahead::{self, Source};
use crate::session::Session;
use crate::store::Meta;

/// The answer to a read. The caller must answer the reader before it drops this.
pub struct Answer {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Lets the next mount undo what the read consumed, if the read is never answered.
    _intent: Option<ConsumeIntent>,
}

impl From<Vec<u8>> for Answer {
    fn from(bytes: Vec<u8>) -> Answer {
        Answer {
            bytes,
            _intent: None,
        }
    }
}

/// How many handoffs are consumed before other requests get the state lock.
const BATCH: usize = 1024;

/// A handoff that was read, and is to be consumed.
struct ReadEntry<'a> {
    /// The index of the entry in the snapshot.
    i: usize,
    entry: &'a MergeEntry,
    queue: PathBuf,
    name: StampedName,
    /// The consumed name that the handoff will get.
    done: StampedName,
    file: Option<FileId>,
}

impl Fs {
    /// Reads a merge. If the reader meets the end by this, the handoffs are consumed before the answer. `cached` tells that the
    /// read came through the page cache.
    pub(in crate::fs) fn read_merge(
        self: &Arc<Self>,
        request: Request,
        open: &OpenMerge,
        offset: u64,
        size: u64,
        cached: bool,
    ) -> Result<Answer> {
        let snapshot = &open.snapshot;
        let now = self.ctx.clock.monotonic();
        self.lock().readers.reads(snapshot, now);
        let source = SnapshotSource {
            fs: self.clone(),
            snapshot: snapshot.clone(),
        };
        let range = offset..offset.saturating_add(size);
        let bytes = match cached || snapshot.plan.entries.len() < read_ahead::MANY {
            true => source.answer(range),
            false => open.read_ahead.read(&source, range),
        }?;
        let seen = ReadSeen {
            offset,
            requested: size,
            returned: bytes.len() as u64,
            cached,
        };
        let _intent = self.delivered(request, open, seen);
        Ok(Answer { bytes, _intent })
    }

    /// A read is about to be answered: consumes the snapshot if its reader has now read all of it and met the end.
    ///
    /// The reader may be another program than the opener: for `tail < pending.md` the shell has opened the file. Reads of a
    /// program that reads in passing do not count.
    fn delivered(
        self: &Arc<Self>,
        request: Request,
        open: &OpenMerge,
        seen: ReadSeen,
    ) -> Option<ConsumeIntent> {
        let consumer = open.consumer.as_ref()?;
        let caller = || Some(self.caller(request)).filter(|it| !self.reads_in_passing(it));
        let mut reader = None;
        if open.must_check(request.tid, seen) {
            reader = Some(caller()?);
        }
        if !open.record(request.tid, seen) {
            return None;
        }
        if reader.is_none() && !seen.cached {
            // `must_check` did not expect the end, but a concurrent read has delivered the missing bytes. So the program is
            // checked now.
            reader = Some(caller()?);
        }
        if self.lock().single_file.contains(consumer.process) {
            // The reader has written to pending.md since it opened the file.
            return None;
        }
        // A reader that is answered with no byte has had all bytes before.
        let intent = (seen.returned > 0).then(|| self.intent(&open.snapshot));
        let second_look = self.second_look_of(consumer, reader.as_ref());
        self.consume(&open.snapshot, consumer, second_look);
        self.changed.notify_all();
        intent.flatten()
    }

    fn consume(
        &self,
        snapshot: &Arc<Snapshot>,
        consumer: &Consumer,
        second_look: Option<(BegunBy, Session)>,
    ) {
        let entries = &snapshot.plan.entries;
        let numbered: Vec<_> = entries.iter().enumerate().collect();
        let mut consumed = Vec::new();
        // The lock is let go between batches: ten thousand renames take a while.
        for (batch, part) in numbered.chunks(BATCH).enumerate() {
            let mut guard = self.lock();
            let state = &mut *guard;
            if batch == 0 && !state.readers.holds(snapshot) {
                // Consumed already, by an earlier read or another handle of the same process.
                return;
            }
            // Entries whose file has changed, or could not be read, stay pending and are delivered again (spec 6.4).
            let current = part.iter().filter(|(i, _)| snapshot.is_current(*i));
            let read: Vec<ReadEntry> = current
                .filter_map(|(i, entry)| self.to_consume(state, *i, entry))
                .collect();
            let now = self.ctx.clock.now();
            do_in_two(
                &read,
                |read| self.consume_file(read, now),
                |read, done| {
                    if let Some(done) = self.consumed(state, read, done, consumer) {
                        consumed.push((read.i, done));
                    }
                },
            );
        }
        let mut state = self.lock();
        state.readers.end(snapshot);
        if let (Some(process), true) = (consumer.process, consumer.is_agent) {
            let names = consumed
                .iter()
                .map(|(i, done)| (entries[*i].dir, done.clone()));
            let now = self.ctx.clock.now();
            state.single_file.consumed(process, now, names.collect());
        }
        let (session, now) = (&consumer.session, self.ctx.clock.monotonic());
        let looks = &mut state.readers.second_looks;
        looks.end_met(session, snapshot, consumed, second_look, now);
    }

    /// The handoff of an entry, to be consumed; `None` while a process is writing it.
    fn to_consume<'a>(
        &self,
        state: &State,
        i: usize,
        entry: &'a MergeEntry,
    ) -> Option<ReadEntry<'a>> {
        let name = entry.name()?;
        let queue = state.queues.path(entry.dir).ok()?;
        let file = state.files.named(entry.dir, &name);
        let known = file.and_then(|id| state.files.get(id));
        if known.is_some_and(RegularFile::is_being_written) {
            return None;
        }
        // A draft may have taken the promised name since.
        let done = StampedName::parse(entry.stays_as())
            .filter(|done| !state.files.is_reserved(entry.dir, done))
            .unwrap_or_else(|| state.files.stays_as(&state.queues, entry.dir, &name));
        Some(ReadEntry {
            i,
            entry,
            queue,
            name,
            done,
            file,
        })
    }

    /// Renames a handoff to its consumed name. Returns that name and stat(2) of the file, or `None` if the file was changed,
    /// replaced or removed since it was read.
    fn consume_file(
        &self,
        read: &ReadEntry<'_>,
        now: SystemTime,
    ) -> Option<Result<(StampedName, Meta)>> {
        let ReadEntry { entry, queue, .. } = read;
        let meta = self.ctx.store.stat(queue, entry.file_name()).ok()?;
        if (meta.ino, meta.size, meta.mtime) != (entry.ino, entry.size, entry.mtime) {
            return None;
        }
        let done = self
            .ctx
            .consume_as(queue, &read.name, &read.done, meta.mtime, now);
        Some(done.map(|done| (done, Meta { mtime: now, ..meta })))
    }

    /// Notes the result of [`Fs::consume_file`]; returns the consumed name.
    fn consumed(
        &self,
        state: &mut State,
        read: &ReadEntry<'_>,
        consumed: Option<Result<(StampedName, Meta)>>,
        consumer: &Consumer,
    ) -> Option<StampedName> {
        let (dir, file_name) = (read.entry.dir, read.entry.file_name());
        let Some(consumed) = consumed else {
            // Changed since it was read: delivered again (spec 6.4). The store does not tell of a change that was made under
            // another name of the same file elsewhere.
            state.queues.changed(dir, file_name);
            return None;
        };
        let (done, meta) = match consumed {
            Ok(consumed) => consumed,
            Err(error) => {
                self.ctx.look_for_trouble();
                log::warn!(
                    "{}: was read but cannot be renamed to {} ({error}); it stays pending and is delivered again",
                    read.queue.join(file_name).display(),
                    read.done
                );
                return None;
            }
        };
        let new_name = done.to_os_string();
        if new_name != *read.entry.stays_as() {
            self.pin_file(state, &read.queue, &new_name);
        }
        state.queues.name_changed();
        if !state.queues.moved(dir, file_name, &new_name, &meta) {
            state.queues.changed(dir, file_name);
            state.queues.changed(dir, &new_name);
        }
        if let Some(id) = read.file {
            let new = FileName::Handoff(done.clone());
            state.handoffs().file_renamed(id, dir, new);
        }
        let (session, old) = (&consumer.session, file_name.to_owned());
        state.aliases.consume(dir, old, session, done.clone());
        Some(done)
    }
}
