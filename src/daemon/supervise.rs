//! The supervisor: the small process that mounts again when the daemon has died (spec 8.3).
//!
//! `handoff-fs mount` starts the supervisor, and the supervisor the daemon. Each holds a pidfd of the other and sleeps until
//! that says that the other has died, so neither has anything to do while all is well.
//!
//! | who dies | what happens |
//! |---|---|
//! | the daemon, its mount is dead | the supervisor clears the mount, so that what is written meanwhile lands in the plain directory (spec 3.7), and starts another daemon |
//! | the daemon, its mount is gone | somebody has unmounted it, in whatever way: the supervisor ends too |
//! | the supervisor | the daemon goes on, and starts another supervisor, which holds a pidfd of it likewise |
//! | both at once | the mount is dead until the next `handoff-fs mount` |
//!
//! That the mount is dead is all that tells a crash from an end: it needs no message, which a process that is killed
//! could not send. SIGTERM and SIGINT are passed on to the daemon, which unmounts. If it does not, the supervisor unmounts, kills
//! the daemon, and at last cuts its connection to the kernel, so that nobody hangs in the mount.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::background::own_program;
use super::backoff::{Backoff, EARLY, MOST_EARLY, MOST_FAILED, PAUSE};
use super::error::{Failed, report, shown};
use super::mounts::{self, OwnMount, State};
use super::parent::open_parent;
use super::{logging, preflight, serve};
use crate::config::{Config, Part, Past};

mod stuck;

use stuck::ENDING;

/// Supervises until the mount has ended.
pub(super) fn supervise(config: &Config, daemon: Option<i32>) -> Result<(), Failed> {
    serve::close_inherited();
    serve::outlive_large_writes();
    logging::init(config)?;
    let signals = signals().map_err(|error| {
        let cause = format_args!("signals cannot be caught ({error})");
        let cure = "raise the limit on open files: ulimit -n";
        Failed::new(&config.mountpoint, cause, cure)
    })?;
    // Away from the terminal of whoever waits, and from the directory that it was in.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let mut supervisor = Supervisor {
        config: config.clone(),
        signals,
        told_to_end: false,
        backoff: Backoff::default(),
    };
    let first = match daemon {
        Some(pid) => Daemon::that_started_me(pid, &config.mountpoint),
        None => Some(supervisor.start_first()?),
    };
    supervisor.run(first)
}

/// Becomes readable when a signal has come that asks for the end.
fn signals() -> std::io::Result<UnixStream> {
    let (receiver, sender) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
    }
    receiver.set_nonblocking(true)?;
    Ok(receiver)
}

/// What ended a wait.
enum Woken {
    Ready,
    Signal,
    TimeOut,
}

/// A daemon that serves.
struct Daemon {
    pid: i32,
    /// Its mount, as soon as there is one.
    mount: Option<OwnMount>,
    pidfd: OwnedFd,
    /// Unless it is the other way round: a daemon whose supervisor has died starts another one.
    child: Option<Child>,
    since: Instant,
}

impl Daemon {
    /// The daemon that started this supervisor; none if it has died since.
    fn that_started_me(pid: i32, mountpoint: &Path) -> Option<Daemon> {
        Some(Daemon {
            pid,
            mount: OwnMount::find(mountpoint),
            pidfd: open_parent(pid)?,
            child: None,
            since: Instant::now(),
        })
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by now.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
    }

    /// To be called when it has died.
    fn death(self) -> Death {
        let status = self.child.and_then(|mut child| child.wait().ok());
        Death {
            how: match status {
                Some(status) => format!("pid {}, {status}", self.pid),
                // Only a parent is told.
                None => format!("pid {}, it is not known how", self.pid),
            },
            well: status.is_none_or(|status| status.success()),
            lived: self.since.elapsed(),
        }
    }
}

/// How a daemon came to its end.
struct Death {
    how: String,
    /// With 0, as far as this is known.
    well: bool,
    lived: Duration,
}

struct Supervisor {
    /// Of this supervisor; what it says of the past is kept up to date.
    config: Config,
    signals: UnixStream,
    /// By a signal.
    told_to_end: bool,
    backoff: Backoff,
}

impl Supervisor {
    /// Starts the first daemon, and says to whoever waits for it how that went.
    fn start_first(&mut self) -> Result<Daemon, Failed> {
        let daemon = self.start().inspect_err(|_| {
            self.clear();
        })?;
        if self.config.report_ready && report(&format!("ready {}", daemon.pid)).is_err() {
            log::warn!("whoever asked for the mount is gone; unmounting");
            self.told_to_end = true;
            daemon.signal(Signal::TERM);
        }
        Ok(daemon)
    }

    fn run(mut self, first: Option<Daemon>) -> Result<(), Failed> {
        let mut daemon = first;
        loop {
            let death = match daemon {
                Some(daemon) => self.outlive(daemon),
                None => Death {
                    how: "before its new supervisor came".to_owned(),
                    well: true,
                    lived: Duration::ZERO,
                },
            };
            let dead_mount = self.clear();
            if self.told_to_end || !dead_mount {
                return match death.well {
                    true => Ok(()),
                    false => Err(self.failed(&format!("the daemon has ended ({})", death.how))),
                };
            }
            daemon = match self.start_again(&death)? {
                Some(daemon) => Some(daemon),
                None => return Ok(()),
            };
        }
    }

    /// Waits for the daemon's end. Signals are passed on to it; if it does not do what they ask, it is made to.
    fn outlive(&mut self, daemon: Daemon) -> Death {
        let (mut asked, mut killed) = (u32::from(self.told_to_end), false);
        let mut patience = self.told_to_end.then_some(ENDING);
        loop {
            patience = match self.wait_for(&daemon.pidfd, patience) {
                Woken::Ready => return daemon.death(),
                Woken::Signal => {
                    daemon.signal(Signal::TERM);
                    asked += 1;
                    Some(ENDING)
                }
                Woken::TimeOut if killed => {
                    daemon.abort();
                    None
                }
                Woken::TimeOut => {
                    killed = daemon.kill_if_stuck(&self.config.mountpoint, asked > 1);
                    killed.then_some(ENDING)
                }
            };
        }
    }

    /// Mounts again, with growing pauses. None: another has mounted here meanwhile, or nobody wants it any more.
    fn start_again(&mut self, death: &Death) -> Result<Option<Daemon>, Failed> {
        self.config.past = Past {
            restarts: self.config.past.restarts + 1,
            last_death: Some(death.how.clone()),
        };
        log::warn!(
            "the daemon has died ({}) after {:.1} s; mounting {} again",
            death.how,
            death.lived.as_secs_f64(),
            shown(&self.config.mountpoint)
        );
        let mut pause = self.backoff.died(death.lived);
        let mut reason = format!(
            "{MOST_EARLY} daemons in a row died within {} s, the last one: {}",
            EARLY.as_secs(),
            death.how
        );
        loop {
            let Some(pause_now) = pause else {
                log::error!("giving up: {reason}");
                return Err(self.failed(&format!("not mounted again, given up ({reason})")));
            };
            if !pause_now.is_zero() {
                self.rest(pause_now);
            }
            if self.told_to_end {
                return Ok(None);
            }
            let error = match self.start() {
                Ok(daemon) => return Ok(Some(daemon)),
                Err(error) => error,
            };
            self.clear();
            if self.told_to_end {
                return Ok(None);
            }
            if self.is_served() {
                log::info!(
                    "another handoff-fs is mounted at {}: ended",
                    shown(&self.config.mountpoint)
                );
                return Ok(None);
            }
            log::error!("mounting again failed: {error}");
            reason = format!("{MOST_FAILED} starts in a row failed, the last one: {error}");
            pause = self.backoff.start_failed();
        }
    }

    /// Starts a daemon and waits until its mount is usable. A signal that comes meanwhile is passed on.
    fn start(&mut self) -> Result<Daemon, Failed> {
        let program = own_program();
        let part = Part::Daemon(i32::try_from(std::process::id()).unwrap_or_default());
        let mut child = Command::new(&program)
            .args(self.config.arguments_as(part))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let cure = "put the handoff-fs program back there";
                Failed::new(&program, format_args!("cannot be started ({error})"), cure)
            })?;
        let pid = Pid::from_child(&child);
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(self.failed(&format!("the daemon cannot be watched ({error})")));
            }
        };
        let stdout = child.stdout.take();
        let daemon = Daemon {
            pid: pid.as_raw_nonzero().get(),
            mount: None,
            pidfd,
            child: Some(child),
            since: Instant::now(),
        };
        let line = stdout.map_or_else(String::new, |stdout| self.first_line(stdout, &daemon));
        match line.split_once(' ') {
            Some(("ready", _)) => Ok(Daemon {
                since: Instant::now(),
                mount: OwnMount::find(&self.config.mountpoint),
                ..daemon
            }),
            Some(("error", text)) => {
                daemon.death();
                Err(Failed::from_text(text))
            }
            _ => {
                let how = daemon.death().how;
                let cause = format!("the daemon ended before the mount was usable ({how})");
                Err(self.failed(&cause))
            }
        }
    }

    /// What the daemon says when it is usable, or is not going to be. Nothing: it died first.
    fn first_line(&mut self, mut stdout: ChildStdout, daemon: &Daemon) -> String {
        let mut line = Vec::new();
        let mut part = [0; 512];
        while !line.contains(&b'\n') {
            if let Woken::Signal = self.wait_for(&stdout, None) {
                daemon.signal(Signal::TERM);
                continue;
            }
            match stdout.read(&mut part) {
                Ok(0) | Err(_) => break,
                Ok(n) => line.extend_from_slice(&part[..n]),
            }
        }
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Sleeps until this is readable, a signal comes, or so much time is over.
    fn wait_for(&mut self, awaited: &impl AsFd, patience: Option<Duration>) -> Woken {
        let patience = patience.and_then(|time| Timespec::try_from(time).ok());
        loop {
            let mut wanted = [
                PollFd::new(awaited, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            match rustix::event::poll(&mut wanted, patience.as_ref()) {
                Ok(0) => return Woken::TimeOut,
                Ok(_) => {}
                // A signal has come, and has made the other end of this readable.
                Err(Errno::INTR) => continue,
                // Nothing else can come of these arguments but a lack of memory.
                Err(_) => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
            }
            if !wanted[0].revents().is_empty() {
                return Woken::Ready;
            }
            self.note_signal();
            return Woken::Signal;
        }
    }

    /// Sleeps for so long, or until a signal comes.
    fn rest(&mut self, pause: Duration) {
        let patience = Timespec::try_from(pause).ok();
        let mut wanted = [PollFd::new(&self.signals, PollFlags::IN)];
        // An interruption is a signal's.
        if rustix::event::poll(&mut wanted, patience.as_ref()) != Ok(0) {
            self.note_signal();
        }
    }

    fn note_signal(&mut self) {
        if self.signals.read(&mut [0; 64]).is_ok_and(|n| n > 0) {
            self.told_to_end = true;
        }
    }

    /// Clears what a daemon that has died leaves at the mountpoint; says whether there was a dead mount.
    fn clear(&self) -> bool {
        let mountpoint = &self.config.mountpoint;
        let mut found = false;
        while preflight::is_dead(mountpoint) {
            found = true;
            if let Err(error) = preflight::clear_dead(mountpoint) {
                log::error!("{error}");
                break;
            }
        }
        found
    }

    fn is_served(&self) -> bool {
        let mountpoint = &self.config.mountpoint;
        preflight::is_ours(mountpoint) && mounts::probe(mountpoint) == State::Usable
    }

    fn failed(&self, cause: &str) -> Failed {
        let mountpoint = &self.config.mountpoint;
        let cure = format_args!("mount it again: handoff-fs mount {}", shown(mountpoint));
        Failed::new(mountpoint, cause, cure)
    }
}
