//! What goes wrong below: a disk that fails, is full, is read-only or gone; a clock that jumps; no descriptor left.
//!
//! Throughout: nothing acknowledged is lost, nothing is consumed that was not read, the call that failed has the error,
//! nothing hangs, and once the fault is over everything works again without a restart.

// There is no crate outside that could reach anything.
#![allow(unreachable_pub)]

#[path = "../kernel/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../common/hooked_store.rs"]
mod hooked_store;
#[path = "../program/sandbox.rs"]
#[allow(dead_code)]
mod sandbox;
#[path = "../common/tmpfs.rs"]
mod tmpfs;
#[path = "../common/torture.rs"]
mod torture;

mod backing;
mod calls;
mod cases;
mod checker;
mod clock;
mod descriptors;
mod disks;
mod store;
