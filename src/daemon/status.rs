//! The command `status`.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::mounted::{self, Found, Status};
use super::mounts::State;
use super::{mounts, preflight};
use crate::failure::Failure;
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
    // A closed pipe is the reader's choice.
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
    Ok(())
}

fn describe(mountpoint: &Path, status: &Status) -> String {
    let age = |seconds| humantime::format_duration(Duration::from_secs(seconds)).to_string();
    let name = |name: &str| quoted(Path::new(name));
    let by = |pid: Option<i64>| pid.map_or_else(String::new, |pid| format!(" by pid {pid}"));

    let mut text = format!("{}: mounted", quoted(mountpoint));
    text.extend(status.pid.map(|pid| format!(", pid {pid}")));
    text.extend(status.uptime_seconds.map(|up| format!(", up {}", age(up))));
    if let Some(supervisor) = &status.supervisor {
        text += &format!("\nsupervisor pid {}", supervisor.pid);
        if supervisor.restarts > 0 {
            text += &format!(", restarts: {}", supervisor.restarts);
            let death = supervisor.last_death.as_ref();
            text.extend(death.map(|death| format!(" (the last one for {death})")));
        }
    }
    let backing = status.backing.as_deref().map(quoted);
    text.extend(backing.map(|backing| format!("\nbacking   {backing}")));
    text.extend(status.pending.map(|n| format!("\npending   {n}")));
    if let Some(oldest) = &status.oldest_pending {
        let (name, age) = (name(&oldest.name), age(oldest.age_seconds));
        text += &format!(" (oldest: {name}, {age} old)");
    }
    text.extend(status.consumed.map(|n| format!("\nconsumed  {n}")));
    let found = status.found.iter().flat_map(Found::lines);
    text.extend(found.map(|line| format!("\nfound     {line}")));
    let trouble = status.trouble.as_ref();
    text.extend(trouble.map(|trouble| format!("\ntrouble   {trouble}")));
    for draft in &status.drafts {
        let (name, since, by) = (name(&draft.name), age(draft.age_seconds), by(draft.pid));
        text += &format!("\nwriting   {name}, open for {since}{by}");
    }
    for turn in &status.turns {
        let (name, since, by) = (name(&turn.name), age(turn.age_seconds), by(turn.pid));
        let idle = age(turn.idle_seconds);
        text += &format!("\nreading   {name}, for {since}{by}, last read {idle} ago");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"pid":7,"supervisor":{"pid":8,"restarts":2,"last_death":"pid 6, signal: 9 (SIGKILL)"},"backing":"/b","mountpoint":"/m","uptime_seconds":3700,"pending":2,
        "consumed":1,"oldest_pending":{"name":"2026-11-22_142301_a.md","age_seconds":60},
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
            "/m: mounted, pid 7, up 1h 1m 40s\nsupervisor pid 8, restarts: 2 (the last one for pid 6, signal: 9 (SIGKILL))\nbacking   /b\npending   2 (oldest: 2026-11-22_142301_a.md, 1m old)\nconsumed  1\nwriting   2026-11-22_142302_b.md, open for 1m 1s by pid 9\nreading   q/pending.md, for 1m 2s by pid 10, last read 2s ago"
        );
    }

    #[test]
    fn a_status_with_nothing_to_say() {
        let json = r#"{"pid":7,"oldest_pending":null}"#;
        assert_eq!(described(json), "/m: mounted, pid 7");
        assert!(serde_json::from_str::<Status>("").is_err());
    }
}
