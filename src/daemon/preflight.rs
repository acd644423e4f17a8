//! The checks before a mount.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::mounts::{self, Mount, State};
use super::{mounted, rights};
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::names::PRIVATE;
use crate::quote::quoted;
use crate::store::dirfd::{self, Beneath};
use crate::store::mountpoint;

/// The checked directories of a mount.
pub(super) struct Place {
    /// Without symbolic links, as in the kernel's table of mounts.
    pub(super) mountpoint: PathBuf,
    pub(super) backing: PathBuf,
    /// The backing directory, opened before the mount: by default the mount covers it.
    pub(super) directory: OwnedFd,
    /// The directory that the mount covers, if that is not the backing directory.
    pub(super) covered: Option<OwnedFd>,
}

/// Clears a dead mount, creates a missing mountpoint, and makes all checks.
pub(super) fn prepare(config: &Config) -> Result<Place, Failure> {
    let mountpoint = resolve(&config.mountpoint);
    refuse_private(&mountpoint)?;
    refuse_home(&mountpoint)?;
    if let Some(backing) = &config.backing {
        refuse_home(&resolve(backing))?;
    }
    rights::check()?;
    clear(&mountpoint)?;
    refuse_inside_mount(&mountpoint)?;
    make_if_missing(&mountpoint)?;
    // A directory that was created just now may lie behind a symbolic link.
    let mountpoint = resolve(&mountpoint);
    check_directory(&mountpoint)?;
    if config.backing.is_none() {
        check_writable(&mountpoint, "keep the files elsewhere with --backing DIR")?;
    } else if !rustix::process::geteuid().is_root() {
        // fusermount3 mounts only over a writable directory.
        check_writable(&mountpoint, "choose another mountpoint")?;
    }
    let backing = config
        .backing
        .as_deref()
        .map_or_else(|| mountpoint.clone(), resolve);
    check_backing(&backing, &mountpoint)?;
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
        if !mounted::is_ours(&mountpoint) {
            break (directory, covered);
        }
        // Another process has mounted here meanwhile, so this may be the directory of that mount.
        clear(&mountpoint)?;
    };
    let place = Place {
        mountpoint,
        backing,
        directory,
        covered,
    };
    refuse_to_cover(&place)?;
    Ok(place)
}

/// Refuses to hide the files of a directory that was never mounted over. After an earlier mount such files are strays, and
/// become handoffs (spec 3.7b).
fn refuse_to_cover(place: &Place) -> Result<(), Failure> {
    let (mountpoint, backing) = (&place.mountpoint, &place.backing);
    let Some(covered) = &place.covered else {
        return Ok(());
    };
    let names = dirfd::names(covered).map_err(|error| {
        let error = io::Error::from_raw_os_error(error.errno());
        cannot("be read", mountpoint, &error)
    })?;
    let directory = place.directory.try_clone();
    let directory = directory.map_err(|error| cannot("be opened", backing, &error))?;
    let last = mountpoint::last(&Beneath::new(directory));
    if names.is_empty() || last.as_ref() == Some(mountpoint) {
        return Ok(());
    }
    let cause = "is not empty, and --backing would hide its content";
    let backing = quoted(backing);
    let cure =
        format_args!("move its files to {backing} or elsewhere, or choose an empty mountpoint");
    Err(Failure::new(mountpoint, cause, cure))
}

/// The path as in the kernel's table of mounts, with symbolic links followed. If the path is a mountpoint, nothing is asked of the
/// mount, because a dead mount does not answer.
#[must_use]
pub fn resolve(path: &Path) -> PathBuf {
    let (Some(parent), Some(Component::Normal(name))) =
        (path.parent(), path.components().next_back())
    else {
        return path.canonicalize().unwrap_or_else(|_| path.to_owned());
    };
    let parent = match parent.canonicalize() {
        Ok(parent) => parent,
        // Resolves the directories that exist.
        Err(error) if error.kind() == io::ErrorKind::NotFound => resolve(parent),
        Err(_) => parent.to_owned(),
    };
    let path = parent.join(name);
    match mounts::at(&path) {
        Ok(Some(_)) => path,
        _ => path.canonicalize().unwrap_or(path),
    }
}

fn refuse_private(path: &Path) -> Result<(), Failure> {
    if path.components().any(|part| part.as_os_str() == PRIVATE) {
        let cause = "is inside the private directory of a handoff-fs";
        return Err(Failure::new(path, cause, "choose a directory outside it"));
    }
    Ok(())
}

/// A home directory holds more than handoffs (spec 3.6i).
fn refuse_home(path: &Path) -> Result<(), Failure> {
    let cause = match config::home().map(|home| resolve(&home)) {
        _ if path == Path::new("/") => "is the root of the file system",
        Some(home) if home == path => "is your home directory",
        Some(home) if home.starts_with(path) => "is above your home directory",
        _ => return Ok(()),
    };
    let cure = "choose a directory for handoffs alone: handoff-fs mount ~/handoffs";
    Err(Failure::new(
        path,
        format_args!("{cause}, which is not for handoffs"),
        cure,
    ))
}

fn refuse_inside_mount(path: &Path) -> Result<(), Failure> {
    let above = mounts::above(path).map_err(|error| mounted::cannot_list(&error))?;
    let Some(mount) = above.filter(Mount::is_ours) else {
        return Ok(());
    };
    let cause = format_args!(
        "is inside the handoff-fs mounted at {}",
        quoted(&mount.point)
    );
    let cure = "a directory inside that mount is already a queue; for another mount choose a directory outside it";
    Err(Failure::new(path, cause, cure))
}

/// Clears the dead mounts at the mountpoint.
///
/// # Errors
/// A mount there is alive, or cannot be cleared.
fn clear(mountpoint: &Path) -> Result<(), Failure> {
    let mount = mounts::at(mountpoint).map_err(|error| mounted::cannot_list(&error))?;
    let Some(mount) = mount.filter(Mount::is_fuse) else {
        return Ok(());
    };
    if !mount.is_ours() {
        return Err(foreign(mountpoint, &mount));
    }
    match mounts::probe(mountpoint) {
        State::Dead => {
            mounted::clear_dead(mountpoint)?;
            clear(mountpoint)
        }
        State::Usable => {
            let pid = mounted::pid(mountpoint);
            let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
            let cause = format_args!("is mounted by handoff-fs{pid} already and usable");
            let point = quoted(mountpoint);
            let cure = format_args!("use it, or first run: handoff-fs unmount {point}");
            Err(Failure::new(mountpoint, cause, cure))
        }
        State::Denied => Err(mounted::not_ours(mountpoint, &mount)),
        State::Silent => Err(mounted::silent(mountpoint)),
    }
}

fn foreign(mountpoint: &Path, mount: &Mount) -> Failure {
    let dead = match mounts::probe(mountpoint) {
        State::Dead => "dead ",
        _ => "",
    };
    let cause = format_args!(
        "another FUSE filesystem ({dead}{}) is mounted here",
        mount.kind
    );
    let cure = format_args!(
        "choose another directory, or unmount the other filesystem: fusermount3 -u {}",
        quoted(mountpoint)
    );
    Failure::new(mountpoint, cause, cure)
}

fn make_if_missing(path: &Path) -> Result<(), Failure> {
    if !is_missing(path) {
        return Ok(());
    }
    if path.is_symlink() {
        let cure = "remove the link, or make the directory that it names";
        return Err(Failure::new(path, "is a symbolic link to nothing", cure));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| cannot("be made", path, &error))
}

fn is_missing(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn check_directory(path: &Path) -> Result<(), Failure> {
    let metadata = std::fs::metadata(path).map_err(|error| cannot("be looked at", path, &error))?;
    if !metadata.is_dir() {
        let cure = "name a directory, or a name that is not taken";
        return Err(Failure::new(path, "is not a directory", cure));
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
        return Err(Failure::new(path, cause, cure));
    }
    Ok(())
}

/// `alternative` is a second cure for a read-only filesystem.
fn check_writable(path: &Path, alternative: &str) -> Result<(), Failure> {
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    match rustix::fs::accessat(CWD, path, wanted, AtFlags::empty()) {
        Ok(()) => Ok(()),
        Err(Errno::ROFS) => {
            let cure = format_args!("make that writable, or {alternative}");
            Err(Failure::new(path, "is on a read-only filesystem", cure))
        }
        Err(Errno::ACCESS) => {
            let cure = format_args!("chmod u+rwx {}", quoted(path));
            Err(Failure::new(path, "may not be read and written", cure))
        }
        Err(error) => Err(cannot("be written", path, &error.into())),
    }
}

fn check_backing(backing: &Path, mountpoint: &Path) -> Result<(), Failure> {
    refuse_private(backing)?;
    if backing == mountpoint {
        return Ok(());
    }
    let point = quoted(mountpoint);
    if backing.starts_with(mountpoint) {
        let cause =
            format_args!("cannot be the --backing directory: the mount at {point} would cover it");
        let cure = "choose a directory outside the mount, or leave --backing out to keep the files in the mounted directory itself";
        return Err(Failure::new(backing, cause, cure));
    }
    if mountpoint.starts_with(backing) {
        let cause = format_args!(
            "cannot be the --backing directory: the mountpoint {point} is in it, so the mount would show itself inside itself"
        );
        let cure = "choose a mountpoint outside the backing directory";
        return Err(Failure::new(backing, cause, cure));
    }
    refuse_inside_mount(backing)?;
    if mounted::is_ours(backing) {
        let cause = "cannot be the --backing directory: a handoff-fs is mounted here";
        let cure = format_args!("unmount it first: handoff-fs unmount {}", quoted(backing));
        return Err(Failure::new(backing, cause, cure));
    }
    if is_missing(backing) {
        let cure = format_args!("make it: mkdir -p -m 700 {}", quoted(backing));
        let cause = "the --backing directory does not exist";
        return Err(Failure::new(backing, cause, cure));
    }
    check_directory(backing)?;
    check_writable(backing, "choose another --backing directory")
}

/// The topmost directory above `path` that this user may not enter.
fn forbidden(path: &Path) -> Option<&Path> {
    let is_forbidden = |path: &&Path| {
        rustix::fs::accessat(CWD, *path, Access::EXEC_OK, AtFlags::empty()) == Err(Errno::ACCESS)
    };
    path.ancestors().skip(1).filter(is_forbidden).last()
}

/// The failure of a system call on this path; the cure depends on the error.
fn cannot(be_done: &str, path: &Path, error: &io::Error) -> Failure {
    if let (io::ErrorKind::PermissionDenied, Some(above)) = (error.kind(), forbidden(path)) {
        let above = quoted(above);
        let cause = format_args!("cannot {be_done}: you may not enter {above}");
        let cure = format_args!(
            "if that is yours: chmod u+x {above}; else choose a directory that is yours"
        );
        return Failure::new(path, cause, cure);
    }
    if let (io::ErrorKind::NotConnected, Ok(Some(mount))) = (error.kind(), mounts::above(path)) {
        let point = quoted(&mount.point);
        let cause = format_args!("cannot {be_done}: it lies below a dead mount at {point}");
        let cure = format_args!("clear that first: fusermount3 -u -z {point}");
        return Failure::new(path, cause, cure);
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
    Failure::new(path, format_args!("cannot {be_done} ({error})"), cure)
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
        let cause = |backing: &Path, mountpoint: &Path| {
            check_backing(backing, mountpoint).unwrap_err().to_string()
        };
        check_backing(&base, &base).unwrap();
        assert!(cause(&base.join("b"), &base).contains("would cover it"));
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
