//! The end of a daemon whose mount is still in use (spec 8.2d).

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::fs::{Awaited, Fs};

/// How long open files are waited for.
const OPEN_FILES: Duration = Duration::from_secs(10);

/// How long keeping unfinished drafts may take. A disk that hangs must not keep the daemon from its end; drafts that are not
/// kept by then are recovered at the next mount.
const KEEPING: Duration = Duration::from_secs(5);

/// How often the end is checked for.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The end of a daemon whose mount has left the tree.
pub(super) struct Ending {
    /// Waits, and then keeps unfinished drafts. A thread, because this takes the state lock, which a request that hangs may
    /// hold.
    waiting: Option<JoinHandle<()>>,
    latest: Instant,
}

impl Ending {
    pub(super) fn begin(fs: &Arc<Fs>, awaited: Awaited) -> Ending {
        let until = Instant::now() + OPEN_FILES;
        let fs = fs.clone();
        let work = move || {
            while fs.is_in_use(awaited) && Instant::now() < until {
                thread::sleep(LOOK_EVERY);
            }
            fs.keep_unfinished();
        };
        let thread = thread::Builder::new().name("ending".to_owned());
        Ending {
            // Without a thread there is no wait; unfinished drafts are recovered at the next mount.
            waiting: thread.spawn(work).ok(),
            latest: until + KEEPING,
        }
    }

    /// Whether the process may exit. Programs that still use the mount are cut off then.
    pub(super) fn is_over(&self) -> bool {
        let done = self.waiting.as_ref().is_none_or(JoinHandle::is_finished);
        done || Instant::now() >= self.latest
    }
}
