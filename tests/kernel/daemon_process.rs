//! A mount by the real program, in a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal, kill_process};

/// A daemon of its own process.
pub struct Daemon {
    child: Child,
    pid: u32,
    mountpoint: tempfile::TempDir,
}

impl Daemon {
    /// Mounts over the directory, with fsyncs left out; `wrapper` is a command that runs what it is given.
    pub fn over(mountpoint: tempfile::TempDir, wrapper: &[&str]) -> Daemon {
        Daemon::synced_over(mountpoint, wrapper, false)
    }

    /// The same, and `durable` says whether with fsyncs.
    pub fn synced_over(mountpoint: tempfile::TempDir, wrapper: &[&str], durable: bool) -> Daemon {
        let program = env!("CARGO_BIN_EXE_handoff-fs");
        let line = [wrapper, &[program, "mount"]].concat();
        let mut child = Command::new(line[0])
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

    /// The most memory it ever had, in KiB.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
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

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        let _ = rustix::mount::unmount(self.mountpoint.path(), UnmountFlags::DETACH);
    }
}
