//! The daemon of a supervisor: its death, and how it is made to end.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::mounts::{self, Manner, OwnMount};
use super::process::Process;
use crate::quote::quoted;

/// How long a daemon may take to unmount when it is told to end, and then to end when it is killed.
pub(super) const ENDING: Duration = Duration::from_secs(10);

/// A daemon that serves.
pub(super) struct Daemon {
    pub(super) process: Process,
    mount: Option<OwnMount>,
    since: Instant,
}

/// How a daemon came to its end.
pub(super) struct Death {
    pub(super) how: String,
    /// Whether the exit code was 0, as far as that is known.
    pub(super) well: bool,
    pub(super) lived: Duration,
}

impl Daemon {
    /// The daemon that this process is, and the mount that it has just made.
    pub(super) fn new(process: Process, mountpoint: &Path) -> Daemon {
        Daemon {
            process,
            mount: OwnMount::find(mountpoint),
            since: Instant::now(),
        }
    }

    /// Waits for the daemon's death.
    pub(super) fn death(self) -> Death {
        let pid = self.process.pid;
        let status = self.process.wait();
        Death {
            how: match status {
                Some(status) => format!("pid {pid}, {status}"),
                // The kernel tells only a parent.
                None => format!("pid {pid}, it is not known how"),
            },
            well: status.is_none_or(|status| status.success()),
            lived: self.since.elapsed(),
        }
    }

    /// Kills a daemon that was told to end and has not unmounted, though that is possible; says whether it did. A daemon that
    /// has unmounted waits for files that are still open, and is killed only if it was told twice.
    pub(super) fn kill_if_stuck(&self, mountpoint: &Path, told_twice: bool) -> bool {
        if self.mount.as_ref().is_some_and(OwnMount::is_there) {
            let path = mountpoint.to_owned();
            match mounts::patiently(move || mounts::unmount(&path, Manner::Lazy)) {
                Some(Ok(())) => {}
                // The daemon cannot unmount either, and a dead mount would be worse.
                Some(Err(_)) => return false,
                None => log::warn!("{}: unmounting takes long", quoted(mountpoint)),
            }
        } else if !told_twice {
            return false;
        }
        log::error!(
            "the daemon, pid {}, was told to end and has not done so within {} s; it is killed",
            self.process.pid,
            ENDING.as_secs()
        );
        self.process.signal(Signal::KILL);
        true
    }

    /// Cuts the connection of a daemon that was killed and does not end, so that processes that wait for its answers get an
    /// error.
    pub(super) fn abort(&self) {
        let Some(mount) = &self.mount else { return };
        let pid = self.process.pid;
        match mount.abort() {
            Ok(()) => {
                log::error!(
                    "the daemon, pid {pid}, was killed and has not ended; its connection was cut"
                );
            }
            Err(error) => log::error!(
                "the daemon, pid {pid}, was killed and has not ended, and its connection cannot be cut ({error}); \
                 as root: mount -t fusectl fusectl /sys/fs/fuse/connections, and write 1 into the file abort there"
            ),
        }
    }
}
