//! The kernel's table of mounts, and unmounting.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// The source of a mount in the table. Must not hold a comma, which separates options.
pub(super) const NAME: &str = "handoff-fs";

/// Where fusectl, if mounted, shows the kernel's connections to FUSE daemons.
const CONNECTIONS: &str = "/sys/fs/fuse/connections";

/// How long a mount may take to answer before it counts as silent. An answer takes microseconds, but an open of
/// `pending.md` may wait two seconds for its turn, and other requests wait behind the open.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    id: u64,
    /// `major:minor`. No other mount gets the same while the connection to the daemon lasts.
    device: String,
    /// Whether the mount shows the root of its file system. A bind mount may show only a directory of it.
    pub(super) whole: bool,
    pub(super) point: PathBuf,
    pub(super) kind: String,
    source: String,
    /// The user id of the daemon of a FUSE mount.
    pub(super) owner: Option<u32>,
}

impl Mount {
    /// The type is `fuse.handoff-fs` if root mounted, and `fuse` if fusermount3 did.
    pub(super) fn is_ours(&self) -> bool {
        self.kind == format!("fuse.{NAME}") || (self.kind == "fuse" && self.source == NAME)
    }

    pub(super) fn is_fuse(&self) -> bool {
        self.kind == "fuse" || self.kind == "fuseblk" || self.kind.starts_with("fuse.")
    }
}

/// How a mount answers a stat of its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The daemon answers.
    Usable,
    /// The daemon has died: ENOTCONN.
    Dead,
    /// The mount belongs to another user. FUSE lets no other user in, not even root.
    Denied,
    /// No answer within [`ANSWER_WITHIN`].
    Silent,
}

/// All mounts, in the kernel's order: of two at one place the later one is on top.
pub(super) fn table() -> io::Result<Vec<Mount>> {
    table_of("self")
}

/// The mounts in the namespace of a process, which is named as in `/proc`: a pid, `PID/task/TID`, or `self`.
pub(super) fn table_of(process: &str) -> io::Result<Vec<Mount>> {
    let text = std::fs::read(format!("/proc/{process}/mountinfo"))?;
    Ok(text
        .split(|&byte| byte == b'\n')
        .filter_map(parse)
        .collect())
}

/// The mount on top at exactly this path, which has no symbolic links.
pub(super) fn at(point: &Path) -> io::Result<Option<Mount>> {
    Ok(table()?.into_iter().rfind(|mount| mount.point == point))
}

/// One mount for each daemon of this user, in the kernel's order.
pub(super) fn of_user(uid: u32) -> io::Result<Vec<Mount>> {
    let mut found: Vec<Mount> = Vec::new();
    for mount in table()? {
        if !mount.is_ours() || mount.owner != Some(uid) || !mount.whole {
            continue;
        }
        // A mount hides the mounts below it. A bind mount shows the same daemon at another path.
        found.retain(|other| other.point != mount.point);
        if !found.iter().any(|other| other.device == mount.device) {
            found.push(mount);
        }
    }
    Ok(found)
}

/// The mount that holds `path` below its root.
pub(super) fn above(path: &Path) -> io::Result<Option<Mount>> {
    let above = table()?
        .into_iter()
        .filter(|mount| mount.point != path && path.starts_with(&mount.point));
    Ok(above.max_by_key(|mount| mount.point.as_os_str().len()))
}

/// Parses a line of the table. Parsed here, because procfs 0.18 leaves `\040` in the path of a mountpoint as it is.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let text = |field: &[u8]| String::from_utf8_lossy(&unescape(field)).into_owned();
    Some(Mount {
        id: text(fields.next()?).parse().ok()?,
        device: text(fields.nth(1)?),
        whole: fields.next()? == b"/",
        point: PathBuf::from(OsString::from_vec(unescape(fields.next()?))),
        // Before the type stand the mount's own options, any number of optional fields, and a lone dash.
        kind: text(fields.by_ref().skip_while(|field| *field != b"-").nth(1)?),
        source: text(fields.next()?),
        owner: fields.next().map(text).and_then(|options| {
            let mut options = options.split(',');
            options.find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
        }),
    })
}

/// Replaces octal escapes such as `\040`: the table writes blanks, tabs, newlines and backslashes so.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = (byte == b'\\')
            .then(|| std::str::from_utf8(tail.get(..3)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    plain
}

/// Asks the mount at this path for the attributes of its root.
pub(super) fn probe(point: &Path) -> State {
    let path = point.to_owned();
    match with_timeout(move || rustix::fs::stat(&path)) {
        None => State::Silent,
        Some(Err(Errno::NOTCONN | Errno::CONNABORTED)) => State::Dead,
        Some(Err(Errno::ACCESS)) => State::Denied,
        Some(_) => State::Usable,
    }
}

/// Runs a call that blocks if the daemon hangs, in a thread. None if the call takes longer than [`ANSWER_WITHIN`]; the thread is
/// then left behind.
pub(super) fn with_timeout<T: Send + 'static>(
    ask: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(ask()));
    receiver.recv_timeout(ANSWER_WITHIN).ok()
}

/// How to unmount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Only if nothing in the mount is in use.
    Plain,
    /// The mount leaves the tree at once, and the kernel when its last file is closed.
    Lazy,
}

/// Unmounts the mount on top at this path: with the system call where that is allowed, else with fusermount3.
///
/// # Errors
/// EBUSY if the mount is in use, and others.
pub(super) fn unmount(point: &Path, manner: Manner) -> io::Result<()> {
    let flags = match manner {
        Manner::Plain => UnmountFlags::NOFOLLOW,
        Manner::Lazy => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    match rustix::mount::unmount(point, flags) {
        Err(Errno::PERM) => unmount_with_helper(point, manner),
        result => Ok(result?),
    }
}

/// Lazily unmounts a dead mount of ours at this path; does nothing if the mount on top is another one.
///
/// A supervisor and a second `mount` may do this at the same time, and the later one must not unmount the new mount of the
/// first. So a descriptor holds the dead mount. The helper takes only a path, which leaves a short race there.
pub(super) fn unmount_dead(point: &Path) -> io::Result<()> {
    // O_PATH sends no request to the daemon.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(point, flags, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
    let mount = mount_of(&root)?.filter(Mount::is_ours);
    let Some(dead) = mount.filter(|_| probe(&path) == State::Dead) else {
        return Ok(());
    };
    match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
        // Another process has unmounted it already.
        Err(Errno::INVAL) if !table()?.contains(&dead) => Ok(()),
        Err(Errno::PERM) => {
            drop(root);
            unmount_with_helper(point, Manner::Lazy)
        }
        result => Ok(result?),
    }
}

/// The mount that this directory is open in.
fn mount_of(directory: &OwnedFd) -> io::Result<Option<Mount>> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", directory.as_raw_fd()))?;
    let mut lines = info.lines();
    let id = lines.find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    Ok(table()?.into_iter().find(|mount| Some(mount.id) == id))
}

fn unmount_with_helper(point: &Path, manner: Manner) -> io::Result<()> {
    let helper = helper()
        .ok_or_else(|| io::Error::other("fusermount3 is not installed; apt-get install fuse3"))?;
    let options: &[&str] = match manner {
        Manner::Plain => &["-u", "--"],
        Manner::Lazy => &["-u", "-z", "--"],
    };
    let output = Command::new(helper)
        .args(options)
        .arg(point)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else if errors.contains("busy") {
        Err(Errno::BUSY.into())
    } else {
        Err(io::Error::other(errors.trim()))
    }
}

/// The setuid program that mounts and unmounts for users; fuser looks for it in the same places.
pub(super) fn helper() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("FUSERMOUNT_PATH") {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["fusermount3", "fusermount"].iter().find_map(|name| {
        std::env::split_paths(&path)
            .chain(["/sbin", "/bin", "/usr/bin"].map(PathBuf::from))
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())
    })
}

/// The mount that one daemon made, known by its path, id and device.
///
/// After `fusermount3 -u` from outside, another mount may be at the same path by the time the daemon ends. Unmounting by path
/// alone would hit that one.
#[derive(Debug)]
pub(super) struct OwnMount(Mount);

impl OwnMount {
    /// To be called right after mounting.
    pub(super) fn find(point: &Path) -> Option<OwnMount> {
        at(point).ok()?.filter(Mount::is_ours).map(OwnMount)
    }

    /// The mountpoint.
    pub(super) fn point(&self) -> &Path {
        &self.0.point
    }

    /// Whether this mount is on top at its path.
    pub(super) fn is_there(&self) -> bool {
        at(&self.0.point).is_ok_and(|top| top.as_ref() == Some(&self.0))
    }

    /// Whether this mount, or a bind mount of its root, is still in the tree. True if the table cannot be read.
    pub(super) fn is_anywhere(&self) -> bool {
        let of_ours =
            |mount: &Mount| mount.device == self.0.device && mount.is_ours() && mount.whole;
        table().map_or(true, |table| table.iter().any(of_ours))
    }

    /// Unmounts, lazily if the mount is in use; returns the manner. Returns `Lazy` too if the mount has already left the tree:
    /// then only open files keep it alive.
    pub(super) fn unmount(&self) -> io::Result<Manner> {
        let table = table()?;
        if !table.contains(&self.0) {
            return Ok(Manner::Lazy);
        }
        let top = table.iter().rfind(|mount| mount.point == self.0.point);
        if let Some(other) = top.filter(|top| **top != self.0) {
            let text = format!("a {} is mounted on top of it", other.kind);
            return Err(io::Error::other(text));
        }
        match unmount(&self.0.point, Manner::Plain) {
            Ok(()) => Ok(Manner::Plain),
            Err(_) => unmount(&self.0.point, Manner::Lazy).map(|()| Manner::Lazy),
        }
    }

    /// The file that cuts the connection to the daemon when 1 is written to it. Only there while fusectl is mounted.
    pub(super) fn abort_file(&self) -> PathBuf {
        let minor = self.0.device.rsplit(':').next().unwrap_or_default();
        Path::new(CONNECTIONS).join(minor).join("abort")
    }

    /// Cuts the connection to the daemon: every process that waits for an answer gets an error. The daemon gets no request.
    ///
    /// # Errors
    /// [`CONNECTIONS`] is not mounted, which needs root, or shows no such connection.
    pub(super) fn abort(&self) -> io::Result<()> {
        let mount = &self.0;
        // After a connection has ended, another connection may get its number.
        let is_other = |other: &Mount| other.device == mount.device && other != mount;
        if table()?.iter().any(is_other) {
            return Err(io::Error::from(Errno::NOENT));
        }
        let mut file = OpenOptions::new().write(true).open(self.abort_file())?;
        file.write_all(b"1")
    }

    /// Unmounts the dead mount that is left after the connection was cut from outside (`umount -f`, or `abort` in sysfs). A new
    /// mount may have the same id and device by now, so only a dead one is unmounted.
    pub(super) fn unmount_if_dead(&self) {
        if self.is_there() {
            let _ = unmount_dead(&self.0.point);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br"95 27 0:45 / /home/u/my\040hand\134offs\012 rw,nosuid shared:4 master:1 - fuse handoff-fs rw,user_id=1000,group_id=1000";

    #[test]
    fn a_line_of_the_table() {
        let mount = parse(LINE).unwrap();
        assert_eq!(mount.point, Path::new("/home/u/my hand\\offs\n"));
        assert_eq!((mount.id, mount.device.as_str()), (95, "0:45"));
        assert_eq!(mount.owner, Some(1000));
        assert!(mount.is_ours() && mount.is_fuse());
    }

    #[test]
    fn ours_by_source_or_by_type() {
        let kind = |kind: &str, source: &str| Mount {
            kind: kind.to_owned(),
            source: source.to_owned(),
            ..parse(LINE).unwrap()
        };
        assert!(kind("fuse.handoff-fs", "anything").is_ours());
        assert!(!kind("fuse", "sshfs").is_ours() && kind("fuse", "sshfs").is_fuse());
        assert!(!kind("tmpfs", "handoff-fs").is_ours() && !kind("fusectl", "fusectl").is_fuse());
    }

    #[test]
    fn lines_that_are_none() {
        for line in [
            &b""[..],
            b"x",
            b"1 2 0:3 / /m rw",
            b"1 2 0:3 / /m rw - fuse",
        ] {
            assert_eq!(parse(line), None);
        }
        assert_eq!(unescape(br"a\04\999\"), br"a\04\999\");
    }

    #[test]
    fn the_real_table_has_a_root() {
        assert!(at(Path::new("/")).unwrap().is_some());
        assert!(table().unwrap().len() > 1);
    }
}
