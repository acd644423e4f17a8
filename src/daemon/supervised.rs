//! The daemon's side of supervision: it replaces a supervisor that has died.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::process::Process;
use super::start::start;
use crate::config::{Config, Part};
use crate::fs::{Fs, Supervision};

/// After a supervisor that lived shorter than this, the next one is started after a pause.
const EARLY: Duration = Duration::from_secs(1);

/// The first pause; each one in a row is twice as long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The process that mounts again when this one dies.
enum Supervisor {
    /// The supervisor that started this daemon.
    Parent(Process),
    /// A supervisor that this daemon started, because its own had died.
    Child(Child),
}

impl Supervisor {
    fn pid(&self) -> u32 {
        match self {
            Supervisor::Parent(process) => process.pid.cast_unsigned(),
            Supervisor::Child(child) => child.id(),
        }
    }

    /// Returns when the supervisor has died.
    fn outlive(self) {
        match self {
            Supervisor::Parent(process) => process.wait(),
            Supervisor::Child(mut child) => drop(child.wait()),
        }
    }
}

/// Replaces the supervisor whenever it dies, in a thread.
pub(super) fn watch_supervisor(config: &Config, supervisor: i32, fs: Arc<Fs>) {
    let note = move |supervisor: Option<&Supervisor>, config: &Config| {
        fs.set_supervision(supervisor.map(|supervisor| Supervision {
            pid: supervisor.pid(),
            restarts: config.past.restarts,
            last_death: config.past.last_death.clone(),
        }));
    };
    let first = Process::open_parent(supervisor).map(Supervisor::Parent);
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
                true => (pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE),
                false => Duration::ZERO,
            };
            thread::sleep(pause);
            supervisor = start_supervisor(&config);
            note(supervisor.as_ref(), &config);
        }
    };
    let thread = thread::Builder::new().name("supervisor".to_owned());
    if let Err(error) = thread.spawn(work) {
        log::error!("no thread for watching the supervisor ({error})");
    }
}

fn start_supervisor(config: &Config) -> Option<Supervisor> {
    let part = Part::Supervisor(Some(std::process::id().cast_signed()));
    match start(config, part, Stdio::null(), Stdio::inherit()) {
        Ok(child) => {
            log::warn!(
                "the supervisor has died; another one is started, pid {}",
                child.id()
            );
            Some(Supervisor::Child(child))
        }
        Err(failure) => {
            log::error!("no supervisor can be started ({failure})");
            None
        }
    }
}
