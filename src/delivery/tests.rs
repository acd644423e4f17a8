//! spec 6.3a, read by read.

use super::*;
use proptest::prelude::*;

const SIZE: u64 = 10_000;

fn asked(offset: u64, requested: u64) -> ReadSeen {
    ReadSeen {
        offset,
        requested,
        returned: SIZE.saturating_sub(offset).min(requested),
        cached: false,
    }
}

fn through_cache(offset: u64, requested: u64) -> ReadSeen {
    ReadSeen {
        cached: true,
        ..asked(offset, requested)
    }
}

/// The answer of a new record to each read.
fn answers(reads: &[ReadSeen]) -> Vec<bool> {
    let mut delivered = Delivered::default();
    reads.iter().map(|r| delivered.record(*r, SIZE)).collect()
}

/// spec 6.3a: a read that returned 0 bytes
#[test]
fn a_read_of_nothing_after_all_completes() {
    let reads = [asked(0, 8192), asked(8192, 8192), asked(SIZE, 8192)];
    assert_eq!(answers(&reads), [false, false, true]);
    assert_eq!(
        answers(&[asked(0, 1 << 20), asked(SIZE, 1 << 20)]),
        [false, true]
    );
}

/// spec 6.3a: a read whose requested range ended exactly at `st_size`
#[test]
fn a_request_that_ends_at_the_size_completes() {
    assert_eq!(answers(&[asked(0, SIZE)]), [true]);
    assert_eq!(
        answers(&[asked(0, 4096), asked(4096, SIZE - 4096)]),
        [false, true]
    );
}

/// spec 6.3a: a short read alone is not the end
#[test]
fn a_short_read_does_not_complete() {
    assert_eq!(answers(&[asked(0, SIZE + 1)]), [false]);
    assert_eq!(answers(&[asked(0, 131_072)]), [false]);
}

/// spec 6.3a: a read through the page cache that covers the last byte
#[test]
fn a_cached_read_of_the_last_byte_completes() {
    assert_eq!(answers(&[through_cache(0, 12_288)]), [true]);
    let pages = [through_cache(0, 8192), through_cache(8192, 4096)];
    assert_eq!(answers(&pages), [false, true]);
    let last_page = [through_cache(8192, 4096), through_cache(0, 8192)];
    assert_eq!(answers(&last_page), [false, true]);
}

/// spec 6.3b: `cat | head`, a sniff of the first 4 KiB, a reader killed half-way
#[test]
fn a_part_never_completes() {
    assert_eq!(answers(&[asked(0, 4096)]), [false]);
    assert_eq!(answers(&[asked(0, 4096), asked(0, 4096)]), [false; 2]);
    let tail = [asked(5000, 5000), asked(SIZE, 4096)];
    assert_eq!(answers(&tail), [false; 2]);
    let hole = [asked(0, 4096), asked(4097, SIZE - 4097), asked(SIZE, 1)];
    assert_eq!(answers(&hole), [false; 3]);
}

/// spec 6.3a: the end is remembered until the rest has been delivered (tail -c +1, tac, mmap)
#[test]
fn the_end_may_be_met_first() {
    let reads = [asked(SIZE, 4096), asked(5000, 4096), asked(0, 5000)];
    assert_eq!(answers(&reads), [false; 3]);
    let reads = [asked(5000, 5000), asked(0, 5000)];
    assert_eq!(answers(&reads), [false, true]);
    let reads = [asked(SIZE, 1), asked(0, 5000), asked(5000, 9000)];
    assert_eq!(answers(&reads), [false, false, true]);
}

/// spec 6.3a: asking for nothing shows nothing, and an answer cut short has not shown the end
#[test]
fn what_a_reader_did_not_see_does_not_count() {
    assert_eq!(answers(&[asked(0, SIZE - 1), asked(SIZE, 0)]), [false; 2]);
    let mut cut_short = asked(0, SIZE);
    cut_short.returned = SIZE - 1;
    assert_eq!(
        answers(&[cut_short, asked(SIZE - 1, 4096)]),
        [false, false],
        "the byte arrived, the end was never met"
    );
    let mut failed = asked(0, SIZE);
    failed.returned = 0;
    assert_eq!(answers(&[failed, asked(0, SIZE + 1)]), [false; 2]);
}

/// spec 6.1d: no handoff, nothing to consume
#[test]
fn an_empty_snapshot_never_completes() {
    let mut delivered = Delivered::default();
    let mut read = asked(0, 4096);
    read.returned = 0;
    assert!(!delivered.record(read, 0));
}

/// spec 8.3c: no request can stop the program
#[test]
fn absurd_offsets_are_harmless() {
    let absurd = ReadSeen {
        offset: u64::MAX,
        requested: u64::MAX,
        returned: u64::MAX,
        cached: true,
    };
    assert_eq!(answers(&[absurd]), [false]);
}

proptest! {
    /// spec 6.3a: complete exactly if every single byte was given out and the end was met
    #[test]
    fn agrees_with_a_bitmap(
        size in 0..40u64,
        reads in prop::collection::vec((0..45u64, 0..20u64, any::<bool>()), 0..30),
    ) {
        let mut delivered = Delivered::default();
        let mut given = vec![false; usize::try_from(size).unwrap()];
        let mut met = false;
        for (offset, requested, cached) in reads {
            let returned = size.saturating_sub(offset).min(requested);
            for byte in offset..offset + returned {
                given[usize::try_from(byte).unwrap()] = true;
            }
            let nothing = requested > 0 && returned == 0;
            let exact = requested > 0 && offset + requested == size;
            let last_cached = cached && returned > 0 && offset + returned == size;
            met |= nothing || exact || last_cached;
            let complete = met && size > 0 && given.iter().all(|byte| *byte);
            let read = ReadSeen { offset, requested, returned, cached };
            prop_assert_eq!(delivered.record(read, size), complete);
        }
        let apart = delivered.ranges.windows(2).all(|two| two[0].end < two[1].start);
        prop_assert!(apart, "not coalesced: {:?}", delivered.ranges);
    }
}
