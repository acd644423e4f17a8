//! Tests through the real kernel. Every test mounts for itself and cites the numbers of the contract it checks.

#![allow(
    unreachable_pub,
    reason = "what a test module offers to the others is written pub"
)]

mod actors;
mod harness;

mod aliases;
mod basics;
mod copies;
mod crowd;
mod drafts;
mod editors;
mod edits;
mod names;
mod renames;
mod scratch;
