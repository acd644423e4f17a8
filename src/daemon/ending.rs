//! The end of a daemon whose mount is still in use (spec 8.2d).

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::fs::{Awaited, Fs};

/// How long the daemon waits for open files to be closed.
const OPEN_FILES: Duration = Duration::from_secs(10);

/// How long keeping unfinished drafts may take. A disk that hangs must not keep the daemon from its end; the next mount recovers
/// the drafts that are not kept by then.
const KEEPING: Duration = Duration::from_secs(5);

/// Longer than the two together: a daemon that has not ended by then hangs.
pub(super) const LONGEST: Duration = Duration::from_secs(17);

/// How often the daemon looks whether the wait is over.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The end of a daemon whose mount has left the tree.
pub(super) struct Ending {
    /// Waits for open files, and then keeps unfinished drafts. The work runs in a thread, because it takes the state lock, and a
    /// request that hangs may hold that lock.
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
            // Without a thread the daemon does not wait, and the next mount recovers unfinished drafts.
            waiting: thread.spawn(work).ok(),
            latest: until + KEEPING,
        }
    }

    /// Whether the process may exit. The exit cuts off programs that still use the mount.
    pub(super) fn is_over(&self) -> bool {
        let done = self.waiting.as_ref().is_none_or(JoinHandle::is_finished);
        done || Instant::now() >= self.latest
    }
}
