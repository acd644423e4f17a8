//! Consuming what was read to its end (spec 6.3, 6.4).

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use crate::delivery::ReadSeen;
use crate::error::Error;
use crate::fs::handoff::state::Doc;
use crate::fs::ids::DocId;
use crate::fs::pending::open_merge::{Consumer, OpenMerge};
use crate::fs::pending::second_look::Reader;
use crate::fs::pending::snapshot::Snapshot;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::{Fs, Request, State};
use crate::names::StampedName;
use crate::parallel::do_in_two;
use crate::session::{Caller, Session};
use crate::store::Meta;
use crate::store::local::Area;

/// Kept until a read that consumed what it delivers has been answered. If this program is killed before that, the reader
/// never had the end of it, and the next mount makes it pending again.
pub struct ConsumeIntent {
    fs: Arc<Fs>,
    name: OsString,
}

impl Drop for ConsumeIntent {
    fn drop(&mut self) {
        let removed = self
            .fs
            .local
            .remove(Area::Consuming, Path::new(""), &self.name);
        if let Err(error) = removed {
            log::warn!(
                "the note of a read cannot be removed ({error}); what was read may be delivered again"
            );
        }
    }
}

/// What a read is answered with. To be dropped when the reader has been answered, and not before.
pub struct Answer {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Undoes what the read consumed if it is never answered.
    pub(in crate::fs) _intent: Option<ConsumeIntent>,
}

impl From<Vec<u8>> for Answer {
    fn from(bytes: Vec<u8>) -> Answer {
        Answer {
            bytes,
            _intent: None,
        }
    }
}

/// How many are consumed before others have a turn at the state lock.
const BATCH: usize = 1024;

/// A handoff that was read, and is to be consumed.
struct Read<'a> {
    /// Where in its snapshot it is.
    i: usize,
    item: &'a MergeEntry,
    /// The queue.
    path: PathBuf,
    name: StampedName,
    /// What it is to be called.
    done: StampedName,
    doc: Option<DocId>,
}

/// What has become of it.
enum Consumed {
    As(StampedName, Meta),
    Gone,
    Changed,
    Failed(Error),
}

impl Fs {
    /// A read was answered: if that was the last of it, the handoffs are consumed before the reader hears of it.
    ///
    /// Who reads may be another program than the one that opened: of `tail < pending.md` the shell did. A read through
    /// the page cache is not looked into: it may be a page fault, and the address space that the program's name is read from
    /// is locked meanwhile.
    pub(in crate::fs) fn delivered(
        self: &Arc<Self>,
        request: Request,
        reading: &OpenMerge,
        seen: ReadSeen,
    ) -> Option<ConsumeIntent> {
        let consumer = reading.consumer.as_ref()?;
        let size = reading.snapshot.plan.size();
        let in_passing =
            |reader: &Option<Caller>| reader.as_ref().is_some_and(|it| self.reads_in_passing(it));
        // What a known reader is given on the way is not asked about: what counts is who meets the end.
        let known = reading.reader.load(Ordering::Relaxed) == request.tid;
        let ends = reading.delivered.lock().clone().record(seen, size);
        let mut reader = (!seen.cached && (ends || !known)).then(|| self.caller(request));
        if in_passing(&reader) {
            return None;
        }
        if !seen.cached {
            reading.reader.store(request.tid, Ordering::Relaxed);
        }
        let complete = reading.delivered.lock().record(seen, size);
        if complete && !ends && !seen.cached {
            // Another read of the same file was answered meanwhile.
            reader = Some(self.caller(request));
            if in_passing(&reader) {
                return None;
            }
        }
        let single_file = |process| self.lock().single_file.contains(process);
        if !complete || consumer.process.is_some_and(single_file) {
            // There is more to come, or its reader has written since it opened.
            return None;
        }
        // A reader that is answered with no byte has had them all before.
        let intent = (seen.returned > 0).then(|| self.intent(&reading.snapshot));
        let second_look = self.second_look_of(consumer, reader.as_ref());
        self.consume(&reading.snapshot, consumer, second_look);
        self.changed.notify_all();
        intent.flatten()
    }

    /// Notes what is about to be consumed until its reader has the answer.
    fn intent(self: &Arc<Self>, snapshot: &Arc<Snapshot>) -> Option<ConsumeIntent> {
        let mut note = Vec::new();
        {
            let state = self.lock();
            if !state.turns.holds(snapshot) {
                return None;
            }
            for item in &snapshot.plan.items {
                let path = state.dirs.path(item.dir)?;
                for field in [path.as_os_str(), item.file_name(), item.stays_as()] {
                    note.extend_from_slice(field.as_bytes());
                    note.push(0);
                }
            }
        }
        let name = self.local.note(Area::Consuming, &note, self.clock.now());
        name.inspect_err(|error| {
            log::warn!(
                "what is being read cannot be noted ({error}); if this program is killed before its reader is \
                 answered, that is consumed all the same"
            );
        })
        .ok()
        .map(|name| ConsumeIntent {
            fs: self.clone(),
            name,
        })
    }

    fn consume(
        &self,
        snapshot: &Arc<Snapshot>,
        consumer: &Consumer,
        second_look: Option<(Reader, Session)>,
    ) {
        let mut consumed = Vec::new();
        // The lock is let go now and then: ten thousand renames take a while.
        for (batch, items) in snapshot.plan.items.chunks(BATCH).enumerate() {
            let mut guard = self.lock();
            let state = &mut *guard;
            if batch == 0 && !state.turns.holds(snapshot) {
                // Consumed already, by an earlier read or another handle of the same process.
                return;
            }
            // What is not current is delivered again (spec 6.4).
            let items = (batch * BATCH..).zip(items);
            let current = items.filter(|(i, _)| snapshot.is_current(*i));
            let read: Vec<Read> = current
                .filter_map(|(i, item)| self.finished(state, i, item))
                .collect();
            let now = self.clock.now();
            do_in_two(
                &read,
                |read| self.consume_read(read, now),
                |read, done| {
                    if let Some(done) = self.consumed(state, read, done, consumer)
                        && (consumer.agent || second_look.is_some())
                    {
                        consumed.push((read.i, done));
                    }
                },
            );
        }
        let mut state = self.lock();
        state.turns.end(snapshot);
        if let (Some(process), true) = (consumer.process, consumer.agent) {
            let dir = |i: usize| snapshot.plan.items[i].dir;
            let consumed = consumed.iter().map(|(i, done)| (dir(*i), done.clone()));
            let now = self.clock.now();
            state.single_file.consumed(process, now, consumed.collect());
        }
        self.read_to_its_end(&mut state, snapshot, consumer, consumed, second_look);
    }

    /// What is to be consumed, unless somebody is writing it.
    fn finished<'a>(&self, state: &State, i: usize, item: &'a MergeEntry) -> Option<Read<'a>> {
        let name = item.name()?;
        let path = state.dirs.path(item.dir)?;
        let doc = state.docs.named(item.dir, &name);
        if doc
            .and_then(|id| state.docs.get(id))
            .is_some_and(Doc::is_being_written)
        {
            return None;
        }
        // A draft may have taken the promised name since.
        let done = StampedName::parse(item.stays_as())
            .filter(|done| !state.is_reserved(item.dir, done))
            .unwrap_or_else(|| self.stays_as(state, item.dir, &name));
        Some(Read {
            i,
            item,
            path,
            name,
            done,
            doc,
        })
    }

    /// Gives a handoff its consumed name, if it is still what was read: what is known of it now, but for the mtime, and that
    /// name.
    fn consume_read(&self, read: &Read<'_>, now: SystemTime) -> Consumed {
        let Read { item, path, .. } = read;
        let Ok(meta) = self.store.stat(path, item.file_name()) else {
            return Consumed::Gone;
        };
        if (meta.ino, meta.size, meta.mtime) != (item.ino, item.size, item.mtime) {
            return Consumed::Changed;
        }
        match self.consume_as(path, &read.name, &read.done, meta.mtime, now) {
            Ok(done) => Consumed::As(done, Meta { mtime: now, ..meta }),
            Err(error) => Consumed::Failed(error),
        }
    }

    /// Takes in what has become of a handoff that was read; answers its consumed name.
    fn consumed(
        &self,
        state: &mut State,
        read: &Read<'_>,
        consumed: Consumed,
        consumer: &Consumer,
    ) -> Option<StampedName> {
        let (dir, file_name) = (read.item.dir, read.item.file_name());
        let (done, known) = match consumed {
            Consumed::As(done, known) => (done, known),
            Consumed::Gone => return None,
            Consumed::Changed => {
                // Since it was read: delivered again (spec 6.4). Who changes a file that has another name elsewhere
                // changes it under that name, and the store does not tell.
                self.touch(state, dir, file_name);
                return None;
            }
            Consumed::Failed(error) => {
                self.look_for_trouble();
                log::warn!(
                    "{}: was read but cannot be renamed to {} ({error}); it stays pending and is delivered again",
                    read.path.join(file_name).display(),
                    read.done
                );
                return None;
            }
        };
        let new_name = done.to_os_string();
        if new_name != *read.item.stays_as() {
            self.pin_file(state, &read.path, &new_name);
        }
        state.name_changed();
        if !state.index.moved(dir, file_name, &new_name, &known) {
            self.touch(state, dir, file_name);
            self.touch(state, dir, &new_name);
        }
        if let Some(id) = read.doc {
            self.doc_renamed(state, id, dir, done.clone());
        }
        let session = &consumer.session;
        state
            .aliases
            .consume(dir, file_name.to_owned(), session, done.clone());
        Some(done)
    }
}
