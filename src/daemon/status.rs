//! The command `status`.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::mounts::State;
use super::{mounted, mounts, preflight};
use crate::failure::Failure;
use crate::fs::{Found, Status};
use crate::quote::quoted;

/// Prints the status of the mount at `mountpoint`, for people or as JSON.
///
/// # Errors
/// Nothing is mounted there, or the daemon does not answer.
pub fn status(mountpoint: &Path, json: bool) -> Result<(), Failure> {
    let mountpoint = preflight::resolve(mountpoint);
    let mount = mounted::at(&mountpoint)?;
    match mounts::probe(&mountpoint) {
        State::Usable => {}
        State::Denied => return Err(mounted::not_ours(&mountpoint, &mount)),
        State::Silent => return Err(mounted::silent(&mountpoint)),
        State::Dead => {
            let cause = "the mount is dead: its daemon ended without unmounting";
            let cure = format_args!(
                "clear it and mount again, nothing is lost: handoff-fs mount {}",
                quoted(&mountpoint)
            );
            return Err(Failure::new(&mountpoint, cause, cure));
        }
    }
    let (text, status) = mounted::ask(&mountpoint)?;
    let text = match json {
        true => text,
        false => describe(&mountpoint, &status),
    };
    // Printing fails if the reader has closed the pipe, which is no error here.
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
    Ok(())
}

fn describe(mountpoint: &Path, status: &Status) -> String {
    let age = |seconds| humantime::format_duration(Duration::from_secs(seconds)).to_string();
    let word = |path: &str| quoted(Path::new(path));

    let mut text = format!("{}: mounted, pid {}", quoted(mountpoint), status.pid);
    text += &format!(", up {}", age(status.uptime_seconds));
    if let Some(supervisor) = &status.supervisor {
        text += &format!("\nsupervisor pid {}", supervisor.pid);
        if supervisor.restarts > 0 {
            text += &format!(", restarts: {}", supervisor.restarts);
            let death = supervisor.last_death.as_ref();
            text.extend(death.map(|death| format!(" (last death: {death})")));
        }
    }
    text += &format!("\nbacking   {}", word(&status.backing));
    text += &format!("\npending   {}", status.pending);
    if let Some(oldest) = &status.oldest_pending {
        let (name, age) = (word(&oldest.name), age(oldest.age_seconds));
        text += &format!(" (oldest: {name}, {age} old)");
    }
    text += &format!("\nconsumed  {}", status.consumed);
    for line in found_lines(&status.found) {
        text += &format!("\nfound     {line}");
    }
    if let Some(trouble) = &status.trouble {
        text += &format!("\ntrouble   {trouble}");
    }
    for draft in &status.drafts {
        let (name, since, pid) = (word(&draft.name), age(draft.age_seconds), draft.pid);
        text += &format!("\nwriting   {name}, open for {since} by pid {pid}");
    }
    for turn in &status.turns {
        let (name, since, pid) = (word(&turn.name), age(turn.age_seconds), turn.pid);
        let idle = age(turn.idle_seconds);
        text += &format!("\nreading   {name}, for {since} by pid {pid}, last read {idle} ago");
    }
    text
}

/// What became of the files that the first mount found: a line for each kind of which there are any (spec 3.6).
pub(super) fn found_lines(found: &Found) -> impl Iterator<Item = String> {
    let lines = [
        (
            found.adopted,
            "adopted as handoffs",
            " (--keep at the first mount leaves all but pending.md as they are)",
        ),
        (
            found.ordinary,
            "left as they are",
            ", shown and never merged (mount --adopt makes handoffs of the text files at the top)",
        ),
        (
            found.hidden as u64,
            "hidden and never deleted",
            ", consumed long before the first mount",
        ),
    ];
    let lines = lines.into_iter().filter(|(n, _, _)| *n > 0);
    lines.map(|(n, what, why)| format!("{what}: {n}{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"pid":7,"supervisor":{"pid":8,"restarts":2,"last_death":"pid 6, signal: 9 (SIGKILL)"},"version":"1",
        "backing":"/b","mountpoint":"/m","uptime_seconds":3700,"pending":2,"consumed":1,
        "found":{"first_mount":true,"adopted":0,"ordinary":3,"hidden":0},
        "oldest_pending":{"name":"2026-11-22_142301_a.md","age_seconds":60},
        "drafts":[{"name":"2026-11-22_142302_b.md","pid":9,"age_seconds":61}],
        "turns":[{"name":"q/pending.md","pid":10,"age_seconds":62,"idle_seconds":2}],"later":[]}"#;

    fn described(json: &str) -> String {
        describe(Path::new("/m"), &serde_json::from_str(json).unwrap())
    }

    /// spec 8.1b, 4.2d, 6.8
    #[test]
    fn a_status_for_people() {
        assert_eq!(
            described(JSON),
            "/m: mounted, pid 7, up 1h 1m 40s\nsupervisor pid 8, restarts: 2 (last death: pid 6, signal: 9 (SIGKILL))\nbacking   /b\npending   2 (oldest: 2026-11-22_142301_a.md, 1m old)\nconsumed  1\nfound     left as they are: 3, shown and never merged (mount --adopt makes handoffs of the text files at the top)\nwriting   2026-11-22_142302_b.md, open for 1m 1s by pid 9\nreading   q/pending.md, for 1m 2s by pid 10, last read 2s ago"
        );
    }

    #[test]
    fn a_status_with_nothing_to_say() {
        let json = r#"{"pid":7,"version":"1","backing":"/b","mountpoint":"/m","uptime_seconds":0,"pending":0,"consumed":0,
            "found":{"first_mount":false,"adopted":0,"ordinary":0,"hidden":0},"drafts":[],"turns":[]}"#;
        assert_eq!(
            described(json),
            "/m: mounted, pid 7, up 0s\nbacking   /b\npending   0\nconsumed  0"
        );
        assert!(serde_json::from_str::<Status>("").is_err());
    }
}
