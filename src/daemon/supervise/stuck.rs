//! A daemon that does not end when it is told to.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::Daemon;
use crate::daemon::error::shown;
use crate::daemon::mounts::{self, Manner, OwnMount};

/// How long a daemon may take to unmount when it is told to, and then to end when it is killed.
pub(super) const ENDING: Duration = Duration::from_secs(10);

impl Daemon {
    /// Kills a daemon that was told to end and does nothing about it: it has not unmounted, though that can be done. One that
    /// has unmounted waits for files that are still open, unless it was told twice.
    pub(super) fn kill_if_stuck(&self, mountpoint: &Path, told_twice: bool) -> bool {
        if self.mount.as_ref().is_some_and(OwnMount::is_there) {
            let path = mountpoint.to_owned();
            match mounts::patiently(move || mounts::unmount(&path, Manner::Lazy)) {
                Some(Ok(())) => {}
                // Neither can the daemon, and a dead mount would be worse.
                Some(Err(_)) => return false,
                None => log::warn!("{}: unmounting takes long", shown(mountpoint)),
            }
        } else if !told_twice {
            return false;
        }
        log::error!(
            "the daemon, pid {}, was told to end and has not done so within {} s; it is killed",
            self.pid,
            ENDING.as_secs()
        );
        self.signal(Signal::KILL);
        true
    }

    /// Cuts the connection of a daemon that does not even die, so that whoever waits for its answers gets an error.
    pub(super) fn abort(&self) {
        let Some(mount) = &self.mount else { return };
        match mount.abort() {
            Ok(()) => log::error!(
                "the daemon, pid {}, was killed and has not ended; its connection was cut",
                self.pid
            ),
            Err(error) => log::error!(
                "the daemon, pid {}, was killed and has not ended, and its connection cannot be cut ({error}); \
                 as root: mount -t fusectl fusectl /sys/fs/fuse/connections, and write 1 into the file abort there",
                self.pid
            ),
        }
    }
}
