//! Needs of a mount: the FUSE device, the setuid helper, and the right to mount.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use super::mounts;
use crate::failure::Failure;
use crate::quote::quoted;

/// Checks that the device can be opened, and that there is a helper for a user who needs one.
pub(super) fn check() -> Result<(), Failure> {
    check_device()?;
    if !rustix::process::geteuid().is_root() && mounts::helper().is_none() {
        let name = std::env::var_os("FUSERMOUNT_PATH").unwrap_or_else(|| "fusermount3".into());
        let cause = "is not installed, and mounts for users who are not root";
        let cure = "as root: apt-get install fuse3 (or run handoff-fs as root)";
        return Err(Failure::new(name.as_ref(), cause, cure));
    }
    Ok(())
}

fn check_device() -> Result<(), Failure> {
    let device = Path::new("/dev/fuse");
    let (cause, cure) = match OpenOptions::new().read(true).write(true).open(device) {
        Ok(file)
            if file
                .metadata()
                .is_ok_and(|file| file.file_type().is_char_device()) =>
        {
            return Ok(());
        }
        Ok(_) => ("is not a device".to_owned(), no_device()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (
            format!("may not be opened ({error})"),
            "as root: chmod 666 /dev/fuse, its usual mode (in a container also: --device /dev/fuse)",
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (format!("is missing ({error})"), no_device())
        }
        Err(error) => (format!("cannot be opened ({error})"), no_device()),
    };
    Err(Failure::new(device, cause, cure))
}

/// The cure for a missing device.
fn no_device() -> &'static str {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.ends_with("\tfuse")) {
        "this kernel has FUSE, so a sandbox or a container hides it: mount outside, or pass it in (docker run --device /dev/fuse \
         --cap-add SYS_ADMIN); else as root: mknod -m 666 /dev/fuse c 10 229"
    } else {
        "load the kernel module, as root: modprobe fuse (for a container: on its host)"
    }
}

/// The failure for a mount that was refused with this error.
pub(super) fn not_mounted(mountpoint: &Path, error: &io::Error) -> Failure {
    let text = error.to_string();
    let cause = format_args!("cannot be mounted ({})", text.trim());
    Failure::new(mountpoint, cause, cure(&text))
}

fn cure(error: &str) -> String {
    let user = rustix::process::geteuid();
    let sandboxed = "mount it outside; a sandbox that starts later sees the mount";
    if error.contains("mount_max") || error.contains("too many") {
        "unmount another FUSE filesystem, or raise mount_max in /etc/fuse.conf".to_owned()
    } else if error.contains("determine username") {
        let uid = user.as_raw();
        format!("fusermount3 mounts only for users with a name: give uid {uid} one in /etc/passwd")
    } else if is_namespaced() && user.is_root() {
        "root of a user namespace mounts only in a mount namespace of its own (unshare --user --map-root-user --mount); or \
         mount it outside"
            .to_owned()
    } else if user.is_root() {
        "root needs CAP_SYS_ADMIN to mount (for a container: --cap-add SYS_ADMIN)".to_owned()
    } else if has_no_new_privileges() {
        format!(
            "no_new_privs is set (by a sandbox, or NoNewPrivileges= of a service) and takes from fusermount3 the rights that \
             it needs; {sandboxed}"
        )
    } else if is_namespaced() {
        format!(
            "fusermount3 has no rights in this user namespace, a sandbox or a container; {sandboxed}"
        )
    } else {
        unprivileged_helper()
    }
}

fn unprivileged_helper() -> String {
    let helper = mounts::helper().unwrap_or_else(|| PathBuf::from("fusermount3"));
    let name = quoted(&helper);
    match std::fs::metadata(&helper) {
        Ok(metadata) if metadata.uid() != 0 || metadata.mode() & Mode::SUID.bits() == 0 => {
            format!(
                "{name} is not setuid root, as the package fuse3 installs it; as root: chown root {name} && chmod 4755 {name}"
            )
        }
        _ => format!(
            "see that {name} is on a filesystem that is not mounted nosuid; or run handoff-fs as root"
        ),
    }
}

/// Is this process in a user namespace other than the machine's first one?
fn is_namespaced() -> bool {
    // The first namespace maps every uid to itself. An empty map means that no uid is mapped.
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| !map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Do programs that this process starts gain no rights by being setuid?
fn has_no_new_privileges() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    lines.any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"]))
}
