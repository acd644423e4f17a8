//! The daemon that still holds the lock of a directory that another one is to serve (spec 8.2).
//!
//! After an unmount it goes on for those who have files or their working directory in its mount. It is asked to end by
//! SIGUSR1, and decides by itself: only the daemon knows for certain whether it is mounted somewhere. One that does not
//! answer is killed, if it has been seen to be mounted nowhere for longer than it may take.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::AtFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::error::{Failed, shown};
use super::mounts::{self, Mount, State};
use super::{descriptors, probe};
use crate::names::PRIVATE;

/// How often the lock is tried.
const EVERY: Duration = Duration::from_millis(25);

/// A daemon that is just ending needs no help.
const MOMENT: Duration = Duration::from_millis(500);

/// Longer than a daemon takes that was asked: 10 s for writers, 5 for what they leave.
const PATIENCE: Duration = Duration::from_secs(17);

/// How long a killed one takes, at most.
const DYING: Duration = Duration::from_secs(3);

/// What is known of whoever holds the lock.
enum Holder {
    /// Served by it: its mount, as far as it can be seen from here.
    Mounted(Option<PathBuf>),
    /// It was mounted, and is no more.
    Leaving,
    /// It holds the lock, and was not mounted yet, or nothing more can be told.
    Busy,
    /// No process here holds the lock: it is another user's, or in another container, or on another machine.
    Invisible,
}

/// See the [module](self).
pub(super) struct Predecessor<'a> {
    backing: &'a Path,
    directory: &'a OwnedFd,
    since: Instant,
    /// When the holder was last seen to be leaving. At its very end it can no longer be told what it is.
    last_leaving: Instant,
    asked: bool,
    killed: bool,
}

impl<'a> Predecessor<'a> {
    /// Of the one that is to serve `backing`, open as `directory`.
    pub(super) fn of(backing: &'a Path, directory: &'a OwnedFd) -> Predecessor<'a> {
        Predecessor {
            backing,
            directory,
            since: Instant::now(),
            last_leaving: Instant::now(),
            asked: false,
            killed: false,
        }
    }

    /// The lock is held by the process that is called `pid` in it. Returns when it is to be tried again.
    ///
    /// # Errors
    /// The other one serves, or does not end.
    pub(super) fn gives_way(&mut self, pid: Option<u32>) -> Result<(), Failed> {
        let waited = self.since.elapsed();
        if self.asked && waited < MOMENT {
            thread::sleep(EVERY);
            return Ok(());
        }
        let holder = self.holder(pid);
        if let (Holder::Leaving, Some((pid, process))) = (&holder, self.open(pid)) {
            if !self.asked {
                log::info!(
                    "the daemon with pid {pid} is mounted nowhere any more, and is asked to end"
                );
                let _ = rustix::process::pidfd_send_signal(&process, Signal::USR1);
                // One that somebody stopped hears nothing.
                let _ = rustix::process::pidfd_send_signal(&process, Signal::CONT);
                self.asked = true;
            } else if waited > PATIENCE && !self.killed {
                log::warn!("the daemon with pid {pid} has not ended, and is killed");
                let _ = rustix::process::pidfd_send_signal(&process, Signal::KILL);
                self.killed = true;
            }
        }
        let waits_in_vain = match holder {
            Holder::Mounted(_) => true,
            Holder::Busy | Holder::Invisible => self.last_leaving.elapsed() > MOMENT,
            Holder::Leaving => {
                self.last_leaving = Instant::now();
                waited > PATIENCE + DYING
            }
        };
        if waits_in_vain {
            return Err(self.refusal(pid, &holder));
        }
        thread::sleep(EVERY);
        Ok(())
    }

    fn holder(&self, pid: Option<u32>) -> Holder {
        let Some((pid, _process)) = self.open(pid) else {
            return Holder::Invisible;
        };
        let Ok(table) = mounts::table_of(&thread(pid)) else {
            return Holder::Busy;
        };
        let mut ours = table
            .into_iter()
            .filter(|mount| mount.is_ours() && mount.whole);
        if is_elsewhere(pid) {
            // What is mounted there cannot be asked from here.
            if ours.next().is_some() {
                return Holder::Mounted(None);
            }
        } else {
            let process = std::fs::metadata(format!("/proc/{}", thread(pid))).ok();
            let user = process.map(|process| process.uid());
            for mount in ours.filter(|mount| user.is_none() || mount.owner == user) {
                match serves(pid, &mount) {
                    Some(true) => return Holder::Mounted(Some(mount.point)),
                    Some(false) => {}
                    None => return Holder::Busy,
                }
            }
        }
        match has_device(pid) {
            true => Holder::Leaving,
            false => Holder::Busy,
        }
    }

    /// The process with this number, if it holds the lock: no other process is ever signalled.
    fn open(&self, pid: Option<u32>) -> Option<(i32, OwnedFd)> {
        let pid = i32::try_from(pid?).ok()?;
        let process = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        self.has_lock(pid).then_some((pid, process))
    }

    fn has_lock(&self, pid: i32) -> bool {
        let lock = Path::new(PRIVATE).join("lock");
        let Ok(lock) = rustix::fs::statat(self.directory, lock, AtFlags::SYMLINK_NOFOLLOW) else {
            return false;
        };
        let thread = thread(pid);
        let infos = PathBuf::from(format!("/proc/{thread}/fdinfo"));
        descriptors::of(&thread).any(|file| {
            let info = infos.join(file.file_name().unwrap_or_default());
            let text = std::fs::read_to_string(info).unwrap_or_default();
            let is_locked = text
                .lines()
                .any(|line| line.starts_with("lock:") && line.contains("FLOCK"));
            is_locked
                && rustix::fs::stat(&file)
                    .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (lock.st_dev, lock.st_ino))
        })
    }

    fn refusal(&self, pid: Option<u32>, holder: &Holder) -> Failed {
        let pid = pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
        let (cause, cure) = match holder {
            Holder::Mounted(Some(point)) => {
                let point = shown(point);
                (
                    format!(
                        "is served by another handoff-fs (pid {pid}) already, mounted at {point}"
                    ),
                    format!("use that mount, or first run: handoff-fs unmount {point}"),
                )
            }
            Holder::Mounted(None) => (
                format!(
                    "is served by another handoff-fs (pid {pid}) in another mount namespace, such as a sandbox's"
                ),
                format!("use it there, or end it: kill {pid}"),
            ),
            Holder::Leaving | Holder::Busy => (
                format!("is served by another handoff-fs (pid {pid}) that does not give way"),
                format!(
                    "see its log, or end it, nothing that was acknowledged is lost: kill -9 {pid}"
                ),
            ),
            Holder::Invisible => (
                format!(
                    "is served by another handoff-fs already, which cannot be seen from here: another user's, in another container or on another machine (pid {pid} there)"
                ),
                "unmount it there".to_owned(),
            ),
        };
        Failed::new(self.backing, cause, cure)
    }
}

/// A thread of the process that still has files, in the words of `/proc`. When a process ends, its first thread is the first
/// without; another one may hang in the disk, and then holds the lock as long as that lasts.
fn thread(pid: i32) -> String {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    threads
        .map(|thread| format!("{pid}/task/{}", thread.file_name().display()))
        .find(|thread| descriptors::of(thread).next().is_some())
        .unwrap_or_else(|| pid.to_string())
}

/// Does this process serve this mount? None where that cannot be told.
fn serves(pid: i32, mount: &Mount) -> Option<bool> {
    let is_listed = || mounts::table().map_or(true, |table| table.contains(mount));
    if !mounts::at(&mount.point).is_ok_and(|top| top.as_ref() == Some(mount)) {
        // Something covers it, or it is gone.
        return (!is_listed()).then_some(false);
    }
    match probe::pid(&mount.point) {
        Some(answer) => Some(answer == pid),
        None if mounts::probe(&mount.point) == State::Dead => Some(false),
        None => (!is_listed()).then_some(false),
    }
}

/// Does this process see other mounts than we do?
fn is_elsewhere(pid: i32) -> bool {
    let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    of("self") != of(&thread(pid))
}

/// Has it the device of FUSE open, as a daemon has that is or was mounted?
fn has_device(pid: i32) -> bool {
    descriptors::of(&thread(pid))
        .any(|file| std::fs::read_link(file).is_ok_and(|target| target == Path::new("/dev/fuse")))
}
