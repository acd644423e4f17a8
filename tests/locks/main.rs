//! Whether deadlocks are found. A program of its own: a deadlock stays in it until it ends.

use std::sync::{Arc, Barrier};
use std::thread;

use parking_lot::{Mutex, deadlock};

/// The feature of parking_lot that the tests under load rely on is on. Without it nothing is ever found.
#[test]
fn a_deadlock_is_found() {
    let locks = Arc::new((Mutex::new(()), Mutex::new(())));
    let both = Arc::new(Barrier::new(2));
    for swapped in [false, true] {
        let (locks, both) = (locks.clone(), both.clone());
        // These two hang until the test program ends.
        thread::spawn(move || {
            let (first, second) = if swapped {
                (&locks.1, &locks.0)
            } else {
                (&locks.0, &locks.1)
            };
            let _first = first.lock();
            both.wait();
            let _second = second.lock();
        });
    }
    // A deadlock is reported once; it may take a moment until both threads wait.
    while deadlock::check_deadlock().is_empty() {
        thread::yield_now();
    }
}
