//! The requests of the kernel and of the daemon.

pub(super) mod covered;
pub(super) mod ending;
pub(super) mod io;
pub(super) mod open;
pub(super) mod readdir;
pub(super) mod readdirplus;
pub(super) mod remove;
pub(super) mod rename;
pub(super) mod setattr;
pub(super) mod status;
pub(super) mod sweep;
