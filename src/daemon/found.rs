//! What `mount` and `status` say of the files that the first mount found (spec 3.6).

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::AtFlags;
use serde::Deserialize;

use super::error::shown;
use crate::names::{self, STATUS};
use crate::store::local::FIRST_MOUNT;

/// What the first mount found (spec 3.6).
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    #[serde(default)]
    first_mount: bool,
    adopted: u64,
    ordinary: u64,
    hidden: u64,
}

impl Found {
    /// A line for each kind of file; none for a kind of which there is none.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.adopted > 0 {
            let n = self.adopted;
            lines.push(format!(
                "adopted as handoffs: {n} (--keep at the first mount leaves all but pending.md as they are)"
            ));
        }
        if self.ordinary > 0 {
            let n = self.ordinary;
            lines.push(format!(
                "left as they are: {n}, shown and never merged (mount --adopt makes handoffs of the text files at the top)"
            ));
        }
        if self.hidden > 0 {
            let n = self.hidden;
            lines.push(format!(
                "hidden and never deleted: {n}, consumed long before the first mount"
            ));
        }
        lines
    }
}

/// Was this backing directory never mounted before? Whoever asks the daemon instead has it look at every handoff.
pub(super) fn is_first_mount(backing: impl AsFd) -> bool {
    let record = Path::new(names::PRIVATE).join(FIRST_MOUNT);
    rustix::fs::statat(backing, record, AtFlags::SYMLINK_NOFOLLOW).is_err()
}

/// Prints what the first mount at `mountpoint` found, if this is one.
pub(super) fn print(mountpoint: &Path) {
    #[derive(Deserialize)]
    struct Status {
        found: Found,
    }
    let text = std::fs::read(mountpoint.join(STATUS)).unwrap_or_default();
    let Ok(Status { found }) = serde_json::from_slice(&text) else {
        return;
    };
    for line in found.lines().iter().filter(|_| found.first_mount) {
        // A closed standard output is nobody's loss.
        let _ = writeln!(io::stdout(), "{}: {line}", shown(mountpoint));
    }
}
