//! Outside oracles: programs that others wrote to find faults in file systems.

// There is no crate outside that could reach anything.
#![allow(unreachable_pub)]

mod fsx;
mod stress_ng;

#[path = "../kernel/harness.rs"]
#[allow(dead_code, reason = "made for the tests of the kernel's view")]
mod harness;
#[path = "../common/torture.rs"]
mod torture;
