//! `mount` in the background: starts the supervisor, which starts the daemon, and waits until the mount is usable.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::AtFlags;

use super::start::{Line, start};
use super::{logging, mounted, preflight};
use crate::config::{Config, Part};
use crate::failure::Failure;
use crate::names;
use crate::quote::quoted;
use crate::store::local::FIRST_MOUNT;

/// Returns when the mount is usable.
pub(super) fn launch(config: &Config) -> Result<(), Failure> {
    // The daemon checks again for itself. Checking here first keeps a second `mount` from rotating the log
    // of the daemon that is running.
    let place = preflight::prepare(config)?;
    let log = logging::for_background(config, &place.mountpoint)?;
    // Resolved: a symbolic link that changes later must not lead a restart to another place.
    let mut config = config.clone();
    config.mountpoint.clone_from(&place.mountpoint);
    config.backing = config.backing.map(|_| place.backing.clone());
    let mountpoint = &config.mountpoint;
    let is_first = is_first_mount(&place.directory);
    drop(place);

    let part = Part::Supervisor(None);
    let mut child = start(&config, part, Stdio::piped(), log.output)?;
    let stdout = child.stdout.take();
    for line in stdout
        .into_iter()
        .flat_map(|stdout| BufReader::new(stdout).lines())
    {
        // An error in reading counts as the child's death.
        match line.ok().as_deref().and_then(Line::parse) {
            Some(Line::Waiting(text)) => {
                let _ = writeln!(io::stderr(), "handoff-fs: {text}");
            }
            Some(Line::Ready) => {
                // A closed pipe is the reader's choice.
                let _ = writeln!(
                    io::stdout(),
                    "handoff-fs is mounted at {}",
                    quoted(mountpoint)
                );
                if is_first {
                    print_found(mountpoint);
                }
                return Ok(());
            }
            Some(Line::Failed(failure)) => {
                // The child is about to end; waiting leaves no zombie to the parent of this process.
                let _ = child.wait();
                return Err(failure);
            }
            None => break,
        }
    }
    let end = child
        .wait()
        .map_or_else(|error| error.to_string(), |status| status.to_string());
    let cause = format_args!("the daemon ended before the mount was usable ({end})");
    let cure = match log.path {
        Some(path) => format!("see its log: {}", quoted(&path)),
        None => "run it with --foreground to see why".to_owned(),
    };
    Err(Failure::new(mountpoint, cause, cure))
}

/// Was this backing directory never mounted before? The daemon could tell, too, but would look at every handoff for it.
fn is_first_mount(backing: impl AsFd) -> bool {
    let record = Path::new(names::PRIVATE).join(FIRST_MOUNT);
    rustix::fs::statat(backing, record, AtFlags::SYMLINK_NOFOLLOW).is_err()
}

/// Prints what the first mount found, if this is one (spec 3.6c).
fn print_found(mountpoint: &Path) {
    let Ok((_, status)) = mounted::ask(mountpoint) else {
        return;
    };
    let found = status.found.filter(|found| found.first_mount);
    for line in found.iter().flat_map(mounted::Found::lines) {
        let _ = writeln!(io::stdout(), "{}: {line}", quoted(mountpoint));
    }
}
