//! Makes the files that exist before a mount, and times programs.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Result;
use crate::workers::content;

/// A stamped name; the first 86,400 have different seconds.
pub fn stamped(turn: usize) -> String {
    let (hour, minute, second) = (turn / 3600 % 24, turn / 60 % 60, turn % 60);
    format!("2026-11-22_{hour:02}{minute:02}{second:02}_session-{turn}.md")
}

fn consumed(turn: usize) -> String {
    stamped(turn).replace(".md", "_done.md")
}

/// Makes handoffs as plain files: first the pending ones, then consumed ones whose time is now.
///
/// # Errors
///
/// A file cannot be made.
pub fn make(directory: &Path, pending: usize, done: usize) -> Result<()> {
    fs::create_dir_all(directory)?;
    let content = content();
    for turn in 0..pending {
        fs::write(directory.join(stamped(turn)), &content)?;
    }
    for turn in pending..pending + done {
        fs::write(directory.join(consumed(turn)), &content)?;
    }
    Ok(())
}

/// A program whose output goes to a file.
pub fn program(name: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).env("LC_ALL", "C");
    command
}

/// Runs a command, and returns the seconds from its start to its end.
///
/// # Errors
///
/// It failed.
pub fn time(command: &mut Command, output: &Path) -> Result<f64> {
    command.stdin(Stdio::null()).stdout(File::create(output)?);
    let start = Instant::now();
    let status = command.status()?;
    let time = start.elapsed().as_secs_f64();
    if status.success() {
        Ok(time)
    } else {
        Err(format!("{command:?}: {status}").into())
    }
}
