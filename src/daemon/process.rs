//! Processes, held by a pidfd, and their open files.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

/// A process, held by a pidfd, so that the value never means a later process with the same pid.
pub(super) struct Process {
    pub(super) pid: i32,
    /// Readable once the process has ended.
    pub(super) pidfd: OwnedFd,
    child: Option<Child>,
}

impl Process {
    /// The process with this pid.
    ///
    /// # Errors
    /// There is no such process, or no descriptor is left.
    pub(super) fn open(pid: i32) -> Result<Process, Errno> {
        // A negative number is no pid either.
        let raw = Pid::from_raw(pid.max(0)).ok_or(Errno::SRCH)?;
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty())?;
        Ok(Process {
            pid,
            pidfd,
            child: None,
        })
    }

    /// This child. If no descriptor is left to watch the child with, it is killed.
    pub(super) fn of_child(mut child: Child) -> io::Result<Process> {
        match Process::open(child.id().cast_signed()) {
            Ok(process) => Ok(Process {
                child: Some(child),
                ..process
            }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error.into())
            }
        }
    }

    /// The standard output of a child that was started with a pipe there.
    pub(super) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.as_mut()?.stdout.take()
    }

    /// The parent process, if its pid is `pid`. While the parent lives, no other process can have that pid.
    pub(super) fn open_parent(pid: i32) -> Option<Process> {
        let process = Process::open(pid).ok()?;
        let is_parent = Pid::as_raw(rustix::process::getppid()) == pid;
        is_parent.then_some(process)
    }

    /// Sends a signal. Does nothing if the process has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
    }

    /// Waits for the end of the process. Only a parent learns the exit status.
    pub(super) fn wait(self) -> Option<ExitStatus> {
        while !self.ends_within(Duration::MAX) {}
        self.child?.wait().ok()
    }

    /// Waits for the end of the process, at most for this time; says whether the process has ended.
    pub(super) fn ends_within(&self, time: Duration) -> bool {
        // A time too long for the system call means to wait for ever.
        let time = Timespec::try_from(time).ok();
        let mut wanted = [PollFd::new(&self.pidfd, PollFlags::IN)];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut wanted, time.as_ref()))
            .is_ok_and(|ready| ready > 0)
    }
}

/// The links `/proc/PID/fd/N` to the files that a process has open; empty if this user may not see them. `process` is a pid,
/// `PID/task/TID`, or `self`.
pub(super) fn open_files(process: &str) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd"));
    let files = files.into_iter().flatten().flatten();
    files.map(|file| file.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_known_by_its_pid() {
        let parent = Pid::as_raw(rustix::process::getppid());
        assert!(Process::open_parent(parent).is_some());
        assert!(Process::open_parent(parent + 1).is_none() && Process::open_parent(0).is_none());
    }

    #[test]
    fn a_living_process_has_not_ended() {
        let mut sleep = std::process::Command::new("sleep");
        let mut child = sleep.arg("60").spawn().unwrap();
        let process = Process::open(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(!process.ends_within(Duration::from_millis(300)));
        process.signal(Signal::KILL);
        assert!(process.ends_within(Duration::from_secs(17)));
        child.wait().unwrap();
    }
}
