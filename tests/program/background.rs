//! A mount in the background as a test sees it, with its two processes.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::sandbox::Sandbox;

/// Not a measure of anything: after this, what is awaited is not coming.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A process that this test did not start itself.
pub struct Process {
    pub pid: i32,
    pidfd: OwnedFd,
}

impl Process {
    pub fn new(pid: &serde_json::Value) -> Process {
        let pid = i32::try_from(pid.as_i64().unwrap()).unwrap();
        let raw = Pid::from_raw(pid).unwrap();
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).unwrap();
        Process { pid, pidfd }
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::pidfd_send_signal(&self.pidfd, signal).unwrap();
    }

    pub fn is_running(&self) -> bool {
        !self.ends_within(Duration::ZERO)
    }

    fn ends_within(&self, patience: Duration) -> bool {
        let mut wanted = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let patience = Timespec::try_from(patience).unwrap();
        rustix::event::poll(&mut wanted, Some(&patience)).unwrap() > 0
    }

    pub fn wait(&self) {
        assert!(self.ends_within(WATCHDOG), "pid {} goes on", self.pid);
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait();
    }
}

/// A mount in the background at `m`. Dropping it ends it, whatever has become of it.
pub struct Mounted<'a> {
    sandbox: &'a Sandbox,
    /// Of the directory that is mounted over.
    pub below: PathBuf,
    _directory: File,
}

impl<'a> Mounted<'a> {
    pub fn new(sandbox: &'a Sandbox) -> Mounted<'a> {
        let _ = fs::create_dir(sandbox.path("m"));
        let directory = File::open(sandbox.path("m")).unwrap();
        let mounted = Mounted {
            sandbox,
            below: format!("/proc/self/fd/{}", directory.as_raw_fd()).into(),
            _directory: directory,
        };
        mounted.mount();
        mounted
    }

    /// The mount that is there already; what is below it is out of reach.
    pub fn again(sandbox: &'a Sandbox) -> Mounted<'a> {
        let directory = File::open(sandbox.path("")).unwrap();
        Mounted {
            sandbox,
            below: PathBuf::new(),
            _directory: directory,
        }
    }

    pub fn mount(&self) {
        self.sandbox.run(["mount", "m"]);
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.sandbox.path("m").join(name)
    }

    /// The status of the mount, if there is one.
    pub fn status(&self) -> Option<serde_json::Value> {
        // A file that is read here is held by nobody when the daemon is killed.
        let text = self.sandbox.sh("cat m/.status.json 2> errors || true");
        serde_json::from_str(&text).ok()
    }

    pub fn daemon(&self) -> Process {
        Process::new(&self.status().unwrap()["pid"])
    }

    pub fn supervisor(&self) -> Process {
        Process::new(&self.status().unwrap()["supervisor"]["pid"])
    }

    /// The daemon and its supervisor, once the mount has both.
    pub fn processes(&self) -> (Process, Process) {
        let status = self.awaits(|status| status["supervisor"]["pid"].is_u64());
        let supervisor = &status["supervisor"]["pid"];
        (Process::new(&status["pid"]), Process::new(supervisor))
    }

    /// Waits for a status that says so.
    pub fn awaits(&self, what: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        until("the mount has come back", || {
            self.status().filter(|status| what(status))
        })
    }

    /// Waits until another daemon serves than this dead one.
    pub fn comes_back(&self, dead: &Process) -> Process {
        let status = self.awaits(|status| status["pid"] != dead.pid);
        assert_eq!(self.sandbox.mounts(), [self.sandbox.path("m")]);
        Process::new(&status["pid"])
    }

    pub fn log(&self) -> String {
        self.sandbox.sh("cat .local/state/handoff-fs/*.log")
    }

    pub fn unmount(&self) {
        self.sandbox.run(["unmount", "m"]);
        assert_eq!(self.sandbox.mounts().len(), 0);
    }

    /// From now on no daemon can start; the answer undoes it.
    pub fn spoil(&self) -> impl FnOnce() + use<> {
        let record = self.below.join(".handoff-fs/first-mount");
        // The descriptor lives as long as this test.
        let good = fs::read(&record).unwrap();
        fs::write(&record, "damaged").unwrap();
        move || fs::write(&record, good).unwrap()
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = self.sandbox.handoff(["unmount", "m"]).output();
    }
}

pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < WATCHDOG, "until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until this holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(()));
}

pub fn write(path: &Path, content: &str) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content.as_bytes())?;
    Ok(nix::unistd::close(file)?)
}
