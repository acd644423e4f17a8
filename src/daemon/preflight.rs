//! What must hold before anything is mounted; each failure with its cure.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::error::{Failed, shown};
use super::mounts::{self, Mount, NotUnmounted, State};
use super::{probe, rights};
use crate::config::{self, Config};
use crate::error::Error;
use crate::names::PRIVATE;
use crate::store::dirfd::{self, Beneath};
use crate::store::mountpoint;

/// Mounts piled up at one place by repeated crashes; more than this is not cleared but reported.
const MOST_DEAD: usize = 32;

/// Where everything is, checked.
pub(super) struct Place {
    /// Without symbolic links, as it stands in the kernel's table.
    pub(super) mountpoint: PathBuf,
    pub(super) backing: PathBuf,
    /// Opened before the mount, for by default the mount covers this very directory.
    pub(super) directory: OwnedFd,
    /// The directory that is covered, if it is another one.
    pub(super) covered: Option<OwnedFd>,
}

/// Clears a dead mount, makes a missing mountpoint, and checks all the rest.
pub(super) fn prepare(config: &Config) -> Result<Place, Failed> {
    let mountpoint = resolve(&config.mountpoint);
    let shared = config.backing.is_none();
    refuse_private(&mountpoint)?;
    refuse_home(&mountpoint)?;
    if let Some(backing) = &config.backing {
        refuse_home(&resolve(backing))?;
    }
    rights::check()?;
    clear(&mountpoint)?;
    refuse_inside_mount(&mountpoint)?;
    make_if_missing(&mountpoint)?;
    // A directory that came to be only now may have been reached through a symbolic link.
    let mountpoint = resolve(&mountpoint);
    check_directory(&mountpoint)?;
    if shared {
        check_writable(&mountpoint, "keep the files elsewhere with --backing DIR")?;
    } else if !rustix::process::geteuid().is_root() {
        // fusermount3 demands it.
        check_writable(&mountpoint, "choose another mountpoint")?;
    }
    let backing = match &config.backing {
        None => mountpoint.clone(),
        Some(backing) => check_backing(&resolve(backing), &mountpoint)?,
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path| {
        let opened = rustix::fs::open(path, flags, Mode::empty());
        opened.map_err(|error| cannot("be opened", path, &error.into()))
    };
    let (directory, covered) = loop {
        let directory = open(&backing)?;
        let covered = (backing != mountpoint)
            .then(|| open(&mountpoint))
            .transpose()?;
        if !is_ours(&mountpoint) {
            break (directory, covered);
        }
        // Somebody has mounted here meanwhile, so this may be that mount's directory.
        clear(&mountpoint)?;
    };
    if let Some(covered) = &covered {
        refuse_to_cover((&mountpoint, covered), (&backing, &directory))?;
    }
    Ok(Place {
        mountpoint,
        backing,
        directory,
        covered,
    })
}

/// What lies in a directory that was not mounted over before is its user's, and would be hidden by the mount. What lies in
/// one that was is taken in (spec 3.7).
fn refuse_to_cover(
    (mountpoint, covered): (&Path, &OwnedFd),
    (backing, directory): (&Path, &OwnedFd),
) -> Result<(), Failed> {
    let failed = |error: Error| {
        cannot(
            "be read",
            mountpoint,
            &io::Error::from_raw_os_error(error.errno()),
        )
    };
    let is_empty = dirfd::names(covered).map_err(failed)?.is_empty();
    let directory = directory
        .try_clone()
        .map_err(|error| cannot("be opened", backing, &error))?;
    if is_empty || mountpoint::last(&Beneath::new(directory)).is_some_and(|last| last == mountpoint)
    {
        return Ok(());
    }
    let cause = "is not empty, and --backing would hide what is in it";
    let cure = format_args!(
        "move that to {} or away, or choose an empty mountpoint",
        shown(backing)
    );
    Err(Failed::new(mountpoint, cause, cure))
}

/// The path as the kernel's table would have it: links in it followed, but a mount at its end not touched, for
/// a dead one answers nothing.
pub(super) fn resolve(path: &Path) -> PathBuf {
    let (Some(parent), Some(Component::Normal(name))) =
        (path.parent(), path.components().next_back())
    else {
        return path.canonicalize().unwrap_or_else(|_| path.to_owned());
    };
    let parent = match parent.canonicalize() {
        Ok(parent) => parent,
        // Not there yet: what is there of it counts.
        Err(error) if error.kind() == io::ErrorKind::NotFound => resolve(parent),
        Err(_) => parent.to_owned(),
    };
    let path = parent.join(name);
    match mounts::at(&path) {
        Ok(Some(_)) => path,
        _ => path.canonicalize().unwrap_or(path),
    }
}

fn refuse_private(path: &Path) -> Result<(), Failed> {
    if path.components().any(|part| part.as_os_str() == PRIVATE) {
        let cause = "is inside the private directory of a handoff-fs";
        return Err(Failed::new(path, cause, "choose a directory outside it"));
    }
    Ok(())
}

/// What is mounted over holds handoffs and nothing else (spec 3.6).
fn refuse_home(path: &Path) -> Result<(), Failed> {
    let cause = match config::home().map(|home| resolve(&home)) {
        _ if path == Path::new("/") => "is the root of the file system",
        Some(home) if home == path => "is your home directory",
        Some(home) if home.starts_with(path) => "is above your home directory",
        _ => return Ok(()),
    };
    let cure = "choose a directory for handoffs alone: handoff-fs mount ~/handoffs";
    Err(Failed::new(
        path,
        format_args!("{cause}, which is not for handoffs"),
        cure,
    ))
}

fn refuse_inside_mount(path: &Path) -> Result<(), Failed> {
    let above = mounts::ours_above(path).map_err(|error| cannot_list(&error))?;
    match above {
        None => Ok(()),
        Some(mount) => {
            let cause = format_args!(
                "is inside the handoff-fs mounted at {}",
                shown(&mount.point)
            );
            let cure = "a directory made in that one is a queue already; choose a directory outside for another mount";
            Err(Failed::new(path, cause, cure))
        }
    }
}

/// Leaves at the mountpoint nothing of ours that is dead; refuses what is alive.
fn clear(mountpoint: &Path) -> Result<(), Failed> {
    for _ in 0..MOST_DEAD {
        let Some(mount) = mounts::at(mountpoint).map_err(|error| cannot_list(&error))? else {
            return Ok(());
        };
        if !mount.is_fuse() {
            return Ok(());
        }
        if !mount.is_ours() {
            return Err(foreign(mountpoint, &mount));
        }
        match mounts::probe(mountpoint) {
            State::Dead => clear_dead(mountpoint)?,
            State::Usable => {
                let pid =
                    probe::pid(mountpoint).map_or_else(String::new, |pid| format!(" (pid {pid})"));
                let cause = format_args!("is mounted by handoff-fs{pid} already and usable");
                let cure = format_args!(
                    "use it, or first run: handoff-fs unmount {}",
                    shown(mountpoint)
                );
                return Err(Failed::new(mountpoint, cause, cure));
            }
            State::Denied => return Err(probe::not_ours(mountpoint, &mount)),
            State::Silent => return Err(probe::silent(mountpoint)),
        }
    }
    let cure = format_args!("clear them: umount -R -l {}", shown(mountpoint));
    Err(Failed::new(
        mountpoint,
        "too many dead mounts on top of each other",
        cure,
    ))
}

/// Clears one dead mount of ours.
pub(super) fn clear_dead(mountpoint: &Path) -> Result<(), Failed> {
    let text = match mounts::unmount_dead(mountpoint) {
        Ok(()) => return Ok(()),
        Err(NotUnmounted::Busy) => "busy".to_owned(),
        Err(NotUnmounted::Other(text)) => text,
    };
    if !is_dead(mountpoint) {
        // A supervisor, or another `mount`, was faster.
        return Ok(());
    }
    let cause = format_args!("a dead mount is here and cannot be cleared ({text})");
    let cure = format_args!("as root: umount -l {}", shown(mountpoint));
    Err(Failed::new(mountpoint, cause, cure))
}

/// Whether a mount of ours is here whose daemon has died.
pub(super) fn is_dead(mountpoint: &Path) -> bool {
    is_ours(mountpoint) && mounts::probe(mountpoint) == State::Dead
}

/// Whether the mount on top here is ours, dead or alive.
pub(super) fn is_ours(mountpoint: &Path) -> bool {
    mounts::at(mountpoint).is_ok_and(|mount| mount.is_some_and(|mount| mount.is_ours()))
}

fn foreign(mountpoint: &Path, mount: &Mount) -> Failed {
    let dead = if mounts::probe(mountpoint) == State::Dead {
        "dead "
    } else {
        ""
    };
    let cause = format_args!(
        "another FUSE filesystem ({dead}{}) is mounted here",
        mount.kind
    );
    let cure = format_args!(
        "choose another directory, or unmount that: fusermount3 -u {}",
        shown(mountpoint)
    );
    Failed::new(mountpoint, cause, cure)
}

fn make_if_missing(path: &Path) -> Result<(), Failed> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        _ => return Ok(()),
    }
    if path.is_symlink() {
        let cure = "remove the link, or make the directory that it names";
        return Err(Failed::new(path, "is a symbolic link to nothing", cure));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| cannot("be made", path, &error))
}

fn check_directory(path: &Path) -> Result<(), Failed> {
    let metadata = std::fs::metadata(path).map_err(|error| cannot("be looked at", path, &error))?;
    if !metadata.is_dir() {
        return Err(Failed::new(
            path,
            "is not a directory",
            "name a directory, or a name that is not taken",
        ));
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        let owner = metadata.uid();
        let cause = format_args!(
            "belongs to uid {owner}, not to uid {user}, and the mount would shut its owner out"
        );
        let cure = format_args!(
            "choose a directory of your own, or run this as uid {owner} (in fstab: -o setuid=USER)"
        );
        return Err(Failed::new(path, cause, cure));
    }
    Ok(())
}

/// `else_do` is what can be done where the filesystem is read-only.
fn check_writable(path: &Path, else_do: &str) -> Result<(), Failed> {
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    match rustix::fs::accessat(CWD, path, wanted, AtFlags::empty()) {
        Ok(()) => Ok(()),
        Err(Errno::ROFS) => {
            let cure = format_args!("make that writable, or {else_do}");
            Err(Failed::new(path, "is on a read-only filesystem", cure))
        }
        Err(Errno::ACCESS) => {
            let cure = format_args!("chmod u+rwx {}", shown(path));
            Err(Failed::new(path, "may not be read and written", cure))
        }
        Err(error) => Err(cannot("be written", path, &error.into())),
    }
}

fn check_backing(backing: &Path, mountpoint: &Path) -> Result<PathBuf, Failed> {
    refuse_private(backing)?;
    if backing == mountpoint {
        return Ok(backing.to_owned());
    }
    let both = |cause: &str, cure: &str| {
        let cause = format!("as --backing {cause} {}", shown(mountpoint));
        Err(Failed::new(backing, cause, cure))
    };
    if backing.starts_with(mountpoint) {
        let cure = "choose one outside it, or leave --backing out to keep the files in the mounted directory itself";
        return both("would be covered by the mount at", cure);
    }
    if mountpoint.starts_with(backing) {
        return both(
            "would show the mount inside itself, at",
            "choose a mountpoint outside the backing directory",
        );
    }
    refuse_inside_mount(backing)?;
    if let Ok(Some(mount)) = mounts::at(backing)
        && mount.is_ours()
    {
        let cause = "as --backing is a mounted handoff-fs itself";
        let cure = format_args!("unmount it first: handoff-fs unmount {}", shown(backing));
        return Err(Failed::new(backing, cause, cure));
    }
    match std::fs::metadata(backing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let cure = format_args!("make it: mkdir -p -m 700 {}", shown(backing));
            return Err(Failed::new(backing, "as --backing does not exist", cure));
        }
        _ => check_directory(backing)?,
    }
    check_writable(backing, "choose another --backing directory")?;
    Ok(backing.to_owned())
}

/// The directory on the way to `path` that shuts its user out, if there is one.
fn shut(path: &Path) -> Option<&Path> {
    let mut above: Vec<_> = path.ancestors().skip(1).collect();
    above.reverse();
    let mut above = above.into_iter();
    above.find(|path| {
        rustix::fs::accessat(CWD, *path, Access::EXEC_OK, AtFlags::empty()) == Err(Errno::ACCESS)
    })
}

/// An error of the system whose cure depends on it.
fn cannot(what: &str, path: &Path, error: &io::Error) -> Failed {
    if let (io::ErrorKind::PermissionDenied, Some(above)) = (error.kind(), shut(path)) {
        let above = shown(above);
        let cause = format_args!("cannot {what}: you may not enter {above}");
        let cure = format_args!(
            "if that is yours: chmod u+x {above}; else choose a directory that is yours"
        );
        return Failed::new(path, cause, cure);
    }
    if let (io::ErrorKind::NotConnected, Some(point)) = (error.kind(), mounts::covering(path)) {
        let cause = format_args!(
            "cannot {what}: it lies below a dead mount at {}",
            shown(&point)
        );
        let cure = format_args!("clear that first: fusermount3 -u -z {}", shown(&point));
        return Failed::new(path, cause, cure);
    }
    let cure = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "choose a directory that is yours, or have its rights changed"
        }
        io::ErrorKind::ReadOnlyFilesystem => "choose a directory on a writable filesystem",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space there",
        io::ErrorKind::NotADirectory => "a part of this path is a file; name a directory",
        _ => "choose another directory",
    };
    Failed::new(path, format_args!("cannot {what} ({error})"), cure)
}

pub(super) fn cannot_list(error: &io::Error) -> Failed {
    let path = Path::new("/proc/self/mountinfo");
    let cure = "mount /proc: without it no mount can be recognised";
    Failed::new(path, format_args!("cannot be read ({error})"), cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_and_what_is_missing_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        std::fs::create_dir(base.join("real")).unwrap();
        std::os::unix::fs::symlink("real", base.join("link")).unwrap();
        assert_eq!(resolve(&base.join("link")), base.join("real"));
        assert_eq!(resolve(&base.join("link/new/er")), base.join("real/new/er"));
        assert_eq!(resolve(&base.join("link/..")), base);
        assert_eq!(resolve(Path::new("/")), Path::new("/"));
    }

    /// spec 8.1e
    #[test]
    fn a_backing_directory_is_beside_the_mountpoint_or_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        let cause = |backing: &Path, mountpoint: &Path| match check_backing(backing, mountpoint) {
            Ok(_) => String::new(),
            Err(failed) => failed.to_string(),
        };
        assert_eq!(cause(&base, &base), "");
        assert!(cause(&base.join("b"), &base).contains("covered"));
        assert!(cause(&base, &base.join("m")).contains("inside itself"));
        assert!(cause(&base.join("b"), &base.join("m")).contains("mkdir -p"));
        assert!(cause(&base.join(".handoff-fs/b"), &base.join("m")).contains("private"));
    }

    /// spec 8.1a
    #[test]
    fn a_mountpoint_is_made_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        make_if_missing(&path).unwrap();
        for made in [&path, &directory.path().join("a")] {
            assert_eq!(std::fs::metadata(made).unwrap().mode() & 0o777, 0o700);
        }
        check_directory(&path).unwrap();
        check_writable(&path, "").unwrap();
        std::fs::write(path.join("file"), "").unwrap();
        assert!(check_directory(&path.join("file")).is_err());
        assert!(
            make_if_missing(&path.join("file/below")).is_ok(),
            "reported by the next check"
        );
        assert!(check_directory(&path.join("file/below")).is_err());
    }
}
