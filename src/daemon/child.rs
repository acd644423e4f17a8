//! The daemon as its supervisor sees it: how the daemon died, and how to end a daemon that hangs.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::mounts::{self, Manner, OwnMount};
use super::process::Process;
use crate::quote::quoted;

/// How long a daemon may take to unmount after SIGTERM, and to end after SIGKILL.
pub(super) const ENDING: Duration = Duration::from_secs(10);

/// A daemon that serves.
pub(super) struct Daemon {
    pub(super) process: Process,
    mount: Option<OwnMount>,
    since: Instant,
}

/// How a daemon has ended.
pub(super) struct Death {
    pub(super) how: String,
    /// False if the daemon is known to have failed.
    pub(super) success: bool,
    pub(super) lived: Duration,
}

impl Daemon {
    /// To be called right after this process has mounted.
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
                // The kernel tells the exit status only to the parent.
                None => format!("pid {pid}, exit status unknown"),
            },
            success: status.is_none_or(|status| status.success()),
            lived: self.since.elapsed(),
        }
    }

    /// Unmounts for a daemon that was told to end and has not unmounted, and kills it; says whether the daemon was killed.
    ///
    /// A daemon that has unmounted may be waiting for open files, and is killed only if it was told to end twice.
    pub(super) fn kill_if_stuck(&self, mountpoint: &Path, told_twice: bool) -> bool {
        if self.mount.as_ref().is_some_and(OwnMount::is_there) {
            let path = mountpoint.to_owned();
            match mounts::with_timeout(move || mounts::unmount(&path, Manner::Lazy)) {
                Some(Ok(())) => {}
                // If the mount cannot be unmounted, a slow daemon is better than a dead mount.
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

    /// Cuts the connection of a daemon that was killed and does not end. Processes that wait for an answer then get an error.
    pub(super) fn abort(&self) {
        let Some(mount) = &self.mount else { return };
        let connection = match mount.abort() {
            Ok(()) => "its connection was cut".to_owned(),
            Err(error) => format!(
                "its connection cannot be cut ({error}); as root: mount -t fusectl fusectl /sys/fs/fuse/connections, then write 1 \
                 to {}",
                mount.abort_file().display()
            ),
        };
        let pid = self.process.pid;
        log::error!("the daemon, pid {pid}, was killed and has not ended; {connection}");
    }
}
