//! The daemon's side of supervision: it sees to it that there is a supervisor.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::background::own_program;
use super::parent::open_parent;
use crate::config::{Config, Part};
use crate::fs::{Fs, Supervision};

/// A supervisor that lived shorter than this is not replaced at once.
const EARLY: Duration = Duration::from_secs(1);

/// The longest wait before another supervisor is started.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The process that mounts again when this one dies.
enum Supervisor {
    /// Which has started this daemon.
    Parent(i32, OwnedFd),
    /// Which this daemon has started, its own having died.
    Child(Child),
}

impl Supervisor {
    fn pid(&self) -> u32 {
        match self {
            Supervisor::Parent(pid, _) => pid.unsigned_abs(),
            Supervisor::Child(child) => child.id(),
        }
    }

    fn start(config: &Config) -> io::Result<Supervisor> {
        let daemon = i32::try_from(std::process::id()).unwrap_or_default();
        Command::new(own_program())
            .args(config.arguments_as(Part::Supervisor(Some(daemon))))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map(Supervisor::Child)
    }

    /// Returns when it has died.
    fn outlive(self) {
        match self {
            Supervisor::Parent(_, pidfd) => {
                let mut wanted = [PollFd::new(&pidfd, PollFlags::IN)];
                // An interruption by a signal is no answer.
                while rustix::event::poll(&mut wanted, None).is_err() {}
            }
            Supervisor::Child(mut child) => drop(child.wait()),
        }
    }
}

/// Replaces the supervisor whenever it dies, in a thread of its own.
pub(super) fn watch_supervisor(config: &Config, supervisor: i32, fs: Arc<Fs>) {
    let note = move |supervisor: Option<&Supervisor>, config: &Config| {
        fs.set_supervision(supervisor.map(|supervisor| Supervision {
            pid: supervisor.pid(),
            restarts: config.past.restarts,
            last_death: config.past.last_death.clone(),
        }));
    };
    let first = open_parent(supervisor).map(|pidfd| Supervisor::Parent(supervisor, pidfd));
    note(first.as_ref(), config);
    let config = config.clone();
    let work = move || {
        let mut supervisor = first;
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            if let Some(supervisor) = supervisor.take() {
                supervisor.outlive();
            }
            note(None, &config);
            pause = match since.elapsed() < EARLY {
                true => (pause * 2).clamp(Duration::from_millis(10), LONGEST_PAUSE),
                false => Duration::ZERO,
            };
            thread::sleep(pause);
            supervisor = match Supervisor::start(&config) {
                Ok(supervisor) => {
                    log::warn!(
                        "the supervisor has died; another one is started, pid {}",
                        supervisor.pid()
                    );
                    Some(supervisor)
                }
                Err(error) => {
                    log::error!("no supervisor can be started ({error})");
                    None
                }
            };
            note(supervisor.as_ref(), &config);
        }
    };
    let thread = thread::Builder::new().name("supervisor".to_owned());
    if let Err(error) = thread.spawn(work) {
        log::error!("no thread for watching the supervisor ({error})");
    }
}
