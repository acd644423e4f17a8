//! Looks for locks that wait for each other.

use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use parking_lot::deadlock;

/// Ends the test program, with the back traces of all who are in it, should there be a deadlock among its locks: those
/// of the file system, which is served by this very process.
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
