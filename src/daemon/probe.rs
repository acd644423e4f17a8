//! What a mount says of itself, through its virtual `.status.json`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{Failed, shown};
use super::found::Found;
use super::mounts::{self, Mount};
use crate::names::STATUS;

/// What [`STATUS`] says. A field that an older daemon does not write is left out of what is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) pid: Option<i32>,
    pub(super) supervisor: Option<Supervisor>,
    pub(super) backing: Option<PathBuf>,
    pub(super) uptime_seconds: Option<u64>,
    pub(super) pending: Option<u64>,
    pub(super) consumed: Option<u64>,
    pub(super) found: Option<Found>,
    pub(super) oldest_pending: Option<Aged>,
    #[serde(default)]
    pub(super) drafts: Vec<Aged>,
    #[serde(default)]
    pub(super) turns: Vec<Aged>,
    pub(super) trouble: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Supervisor {
    pub(super) pid: i32,
    #[serde(default)]
    pub(super) restarts: u64,
    pub(super) last_death: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Aged {
    pub(super) name: String,
    pub(super) pid: Option<i64>,
    pub(super) age_seconds: u64,
    #[serde(default)]
    pub(super) idle_seconds: u64,
}

/// The mount is another user's.
pub(super) fn not_ours(mountpoint: &Path, mount: &Mount) -> Failed {
    let owner = mount
        .owner
        .map_or_else(|| "another user".to_owned(), |uid| format!("uid {uid}"));
    let cause = format_args!(
        "the handoff-fs mounted here belongs to {owner}, and FUSE lets nobody else in"
    );
    Failed::new(mountpoint, cause, format_args!("run this as {owner}"))
}

/// The daemon lives but does not answer.
pub(super) fn silent(mountpoint: &Path) -> Failed {
    let point = shown(mountpoint);
    let cure = format_args!("mount it again: handoff-fs unmount {point}; handoff-fs mount {point}");
    Failed::new(
        mountpoint,
        "the handoff-fs mounted here does not answer",
        cure,
    )
}

/// The pid of the daemon behind a mount, if it says so.
pub(super) fn pid(mountpoint: &Path) -> Option<i32> {
    let text = read(mountpoint).ok()?;
    parse(mountpoint, &text).ok()?.pid
}

pub(super) fn read(mountpoint: &Path) -> Result<String, Failed> {
    let path = mountpoint.join(STATUS);
    let file = path.clone();
    match mounts::patiently(move || std::fs::read_to_string(file)) {
        None => Err(silent(mountpoint)),
        Some(Ok(text)) => Ok(text),
        Some(Err(error)) => Err(unreadable(&path, &error)),
    }
}

pub(super) fn parse(mountpoint: &Path, text: &str) -> Result<Status, Failed> {
    serde_json::from_str(text).map_err(|error| unreadable(&mountpoint.join(STATUS), &error))
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Failed {
    let cure = "unmount and mount again, if another version of handoff-fs is mounted";
    Failed::new(path, format_args!("cannot be read ({error})"), cure)
}
