//! Tests of the program: the daemon is a process of its own, as users run it.

// There is no crate outside that could reach anything.
#![allow(unreachable_pub)]

#[path = "../kernel/harness.rs"]
#[allow(dead_code)]
mod harness;

mod background;
mod sandbox;
#[path = "../common/torture.rs"]
mod torture;
#[path = "../common/users.rs"]
mod users;

mod bad_input;
mod covered;
mod crash;
mod crash_edits;
mod file_limit;
mod first_mount;
mod hangs;
mod kill_loop;
mod lifecycle;
mod mounted_again;
mod only_mount;
mod rights;
mod scripts;
mod service;
mod status;
mod strangers;
mod supervision;
mod time;
mod user;
