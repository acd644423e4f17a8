//! Reading ahead of a reader that reads a long merge straight through.
//!
//! This file serves one row of the benchmark, "`cat pending.md`, 1,000 × 2 KiB". Without it everything works, and that row
//! takes about half as long again: replace the one call of [`ReadAhead::read`] by [`Source::answer`], and remove the field.
//!
//! A merge of a thousand handoffs is a thousand files to open. While one thread answers a read, and while its reader is busy
//! with the answer, a helper reads the next bytes. No reader waits for the helper: bytes that are not ready are read by
//! the thread that answers. The helper ends when it is far enough ahead, and the next read starts another one.
//!
//! Bytes that are ready count for nothing until a read is answered with them. They are still right then: the bytes of a
//! snapshot never change.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::error::Result;

/// A merge of at least this many files is worth a helper thread.
pub const MANY: usize = 256;

/// For a reader that asks for fewer bytes in one read, reading ahead is not worth it.
const LARGE: u64 = 64 << 10;

/// How far the helper thread gets ahead of its reader, in bytes.
const FAR: u64 = 256 << 10;

/// How much the helper thread reads in one go, in bytes. If a read asks for this part meanwhile, the part may be read twice.
const PART: u64 = 16 << 10;

/// The name of the helper thread, as in `/proc/PID/task/TID/comm`.
const NAME: &str = "ahead";

/// The reason for reading bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// To answer a read: bytes that cannot be read are blank, and their entry stays pending.
    Answer,
    /// For a read that may come: bytes that cannot be read are an error, and nothing else happens.
    Ahead,
}

/// A text that never changes.
pub trait Source: Clone + Send + 'static {
    /// Its length in bytes.
    fn size(&self) -> u64;

    /// Appends the bytes at `range`, short only at the end of the text.
    fn read(&self, range: Range<u64>, bytes: &mut Vec<u8>, purpose: Purpose) -> Result<()>;

    /// The bytes at `range`, short only at the end of the text, to answer a read.
    fn answer(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let len = range.end.min(self.size()).saturating_sub(range.start);
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        self.read(range, &mut bytes, Purpose::Answer)?;
        Ok(bytes)
    }
}

/// The bytes that are ready for one open file, and the helper thread that reads them.
#[derive(Debug, Default)]
pub struct ReadAhead(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    /// Where the next read begins if its reader goes straight on.
    next: u64,
    /// Parts that are ready and were not asked for yet, each with its offset. INVARIANT: ascending, none overlapping.
    ready: VecDeque<(u64, Vec<u8>)>,
    /// Where the helper thread goes on. All bytes before are ready, are being read, or were asked for.
    goes_on: u64,
    helper: Option<JoinHandle<()>>,
    /// No helper thread is started any more: the reader seeks or has closed, or a read has failed, which only an answer can
    /// report.
    off: bool,
}

impl ReadAhead {
    /// The bytes at `range`, short only at the end of the text, for a reader that may read straight through.
    pub fn read(&self, source: &impl Source, range: Range<u64>) -> Result<Vec<u8>> {
        let (start, end) = (range.start, range.end.min(source.size()));
        if range.end - start < LARGE || start >= end {
            return source.answer(range);
        }
        let mut bytes = Vec::with_capacity((end - start) as usize);
        let (ready, mine) = {
            let mut progress = self.0.lock();
            if start != progress.next {
                progress.stop();
            }
            if progress.off {
                drop(progress);
                return source.answer(range);
            }
            progress.next = end;
            let ready = progress.take(&mut bytes, start, end);
            let mine = progress.goes_on.clamp(ready, end);
            progress.goes_on = progress.goes_on.max(end);
            self.start_helper(&mut progress, source);
            (ready, mine)
        };
        if ready < mine {
            // The helper thread is reading these bytes: they will be ready in a moment.
            let mut rest = Vec::with_capacity((end - mine) as usize);
            source.read(mine..end, &mut rest, Purpose::Answer)?;
            let ready = self.0.lock().take(&mut bytes, ready, mine);
            source.read(ready..mine, &mut bytes, Purpose::Answer)?;
            bytes.append(&mut rest);
        } else {
            source.read(mine..end, &mut bytes, Purpose::Answer)?;
        }
        Ok(bytes)
    }

    /// Starts a helper thread if there is much left to read and none is at work.
    fn start_helper(&self, progress: &mut Progress, source: &impl Source) {
        let is_near = progress.goes_on < source.size().min(progress.next + FAR / 2);
        if is_near && progress.helper.as_ref().is_none_or(JoinHandle::is_finished) {
            let (shared, source) = (self.0.clone(), source.clone());
            let helper = thread::Builder::new().name(NAME.to_owned());
            match helper.spawn(move || get_ahead(&shared, &source)) {
                Ok(helper) => progress.helper = Some(helper),
                Err(_) => progress.stop(),
            }
        }
    }

    /// The reader has closed. Waits for the helper thread to end: to be called with no lock held.
    pub fn close(&self) {
        let helper = {
            let mut progress = self.0.lock();
            progress.stop();
            progress.helper.take()
        };
        if let Some(helper) = helper {
            let _ = helper.join();
        }
    }
}

/// The helper thread: reads the next bytes until it is far enough ahead.
fn get_ahead(shared: &Mutex<Progress>, source: &impl Source) {
    loop {
        let part = {
            let mut progress = shared.lock();
            let start = progress.goes_on;
            if progress.off || start >= source.size().min(progress.next + FAR) {
                return;
            }
            progress.goes_on = source.size().min(start + PART);
            start..progress.goes_on
        };
        let mut bytes = Vec::with_capacity(PART as usize);
        let read = source.read(part.clone(), &mut bytes, Purpose::Ahead);
        let mut progress = shared.lock();
        match read {
            Ok(()) if progress.off => return,
            Ok(()) if part.end > progress.next => progress.ready.push_back((part.start, bytes)),
            // The reader has asked for the part meanwhile, and the thread that answers has read it.
            Ok(()) => {}
            Err(_) => return progress.stop(),
        }
    }
}

impl Progress {
    fn stop(&mut self) {
        self.off = true;
        self.ready = VecDeque::new();
    }

    /// Appends the bytes that are ready from `from` on, up to `end` at most; returns where they end.
    fn take(&mut self, bytes: &mut Vec<u8>, mut from: u64, end: u64) -> u64 {
        while let Some((start, part)) = self.ready.front() {
            let part_end = start + part.len() as u64;
            if from < part_end {
                if from < *start || from >= end {
                    break;
                }
                let to = part_end.min(end);
                bytes.extend_from_slice(&part[(from - start) as usize..(to - start) as usize]);
                from = to;
            }
            if part_end > end {
                break;
            }
            self.ready.pop_front();
        }
        from
    }
}
