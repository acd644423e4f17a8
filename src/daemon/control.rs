//! `unmount` and `status`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::error::{Failed, shown};
use super::found::Found;
use super::mounts::{self, Manner, Mount, NotUnmounted, State};
use super::preflight;
use super::probe::{Status, not_ours, parse, read, silent};
use crate::names::PRIVATE;

/// How long a daemon may take from the end of its mount to its own: it waits up to 10 s for open files, and 5 for the disk.
const ENDING: Timespec = Timespec {
    tv_sec: 17,
    tv_nsec: 0,
};

/// With files open it will not end soon; but it may have been only a moment.
const MOMENT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 300_000_000,
};

/// How often a mount may come back while it is being ended.
const BETWEEN: usize = 10;

/// Prints what the mount at `mountpoint` has to say, for people or as JSON.
///
/// # Errors
/// Nothing is mounted there, or it does not answer.
pub fn status(mountpoint: &Path, json: bool) -> Result<(), Failed> {
    let mountpoint = preflight::resolve(mountpoint);
    let mount = mounted(&mountpoint)?;
    match mounts::probe(&mountpoint) {
        State::Usable => {}
        State::Denied => return Err(not_ours(&mountpoint, &mount)),
        State::Silent => return Err(silent(&mountpoint)),
        State::Dead => {
            let cause = "the mount is dead: its daemon ended without unmounting";
            let cure = format_args!(
                "clear it and mount again, nothing is lost: handoff-fs mount {}",
                shown(&mountpoint)
            );
            return Err(Failed::new(&mountpoint, cause, cure));
        }
    }
    let text = read(&mountpoint)?;
    let status = parse(&mountpoint, &text)?;
    let shown = if json {
        text
    } else {
        describe(&mountpoint, &status)
    };
    // A closed pipe is the reader's choice.
    let _ = writeln!(io::stdout(), "{}", shown.trim_end());
    Ok(())
}

/// Unmounts; with files open lazily, naming who holds them. Returns when the daemon and its supervisor have ended, or
/// when they wait only for those files.
///
/// # Errors
/// Nothing is mounted there, it is another user's, or the daemon does not end.
pub fn unmount(mountpoint: &Path) -> Result<(), Failed> {
    let mountpoint = preflight::resolve(mountpoint);
    let mut done = false;
    // A supervisor may mount again between any two looks.
    for _ in 0..BETWEEN {
        let nothing = match mounted(&mountpoint) {
            Err(failed) => Some(failed),
            Ok(_) if preflight::is_dead(&mountpoint) => {
                preflight::clear_dead(&mountpoint)?;
                done = true;
                None
            }
            Ok(mount) => match unmount_live(&mountpoint, &mount) {
                Err(_) if mounted(&mountpoint).is_err() => None,
                result => return result,
            },
        };
        done |= end_supervisor_without_daemon(&mountpoint)?;
        match nothing {
            Some(_) if mounted(&mountpoint).is_ok() => {}
            Some(_) if done => return Ok(()),
            Some(failed) => return Err(failed),
            None => {}
        }
    }
    let cure = "see the log, and end what mounts it: handoff-fs status names it";
    Err(Failed::new(&mountpoint, "is mounted again and again", cure))
}

/// Ends the supervisor that was this mount's, if it lives on while nothing is mounted; says whether it did. It stands in
/// the lock of the last daemon; with `--backing` elsewhere nothing here says where that is.
fn end_supervisor_without_daemon(mountpoint: &Path) -> Result<bool, Failed> {
    let Some((pid, descriptor)) = supervisor_without_daemon(mountpoint) else {
        return Ok(false);
    };
    let _ = rustix::process::pidfd_send_signal(&descriptor, Signal::TERM);
    match ended(&descriptor, &ENDING) {
        true => Ok(true),
        false => Err(lasting(mountpoint, "supervisor", pid)),
    }
}

fn supervisor_without_daemon(mountpoint: &Path) -> Option<(i32, OwnedFd)> {
    let lock = mountpoint.join(PRIVATE).join("lock");
    let text = mounts::patiently(move || std::fs::read_to_string(lock))?.ok()?;
    let pid = text.lines().nth(1)?.parse().ok()?;
    let descriptor = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // The number may have become another process's.
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = line.split(|byte| *byte == 0).collect();
    let is_it = words.contains(&b"--supervise".as_slice())
        && words.contains(&mountpoint.as_os_str().as_bytes());
    is_it.then_some((pid, descriptor))
}

fn lasting(mountpoint: &Path, what: &str, pid: i32) -> Failed {
    let cause = format_args!("is unmounted, but its {what} (pid {pid}) has not ended");
    let cure = format_args!("see its log, or end it: kill {pid}");
    Failed::new(mountpoint, cause, cure)
}

fn unmount_live(mountpoint: &Path, mount: &Mount) -> Result<(), Failed> {
    let status = match mounts::probe(mountpoint) {
        State::Usable => read(mountpoint).and_then(|text| parse(mountpoint, &text)),
        _ => Err(silent(mountpoint)),
    }
    .ok();
    let pid = status.as_ref().and_then(|status| status.pid);
    let supervisor = status.and_then(|status| Some(status.supervisor?.pid));
    // Opened while they are surely alive, so that none names a later process with the same number.
    let process = |pid: Option<i32>| {
        let descriptor =
            rustix::process::pidfd_open(Pid::from_raw(pid?)?, PidfdFlags::empty()).ok()?;
        Some((pid?, descriptor))
    };
    let daemon = process(pid);
    let supervisor = process(supervisor);

    match mounts::unmount(mountpoint, Manner::Plain) {
        Ok(()) => {
            if let Some((_, descriptor)) = &supervisor {
                // It ends with its daemon, unless that has died just now and it has begun to mount again.
                let _ = rustix::process::pidfd_send_signal(descriptor, Signal::TERM);
            }
            for (what, process) in [("daemon", daemon), ("supervisor", supervisor)] {
                if let Some((pid, descriptor)) = process
                    && !ended(&descriptor, &ENDING)
                {
                    return Err(lasting(mountpoint, what, pid));
                }
            }
            Ok(())
        }
        Err(NotUnmounted::Busy) => {
            let holders = holders(mountpoint, pid);
            mounts::unmount(mountpoint, Manner::Lazy)
                .map_err(|error| not_unmounted(mountpoint, mount, error))?;
            if let Some((pid, descriptor)) = daemon
                && !ended(&descriptor, &MOMENT)
            {
                let _ = writeln!(
                    io::stderr(),
                    "handoff-fs: {}: unmounted, but still in use by {holders}; the daemon (pid {pid}) ends when they are done, and the next mount cuts them off",
                    shown(mountpoint)
                );
            }
            Ok(())
        }
        Err(error) => Err(not_unmounted(mountpoint, mount, error)),
    }
}

fn mounted(mountpoint: &Path) -> Result<Mount, Failed> {
    let mount = mounts::at(mountpoint).map_err(|error| preflight::cannot_list(&error))?;
    mount.filter(Mount::is_ours).ok_or_else(|| {
        if let Ok(Some(above)) = mounts::ours_above(mountpoint) {
            let cause = "is not a mount of its own, but a part of one";
            return Failed::new(
                mountpoint,
                cause,
                format_args!("name that: {}", shown(&above.point)),
            );
        }
        let cure = format_args!("mount it: handoff-fs mount {}", shown(mountpoint));
        Failed::new(mountpoint, "no handoff-fs is mounted here", cure)
    })
}

fn not_unmounted(mountpoint: &Path, mount: &Mount, error: NotUnmounted) -> Failed {
    let user = rustix::process::geteuid().as_raw();
    match (error, mount.owner) {
        (NotUnmounted::Other(_), Some(owner)) if owner != user && user != 0 => {
            not_ours(mountpoint, mount)
        }
        (NotUnmounted::Other(text), _) => {
            let cure = format_args!("as root: umount -l {}", shown(mountpoint));
            Failed::new(
                mountpoint,
                format_args!("cannot be unmounted ({text})"),
                cure,
            )
        }
        (NotUnmounted::Busy, _) => {
            let cause = format_args!("is in use by {}", holders(mountpoint, None));
            Failed::new(mountpoint, cause, "end that, and unmount again")
        }
    }
}

fn describe(mountpoint: &Path, status: &Status) -> String {
    let age = |seconds| humantime::format_duration(Duration::from_secs(seconds)).to_string();
    let mut text = format!("{}: mounted", shown(mountpoint));
    if let Some(pid) = status.pid {
        let _ = write!(text, ", pid {pid}");
    }
    if let Some(seconds) = status.uptime_seconds {
        let _ = write!(text, ", up {}", age(seconds));
    }
    if let Some(supervisor) = &status.supervisor {
        let _ = write!(text, "\nsupervisor pid {}", supervisor.pid);
        match (supervisor.restarts, &supervisor.last_death) {
            (0, _) => {}
            (restarts, None) => drop(write!(text, ", restarts: {restarts}")),
            (restarts, Some(death)) => drop(write!(
                text,
                ", restarts: {restarts} (the last one for {death})"
            )),
        }
    }
    if let Some(backing) = &status.backing {
        let _ = write!(text, "\nbacking   {}", shown(backing));
    }
    if let Some(pending) = status.pending {
        let _ = write!(text, "\npending   {pending}");
    }
    if let Some(oldest) = &status.oldest_pending {
        let _ = write!(
            text,
            " (oldest: {}, {} old)",
            shown(Path::new(&oldest.name)),
            age(oldest.age_seconds)
        );
    }
    if let Some(consumed) = status.consumed {
        let _ = write!(text, "\nconsumed  {consumed}");
    }
    for line in status.found.iter().flat_map(Found::lines) {
        let _ = write!(text, "\nfound     {line}");
    }
    if let Some(trouble) = &status.trouble {
        let _ = write!(text, "\ntrouble   {trouble}");
    }
    let by = |pid: Option<i64>| pid.map_or(String::new(), |pid| format!(" by pid {pid}"));
    for draft in &status.drafts {
        let name = shown(Path::new(&draft.name));
        let (since, by) = (age(draft.age_seconds), by(draft.pid));
        let _ = write!(text, "\nwriting   {name}, open for {since}{by}");
    }
    for turn in &status.turns {
        let name = shown(Path::new(&turn.name));
        let (since, by, idle) = (age(turn.age_seconds), by(turn.pid), age(turn.idle_seconds));
        let _ = write!(
            text,
            "\nreading   {name}, for {since}{by}, last read {idle} ago"
        );
    }
    text
}

/// Whether the process ended within this time. A descriptor of a process is readable when it has.
fn ended(process: &OwnedFd, patience: &Timespec) -> bool {
    let mut wanted = [PollFd::new(process, PollFlags::IN)];
    rustix::event::poll(&mut wanted, Some(patience)).is_ok_and(|ready| ready > 0)
}

/// Who keeps a mount busy, in words: processes with a file, a working directory or a root in it, as far as this
/// user may see them, and mounts on top.
fn holders(mountpoint: &Path, daemon: Option<i32>) -> String {
    let mut found = BTreeSet::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        // Its descriptor of the covered directory goes by the same name.
        if daemon == Some(pid) {
            continue;
        }
        let directory = process.path();
        let files = std::fs::read_dir(directory.join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        let holds = ["cwd", "root", "exe"]
            .iter()
            .map(|name| directory.join(name))
            .chain(files.map(|file| file.path()))
            .any(|link| {
                std::fs::read_link(link).is_ok_and(|target| target.starts_with(mountpoint))
            });
        if holds {
            let name = std::fs::read_to_string(directory.join("comm")).unwrap_or_default();
            found.insert(format!("{} (pid {pid})", name.trim()));
        }
    }
    let inside = mounts::table().unwrap_or_default().into_iter();
    let inside =
        inside.filter(|mount| mount.point != mountpoint && mount.point.starts_with(mountpoint));
    found.extend(inside.map(|mount| format!("the mount at {}", shown(&mount.point))));
    match found.len() {
        0 => "a process that is not visible from here".to_owned(),
        _ => found.into_iter().collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"pid":7,"supervisor":{"pid":8,"restarts":2,"last_death":"pid 6, signal: 9 (SIGKILL)"},"backing":"/b","mountpoint":"/m","uptime_seconds":3700,"pending":2,
        "consumed":1,"oldest_pending":{"name":"2026-11-22_142301_a.md","age_seconds":60},
        "drafts":[{"name":"2026-11-22_142302_b.md","pid":9,"age_seconds":61}],
        "turns":[{"name":"q/pending.md","pid":10,"age_seconds":62,"idle_seconds":2}],"later":[]}"#;

    /// spec 8.1b, 4.2d, 6.8
    #[test]
    fn a_status_for_people() {
        let status = parse(Path::new("/m"), JSON).unwrap();
        assert_eq!(
            describe(Path::new("/m"), &status),
            "/m: mounted, pid 7, up 1h 1m 40s\nsupervisor pid 8, restarts: 2 (the last one for pid 6, signal: 9 (SIGKILL))\nbacking   /b\npending   2 (oldest: 2026-11-22_142301_a.md, 1m old)\nconsumed  1\nwriting   2026-11-22_142302_b.md, open for 1m 1s by pid 9\nreading   q/pending.md, for 1m 2s by pid 10, last read 2s ago"
        );
    }

    #[test]
    fn a_status_with_nothing_to_say() {
        let status = parse(Path::new("/m"), r#"{"pid":7,"oldest_pending":null}"#).unwrap();
        assert_eq!(describe(Path::new("/m"), &status), "/m: mounted, pid 7");
        assert!(parse(Path::new("/m"), "").is_err());
    }

    #[test]
    fn this_process_holds_its_own_working_directory() {
        let here = std::env::current_dir().unwrap();
        assert!(holders(&here, None).contains(&format!("(pid {})", std::process::id())));
    }

    #[test]
    fn a_process_that_lives_has_not_ended() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let descriptor = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
        assert!(!ended(&descriptor, &MOMENT));
        child.kill().unwrap();
        assert!(ended(&descriptor, &ENDING));
        child.wait().unwrap();
    }
}
