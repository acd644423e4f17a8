//! An earlier daemon that still holds the lock of the backing directory (spec 8.2d).
//!
//! After an unmount a daemon goes on for processes that have files or their working directory in its mount. SIGUSR1 asks the
//! daemon to end, and the daemon decides: only the daemon knows for certain whether it is still mounted somewhere. A daemon that
//! does not end is killed, if it has been mounted nowhere for longer than ending may take.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::AtFlags;
use rustix::process::Signal;

use super::mounts::{self, Mount, State};
use super::preflight::Place;
use super::process::{Process, open_files};
use super::start::report;
use super::{ending, mounted};
use crate::failure::Failure;
use crate::names::PRIVATE;
use crate::quote::quoted;

/// How often the lock is tried.
const EVERY: Duration = Duration::from_millis(25);

/// How long a daemon without writers takes to end.
const MOMENT: Duration = Duration::from_millis(500);

/// How long a daemon that was killed, or has let go of its mount and its files, takes to end, at most.
const DYING: Duration = Duration::from_secs(3);

/// What the daemon that holds the lock does, as far as `/proc` tells.
enum Holder {
    /// The daemon serves a mount. None if the mount is in another mount namespace.
    Mounted(Option<PathBuf>),
    /// The daemon's mount is gone.
    Leaving,
    /// The daemon has not mounted yet, or has no open files any more, or does not answer.
    Busy,
    /// No process that is visible here holds the lock: the daemon is another user's, in another container, or on another
    /// machine.
    Invisible,
}

/// What this process has done to end the daemon.
#[derive(PartialEq, Eq)]
enum Request {
    None,
    /// SIGUSR1 was sent.
    Asked,
    /// The user was told that the end of the daemon may take long.
    Announced,
    /// SIGKILL was sent.
    Killed,
}

/// See the [module](self).
pub(super) struct Predecessor<'a> {
    place: &'a Place,
    /// Whether a launcher reads the announcement that this process waits.
    tells_launcher: bool,
    since: Instant,
    /// When the daemon was last seen leaving. Just before a process ends, `/proc` shows its files no longer.
    last_leaving: Instant,
    request: Request,
}

impl<'a> Predecessor<'a> {
    /// The predecessor of the daemon that is to serve this place.
    pub(super) fn of(place: &'a Place, tells_launcher: bool) -> Predecessor<'a> {
        Predecessor {
            place,
            tells_launcher,
            since: Instant::now(),
            last_leaving: Instant::now(),
            request: Request::None,
        }
    }

    /// To be called whenever the lock is held, with the pid that the lock file names. Returns when the caller should try the lock
    /// again.
    ///
    /// # Errors
    /// The other daemon is mounted, or does not end.
    pub(super) fn make_way(&mut self, pid: Option<u32>) -> Result<(), Failure> {
        let waited = self.since.elapsed();
        if self.request == Request::Asked && waited < MOMENT {
            thread::sleep(EVERY);
            return Ok(());
        }
        let process = self.open(pid);
        let holder = process.as_ref().map_or(Holder::Invisible, holder);
        if let (Holder::Leaving, Some(process)) = (&holder, process) {
            self.hasten(&process, waited);
        }
        let refused = match holder {
            Holder::Mounted(_) => true,
            // A daemon that was asked to end publishes what is being written, and then has no mount and no file open.
            Holder::Busy | Holder::Invisible if self.request != Request::None => {
                self.last_leaving.elapsed() > DYING
            }
            Holder::Busy | Holder::Invisible => self.last_leaving.elapsed() > MOMENT,
            Holder::Leaving => {
                self.last_leaving = Instant::now();
                waited > ending::LONGEST + DYING
            }
        };
        if refused {
            return Err(self.refusal(pid, &holder));
        }
        thread::sleep(EVERY);
        Ok(())
    }

    /// Takes the next step to end a daemon that is leaving: asks, announces the wait, and at last kills.
    fn hasten(&mut self, process: &Process, waited: Duration) {
        let pid = process.pid;
        match self.request {
            Request::None => {
                log::info!(
                    "asking the daemon with pid {pid}, which is not mounted any more, to end"
                );
                process.signal(Signal::USR1);
                // A stopped process handles SIGUSR1 only after SIGCONT.
                process.signal(Signal::CONT);
                self.request = Request::Asked;
            }
            Request::Asked => {
                let text = format!(
                    "waiting up to 10 s for programs that are still writing in the old mount (its daemon: pid {pid})"
                );
                log::info!("{text}");
                if self.tells_launcher {
                    // If the launcher has ended, the text is still in the log.
                    let _ = report(&text);
                }
                self.request = Request::Announced;
            }
            Request::Announced if waited > ending::LONGEST => {
                log::warn!("killing the daemon with pid {pid}, which has not ended");
                process.signal(Signal::KILL);
                self.request = Request::Killed;
            }
            Request::Announced | Request::Killed => {}
        }
    }

    /// The process with this pid, if it holds the lock: no other process is ever signalled.
    fn open(&self, pid: Option<u32>) -> Option<Process> {
        let process = Process::open(i32::try_from(pid?).ok()?).ok()?;
        self.has_lock(process.pid).then_some(process)
    }

    /// Has this process the lock file open, and locked?
    fn has_lock(&self, pid: i32) -> bool {
        let path = Path::new(PRIVATE).join("lock");
        let Ok(lock) = rustix::fs::statat(&self.place.directory, path, AtFlags::SYMLINK_NOFOLLOW)
        else {
            return false;
        };
        let thread = thread(pid);
        open_files(&thread).any(|file| {
            let number = file.file_name().unwrap_or_default().display();
            let info = std::fs::read_to_string(format!("/proc/{thread}/fdinfo/{number}"));
            let is_locked = info
                .unwrap_or_default()
                .lines()
                .any(|line| line.starts_with("lock:") && line.contains("FLOCK"));
            is_locked
                && rustix::fs::stat(&file)
                    .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (lock.st_dev, lock.st_ino))
        })
    }

    fn refusal(&self, pid: Option<u32>, holder: &Holder) -> Failure {
        let pid = pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
        let served = format!("is served by another handoff-fs (pid {pid})");
        let (cause, cure) = match holder {
            Holder::Mounted(Some(point)) => (
                format!("{served} already, mounted at {}", quoted(point)),
                format!(
                    "use that mount, or first run: handoff-fs unmount {}",
                    quoted(point)
                ),
            ),
            Holder::Mounted(None) => (
                format!("{served} in another mount namespace, such as a sandbox's"),
                format!("use it there, or end it: kill {pid}"),
            ),
            Holder::Leaving | Holder::Busy => (
                format!("{served} that does not end"),
                format!("see its log, or end it (no saved handoff is lost): kill -9 {pid}"),
            ),
            Holder::Invisible => (
                format!(
                    "is already served by a handoff-fs that this process cannot see: of another user, in a container or on another machine (its pid there: {pid})"
                ),
                "unmount it there".to_owned(),
            ),
        };
        Failure::new(&self.place.backing, cause, cure)
    }
}

/// What the process that holds the lock is doing.
fn holder(process: &Process) -> Holder {
    let pid = process.pid;
    let Ok(table) = mounts::table_of(&thread(pid)) else {
        return Holder::Busy;
    };
    let mut ours = table
        .into_iter()
        .filter(|mount| mount.is_ours() && mount.whole);
    if is_elsewhere(pid) {
        // A mount in another namespace cannot be probed from here.
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

/// A thread of the process that still has open files, as `/proc` names it. When a process ends, its first thread loses its files
/// first; another thread that hangs in the disk keeps the files and the lock.
fn thread(pid: i32) -> String {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    threads
        .map(|thread| format!("{pid}/task/{}", thread.file_name().display()))
        .find(|thread| open_files(thread).next().is_some())
        .unwrap_or_else(|| pid.to_string())
}

/// Does this process serve this mount? None if the mount does not tell.
fn serves(pid: i32, mount: &Mount) -> Option<bool> {
    let is_listed = || mounts::table().map_or(true, |table| table.contains(mount));
    if !mounts::at(&mount.point).is_ok_and(|top| top.as_ref() == Some(mount)) {
        // Another mount covers this one, or this one is gone.
        return (!is_listed()).then_some(false);
    }
    match mounted::pid(&mount.point) {
        Some(answer) => Some(answer == pid),
        None if mounts::probe(&mount.point) == State::Dead => Some(false),
        None => (!is_listed()).then_some(false),
    }
}

/// Is this process known to be in another mount namespace?
fn is_elsewhere(pid: i32) -> bool {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    // The link of a thread that has just ended cannot be read.
    let theirs = namespace(&thread(pid));
    theirs.is_some() && theirs != namespace("self")
}

/// Has this process /dev/fuse open? A daemon that is or was mounted has.
fn has_device(pid: i32) -> bool {
    open_files(&thread(pid))
        .any(|file| std::fs::read_link(file).is_ok_and(|target| target == Path::new("/dev/fuse")))
}
