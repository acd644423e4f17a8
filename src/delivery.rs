//! What of a snapshot a reader was given, and whether that was all of it (spec 6.3).
//!
//! Consuming what was not read loses a handoff, delivering twice only repeats one: where a read can be
//! taken both ways, it is taken as not the end.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// One read of a snapshot, as it was answered. All in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadSeen {
    /// Where it began.
    pub offset: u64,
    /// How much it asked for.
    pub requested: u64,
    /// How much it was given.
    pub returned: u64,
    /// It came through the page cache (splice, sendfile, a private mapping), told by its having no lock
    /// owner. The kernel asks in whole pages then and answers the end of file by itself.
    pub cached: bool,
}

impl ReadSeen {
    /// Whether a reader that was answered so knows that nothing follows.
    ///
    /// A short answer does not tell it: many readers ask again. So a request past the end counts only if
    /// it came through the page cache, which does not ask again.
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

/// The record of one open file: which bytes were delivered, and whether the reader met the end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Delivered {
    /// INVARIANT: sorted, none empty, none touching the next. One range for a reader that goes straight
    /// through.
    ranges: Vec<Range<u64>>,
    /// Remembered: a reader may look for the end first and read afterwards.
    end_met: bool,
}

impl Delivered {
    /// Records one read of a snapshot of `size` bytes. True if by now each byte was delivered and the
    /// reader met the end, in whatever order. Never true of an empty snapshot, which has nothing to
    /// consume.
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
