//! The end of a daemon whose mount is still in use (spec 8.2).

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::fs::{Awaited, Fs};

/// How long open files are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to keep what was not finished. A disk that hangs must not keep the daemon from its end: what is
/// not kept by then is recovered at the next mount.
const KEEPING: Duration = Duration::from_secs(5);

/// How often somebody looks whether it is over.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A daemon that is to end, and whose mount is in no tree any more.
pub(super) struct Ending {
    /// Waits, and then keeps what was not finished. In a thread, for it takes the lock of the state: a request that hangs
    /// may hold that.
    waiting: Option<JoinHandle<()>>,
    latest: Instant,
}

impl Ending {
    pub(super) fn begin(fs: &Arc<Fs>, awaited: Awaited) -> Ending {
        let until = Instant::now() + PATIENCE;
        let fs = fs.clone();
        let work = move || {
            while fs.is_in_use(awaited) && Instant::now() < until {
                thread::sleep(LOOK_EVERY);
            }
            fs.keep_unfinished();
        };
        let thread = thread::Builder::new().name("ending".to_owned());
        Ending {
            // Without a thread nobody is waited for; what they write is recovered.
            waiting: thread.spawn(work).ok(),
            latest: until + KEEPING,
        }
    }

    /// Nothing keeps the daemon any more: who still sits in the mount is cut off.
    pub(super) fn is_over(&self) -> bool {
        let done = self.waiting.as_ref().is_none_or(JoinHandle::is_finished);
        done || Instant::now() >= self.latest
    }
}
