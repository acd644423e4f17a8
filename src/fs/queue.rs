//! What a directory holds, and how that is kept in step with the directory below (spec 3.1, 3.6, 3.7).

pub(super) mod cache;
pub(super) mod dir_kind;
pub(super) mod entry;
pub(super) mod health;
pub(super) mod merge_entry;
pub(super) mod names;
pub(super) mod retry;
pub(super) mod stat;
pub(super) mod strays;
pub(super) mod sync;
pub(super) mod tree;

#[cfg(test)]
mod tests;
