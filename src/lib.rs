//! handoff-fs: a directory of agent handoffs that nobody overwrites.
//!
//! Mounted over a directory, the program makes the directory follow the handoff protocol: writing any file makes a uniquely
//! named handoff, reading `pending.md` consumes all pending ones, and consumed ones disappear after seven days.
//!
//! | module | what it knows |
//! |---|---|
//! | [`contract`] | what the program promises, by the numbers that comments and tests cite (`spec 4.3b`) |
//! | [`names`], [`merge`], [`delivery`], [`retention`] | pure: names, the text of `pending.md`, which bytes a reader has received, time arithmetic |
//! | [`programs`], [`session`] | the calling program and its session |
//! | [`store`] | the backing directory: the boundary to storage |
//! | [`mod@fs`] | the filesystem's logic |
//! | [`fuse`] | the adapter to the kernel |
//! | [`cli`], [`config`], [`daemon`], [`failure`] | the program |

pub mod cli;
pub mod clock;
pub mod config;
#[doc = include_str!("contract.md")]
pub mod contract {}
pub mod daemon;
pub mod delivery;
pub mod error;
pub mod failure;
pub mod fs;
pub mod fuse;
pub mod merge;
pub mod names;
mod parallel;
pub mod programs;
mod quote;
mod read_ahead;
pub mod retention;
pub mod session;
pub mod store;
