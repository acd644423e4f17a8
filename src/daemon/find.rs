//! Which mount is meant when none is named (spec 8.1).

use std::io;
use std::path::PathBuf;

use super::error::{Failed, shown};
use super::mounts::{self, Mount};
use super::preflight;

/// Why no mount is meant.
#[derive(Debug)]
pub enum NoMount {
    /// The user has several, and must name one.
    Several(Failed),
    /// The user has none.
    None(Failed),
}

/// The one mount that this user has, for the command with this name.
///
/// # Errors
/// There is none, or more than one.
pub fn only_mount(command: &str) -> Result<PathBuf, NoMount> {
    let user = rustix::process::geteuid().as_raw();
    let mounts = mounts::of_user(user)
        .map_err(|error: io::Error| NoMount::None(preflight::cannot_list(&error)))?;
    match mounts.as_slice() {
        [mount] => Ok(mount.point.clone()),
        [] => Err(NoMount::None(Failed::from_text(
            "no handoff-fs of yours is mounted; mount one: handoff-fs mount [MOUNTPOINT]",
        ))),
        [first, ..] => {
            let point = |mount: &Mount| shown(&mount.point);
            let points: Vec<_> = mounts.iter().map(point).collect();
            Err(NoMount::Several(Failed::from_text(&format!(
                "{} are mounted: {}; name one: handoff-fs {command} {}",
                points.len(),
                points.join(", "),
                point(first)
            ))))
        }
    }
}
