//! Tests through the real kernel. Every test mounts for itself and cites the numbers of the contract it checks.

// There is no crate outside that could reach anything.
#![allow(unreachable_pub)]

mod actors;
mod daemon_process;
mod harness;

mod agents;
mod aliases;
mod basics;
mod copies;
mod crowd;
mod drafts;
mod durability;
mod editors;
mod edits;
mod failures;
mod first_mount;
mod listing;
mod meanwhile;
mod memory;
mod names;
mod ordinary_dirs;
mod ordinary_files;
mod proc_reads;
mod processes;
mod queues;
mod races;
mod races_kill;
mod races_queue;
mod races_readers;
mod reading;
mod reading_ahead;
mod recovery;
mod renames;
mod retention;
mod round_trips;
mod scratch;
mod sessions;
mod single_file;
mod six_terminals;
mod strays;
mod turns;
