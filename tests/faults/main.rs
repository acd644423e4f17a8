//! What goes wrong below: a disk that fails, is full, is read-only or gone; a clock that jumps; no descriptor left.
//!
//! Throughout: nothing acknowledged is lost, nothing is consumed that was not read, the call that failed has the error,
//! nothing hangs, and once the fault is over everything works again without a restart.

// There is no crate outside that could reach anything.
#![allow(unreachable_pub)]

#[path = "../kernel/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../program/sandbox.rs"]
#[allow(dead_code)]
mod sandbox;
#[path = "../common/torture.rs"]
mod torture;

use std::sync::{Mutex, MutexGuard};

/// One test at a time: a child that is spawned closes copies of every descriptor that is open just then, and a closed
/// copy of a file on a mount is a FLUSH that its test did not ask for.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|broken| broken.into_inner())
}

mod backing;
mod calls;
mod cases;
mod checker;
mod clock;
mod descriptors;
mod disks;
mod store;
