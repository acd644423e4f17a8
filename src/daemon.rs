//! The program around the filesystem: mounting, staying, ending, and what the other commands ask of a mount.
//!
//! Errors here are sentences for a person: the path, the cause and the cure, on one line.

use std::path::{Path, PathBuf};

use crate::config::{Config, Part};

mod allocator;
mod background;
mod backoff;
mod control;
mod descriptors;
mod ending;
mod error;
mod find;
mod found;
mod logging;
mod mounts;
mod parent;
mod predecessor;
mod preflight;
mod probe;
mod rights;
mod serve;
mod supervise;
mod supervised;

pub use backoff::supervision;
pub use control::{status, unmount};
pub use error::{Failed, report};
pub use find::{NoMount, only_mount};

/// The path as the kernel's table of mounts has it.
#[must_use]
pub fn resolved(mountpoint: &Path) -> PathBuf {
    preflight::resolve(mountpoint)
}

/// Mounts. In the background this returns when the mount is usable; in the foreground when it has ended.
///
/// # Errors
/// Whatever stands in the way; nothing is left mounted then.
pub fn mount(config: &Config) -> Result<(), Failed> {
    match config.part {
        Part::Supervisor(daemon) => supervise::supervise(config, daemon),
        Part::Alone if !config.foreground => background::start(config),
        Part::Alone | Part::Daemon(_) => serve::serve(config),
    }
}
