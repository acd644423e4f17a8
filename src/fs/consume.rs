//! Consuming what was read to its end (spec 6.3, 6.4).

use std::sync::Arc;

use super::docs::Doc;
use super::snapshot::{Consumer, Item, Reading, Snapshot};
use super::{Fs, Request, State};
use crate::delivery::ReadSeen;
use crate::names::StampedName;

impl Fs {
    /// A read was answered: if that was the last of it, the handoffs are consumed before the reader hears of it.
    ///
    /// Who reads may be another program than the one that opened: of `tail < pending.md` the shell did. A read through
    /// the page cache is not looked into: it may be a page fault, and the address space that the program's name is read from
    /// is locked meanwhile.
    pub(super) fn delivered(&self, request: Request, reading: &Reading, seen: ReadSeen) {
        if reading.consumer.is_none()
            || !seen.cached && self.reads_in_passing(&self.caller(request))
        {
            return;
        }
        let complete = reading
            .delivered
            .lock()
            .record(seen, reading.snapshot.plan.size());
        if let (true, Some(consumer)) = (complete, &reading.consumer) {
            let single_file = |process| self.lock().single_file.contains(process);
            if consumer.process.is_some_and(single_file) {
                // It has written since it opened.
                return;
            }
            self.consume(&reading.snapshot, consumer);
            self.changed.notify_all();
        }
    }

    fn consume(&self, snapshot: &Arc<Snapshot>, consumer: &Consumer) {
        let mut consumed = Vec::new();
        // The lock is let go now and then: ten thousand renames take a while.
        for (batch, items) in snapshot.plan.items.chunks(64).enumerate() {
            let mut guard = self.lock();
            let state = &mut *guard;
            if batch == 0 && !state.turns.holds(snapshot) {
                // Consumed already, by an earlier read or another handle of the same process.
                return;
            }
            for (i, item) in items.iter().enumerate() {
                if !snapshot.is_current(batch * 64 + i) {
                    // Delivered again (spec 6.4).
                    continue;
                }
                if let Some(done) = self.consume_item(state, item, consumer)
                    && consumer.agent
                {
                    consumed.push((item.dir, done));
                }
            }
        }
        let mut state = self.lock();
        state.turns.end(snapshot);
        if let (Some(process), true) = (consumer.process, consumer.agent) {
            let now = self.clock.now();
            state.single_file.consumed(process, now, consumed);
        }
    }

    fn consume_item(
        &self,
        state: &mut State,
        item: &Item,
        consumer: &Consumer,
    ) -> Option<StampedName> {
        let name = item.name()?;
        let path = state.dirs.path(item.dir)?;
        let id = state.docs.named(item.dir, &name);
        if id
            .and_then(|id| state.docs.get(id))
            .is_some_and(Doc::is_being_written)
        {
            return None;
        }
        let file_name = item.file_name();
        let meta = self.store.stat(&path, file_name).ok()?;
        if (meta.ino, meta.size, meta.mtime) != (item.ino, item.size, item.mtime) {
            // Changed since it was read: delivered again (spec 6.4).
            return None;
        }
        // A draft may have taken the promised name since.
        let done = StampedName::parse(&item.stays_as)
            .filter(|done| !state.is_reserved(item.dir, done))
            .unwrap_or_else(|| self.stays_as(state, item.dir, &name));
        let done = match self.store.consume(&path, &name, &done, self.clock.now()) {
            Ok(done) => done,
            Err(error) => {
                log::warn!(
                    "{}: was read but cannot be renamed to {done} ({error}); it stays pending and is delivered again",
                    path.join(file_name).display()
                );
                return None;
            }
        };
        self.touch(state, item.dir, file_name);
        self.touch(state, item.dir, &done.to_os_string());
        if let Some(id) = id {
            self.doc_renamed(state, id, item.dir, done.clone());
        }
        state.aliases.consume(
            item.dir,
            file_name.to_owned(),
            &consumer.session,
            done.clone(),
        );
        Some(done)
    }
}
