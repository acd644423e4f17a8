//! `mount` in the background: starts the supervisor, which starts the daemon, and waits until the mount is usable.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::AtFlags;

use super::start::{await_mount, start};
use super::status::found_lines;
use super::{logging, mounted, preflight};
use crate::config::{Config, Part};
use crate::failure::Failure;
use crate::names;
use crate::quote::quoted;
use crate::store::local::FIRST_MOUNT;

/// Returns when the mount is usable.
pub(super) fn launch(config: &Config) -> Result<(), Failure> {
    // The daemon makes these checks again. A second `mount` must fail here, before it rotates the log of the running daemon.
    let place = preflight::prepare(config)?;
    let log = logging::for_background(config, &place.mountpoint)?;
    let (log, output) = match log {
        Some((path, file)) => (Some(path), Stdio::from(file)),
        None => (None, Stdio::null()),
    };
    // The paths are resolved now, so that a restart does not follow a symbolic link that has changed since.
    let mut config = config.clone();
    config.mountpoint.clone_from(&place.mountpoint);
    config.backing = config.backing.map(|_| place.backing.clone());
    let mountpoint = &config.mountpoint;
    let is_first = is_first_mount(&place.directory);
    drop(place);

    let mut supervisor = start(&config, Part::Supervisor(None), Stdio::piped(), output)?;
    let started = await_mount(supervisor.take_stdout(), |text| {
        let _ = writeln!(io::stderr(), "handoff-fs: {text}");
    });
    if let Err(failure) = started {
        // A child that is not waited for would be left as a zombie to the parent of this process.
        let status = supervisor.wait();
        return Err(failure.unwrap_or_else(|| {
            let end = status.map_or_else(|| "unknown how".to_owned(), |status| status.to_string());
            let cause = format_args!("the daemon ended before the mount was usable ({end})");
            let cure = match &log {
                Some(path) => format!("see its log: {}", quoted(path)),
                None => "run it with --foreground to see why".to_owned(),
            };
            Failure::new(mountpoint, cause, cure)
        }));
    }
    // The mount goes on, even if no process reads this line.
    let _ = writeln!(
        io::stdout(),
        "handoff-fs is mounted at {}",
        quoted(mountpoint)
    );
    if is_first {
        print_found(mountpoint);
    }
    Ok(())
}

/// Is this the first mount of the backing directory? The status says so too, but for a status the daemon reads every queue.
fn is_first_mount(backing: impl AsFd) -> bool {
    let record = Path::new(names::PRIVATE).join(FIRST_MOUNT);
    rustix::fs::statat(backing, record, AtFlags::SYMLINK_NOFOLLOW).is_err()
}

/// Says what the first mount did with the files that it found (spec 3.6c). Prints nothing after a later mount.
fn print_found(mountpoint: &Path) {
    if let Ok((_, status)) = mounted::ask(mountpoint)
        && status.found.first_mount
    {
        for line in found_lines(&status.found) {
            let _ = writeln!(io::stdout(), "{}: {line}", quoted(mountpoint));
        }
    }
}
