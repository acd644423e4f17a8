//! Looks for deadlocks.

use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use parking_lot::deadlock;

/// Aborts the test program, and prints the back traces, if the locks of the filesystem, which this process serves, are
/// in a deadlock.
pub struct DeadlockWatch {
    _end: Sender<()>,
}

impl DeadlockWatch {
    pub fn start() -> DeadlockWatch {
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            while ended.recv_timeout(Duration::from_millis(500)) == Err(RecvTimeoutError::Timeout) {
                let found = deadlock::check_deadlock();
                for thread in found.iter().flatten() {
                    eprintln!("{:?}\n{:?}", thread.thread_id(), thread.backtrace());
                }
                if !found.is_empty() {
                    eprintln!("locks that wait for each other: {}", found.len());
                    process::abort();
                }
            }
        });
        DeadlockWatch { _end: end }
    }
}
