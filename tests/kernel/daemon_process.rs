//! A mount by the real program, in a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::memory;

/// A daemon of its own process.
pub struct Daemon {
    child: Child,
    pid: u32,
    mountpoint: tempfile::TempDir,
}

impl Daemon {
    /// Mounts over the directory, with fsyncs left out; `wrapper` is a command that runs what it is given.
    pub fn over(mountpoint: tempfile::TempDir, wrapper: &[String]) -> Daemon {
        Daemon::synced_over(mountpoint, wrapper, false)
    }

    /// The same, and `durable` says whether with fsyncs.
    pub fn synced_over(mountpoint: tempfile::TempDir, wrapper: &[String], durable: bool) -> Daemon {
        let program = env!("CARGO_BIN_EXE_handoff-fs");
        let line = [wrapper, &[program.to_owned(), "mount".to_owned()]].concat();
        let mut child = Command::new(&line[0])
            .args(&line[1..])
            .args((!durable).then_some("--no-sync"))
            .args(["--foreground", "--report-ready", "--"])
            .arg(mountpoint.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pid = line
            .trim()
            .strip_prefix("ready ")
            .unwrap_or_else(|| panic!("{line}"));
        Daemon {
            pid: pid.parse().unwrap(),
            child,
            mountpoint,
        }
    }

    /// Ends the daemon, and returns what its tracer has written, which ends a moment later.
    pub fn end_traced(self, log: &Path) -> String {
        let pid = self.pid.to_string();
        let ended = |line: &str| line.starts_with(&pid) && line.ends_with("+++ exited with 0 +++");
        drop(self);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let trace = fs::read_to_string(log).unwrap();
            if trace.lines().any(ended) {
                return trace;
            }
            assert!(Instant::now() < deadline, "the tracer goes on");
            std::thread::yield_now();
        }
    }

    /// The most memory it ever had, in KiB.
    pub fn peak(&self) -> u64 {
        memory(self.pid, "VmHWM")
    }

    /// The id of its thread of this name, which a thread gives itself when it begins to run.
    pub fn thread(&self, name: &str) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            for task in fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap() {
                let task = task.unwrap();
                let comm = fs::read_to_string(task.path().join("comm"));
                if comm.is_ok_and(|comm| comm.trim() == name) {
                    return task.file_name().into_string().unwrap();
                }
            }
            std::thread::yield_now();
        }
        panic!("no thread is called {name}");
    }

    /// A path on the mount.
    pub fn at(&self, name: &str) -> std::path::PathBuf {
        self.mountpoint.path().join(name)
    }
}

/// A wrapper that traces these calls of a daemon into a file. The tracer is a grandchild, so that the daemon is our child.
pub fn strace(log: &Path, calls: &str, options: &[&str]) -> Vec<String> {
    let log = log.to_str().unwrap();
    let line = ["strace", "-D", "-f", "-q", "-e", calls, "-o", log];
    line.iter()
        .chain(options)
        .map(|&word| word.to_owned())
        .collect()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        let _ = rustix::mount::unmount(self.mountpoint.path(), UnmountFlags::DETACH);
    }
}
