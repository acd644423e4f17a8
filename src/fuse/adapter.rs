//! The adapter's state, its connection to the kernel, and its guard against panics.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use fuser::{Config, Session, Version};

use crate::fs::{Fs, Kernel};

/// The filesystem as the kernel calls it.
pub struct Adapter {
    pub(super) fs: Arc<Fs>,
}

impl Adapter {
    /// Serves this filesystem.
    pub fn new(fs: Arc<Fs>) -> Adapter {
        Adapter { fs }
    }

    /// Mounts the filesystem. On return FUSE_INIT has been answered: the mount is usable as soon as the session runs.
    ///
    /// # Errors
    ///
    /// The filesystem cannot be mounted, as [`Session::new`] says.
    pub fn mount(self, mountpoint: &Path, config: &Config) -> io::Result<Session<Adapter>> {
        let fs = self.fs.clone();
        let session = Session::new(self, mountpoint, config)?;
        let device = session.as_fd().try_clone_to_owned()?;
        fs.connect(Some(Box::new(Device(device))));
        Ok(session)
    }
}

/// The first version of the protocol that has FUSE_NOTIFY_INC_EPOCH.
pub(super) const INC_EPOCH_SINCE: Version = Version(7, 44);

/// The code of the notification FUSE_NOTIFY_INC_EPOCH.
const FUSE_NOTIFY_INC_EPOCH: u32 = 8;

/// The connection to the kernel. Notifications for which the kernel takes a directory's lock (FUSE_NOTIFY_INVAL_ENTRY,
/// FUSE_NOTIFY_DELETE) must never be sent: the lock's holder may wait for this daemon, which could then not be killed.
#[derive(Debug)]
struct Device(OwnedFd);

impl Kernel for Device {
    fn look_up_all_names(&self) -> io::Result<()> {
        // `struct fuse_out_header`: len, error, unique. A notification has its code as `error`, and 0 as `unique`.
        let mut message = [0; 16];
        message[..4].copy_from_slice(&16_u32.to_ne_bytes());
        message[4..8].copy_from_slice(&FUSE_NOTIFY_INC_EPOCH.to_ne_bytes());
        rustix::io::write(&self.0, &message)?;
        Ok(())
    }
}

/// Runs one request. A panic ends only that request (spec 8.3c): fuser answers EIO for a reply that is dropped unsent.
pub(super) fn guarded(request: &str, serve: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(serve)).is_err() {
        log::error!(
            "a {request} request panicked and was answered with an I/O error; please report this"
        );
    }
}
