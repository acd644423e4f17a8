//! Starting what stays in the background.
//!
//! A fork without exec would need `unsafe`, so the program starts itself again as the supervisor, and that once more as
//! the daemon, each with a pipe as its standard output. One line comes back on it: `ready PID`, or `error TEXT`.
//! By hand, for the crates for this, such as daemonize, are no longer maintained.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::allocator::frugal;
use super::error::{Failed, shown};
use super::{found, logging, preflight};
use crate::config::{Config, Part};

/// Starts the supervisor, which starts the daemon, and waits until the mount is usable.
pub(super) fn start(config: &Config) -> Result<(), Failed> {
    // The daemon checks again for itself. Checking here first keeps a second `mount` from rotating the log
    // of the daemon that is running.
    let place = preflight::prepare(config)?;
    let log = logging::for_background(config, &place.mountpoint)?;
    // As it is now: a symbolic link that changes later must not lead a restart to another place.
    let mut config = config.clone();
    config.mountpoint.clone_from(&place.mountpoint);
    config.backing = config.backing.map(|_| place.backing.clone());
    let mountpoint = place.mountpoint.clone();
    let is_first = found::is_first_mount(&place.directory);
    drop(place);

    let program = own_program();
    let mut child = frugal(&mut Command::new(&program))
        .args(config.arguments_as(Part::Supervisor(None)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.output)
        .spawn()
        .map_err(|error| {
            let cure = "put the handoff-fs program back there and run it again";
            Failed::new(&program, format_args!("cannot be started ({error})"), cure)
        })?;

    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        // An error in reading is the same as no word.
        let _ = BufReader::new(stdout).read_line(&mut line);
    }
    match line.trim_end().split_once(' ') {
        Some(("ready", _)) => {
            // A closed pipe is the reader's choice.
            let _ = writeln!(
                io::stdout(),
                "handoff-fs is mounted at {}",
                shown(&mountpoint)
            );
            if is_first {
                found::print(&mountpoint);
            }
            Ok(())
        }
        Some(("error", text)) => {
            // It is on its way out; leave no zombie to whoever started us.
            let _ = child.wait();
            Err(Failed::from_text(text))
        }
        _ => {
            let end = child
                .wait()
                .map_or_else(|error| error.to_string(), |status| status.to_string());
            let cause = format_args!("the daemon ended before the mount was usable ({end})");
            let cure = match log.path {
                Some(path) => format!("see its log: {}", shown(&path)),
                None => "run it with --foreground to see why".to_owned(),
            };
            Err(Failed::new(&mountpoint, cause, cure))
        }
    }
}

/// This program's own file; or, when an update has replaced that meanwhile, the very one that is running.
pub(super) fn own_program() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("/proc/self/exe"),
    }
}
