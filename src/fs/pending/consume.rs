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

/// The answer to a read. To be dropped when the reader has been answered, and not before.
pub struct Answer {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Undoes what the read consumed if it is never answered.
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

/// How many handoffs are consumed before other requests have a turn at the state lock.
const BATCH: usize = 1024;

/// A handoff that was read, and is to be consumed.
struct Read<'a> {
    /// Its place in the snapshot.
    i: usize,
    entry: &'a MergeEntry,
    queue: PathBuf,
    name: StampedName,
    /// The consumed name that it is to get.
    done: StampedName,
    doc: Option<FileId>,
}

impl Fs {
    /// Reads a merge. If the reader meets the end by this, the handoffs are consumed before the answer. `cached` tells of a
    /// read through the page cache.
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
    /// The reader may be another program than the opener: of `tail < pending.md` the shell has opened the file. A program
    /// that reads in passing counts for nothing.
    fn delivered(
        self: &Arc<Self>,
        request: Request,
        open: &OpenMerge,
        seen: ReadSeen,
    ) -> Option<ConsumeIntent> {
        let consumer = open.consumer.as_ref()?;
        let mut reader = None;
        if open.must_check(request.tid, seen) {
            reader = Some(self.caller(request)).filter(|it| !self.reads_in_passing(it));
            reader.as_ref()?;
        }
        if !open.record(request.tid, seen) {
            return None;
        }
        if reader.is_none() && !seen.cached {
            // Another read of the same file was answered meanwhile, so that this one meets the end.
            reader = Some(self.caller(request)).filter(|it| !self.reads_in_passing(it));
            reader.as_ref()?;
        }
        if self.lock().single_file.contains(consumer.process) {
            // The reader has written to pending.md since it opened.
            return None;
        }
        // A reader that is answered with no byte has had them all before.
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
        let mut consumed = Vec::new();
        // The lock is let go now and then: ten thousand renames take a while.
        for (batch, part) in entries.chunks(BATCH).enumerate() {
            let mut guard = self.lock();
            let state = &mut *guard;
            if batch == 0 && !state.readers.holds(snapshot) {
                // Consumed already, by an earlier read or another handle of the same process.
                return;
            }
            // An entry that is not current is delivered again (spec 6.4).
            let part = (batch * BATCH..).zip(part);
            let current = part.filter(|(i, _)| snapshot.is_current(*i));
            let read: Vec<Read> = current
                .filter_map(|(i, entry)| self.finished(state, i, entry))
                .collect();
            let now = self.ctx.clock.now();
            do_in_two(
                &read,
                |read| self.consume_read(read, now),
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

    /// The handoff of an entry, to be consumed; `None` while somebody is writing it.
    fn finished<'a>(&self, state: &State, i: usize, entry: &'a MergeEntry) -> Option<Read<'a>> {
        let name = entry.name()?;
        let queue = state.queues.path(entry.dir).ok()?;
        let doc = state.files.named(entry.dir, &name);
        let known = doc.and_then(|id| state.files.get(id));
        if known.is_some_and(RegularFile::is_being_written) {
            return None;
        }
        // A draft may have taken the promised name since.
        let done = StampedName::parse(entry.stays_as())
            .filter(|done| !state.files.is_reserved(entry.dir, done))
            .unwrap_or_else(|| state.files.stays_as(&state.queues, entry.dir, &name));
        Some(Read {
            i,
            entry,
            queue,
            name,
            done,
            doc,
        })
    }

    /// Gives a handoff its consumed name. Answers that name, and what is known of the file; `None` if the file is not what
    /// was read any more.
    fn consume_read(
        &self,
        read: &Read<'_>,
        now: SystemTime,
    ) -> Option<Result<(StampedName, Meta)>> {
        let Read { entry, queue, .. } = read;
        let meta = self.ctx.store.stat(queue, entry.file_name()).ok()?;
        if (meta.ino, meta.size, meta.mtime) != (entry.ino, entry.size, entry.mtime) {
            return None;
        }
        let done = self
            .ctx
            .consume_as(queue, &read.name, &read.done, meta.mtime, now);
        Some(done.map(|done| (done, Meta { mtime: now, ..meta })))
    }

    /// Takes in what has become of a handoff that was read; answers its consumed name.
    fn consumed(
        &self,
        state: &mut State,
        read: &Read<'_>,
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
        let (done, known) = match consumed {
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
        state.nodes.dentries.lock().changed();
        if !state.queues.moved(dir, file_name, &new_name, &known) {
            state.queues.changed(dir, file_name);
            state.queues.changed(dir, &new_name);
        }
        if let Some(id) = read.doc {
            state
                .handoffs()
                .file_renamed(id, dir, FileName::Handoff(done.clone()));
        }
        let session = &consumer.session;
        state
            .aliases
            .consume(dir, file_name.to_owned(), session, done.clone());
        Some(done)
    }
}
