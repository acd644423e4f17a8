//! The mount at a path: whether the mount is ours, whether its daemon has died, and its `.status.json`.

use std::io;
use std::path::{Path, PathBuf};

use super::mounts::{self, Mount, State};
use crate::failure::Failure;
use crate::fs::Status;
use crate::names::STATUS;
use crate::quote::quoted;

/// More dead mounts than this at one path, left by repeated crashes, are reported instead of cleared.
const MOST_DEAD: usize = 32;

/// Reads the status of the mount: its JSON text, and the same parsed.
///
/// # Errors
/// The daemon does not answer, or its answer cannot be understood.
pub(super) fn ask(mountpoint: &Path) -> Result<(String, Status), Failure> {
    let path = mountpoint.join(STATUS);
    let unreadable = |error: &dyn std::error::Error| {
        let cure = "unmount and mount again, if another version of handoff-fs is mounted";
        Failure::new(&path, format_args!("cannot be read ({error})"), cure)
    };
    let file = path.clone();
    let text = mounts::with_timeout(move || std::fs::read_to_string(file))
        .ok_or_else(|| silent(mountpoint))?
        .map_err(|error| unreadable(&error))?;
    let status = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    Ok((text, status))
}

/// The pid of the daemon behind a mount, if the daemon answers.
pub(super) fn pid(mountpoint: &Path) -> Option<i32> {
    let (_, status) = ask(mountpoint).ok()?;
    Some(status.pid.cast_signed())
}

/// The failure for a mount of another user.
pub(super) fn not_ours(mountpoint: &Path, mount: &Mount) -> Failure {
    let owner = mount
        .owner
        .map_or_else(|| "another user".to_owned(), |uid| format!("uid {uid}"));
    let cause = format_args!(
        "the handoff-fs mounted here belongs to {owner}, and FUSE lets nobody else in"
    );
    Failure::new(mountpoint, cause, format_args!("run this as {owner}"))
}

/// The failure for a daemon that lives and does not answer.
pub(super) fn silent(mountpoint: &Path) -> Failure {
    let point = quoted(mountpoint);
    let cause = "the handoff-fs mounted here does not answer";
    let cure = format_args!("mount it again: handoff-fs unmount {point}; handoff-fs mount {point}");
    Failure::new(mountpoint, cause, cure)
}

/// The only mount of this user, for a command that names none (spec 8.1b). `command` is named in the error.
///
/// # Errors
/// This user has no mount, or more than one.
pub fn only_mount(command: &str) -> Result<PathBuf, Failure> {
    let user = rustix::process::geteuid().as_raw();
    let mounts = mounts::of_user(user).map_err(|error| cannot_list(&error))?;
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

/// The mount of ours at this path.
///
/// # Errors
/// There is none.
pub(super) fn at(mountpoint: &Path) -> Result<Mount, Failure> {
    let mount = mounts::at(mountpoint).map_err(|error| cannot_list(&error))?;
    if let Some(mount) = mount.filter(Mount::is_ours) {
        return Ok(mount);
    }
    Err(match mounts::above(mountpoint) {
        Ok(Some(above)) if above.is_ours() => {
            let cause = "is inside a mount, but is not its mountpoint";
            let cure = format_args!("name the mountpoint: {}", quoted(&above.point));
            Failure::new(mountpoint, cause, cure)
        }
        _ => {
            let cure = format_args!("mount it: handoff-fs mount {}", quoted(mountpoint));
            Failure::new(mountpoint, "no handoff-fs is mounted here", cure)
        }
    })
}

/// Clears the dead mounts of ours here; says whether there was one.
pub(super) fn clear_dead(mountpoint: &Path) -> Result<bool, Failure> {
    for cleared in 0..MOST_DEAD {
        if !is_dead(mountpoint) {
            return Ok(cleared > 0);
        }
        // If there is no dead mount any more, a supervisor or another `mount` was faster.
        if let Err(error) = mounts::unmount_dead(mountpoint)
            && is_dead(mountpoint)
        {
            let cause = format_args!("a dead mount is here and cannot be cleared ({error})");
            let cure = format_args!("as root: umount -l {}", quoted(mountpoint));
            return Err(Failure::new(mountpoint, cause, cure));
        }
    }
    let cause = "too many dead mounts on top of each other";
    let cure = format_args!("clear them: umount -R -l {}", quoted(mountpoint));
    Err(Failure::new(mountpoint, cause, cure))
}

/// Whether the mount on top here is ours and its daemon has died.
pub(super) fn is_dead(mountpoint: &Path) -> bool {
    is_ours(mountpoint) && mounts::probe(mountpoint) == State::Dead
}

/// Whether the mount on top here is ours, dead or alive.
pub(super) fn is_ours(mountpoint: &Path) -> bool {
    mounts::at(mountpoint).is_ok_and(|mount| mount.is_some_and(|mount| mount.is_ours()))
}

pub(super) fn cannot_list(error: &io::Error) -> Failure {
    let path = Path::new("/proc/self/mountinfo");
    let cure = "mount /proc: without it no mount can be recognised";
    Failure::new(path, format_args!("cannot be read ({error})"), cure)
}
