//! Reading ahead of who reads a long merge straight through.
//!
//! A merge of a thousand handoffs is a thousand files to open. While one thread answers a read, and while its reader is busy
//! with the answer, another thread gets ready what comes next. Nobody ever waits for that thread: what is not ready is read
//! by who answers. It ends by itself when it is far enough ahead, and the next read starts another one.
//!
//! What is got ready counts for nothing until a read is answered with it. It is as right then as it was before: the bytes of
//! a snapshot never change.

use std::sync::Arc;
use std::thread::{self};

use crate::error::Result;
use crate::fs::pending::open_merge::OpenMerge;
use crate::fs::pending::read_ahead_buffer::Progress;
use crate::fs::pending::snapshot::Wanted;
use crate::fs::state::Fs;
use crate::parallel::MANY;

/// Who asks for less in one read is not in a hurry. In bytes.
const LARGE: u64 = 64 << 10;

/// How far it gets ahead of its reader, in bytes.
const FAR: u64 = 256 << 10;

/// How much is got ready in one go, in bytes: what the thread is about when a read comes may be read twice.
const PART: u64 = 16 << 10;

/// What the thread is called that gets ahead; told by `/proc/PID/task/TID/comm`.
const NAME: &str = "ahead";

impl Fs {
    /// The bytes of a snapshot, short only at its end, for a reader that may go straight on.
    pub(in crate::fs) fn read_on(
        self: &Arc<Self>,
        reading: &Arc<OpenMerge>,
        offset: u64,
        len: u64,
    ) -> Result<Vec<u8>> {
        let snapshot = &*reading.snapshot;
        let end = offset.saturating_add(len).min(snapshot.plan.size());
        if snapshot.plan.items.len() < MANY || len < LARGE || offset >= end {
            return self.read_snapshot(snapshot, offset, len);
        }
        let mut bytes = Vec::with_capacity((end - offset) as usize);
        let (ready, mine) = {
            let mut progress = reading.ahead.0.lock();
            if offset != progress.next {
                progress.stop();
            }
            if progress.off {
                drop(progress);
                return self.read_snapshot(snapshot, offset, len);
            }
            progress.next = end;
            let ready = progress.take(&mut bytes, offset, end);
            let mine = progress.goes_on.clamp(ready, end);
            progress.goes_on = progress.goes_on.max(end);
            self.help(&mut progress, reading);
            (ready, mine)
        };
        if ready < mine {
            // The helper is about that: it will have it in a moment.
            let mut rest = Vec::with_capacity((end - mine) as usize);
            self.read_into(snapshot, mine..end, &mut rest, Wanted::Now)?;
            let ready = reading.ahead.0.lock().take(&mut bytes, ready, mine);
            self.read_into(snapshot, ready..mine, &mut bytes, Wanted::Now)?;
            bytes.append(&mut rest);
        } else {
            self.read_into(snapshot, mine..end, &mut bytes, Wanted::Now)?;
        }
        Ok(bytes)
    }

    /// Has a thread go on, if it has far to go.
    fn help(self: &Arc<Self>, progress: &mut Progress, reading: &Arc<OpenMerge>) {
        let size = reading.snapshot.plan.size();
        let is_near = progress.goes_on < size.min(progress.next + FAR / 2);
        if is_near && !progress.is_helped() {
            let (fs, reading) = (self.clone(), reading.clone());
            let helper = thread::Builder::new().name(NAME.to_owned());
            match helper.spawn(move || fs.get_ahead(&reading)) {
                Ok(helper) => progress.helper = Some(helper),
                Err(_) => progress.stop(),
            }
        }
    }

    /// Gets ready what comes next, until that is far enough.
    fn get_ahead(&self, reading: &OpenMerge) {
        let snapshot = &*reading.snapshot;
        let size = snapshot.plan.size();
        loop {
            let part = {
                let mut progress = reading.ahead.0.lock();
                let start = progress.goes_on;
                if progress.off || start >= size.min(progress.next + FAR) {
                    return;
                }
                progress.goes_on = size.min(start + PART);
                start..progress.goes_on
            };
            let mut bytes = Vec::with_capacity(PART as usize);
            let read = self.read_into(snapshot, part.clone(), &mut bytes, Wanted::Later);
            let mut progress = reading.ahead.0.lock();
            match read {
                Ok(()) if progress.off => return,
                Ok(()) if part.end > progress.next => {
                    progress.ready.push_back((part.start, bytes));
                }
                // Asked for meanwhile.
                Ok(()) => {}
                Err(_) => return progress.stop(),
            }
        }
    }
}
