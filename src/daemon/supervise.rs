//! The supervisor: the small process that mounts again when the daemon has died (spec 8.3).
//!
//! `handoff-fs mount` starts the supervisor, and the supervisor starts the daemon. Each holds a pidfd of the other and sleeps
//! until the other dies.
//!
//! | dies | what happens |
//! |---|---|
//! | the daemon, and its mount is dead | the supervisor clears the mount, so that files written meanwhile land in the plain directory (spec 3.7), and starts another daemon |
//! | the daemon, and its mount is gone | a user has unmounted: the supervisor ends too |
//! | the supervisor | the daemon goes on, and starts another supervisor |
//! | both at once | the mount is dead until the next `handoff-fs mount` |
//!
//! A dead mount is the sign of a crash, because a killed daemon can send no message. The supervisor passes SIGTERM and SIGINT on
//! to the daemon, which unmounts. If the daemon does not unmount, the supervisor unmounts, kills the daemon, and at last cuts
//! the daemon's connection to the kernel, so that no process hangs in the mount.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::backoff::{Backoff, PAUSE};
use super::child::{Daemon, Death, ENDING};
use super::mounts::{self, State};
use super::process::Process;
use super::start::{await_mount, report, start};
use super::{logging, mounted, surroundings};
use crate::config::{Config, Part, Past};
use crate::failure::Failure;
use crate::quote::quoted;

/// Supervises until the mount has ended.
pub(super) fn supervise(config: &Config, daemon: Option<i32>) -> Result<(), Failure> {
    surroundings::close_inherited();
    surroundings::survive_large_writes();
    logging::init(config)?;
    let signals =
        signals().map_err(|error| surroundings::no_signals(&config.mountpoint, &error))?;
    // Leaves the caller's terminal.
    let _ = rustix::process::setsid();
    surroundings::leave_caller();
    let mut supervisor = Supervisor {
        config: config.clone(),
        signals,
        told_to_end: false,
        backoff: Backoff::default(),
    };
    let first = match daemon {
        Some(pid) => {
            Process::open_parent(pid).map(|process| Daemon::new(process, &config.mountpoint))
        }
        None => Some(supervisor.start_first()?),
    };
    supervisor.run(first)
}

/// A socket that becomes readable when a signal asks this process to end.
fn signals() -> std::io::Result<UnixStream> {
    let (receiver, sender) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
    }
    receiver.set_nonblocking(true)?;
    Ok(receiver)
}

/// Why a wait has ended.
enum Woken {
    Death,
    Signal,
    TimeOut,
}

/// What the supervisor has done to end the daemon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    None,
    Told,
    ToldTwice,
    Killed,
}

struct Supervisor {
    /// The settings. `past` is kept up to date.
    config: Config,
    signals: UnixStream,
    /// Whether a signal has asked for the end.
    told_to_end: bool,
    backoff: Backoff,
}

impl Supervisor {
    /// Starts the first daemon, and reports to the launcher that the mount is usable.
    fn start_first(&mut self) -> Result<Daemon, Failure> {
        let daemon = self.start()?;
        let pid = daemon.process.pid;
        if self.config.report_ready && report(&format!("ready {pid}")).is_err() {
            log::warn!("the program that asked for the mount is gone; unmounting");
            self.told_to_end = true;
            daemon.process.signal(Signal::TERM);
        }
        Ok(daemon)
    }

    fn run(mut self, first: Option<Daemon>) -> Result<(), Failure> {
        let mut death = match first {
            Some(daemon) => self.outlive(daemon),
            None => Death {
                how: "before its new supervisor started".to_owned(),
                success: true,
                lived: Duration::ZERO,
            },
        };
        loop {
            let dead_mount = self.clear();
            if self.told_to_end || !dead_mount {
                return match death.success {
                    true => Ok(()),
                    false => Err(self.failed(&format!("the daemon has ended ({})", death.how))),
                };
            }
            let Some(daemon) = self.start_again(&death)? else {
                return Ok(());
            };
            death = self.outlive(daemon);
        }
    }

    /// Waits for the daemon's end. Passes signals on, and ends a daemon that does not obey them.
    fn outlive(&mut self, daemon: Daemon) -> Death {
        let (mut request, mut time) = match self.told_to_end {
            true => (Request::Told, Some(ENDING)),
            false => (Request::None, None),
        };
        loop {
            (request, time) = match (self.wait(Some(&daemon.process), time), request) {
                (Woken::Death, _) => return daemon.death(),
                (Woken::Signal, _) => {
                    daemon.process.signal(Signal::TERM);
                    let request = match request {
                        Request::None => Request::Told,
                        Request::Told | Request::ToldTwice => Request::ToldTwice,
                        Request::Killed => Request::Killed,
                    };
                    (request, Some(ENDING))
                }
                (Woken::TimeOut, Request::Killed) => {
                    daemon.abort();
                    (request, None)
                }
                (Woken::TimeOut, _) => {
                    let told_twice = request == Request::ToldTwice;
                    match daemon.kill_if_stuck(&self.config.mountpoint, told_twice) {
                        true => (Request::Killed, Some(ENDING)),
                        false => (request, None),
                    }
                }
            };
        }
    }

    /// Mounts again, with growing pauses. None if another process has mounted here meanwhile, or after a signal.
    fn start_again(&mut self, death: &Death) -> Result<Option<Daemon>, Failure> {
        self.config.past = Past {
            restarts: self.config.past.restarts + 1,
            last_death: Some(death.how.clone()),
        };
        log::warn!(
            "the daemon has died ({}) after {:.1} s; mounting {} again",
            death.how,
            death.lived.as_secs_f64(),
            quoted(&self.config.mountpoint)
        );
        let mut pause = self.backoff.died(death.lived);
        let mut last = death.how.clone();
        loop {
            let pause_now = pause.map_err(|reason| {
                let reason = format!("{reason}, the last one: {last}");
                log::error!("giving up: {reason}");
                self.failed(&format!(
                    "is not mounted any more: the supervisor has given up ({reason})"
                ))
            })?;
            if !pause_now.is_zero() {
                self.wait(None, Some(pause_now));
            }
            if self.told_to_end {
                return Ok(None);
            }
            let error = match self.start() {
                Ok(daemon) => return Ok(Some(daemon)),
                Err(error) => error,
            };
            let mountpoint = &self.config.mountpoint;
            if mounted::is_ours(mountpoint) && mounts::probe(mountpoint) == State::Usable {
                log::info!(
                    "another handoff-fs is mounted at {}; this supervisor ends",
                    quoted(mountpoint)
                );
                return Ok(None);
            }
            log::error!("mounting again failed: {error}");
            last = error.to_string();
            pause = self.backoff.start_failed();
        }
    }

    /// Starts a daemon and waits until its mount is usable. A signal that comes meanwhile is handled after that. If the daemon
    /// dies, its mount is cleared.
    fn start(&mut self) -> Result<Daemon, Failure> {
        let part = Part::Daemon(std::process::id().cast_signed());
        let mut process = start(&self.config, part, Stdio::piped(), Stdio::inherit())?;
        // If the launcher has ended, the text is still in the log.
        let started = await_mount(process.take_stdout(), |text| drop(report(text)));
        let daemon = Daemon::new(process, &self.config.mountpoint);
        match started {
            Ok(()) => Ok(daemon),
            Err(failure) => {
                let how = daemon.death().how;
                self.clear();
                let cause = format!("the daemon ended before the mount was usable ({how})");
                Err(failure.unwrap_or_else(|| self.failed(&cause)))
            }
        }
    }

    /// Sleeps until the daemon dies, a signal comes, or this time is over.
    fn wait(&mut self, daemon: Option<&Process>, time: Option<Duration>) -> Woken {
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let mut wanted = vec![PollFd::new(&self.signals, PollFlags::IN)];
        wanted.extend(daemon.map(|daemon| PollFd::new(&daemon.pidfd, PollFlags::IN)));
        loop {
            match rustix::event::poll(&mut wanted, time.as_ref()) {
                Ok(0) => return Woken::TimeOut,
                Ok(_) => break,
                // The signal has made its socket readable.
                Err(Errno::INTR) => {}
                // The only possible error is a lack of memory.
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        if wanted
            .get(1)
            .is_some_and(|daemon| !daemon.revents().is_empty())
        {
            return Woken::Death;
        }
        if self.signals.read(&mut [0; 64]).is_ok_and(|n| n > 0) {
            self.told_to_end = true;
        }
        Woken::Signal
    }

    /// Clears the dead mounts at the mountpoint; says whether there was one.
    fn clear(&self) -> bool {
        mounted::clear_dead(&self.config.mountpoint).unwrap_or_else(|failure| {
            log::error!("{failure}");
            true
        })
    }

    fn failed(&self, cause: &str) -> Failure {
        let mountpoint = &self.config.mountpoint;
        let cure = format_args!("mount it again: handoff-fs mount {}", quoted(mountpoint));
        Failure::new(mountpoint, cause, cure)
    }
}
