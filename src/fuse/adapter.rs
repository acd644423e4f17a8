//! The adapter: what it has, and what every request goes through.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use fuser::{Config, Session};

use super::stale::ToKernel;
use crate::fs::Fs;

/// The filesystem as the kernel calls it.
pub struct Adapter {
    pub(super) fs: Arc<Fs>,
    pub(super) kernel: Arc<ToKernel>,
}

impl Adapter {
    /// Serves this filesystem.
    pub fn new(fs: Arc<Fs>) -> Adapter {
        let kernel = Arc::new(ToKernel::new(fs.untold().clone()));
        Adapter { fs, kernel }
    }

    /// Mounts it. When this returns the kernel has been answered: the mount is usable as soon as the session runs.
    ///
    /// # Errors
    ///
    /// It cannot be mounted, as [`Session::new`] says.
    pub fn mount(self, mountpoint: &Path, config: &Config) -> io::Result<Session<Adapter>> {
        let kernel = self.kernel.clone();
        let session = Session::new(self, mountpoint, config)?;
        if let Err(error) = kernel.open(session.notifier()) {
            log::warn!("no thread to talk to the kernel ({error}); long listings take longer");
        }
        Ok(session)
    }

    /// What a request is answered with. The kernel hears of what that changed: of attributes first, of names soon.
    pub(super) fn told<T>(&self, answer: T) -> T {
        self.kernel.update();
        answer
    }
}

/// Runs one request. A panic ends that request and no other: the reply, dropped unsent, answers EIO.
pub(super) fn guarded(what: &str, serve: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(serve)).is_err() {
        log::error!(
            "a {what} request panicked and was answered with an I/O error; please report this"
        );
    }
}
