//! The daemon's side of supervision: a thread that replaces a supervisor that has died.

use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::process::Process;
use super::start::start;
use crate::config::{Config, Part};
use crate::fs::{Fs, Supervision};

/// If a supervisor lived shorter than this, the daemon pauses before it starts the next one.
const EARLY: Duration = Duration::from_secs(1);

/// The first pause. Each next pause in a row is twice as long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Starts a thread that replaces the supervisor whenever the supervisor dies.
pub(super) fn watch_supervisor(config: &Config, supervisor: i32, fs: Arc<Fs>) {
    let note = move |supervisor: Option<&Process>, config: &Config| {
        fs.set_supervision(supervisor.map(|supervisor| Supervision {
            pid: supervisor.pid.cast_unsigned(),
            restarts: config.past.restarts,
            last_death: config.past.last_death.clone(),
        }));
    };
    let mut supervisor = Process::open_parent(supervisor);
    note(supervisor.as_ref(), config);
    let config = config.clone();
    let work = move || {
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            if let Some(supervisor) = supervisor.take() {
                supervisor.wait();
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

fn start_supervisor(config: &Config) -> Option<Process> {
    let part = Part::Supervisor(Some(std::process::id().cast_signed()));
    match start(config, part, Stdio::null(), Stdio::inherit()) {
        Ok(process) => {
            let pid = process.pid;
            log::warn!("the supervisor has died; another one is started, pid {pid}");
            Some(process)
        }
        Err(failure) => {
            log::error!("no supervisor can be started ({failure})");
            None
        }
    }
}
