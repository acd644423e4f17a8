//! Which bytes of a snapshot a reader was given, and whether the reader has reached the end (spec 6.3).
//!
//! Consuming a handoff that was not read loses it, delivering a handoff twice only repeats it. So a reader counts as
//! having reached the end only if that is certain.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// One read of a snapshot and its answer. Offsets and lengths are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadSeen {
    /// Where the read began.
    pub offset: u64,
    /// How many bytes the reader asked for.
    pub requested: u64,
    /// How many bytes the reader was given.
    pub returned: u64,
    /// The read came through the page cache (splice, sendfile, a private mapping): it has no lock owner. The kernel then asks
    /// in whole pages, and answers the end of file by itself.
    pub cached: bool,
}

impl ReadSeen {
    /// Does the reader know from this answer that nothing follows?
    ///
    /// A short answer does not tell: many readers ask again. So a request past the end counts only if it came through the
    /// page cache, which does not ask again.
    fn meets_end(&self, size: u64) -> bool {
        let given_to = self.offset.saturating_add(self.returned);
        if self.requested == 0 {
            false
        } else if self.returned == 0 {
            self.offset >= size
        } else {
            let in_full = self.returned == self.requested;
            given_to == size && (in_full || self.cached)
        }
    }
}

/// The record of one open file: which bytes were delivered, and whether the reader has reached the end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delivered {
    /// INVARIANT: sorted, none empty, none touching the next. A reader that goes straight through has one range.
    ranges: Vec<Range<u64>>,
    /// Remembered, because a reader may look for the end first and read afterwards.
    end_met: bool,
}

impl Delivered {
    /// Records one read of a snapshot of `size` bytes. True if by now every byte was delivered and the reader has reached the end, in
    /// whatever order. Never true of an empty snapshot, which has nothing to consume.
    pub fn record(&mut self, read: ReadSeen, size: u64) -> bool {
        let end = read.offset.saturating_add(read.returned).min(size);
        self.add(read.offset..end);
        self.end_met |= read.meets_end(size);
        self.end_met && size > 0 && self.is_whole(size)
    }

    fn is_whole(&self, size: u64) -> bool {
        matches!(&*self.ranges, [all] if *all == (0..size))
    }

    fn add(&mut self, new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        let first = self.ranges.partition_point(|old| old.end < new.start);
        let after = self.ranges.partition_point(|old| old.start <= new.end);
        let joined = self.ranges[first..after].iter().fold(new, |all, old| {
            all.start.min(old.start)..all.end.max(old.end)
        });
        self.ranges.splice(first..after, [joined]);
    }
}
