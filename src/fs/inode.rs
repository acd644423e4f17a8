//! What the kernel knows: nodes, handles, directories, and the names it may use without asking.

pub(super) mod dentry_cache;
pub(super) mod dirs;
pub(super) mod fd_limit;
pub(super) mod handles;
pub(super) mod listing;
pub(super) mod table;
pub(super) mod types;
