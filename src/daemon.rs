//! The program around the filesystem: mounting, staying, ending, and what the other commands ask of a mount.
//!
//! Errors here are sentences for a person: the path, the cause and the cure, on one line.

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::config::{Config, Part};
use crate::quote::quoted;

mod allocator;
mod background;
mod backoff;
mod control;
mod descriptors;
mod ending;
mod find;
mod found;
mod logging;
mod mounts;
mod predecessor;
mod preflight;
mod rights;
mod serve;
mod supervise;
mod supervised;

pub use backoff::supervision;
pub use control::{status, unmount};
pub use find::{NoMount, only_mount};

/// What was asked for could not be done: one line with the path, the cause and the cure. Ends the program
/// with 1.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    fn new(path: &Path, cause: impl fmt::Display, cure: impl fmt::Display) -> Failed {
        Failed::from_text(&format!("{}: {cause}; {cure}", shown(path)))
    }

    /// A text from elsewhere, such as a helper's standard error, is brought onto one line.
    fn from_text(text: &str) -> Failed {
        let words: Vec<_> = text.split(['\n', '\r']).map(str::trim).collect();
        Failed(words.join(" ").trim().to_owned())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// A path as it can be put into a line, and pasted from there into a shell.
fn shown(path: &Path) -> String {
    quoted(path)
}

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

/// Writes one line for whoever started this program with `--report-ready`.
///
/// # Errors
/// Nobody reads any more.
pub fn report(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes())?;
    stdout.flush()
}
