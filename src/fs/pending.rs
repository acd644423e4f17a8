//! `pending.md`: its merge, its readers and their turns, and what a read consumes (spec 4.7, 6).

pub(super) mod consume;
mod consume_intent;
mod look_again;
pub(super) mod merge_plan;
pub(super) mod open_merge;
mod planning;
mod read_ahead;
mod read_snapshot;
pub(super) mod readers;
pub(super) mod second_look;
pub(super) mod single_file;
pub(super) mod snapshot;
pub(super) mod turns;
mod write_pending;

#[cfg(test)]
mod tests;
