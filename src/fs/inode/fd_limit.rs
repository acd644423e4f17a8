//! Descriptors: every file that a client holds open is open here too.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Resource, getrlimit};

use crate::error::{Error, Result};
use crate::fs::Fs;

/// How many are kept for what the program itself has to open now and then. Without one it could not tell who calls, nor
/// whether a writer is being killed, and would take a search for a reading.
const KEPT: u64 = 64;

/// No limit that this program can live with is below this: a descriptor under it need not be compared with the limit.
const ALWAYS: u64 = 48;

/// Whether clients hold as many files open as they may.
#[derive(Debug, Default)]
pub(in crate::fs) struct Descriptors {
    exhausted: AtomicBool,
}

impl Fs {
    /// May a client hold this file open, which has just been opened for it?
    pub(in crate::fs) fn admit(&self, file: &File) -> Result<()> {
        // A new descriptor has the lowest number that is free.
        let descriptor = u64::from(file.as_raw_fd().unsigned_abs());
        if descriptor < ALWAYS && !self.descriptors.exhausted.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Asked anew each time: prlimit(2) may change it while we run.
        let Some(limit) = getrlimit(Resource::Nofile).current else {
            return Ok(());
        };
        let most = limit - KEPT.min(limit / 4);
        let exhausted = descriptor >= most;
        let before = self
            .descriptors
            .exhausted
            .swap(exhausted, Ordering::Relaxed);
        if !exhausted {
            return Ok(());
        }
        if !before {
            log::warn!(
                "{}: {most} files are open in it, and more are refused (EMFILE); close some, or raise the hard limit \
                 (ulimit -H -n, now {limit}) and mount again",
                self.options.mountpoint.display()
            );
        }
        Err(Error::Os(libc::EMFILE))
    }
}
