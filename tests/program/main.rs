//! Tests of the program: the daemon is a process of its own, as users run it.

// There is no crate outside that could reach anything.
#![allow(unreachable_pub)]

#[path = "../kernel/harness.rs"]
#[allow(dead_code)]
mod kernel;

mod background;
mod sandbox;
#[path = "../common/torture.rs"]
mod torture;
#[path = "../common/users.rs"]
mod users;

mod bad_input;
mod crash;
mod crash_edits;
mod found;
mod kill_loop;
mod lifecycle;
mod status;
mod strangers;
mod supervision;
mod time;
mod user;
