//! The mount for a command that names none (spec 8.1b).

use std::path::PathBuf;

use super::{mounted, mounts};
use crate::failure::Failure;
use crate::quote::quoted;

/// The only mount of this user. `command` is named in the error.
///
/// # Errors
/// This user has no mount, or more than one.
pub fn only_mount(command: &str) -> Result<PathBuf, Failure> {
    let user = rustix::process::geteuid().as_raw();
    let mounts = mounts::of_user(user).map_err(|error| mounted::cannot_list(&error))?;
    match mounts.as_slice() {
        [mount] => Ok(mount.point.clone()),
        [] => Err(Failure::from_text(
            "no handoff-fs of yours is mounted; mount one: handoff-fs mount [MOUNTPOINT]",
        )),
        [first, ..] => {
            let points: Vec<_> = mounts.iter().map(|mount| quoted(&mount.point)).collect();
            Err(Failure::usage(format!(
                "{} are mounted: {}; name one: handoff-fs {command} {}",
                points.len(),
                points.join(", "),
                quoted(&first.point)
            )))
        }
    }
}
