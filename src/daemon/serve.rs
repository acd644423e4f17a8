//! The process that serves a mount, from its first check to its end.
//!
//! The process catches signals from the start, so that none kills it between mounting and unmounting, and obeys them once the
//! directory is mounted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
use std::{io, mem};

use fuser::{MountOption, Session, SessionACL};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::ending::{Ending, LOOK_EVERY};
use super::mounts::{self, Manner, OwnMount};
use super::predecessor::Predecessor;
use super::preflight::{self, Place};
use super::start::report;
use super::{logging, mounted, rights, supervised, surroundings};
use crate::clock::SystemClock;
use crate::config::{Config, FoundFiles, Part};
use crate::failure::Failure;
use crate::fs::{Adopt, Awaited, Fs, OpenError, Options};
use crate::fuse::Adapter;
use crate::quote::quoted;

/// Half of the time that the contract allows, so that a slow sweep still ends in time (spec 7.1a).
const SWEEP_EVERY: Duration = Duration::from_secs(30 * 60);

/// The pause between the mount and the first sweep. The user's first requests come before it.
const FIRST_SWEEP: Duration = Duration::from_millis(300);

/// How many threads serve requests. A close waits for the disk twice, and holds a thread meanwhile. So this is more than the
/// agents that usually run side by side; an idle thread costs nothing.
const WORKERS: usize = 8;

/// An event that the main thread waits for.
enum Event {
    Signal(i32),
    /// The kernel has closed the connection, or serving it failed.
    Ended(io::Result<()>),
}

/// Mounts and serves until the mount is gone.
pub(super) fn serve(config: &Config) -> Result<(), Failure> {
    if config.report_ready {
        surroundings::close_inherited();
    }
    surroundings::survive_large_writes();
    logging::init(config)?;
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])
        .map_err(|error| surroundings::no_signals(&config.mountpoint, &error))?;
    if config.report_ready {
        // Leaves the caller's terminal. Fails for the leader of a process group, which has no terminal.
        let _ = rustix::process::setsid();
    }
    let place = preflight::prepare(config)?;
    surroundings::leave_caller();

    let mountpoint = place.mountpoint.clone();
    let (fs, session) = open(config, place)?;
    let Some(own) = OwnMount::find(&mountpoint) else {
        // Dropping the session unmounts.
        drop(session);
        let cause = "was mounted, but is not in /proc/self/mountinfo";
        let cure = "mount /proc of this process's own namespace";
        return Err(Failure::new(&mountpoint, cause, cure));
    };
    let events = start(session, signals).map_err(|error| {
        let _ = own.unmount();
        let cause = format_args!("threads cannot be started ({error})");
        let cure = "raise the limit on processes: ulimit -u";
        Failure::new(&mountpoint, cause, cure)
    })?;

    let pid = std::process::id();
    log::info!("mounted at {}, pid {pid}", quoted(&mountpoint));
    start_sweeper(fs.clone());
    let reported = !config.report_ready || report(&format!("ready {pid}")).is_ok();
    // After a restart programs use the mount already, so the mount goes on even if the supervisor has died meanwhile.
    if !reported && config.past.restarts == 0 {
        log::warn!("the program that asked for the mount is gone; unmounting");
        unmount(&own);
    }
    let result = wait(&events, &own, config.part, &fs);
    log::info!("ended: {}", quoted(&mountpoint));
    result
}

/// Opens the backing directory and mounts. On return the mount is usable as soon as requests are served.
fn open(config: &Config, place: Place) -> Result<(Arc<Fs>, Session<Adapter>), Failure> {
    let (mountpoint, backing) = (&place.mountpoint, &place.backing);
    let options = Options {
        adopt: adopt(config, mountpoint),
        backing_name: backing.clone(),
        mountpoint: mountpoint.clone(),
        ..config.options.clone()
    };
    let failed = |error: OpenError| Failure::from_text(&format!("{}: {error}", quoted(backing)));
    let mut predecessor = Predecessor::of(&place, matches!(config.part, Part::Daemon(_)));
    let fs = loop {
        let directory = place.directory.try_clone().map_err(|error| {
            let cause = format_args!("cannot be opened ({error})");
            Failure::new(backing, cause, "raise the limit on open files: ulimit -n")
        })?;
        match Fs::open(directory, options.clone(), Arc::new(SystemClock)) {
            // A daemon whose mount is gone holds the lock until the daemon ends.
            Err(OpenError::Locked { pid }) if !mounted::is_ours(mountpoint) => {
                predecessor.make_way(pid)?;
            }
            opened => break opened.map_err(failed)?,
        }
    };
    if place.covered.is_some() {
        // To be noted before the mount: files that are written to the mountpoint after a crash must count as strays.
        fs.note_mountpoint().map_err(|error| failed(error.into()))?;
    }
    // To be done before the mount, because its status names the supervisor.
    if let Part::Daemon(supervisor) = config.part {
        supervised::watch_supervisor(config, supervisor, fs.clone());
    }
    let session = Adapter::new(fs.clone())
        .mount(mountpoint, &fuse_config())
        .map_err(|error| rights::not_mounted(mountpoint, &error))?;
    if let Some(covered) = place.covered {
        // No program can reach the directory now: the mount covers it, and no request is served yet.
        fs.take_in(covered);
    }
    Ok((fs, session))
}

/// Whether text files in the directory become handoffs (spec 3.6b). `--adopt` applies to a mount that was asked for, and not
/// to a restart.
fn adopt(config: &Config, mountpoint: &Path) -> Adopt {
    match config.found_files {
        FoundFiles::Adopt if config.past.restarts == 0 => Adopt::Always,
        FoundFiles::Adopt => Adopt::AtFirst,
        FoundFiles::ByName if mountpoint.ends_with("handoffs") => Adopt::AtFirst,
        FoundFiles::ByName | FoundFiles::Keep => Adopt::Nothing,
    }
}

fn fuse_config() -> fuser::Config {
    let mut config = fuser::Config::default();
    config.mount_options = vec![
        MountOption::FSName(mounts::NAME.to_owned()),
        // fuser drops `MountOption::Subtype` for root, but passes a custom option on.
        MountOption::CUSTOM(format!("subtype={}", mounts::NAME)),
        MountOption::NoSuid,
        MountOption::NoDev,
    ];
    config.acl = SessionACL::Owner;
    config.n_threads = Some(WORKERS);
    config.clone_fd = true;
    config
}

/// Starts serving, and the threads that send events.
fn start(session: Session<Adapter>, mut signals: Signals) -> io::Result<Receiver<Event>> {
    let (sender, events) = mpsc::channel();
    let ended = sender.clone();
    let mut background = session.spawn()?;
    let idle = thread::Builder::new().spawn(|| Ok(()))?;
    let serving = mem::replace(&mut background.guard, idle);
    // Dropping `background` would unmount by path, which may hit another mount by then. `OwnMount` unmounts instead.
    mem::forget(background);
    thread::Builder::new()
        .name("ended".to_owned())
        .spawn(move || {
            let result = serving
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the serving thread panicked")));
            let _ = ended.send(Event::Ended(result));
        })?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if sender.send(Event::Signal(signal)).is_err() {
                    break;
                }
            }
        })?;
    Ok(events)
}

/// Waits for the end of the mount. A signal unmounts; a second signal ends the process at once. SIGUSR1 comes from another
/// `mount` that waits for the lock, and ends only a daemon whose mount is gone.
fn wait(events: &Receiver<Event>, own: &OwnMount, part: Part, fs: &Arc<Fs>) -> Result<(), Failure> {
    let mountpoint = own.point();
    let mut ending: Option<Ending> = None;
    loop {
        let event = match &ending {
            None => events.recv().ok(),
            Some(_) => events.recv_timeout(LOOK_EVERY).ok(),
        };
        // While `ending` is None an event always comes, because the end of serving is an event.
        let Some(event) = event else {
            if ending.as_ref().is_none_or(Ending::is_over) {
                log::info!("the wait for open files is over; the daemon ends");
                return Ok(());
            }
            continue;
        };
        match event {
            Event::Signal(SIGUSR1) if own.is_anywhere() => {
                log::info!(
                    "another handoff-fs waits for this one to end; this one is mounted and stays"
                );
            }
            Event::Signal(SIGUSR1) => {
                log::info!("another handoff-fs waits for this one to end: waiting for writers");
                ending = Some(Ending::begin(fs, Awaited::Writers));
            }
            Event::Signal(signal) if ending.is_some() => {
                let cause = format_args!(
                    "ended at once by a second signal ({signal}), with files still open"
                );
                let cure = "the next mount recovers files that were not closed";
                return Err(Failure::new(mountpoint, cause, cure));
            }
            Event::Signal(signal) => {
                log::info!("signal {signal}: unmounting {}", quoted(mountpoint));
                if unmount(own) {
                    ending = Some(Ending::begin(fs, Awaited::OpenFiles));
                }
            }
            Event::Ended(Ok(())) => {
                own.unmount_if_dead();
                return Ok(());
            }
            Event::Ended(Err(error)) if ending.is_some() || !own.is_there() => {
                // Expected. The error is ENODEV mostly; ECONNABORTED if the connection was cut.
                log::info!("the connection ended with: {error}");
                return Ok(());
            }
            Event::Ended(Err(error)) => {
                // A supervisor takes a dead mount as the sign to mount again, so a supervised daemon leaves the mount.
                if !matches!(part, Part::Daemon(_)) {
                    unmount(own);
                }
                let cause = format_args!("serving the mount failed ({error})");
                let cure = "mount it again; nothing that was acknowledged is lost";
                return Err(Failure::new(mountpoint, cause, cure));
            }
        }
    }
}

/// Unmounts; says whether that succeeded. If not, the daemon goes on serving: a dead mount would be worse.
fn unmount(own: &OwnMount) -> bool {
    let mountpoint = quoted(own.point());
    match own.unmount() {
        Ok(Manner::Plain) => true,
        Ok(Manner::Lazy) => {
            log::info!("{mountpoint}: waiting for files still open");
            true
        }
        Err(error) => {
            log::error!(
                "{mountpoint}: cannot be unmounted ({error}); unmount the file system that is mounted on top or inside, and signal again"
            );
            false
        }
    }
}

/// Starts the thread that deletes expired handoffs. The thread ends with the process: a sweep can be interrupted anywhere.
fn start_sweeper(fs: Arc<Fs>) {
    let work = move || {
        thread::sleep(FIRST_SWEEP);
        loop {
            // A panic must not end the thread: the next sweep may succeed.
            if catch_unwind(AssertUnwindSafe(|| fs.sweep())).is_err() {
                log::error!("a sweep panicked; the next one is in half an hour");
            }
            thread::sleep(SWEEP_EVERY);
        }
    };
    let thread = thread::Builder::new().name("sweep".to_owned()).spawn(work);
    if let Err(error) = thread {
        log::error!(
            "no thread for sweeping ({error}); expired handoffs are hidden, and the next mount deletes them"
        );
    }
}
