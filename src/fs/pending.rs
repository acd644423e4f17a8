//! `pending.md`: its merge, its readers and their turns, and what a read consumes (spec 4.7, 6).

pub(super) mod consume;
pub(super) mod merge_plan;
pub(super) mod open_merge;
pub(super) mod read_ahead;
pub(super) mod read_ahead_buffer;
pub(super) mod readers;
pub(super) mod second_look;
pub(super) mod single_file;
pub(super) mod snapshot;
pub(super) mod turns;
