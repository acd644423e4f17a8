//! The process that serves a mount, from its first check to its end.
//!
//! Signals are handled in two phases: caught from the start, so that none kills the process between mounting
//! and unmounting, and acted upon once there is a mount to act on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;
use std::{io, mem};

use fuser::{MountOption, Session, SessionACL};
use rustix::fs::Mode;
use rustix::process::Resource;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::ending::{Ending, LOOK_EVERY};
use super::error::{Failed, report, shown};
use super::mounts::{self, Manner, NotUnmounted, OwnMount};
use super::predecessor::Predecessor;
use super::preflight::{self, Place};
use super::{descriptors, logging, rights, supervised};
use crate::clock::SystemClock;
use crate::config::{Config, Part, Usage};
use crate::fs::{Adopt, Awaited, Fs, OpenError, Options};
use crate::fuse::Adapter;

/// Half of what the contract allows, so that a pass that takes long is still in time (spec 7.1).
const SWEEP_EVERY: Duration = Duration::from_secs(30 * 60);

/// How long after the mount the first one is.
const FIRST_SWEEP: Duration = Duration::from_millis(300);

/// What the main thread waits for.
enum Event {
    Signal(i32),
    /// The kernel has closed the connection, or serving it failed.
    Ended(io::Result<()>),
}

/// Mounts and serves until the mount is gone.
pub(super) fn serve(config: &Config) -> Result<(), Failed> {
    if config.report_ready {
        close_inherited();
    }
    outlive_large_writes();
    logging::init(config)?;
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map_err(|error| {
        Failed::new(
            &config.mountpoint,
            format_args!("signals cannot be caught ({error})"),
            "raise the limit on open files: ulimit -n",
        )
    })?;
    if config.report_ready {
        // Away from the terminal of whoever waits. Refused to the leader of a process group, who is away.
        let _ = rustix::process::setsid();
    }
    let place = preflight::prepare(config)?;
    settle();

    let mountpoint = place.mountpoint.clone();
    let (fs, session) = open(config, place)?;
    let Some(own) = OwnMount::find(&mountpoint) else {
        // Dropping the session unmounts by its own means.
        drop(session);
        let cure = "mount /proc of this process's own namespace";
        return Err(Failed::new(
            &mountpoint,
            "was mounted, but is not in /proc/self/mountinfo",
            cure,
        ));
    };
    let events = start(session, signals).map_err(|error| {
        let _ = own.unmount();
        Failed::new(
            &mountpoint,
            format_args!("threads cannot be started ({error})"),
            "raise the limit on processes: ulimit -u",
        )
    })?;

    log::info!(
        "mounted at {}, pid {}",
        shown(&mountpoint),
        std::process::id()
    );
    let _sweeper = start_sweeper(fs.clone());
    let reported = !config.report_ready || report(&format!("ready {}", std::process::id())).is_ok();
    // A daemon that came after another is wanted by whoever uses the mount, also when its supervisor died meanwhile.
    if !reported && config.past.restarts == 0 {
        log::warn!("whoever asked for the mount is gone; unmounting");
        unmount(&own, &mountpoint);
    }
    let result = wait(&events, &own, &mountpoint, config.part, &fs);
    log::info!("ended: {}", shown(&mountpoint));
    result
}

/// Closes what was not opened for this process: a pipe or a lock that the caller's shell happened to have open
/// would else stay open as long as the mount. To be called before anything is opened here.
pub(super) fn close_inherited() {
    let inherited: Vec<i32> = descriptors::of("self")
        .filter_map(|file| file.file_name()?.to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in inherited {
        // The one of the listing itself is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// Past the limit on file sizes of the shell that mounts (`ulimit -f`) a write is to fail, with EFBIG for its writer (spec
/// 4.9), rather than end the process. To be called before anything is written.
pub(super) fn outlive_large_writes() {
    // Nobody looks at the flag. To ignore the signal would be inherited by programs that are started here.
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        log::warn!("a write past the limit on file sizes will end this process ({error})");
    }
}

/// What a long-lived process owes its surroundings.
fn settle() {
    // Modes are the callers', with their umask already applied by the kernel.
    rustix::process::umask(Mode::empty());
    // Keeps no other file system from being unmounted.
    if let Err(error) = rustix::process::chdir("/") {
        log::debug!("chdir /: {error}");
    }
    // Every file that somebody holds open in the mount is one here too.
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        log::debug!("limit on open files: {error}");
    }
}

/// How many threads serve requests. A close waits for the disk, twice, and so many may do so before anybody else has to wait
/// for them: more than agents are run side by side. While they sleep they cost nothing.
const WORKERS: usize = 8;

/// Opens the backing directory and mounts. When this returns the kernel has been answered: the mount is usable.
fn open(config: &Config, place: Place) -> Result<(Arc<Fs>, Session<Adapter>), Failed> {
    let Place {
        mountpoint,
        backing,
        directory,
        covered,
    } = place;
    let usage = |usage: Usage| Failed::from_text(&usage.to_string());
    let options = Options {
        retention: config.retention,
        utc: config.utc,
        sync: config.sync,
        max_size: config.max_size,
        adopt: adopt(config, &mountpoint),
        archives: config.archives().map_err(usage)?,
        hide_pending: config.hide_pending,
        programs: config.programs().map_err(usage)?,
        backing_name: backing.clone(),
        mountpoint: mountpoint.clone(),
    };
    let failed = |error: OpenError| Failed::from_text(&format!("{}: {error}", shown(&backing)));
    let mut predecessor = Predecessor::of(&backing, &directory);
    let fs = loop {
        let directory = directory.try_clone().map_err(|error| {
            let cause = format_args!("cannot be opened ({error})");
            Failed::new(&backing, cause, "raise the limit on open files: ulimit -n")
        })?;
        match Fs::open(directory, options.clone(), Arc::new(SystemClock)) {
            // A daemon whose mount has gone holds the lock until it has ended.
            Err(OpenError::Locked { pid }) if !preflight::is_ours(&mountpoint) => {
                predecessor.gives_way(pid)?;
            }
            opened => break opened.map_err(failed)?,
        }
    };
    if covered.is_some() {
        // First, or what somebody writes there after a crash would be taken for what was there before.
        fs.note_mountpoint().map_err(|error| failed(error.into()))?;
    }
    // Before anybody can ask the mount who its supervisor is.
    if let Part::Daemon(supervisor) = config.part {
        supervised::watch_supervisor(config, supervisor, fs.clone());
    }
    let session = Adapter::new(fs.clone())
        .mount(&mountpoint, &fuse_config())
        .map_err(|error| rights::not_mounted(&mountpoint, &error))?;
    if let Some(covered) = covered {
        // Now that nobody reaches it any more by its path, and before anything is served.
        fs.take_in(covered);
    }
    Ok((fs, session))
}

/// Whether text files that the first mount finds become handoffs (spec 3.6). A daemon that comes after another is no mount
/// that anybody asked for.
fn adopt(config: &Config, mountpoint: &Path) -> Adopt {
    let called_handoffs = mountpoint
        .file_name()
        .is_some_and(|name| name == "handoffs");
    match (config.adopt, config.keep) {
        (true, _) if config.past.restarts == 0 => Adopt::Always,
        (false, false) if !called_handoffs => Adopt::Nothing,
        (_, true) => Adopt::Nothing,
        _ => Adopt::AtFirst,
    }
}

fn fuse_config() -> fuser::Config {
    let mut config = fuser::Config::default();
    config.mount_options = vec![
        MountOption::FSName(mounts::NAME.to_owned()),
        // Not `Subtype`, which as root is dropped; the kernel knows it by itself.
        MountOption::CUSTOM(format!("subtype={}", mounts::NAME)),
        MountOption::NoSuid,
        MountOption::NoDev,
    ];
    config.acl = SessionACL::Owner;
    config.n_threads = Some(WORKERS);
    config.clone_fd = true;
    config
}

/// Starts serving, and the threads that say what happens.
fn start(session: Session<Adapter>, mut signals: Signals) -> io::Result<Receiver<Event>> {
    let (sender, events) = mpsc::channel();
    let ended: Sender<Event> = sender.clone();
    let mut background = session.spawn()?;
    let idle = thread::Builder::new().spawn(|| Ok(()))?;
    let serving = mem::replace(&mut background.guard, idle);
    // What is left in `background` unmounts by path when dropped, whatever is mounted there by then. It must
    // never be dropped: `OwnMount` unmounts, and knows what.
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

/// Waits for the end of the mount; the first signal brings it about, a second one does not wait. SIGUSR1 is from another
/// `mount`, which waits for the lock: it ends nothing but a daemon whose mount is gone.
fn wait(
    events: &Receiver<Event>,
    own: &OwnMount,
    mountpoint: &Path,
    part: Part,
    fs: &Arc<Fs>,
) -> Result<(), Failed> {
    let mut ending: Option<Ending> = None;
    // A supervisor takes the dead mount for the sign that it is to mount again.
    let give_way = || match part {
        Part::Daemon(_) => {}
        Part::Alone | Part::Supervisor(_) => drop(unmount(own, mountpoint)),
    };
    loop {
        let event = match &ending {
            None => events.recv().map_err(RecvTimeoutError::from),
            Some(_) => events.recv_timeout(LOOK_EVERY),
        };
        match event {
            Ok(Event::Signal(SIGUSR1)) if own.is_anywhere() => {
                log::info!("another handoff-fs waits for this one, which is mounted and stays");
            }
            Ok(Event::Signal(SIGUSR1)) => {
                log::info!("another handoff-fs is to be mounted: waiting for writers");
                ending = Some(Ending::begin(fs, Awaited::Writers));
            }
            Err(RecvTimeoutError::Timeout) => {
                if ending.as_ref().is_some_and(Ending::is_over) {
                    log::info!("nobody is waited for any more");
                    return Ok(());
                }
            }
            Ok(Event::Signal(signal)) if ending.is_some() => {
                let cause = format_args!(
                    "ended at once by a second signal ({signal}), with files still open"
                );
                return Err(Failed::new(
                    mountpoint,
                    cause,
                    "what was not closed is recovered at the next mount",
                ));
            }
            Ok(Event::Signal(signal)) => {
                log::info!("signal {signal}: unmounting {}", shown(mountpoint));
                if unmount(own, mountpoint) {
                    ending = Some(Ending::begin(fs, Awaited::OpenFiles));
                }
            }
            Ok(Event::Ended(Ok(()))) => {
                own.unmount_if_dead();
                return Ok(());
            }
            Ok(Event::Ended(Err(error))) if ending.is_some() || !own.is_there() => {
                // It was to end, and how the kernel says so depends on who lets go last: ENODEV mostly, or ECONNABORTED.
                log::info!("the connection ended with: {error}");
                return Ok(());
            }
            Ok(Event::Ended(Err(error))) => {
                give_way();
                let cause = format_args!("serving the mount failed ({error})");
                return Err(Failed::new(
                    mountpoint,
                    cause,
                    "mount it again; nothing that was acknowledged is lost",
                ));
            }
            Err(RecvTimeoutError::Disconnected) => {
                give_way();
                return Err(Failed::new(
                    mountpoint,
                    "the serving threads are gone",
                    "mount it again",
                ));
            }
        }
    }
}

/// Whether the mount is on its way out. If not, it goes on being served: a dead mount would be worse.
fn unmount(own: &OwnMount, mountpoint: &Path) -> bool {
    match own.unmount() {
        Ok(Manner::Plain) => true,
        Ok(Manner::Lazy) => {
            log::info!("{}: waiting for files still open", shown(mountpoint));
            true
        }
        Err(error) => {
            let text = match error {
                NotUnmounted::Busy => "busy".to_owned(),
                NotUnmounted::Other(text) => text,
            };
            log::error!(
                "{}: cannot be unmounted ({text}); unmount what is in its way and signal again",
                shown(mountpoint)
            );
            false
        }
    }
}

/// Starts the thread that deletes what has expired. It stops when the answer is dropped, or with the process: what it does
/// can be interrupted anywhere.
fn start_sweeper(fs: Arc<Fs>) -> Sender<()> {
    let (stop, stopped) = mpsc::channel();
    let work = move || {
        // Who mounts wants to use it first.
        let mut wait = FIRST_SWEEP;
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
            wait = SWEEP_EVERY;
            // One pass that panics must not be the last one.
            if catch_unwind(AssertUnwindSafe(|| fs.sweep())).is_err() {
                log::error!("a sweep panicked; the next one is in half an hour");
            }
        }
    };
    let thread = thread::Builder::new().name("sweep".to_owned()).spawn(work);
    if let Err(error) = thread {
        log::error!(
            "no thread for sweeping ({error}); what expires is hidden, and deleted at the next mount"
        );
    }
    stop
}
