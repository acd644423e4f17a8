//! Starting this program again as another part of the mount, and the lines on which that says how its start goes.
//!
//! By hand, because a fork without exec needs `unsafe`, and crates that do it, such as daemonize, are no longer maintained.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::allocator::limit_memory;
use crate::config::{Config, Part};
use crate::failure::Failure;

/// What a process says while it starts.
pub(super) enum Line {
    /// The mount is usable.
    Ready,
    /// What the process is waiting for. Another line follows.
    Waiting(String),
    /// Why there is no mount.
    Failed(Failure),
}

impl Line {
    /// None if this is no such line: the process has died.
    pub(super) fn parse(line: &str) -> Option<Line> {
        let line = line.trim_end();
        match line.split_once(' ')? {
            ("ready", _) => Some(Line::Ready),
            ("waiting", _) => Some(Line::Waiting(line.to_owned())),
            ("error", text) => Some(Line::Failed(Failure::from_text(text))),
            _ => None,
        }
    }
}

/// Writes a [`Line`]: `ready PID`, `waiting TEXT`, or `error TEXT`.
///
/// # Errors
/// Nobody reads the line any more.
pub(super) fn report(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes())?;
    stdout.flush()
}

/// Starts this program as this part of the mount.
pub(super) fn start(
    config: &Config,
    part: Part,
    stdout: Stdio,
    stderr: Stdio,
) -> Result<Child, Failure> {
    let program = own_program();
    limit_memory(&mut Command::new(&program))
        .args(config.arguments_as(part))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(|error| {
            let cause = format_args!("cannot be started ({error})");
            let cure = "put the handoff-fs program back there and run it again";
            Failure::new(&program, cause, cure)
        })
}

/// This program's file, or the running program itself after an update has replaced the file.
fn own_program() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("/proc/self/exe"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_starting_process() {
        assert!(matches!(Line::parse("ready 7\n"), Some(Line::Ready)));
        let waiting = Line::parse("waiting up to 10 s\n");
        assert!(matches!(waiting, Some(Line::Waiting(text)) if text == "waiting up to 10 s"));
        let failed = Line::parse("error /m: is taken; move it");
        assert!(
            matches!(failed, Some(Line::Failed(failure)) if failure.to_string() == "/m: is taken; move it")
        );
        assert!(Line::parse("").is_none() && Line::parse("nonsense\n").is_none());
    }
}
