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
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

thread_local! {
    static CALLERS: Cell<Option<usize>> = const { Cell::new(None) };
}

/// How many requests are being served.
static SERVING: AtomicU32 = AtomicU32::new(0);

/// The caller whose request this thread serves last ran on this processor.
pub fn note(processor: usize) {
    CALLERS.set(Some(processor));
}

/// Serves one request on this thread, and then goes where its caller is if nobody else calls: where many do, every
/// processor is busy, and moving would only cost.
pub fn serve(request: impl FnOnce()) {
    CALLERS.set(None);
    SERVING.fetch_add(1, Ordering::Relaxed);
    request();
    let others = SERVING.fetch_sub(1, Ordering::Relaxed) - 1;
    if let (0, Some(processor)) = (others, CALLERS.get()) {
        move_to(processor);
    }
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
