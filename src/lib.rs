//! handoff-fs: a directory of agent handoffs that nobody overwrites.
//!
//! Mounted over a directory, it makes the directory follow the handoff protocol by itself: writing any file makes a
//! uniquely named handoff, reading `pending.md` takes them all, and consumed ones disappear after seven days.
//!
//! | module | what it knows |
//! |---|---|
//! | [`contract`] | what the program promises, by the numbers that comments and tests cite (`spec 4.3b`) |
//! | [`names`], [`merge`], [`delivery`], [`retention`] | pure: names, the text of `pending.md`, what a reader was given, time arithmetic |
//! | [`programs`], [`session`] | who is calling |
//! | [`store`] | where handoffs are kept; the boundary to storage |
//! | [`mod@fs`] | what the directory means; its rooms are listed there |
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
pub mod retention;
pub mod session;
pub mod store;
