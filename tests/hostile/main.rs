//! Hostile input: names, contents, files found in the backing and in the private directory, another local user.
//!
//! These are bounded property tests, and not coverage-guided fuzzing (cargo-fuzz): that needs a nightly compiler, and what
//! goes wrong here goes wrong between this program and the kernel, where a counter of branches sees nothing. The cases
//! are drawn from grammars that lean on what the program tells apart, a short fixed share of them in an ordinary run.

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
#[path = "../common/users.rs"]
mod users;

mod canary;
mod draw;
mod merge;

mod backing;
mod header;
mod many;
mod names;
mod output;
mod private;
mod user;
