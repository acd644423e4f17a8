//! Tests through the real kernel. Every test mounts for itself and cites the numbers of the contract it checks.

// There is no crate outside that could reach anything.
#![allow(unreachable_pub)]

mod daemon_process;
mod harness;

mod basics;
mod memory;
mod reading;
mod sessions;
mod single_file;
mod six_terminals;
mod turns;
