//! Disks, mounted. Mounting and unmounting take long and there are thousands of disks, so that many of them, each on its own, hang in one
//! [`Rack`], which is what is mounted.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption, Session};
use parking_lot::Mutex;
use rustix::mount::UnmountFlags;
use tempfile::TempDir;

use crate::adapter::Adapter;
use crate::disk::Disk;

/// After this time without a new disk, the rack is aborted, so that a hang fails.
const WATCHDOG: Duration = Duration::from_secs(120);

/// The disk after one more operation.
pub struct Step {
    pub what: String,
    pub after: Disk,
}

pub struct Shared {
    pub disk: Mutex<Disk>,
    pub steps: Mutex<Vec<Step>>,
}

pub type Disks = Mutex<HashMap<u64, Arc<Shared>>>;

/// A mounted directory, of which every subdirectory is a disk. Dropping it unmounts and joins.
pub struct Rack {
    disks: Arc<Disks>,
    last: Arc<AtomicU64>,
    session: Option<BackgroundSession>,
    dir: TempDir,
    _watchdog: Sender<()>,
}

impl Rack {
    pub fn new() -> Arc<Rack> {
        let dir = tempfile::Builder::new()
            .prefix("handoff-fs-power-")
            .tempdir()
            .unwrap();
        let disks = Arc::new(Disks::default());
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("handoff-fs-power".into()),
            MountOption::NoSuid,
        ];
        config.n_threads = Some(2);
        config.clone_fd = true;
        let session = Session::new(Adapter(disks.clone()), dir.path(), &config).unwrap();
        let session = Some(session.spawn().unwrap());
        let last = Arc::new(AtomicU64::new(0));
        Arc::new(Rack {
            disks,
            _watchdog: watch(dir.path().to_owned(), last.clone()),
            last,
            session,
            dir,
        })
    }
}

/// Aborts a mount on which nothing goes on any more: everybody who hangs in it gets an error.
fn watch(mountpoint: PathBuf, last: Arc<AtomicU64>) -> Sender<()> {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        let mut seen = 0;
        while wait.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
            let now = last.load(Ordering::Relaxed);
            if now == seen {
                eprintln!("watchdog: {} is aborted", mountpoint.display());
                let _ = rustix::mount::unmount(&mountpoint, UnmountFlags::FORCE);
                return;
            }
            seen = now;
        }
    });
    done
}

impl Drop for Rack {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = rustix::mount::unmount(self.dir.path(), UnmountFlags::DETACH);
            match session.join() {
                // A worker was just being given a request, that of somebody's file being closed.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                joined => joined.unwrap(),
            }
        }
    }
}

/// A disk that hangs in a rack.
pub struct Mounted {
    shared: Arc<Shared>,
    number: u64,
    rack: Arc<Rack>,
}

impl Mounted {
    pub fn new(rack: &Arc<Rack>, disk: Disk) -> Mounted {
        let shared = Arc::new(Shared {
            disk: Mutex::new(disk),
            steps: Mutex::default(),
        });
        let number = rack.last.fetch_add(1, Ordering::Relaxed) + 1;
        rack.disks.lock().insert(number, shared.clone());
        Mounted {
            shared,
            number,
            rack: rack.clone(),
        }
    }

    /// The top directory of the disk, open.
    pub fn open(&self) -> OwnedFd {
        let path = self.rack.dir.path().join(self.number.to_string());
        File::open(path).unwrap().into()
    }

    /// The current content of the disk.
    pub fn disk(&self) -> Disk {
        self.shared.disk.lock().clone()
    }

    /// Makes the whole content durable.
    pub fn settle(&self) {
        self.shared.disk.lock().settle();
        self.shared.steps.lock().clear();
    }

    /// The number of operations that changed the disk, or made a part of it durable.
    pub fn operations(&self) -> usize {
        self.shared.steps.lock().len()
    }

    /// The disk after each of them.
    pub fn steps(&self) -> Vec<Step> {
        std::mem::take(&mut *self.shared.steps.lock())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.rack.disks.lock().remove(&self.number);
    }
}
