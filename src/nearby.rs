//! Workers move to the processor that their callers run on.
//!
//! A caller and its worker never run at the same time: each sleeps until the other wakes it. Waking a thread on another
//! processor that idles takes an interrupt there, and in a virtual machine an exit to the host; waking it on one's own takes a
//! switch. Seen on two virtual processors: 11 µs for the round trip of one request on one processor, 40 µs across two, and
//! which of them a worker ran on was left to chance.
//!
//! So a worker that has nothing else to do goes where its caller last ran. It is not tied to it: the scheduler may put it
//! anywhere at any time.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

thread_local! {
    /// The caller whom this thread serves; 0 if it is nobody in particular.
    static SERVED: Cell<u32> = const { Cell::new(0) };
}

/// How many requests are being served.
static SERVING: AtomicU32 = AtomicU32::new(0);

/// Who called last, and how often in a row.
static IN_A_ROW: AtomicU64 = AtomicU64::new(0);

/// How often somebody calls in a row whom it is worth to be near.
const ALONE: u32 = 3;

/// The caller of whom it was last seen where he runs, and that processor.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Serves one request on this thread, and then goes where its caller is if nobody else calls: where many do, every
/// processor is busy, and moving would only cost.
pub fn serve(request: impl FnOnce()) {
    SERVED.set(0);
    SERVING.fetch_add(1, Ordering::Relaxed);
    request();
    let others = SERVING.fetch_sub(1, Ordering::Relaxed) - 1;
    let (caller, processor) = pair(SEEN.load(Ordering::Relaxed));
    let (last, times) = pair(IN_A_ROW.load(Ordering::Relaxed));
    if others == 0 && caller != 0 && [last, SERVED.get()] == [caller; 2] && times >= ALONE {
        move_to(processor as usize);
    }
}

/// The request that this thread serves is of this caller, a thread id.
pub fn serves(caller: u32) {
    SERVED.set(caller);
    let (last, times) = pair(IN_A_ROW.load(Ordering::Relaxed));
    let times = if last == caller {
        times.saturating_add(1)
    } else {
        1
    };
    IN_A_ROW.store(packed(caller, times), Ordering::Relaxed);
}

/// This caller last ran on this processor.
pub fn seen(caller: u32, processor: u32) {
    SEEN.store(packed(caller, processor), Ordering::Relaxed);
}

fn packed(caller: u32, number: u32) -> u64 {
    u64::from(caller) << 32 | u64::from(number)
}

fn pair(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
}

/// Moves this thread to a processor, and leaves it free to be moved again. Where that is not allowed all stays as it is.
fn move_to(processor: usize) {
    if sched_getcpu() == processor || processor >= CpuSet::MAX_CPU {
        return;
    }
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    if !allowed.is_set(processor) {
        return;
    }
    let mut there = CpuSet::new();
    there.set(processor);
    if sched_setaffinity(None, &there).is_ok() {
        let restored = sched_setaffinity(None, &allowed);
        if let Err(error) = restored {
            log::debug!("a worker stays on processor {processor} ({error})");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever the caller is, the worker ends up free to run anywhere.
    #[test]
    fn a_worker_that_moved_is_not_tied() {
        let before = sched_getaffinity(None).unwrap();
        for processor in 0..CpuSet::MAX_CPU {
            move_to(processor);
        }
        assert!(sched_getaffinity(None).unwrap() == before);
    }
}
