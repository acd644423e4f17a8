//! Tells the kernel what it must not use any more without asking.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use fuser::{INodeNo, Notifier};
use parking_lot::Mutex;

use crate::fs::{Stale, Untold};

/// How long an answer waits for the kernel to have heard. It takes microseconds, unless whoever lists the directory waits
/// for that very answer: it may have mapped the file into the memory that it lists into.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to the kernel, once there is one.
pub struct ToKernel {
    untold: Arc<Untold>,
    sending: OnceLock<Sending>,
}

struct Sending {
    notifier: Notifier,
    jobs: Mutex<Sender<Job>>,
}

/// For the thread that talks to the kernel.
enum Job {
    Tell(Vec<Stale>),
    /// All that came before is told.
    Then(Sender<()>),
}

impl ToKernel {
    pub(super) fn new(untold: Arc<Untold>) -> ToKernel {
        ToKernel {
            untold,
            sending: OnceLock::new(),
        }
    }

    /// The kernel can be told by this notifier. Until then it is given nothing that it could use without asking.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn open(&self, notifier: Notifier) -> std::io::Result<()> {
        let (jobs, todo) = mpsc::channel();
        let (untold, telling) = (self.untold.clone(), notifier.clone());
        // Never on a thread that serves requests: the kernel waits for the lock of the directory, and who holds that may be
        // waiting for an answer.
        thread::Builder::new()
            .name("stale".into())
            .stack_size(128 << 10)
            .spawn(move || {
                for job in todo {
                    match job {
                        Job::Tell(names) => {
                            for stale in &names {
                                tell(&telling, stale);
                            }
                            untold.told(names.len());
                        }
                        Job::Then(done) => drop(done.send(())),
                    }
                }
            })?;
        let jobs = Mutex::new(jobs);
        let _ = self.sending.set(Sending { notifier, jobs });
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        self.sending.get().is_some()
    }

    /// Has the kernel told of what has changed: attributes at once, names soon.
    pub(super) fn update(&self) {
        let Some(sending) = self.sending.get().filter(|_| !self.untold.is_empty()) else {
            return;
        };
        self.untold.take(|names| {
            for node in names.iter().filter_map(|stale| stale.node) {
                // Attributes only: that never waits.
                let _ = sending.notifier.inval_inode(INodeNo(node.0), -1, 0);
            }
            let _ = sending.jobs.lock().send(Job::Tell(names));
        });
    }

    /// Runs `reply` when the kernel has been told of all that has changed so far.
    pub(super) fn updated(&self, reply: impl FnOnce() + Send + 'static) {
        self.update();
        let sending = self.sending.get().filter(|_| !self.untold.is_empty());
        let Some(sending) = sending else {
            return reply();
        };
        let (done, told) = mpsc::channel();
        let _ = sending.jobs.lock().send(Job::Then(done));
        let waiter = thread::Builder::new()
            .name("answer".into())
            .stack_size(128 << 10);
        let spawned = waiter.spawn(move || {
            if told.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                log::warn!("the kernel takes long to hear which names have changed");
            }
            reply();
        });
        if let Err(error) = spawned {
            log::error!(
                "no thread to wait for the kernel ({error}); a request was answered with an I/O error"
            );
        }
    }
}

fn tell(notifier: &Notifier, stale: &Stale) {
    if let Err(error) = notifier.inval_entry(INodeNo(stale.parent.0), &stale.name) {
        log::debug!("the kernel was told of a name: {error}");
    }
}
