//! Tests through the real kernel. Every test mounts for itself and cites the numbers of the contract it checks.
//!
//! All but those whose names end in `_needs_root` pass for an ordinary user too: `--skip _needs_root`. Those have disks or
//! namespaces of their own, mount over a mount that only its owner may enter (the setuid fusermount3 is not that owner), or
//! trace a daemon, which then cannot use fusermount3.

// There is no crate outside that could reach anything.
#![allow(unreachable_pub)]

mod actors;
mod daemon_process;
mod harness;
#[path = "../common/hooked_store.rs"]
mod hooked_store;
mod layers;
#[path = "../common/tmpfs.rs"]
mod tmpfs;

mod agents;
mod aliases;
mod basics;
mod changes_while_reading;
mod copies;
mod drafts;
mod durability;
mod editors;
mod edits;
mod failures;
mod first_mount;
mod hidden;
mod listing;
mod many_clients;
mod memory;
mod names;
mod ordinary_dirs;
mod ordinary_files;
mod past_faults;
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
mod removed;
mod renames;
mod retention;
mod round_trips;
mod scratch;
mod sessions;
mod single_file;
mod six_terminals;
mod strays;
mod turns;
