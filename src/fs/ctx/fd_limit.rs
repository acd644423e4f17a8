//! The limit on open files. Every file that a client holds open is open in the daemon, too.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Resource, getrlimit};

use crate::error::{Error, Result};

/// How many descriptors clients may not use. The daemon reads `/proc` with them, to learn the calling program, and whether a
/// signal is killing a writer.
const KEPT: u64 = 64;

/// A descriptor below this number is within every limit with which the daemon can run.
const ALWAYS: u64 = 48;

/// Whether clients hold as many files open as they may. The warning is logged once each time that becomes true.
#[derive(Debug, Default)]
pub struct FdLimit {
    exhausted: AtomicBool,
}

impl FdLimit {
    /// May a client hold this file open, which was just opened for the client?
    pub fn admit(&self, file: &File, mountpoint: &Path) -> Result<()> {
        // A new descriptor has the lowest number that is free.
        let descriptor = u64::from(file.as_raw_fd().unsigned_abs());
        if descriptor < ALWAYS && !self.exhausted.load(Ordering::Relaxed) {
            return Ok(());
        }
        // prlimit(2) may change the limit while the daemon runs.
        let Some(limit) = getrlimit(Resource::Nofile).current else {
            return Ok(());
        };
        let most = limit - KEPT.min(limit / 4);
        let exhausted = descriptor >= most;
        let before = self.exhausted.swap(exhausted, Ordering::Relaxed);
        if !exhausted {
            return Ok(());
        }
        if !before {
            log::warn!(
                "{}: {most} files are open here, and more are refused (EMFILE); close some, or raise the hard limit \
                 (ulimit -H -n, now {limit}) and mount again",
                mountpoint.display()
            );
        }
        Err(Error::Os(libc::EMFILE))
    }
}
