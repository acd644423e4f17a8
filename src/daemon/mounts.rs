//! The kernel's table of mounts, and what can be done to one of ours.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// The name of the file system in the table. A comma in it would be read as an option.
pub(super) const NAME: &str = "handoff-fs";

/// Where the kernel's connections to FUSE daemons are, if that file system is mounted.
const CONNECTIONS: &str = "/sys/fs/fuse/connections";

/// How long a mount may take to answer before it counts as silent. An answer takes microseconds, but an open
/// of `pending.md` elsewhere may wait two seconds for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    id: u64,
    /// `major:minor`. Not given to another mount while the connection to its daemon lasts.
    device: String,
    /// It shows the file system's root; a bind mount may show a directory of it.
    pub(super) whole: bool,
    pub(super) point: PathBuf,
    pub(super) kind: String,
    source: String,
    /// Whose daemon it is, for a FUSE mount.
    pub(super) owner: Option<u32>,
}

impl Mount {
    /// As root the kernel writes the type, through fusermount3 the helper does: both spellings are ours.
    pub(super) fn is_ours(&self) -> bool {
        self.kind == format!("fuse.{NAME}") || (self.kind == "fuse" && self.source == NAME)
    }

    pub(super) fn is_fuse(&self) -> bool {
        self.kind == "fuse" || self.kind == "fuseblk" || self.kind.starts_with("fuse.")
    }
}

/// What a mount answers when asked for its root's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It answers.
    Usable,
    /// Its daemon is gone: ENOTCONN.
    Dead,
    /// Another user's; FUSE lets nobody else in, not even root.
    Denied,
    /// No answer in [`PATIENCE`].
    Silent,
}

/// All mounts, in the kernel's order: of two at one place the later one is on top.
pub(super) fn table() -> io::Result<Vec<Mount>> {
    table_of("self")
}

/// The same as this process sees it.
pub(super) fn table_of(process: &str) -> io::Result<Vec<Mount>> {
    let text = std::fs::read(format!("/proc/{process}/mountinfo"))?;
    Ok(text
        .split(|&byte| byte == b'\n')
        .filter_map(parse)
        .collect())
}

/// The mount on top at exactly this place, which is given without symbolic links.
pub(super) fn at(point: &Path) -> io::Result<Option<Mount>> {
    Ok(table()?.into_iter().rfind(|mount| mount.point == point))
}

/// The mounts of ours that this user's daemons serve, one for each, in the kernel's order.
pub(super) fn of_user(uid: u32) -> io::Result<Vec<Mount>> {
    let mut found: Vec<Mount> = Vec::new();
    for mount in table()? {
        if !mount.is_ours() || mount.owner != Some(uid) || !mount.whole {
            continue;
        }
        // What is mounted on top hides what is below; a bind mount is another place of the same.
        found.retain(|other| other.point != mount.point);
        if !found.iter().any(|other| other.device == mount.device) {
            found.push(mount);
        }
    }
    Ok(found)
}

/// The mount of ours that `path` lies in, strictly below its root.
pub(super) fn ours_above(path: &Path) -> io::Result<Option<Mount>> {
    Ok(above(path)?.filter(Mount::is_ours))
}

/// Where the mount is that `path` lies in, strictly below its root.
pub(super) fn covering(path: &Path) -> Option<PathBuf> {
    Some(above(path).ok()??.point)
}

fn above(path: &Path) -> io::Result<Option<Mount>> {
    let above = table()?
        .into_iter()
        .filter(|mount| mount.point != path && path.starts_with(&mount.point));
    Ok(above.max_by_key(|mount| mount.point.as_os_str().len()))
}

/// By hand, for procfs 0.18 leaves `\040` in the path of a mountpoint as it is.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let text = |field: &[u8]| String::from_utf8_lossy(&unescape(field)).into_owned();
    let id = text(fields.next()?).parse().ok()?;
    let device = text(fields.nth(1)?);
    let whole = fields.next()? == b"/";
    let point = PathBuf::from(OsString::from_vec(unescape(fields.next()?)));
    // Then the mount's own options, any number of optional fields, and a lone dash.
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = text(rest.next()?);
    let source = text(rest.next()?);
    let owner = rest.next().map(text).and_then(|options| {
        let mut options = options.split(',');
        options.find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
    });
    Some(Mount {
        id,
        device,
        whole,
        point,
        kind,
        source,
        owner,
    })
}

/// Blank, tab, newline and backslash stand in the table as `\040` and the like.
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

/// Asks the mount at this place for a sign of life.
pub(super) fn probe(point: &Path) -> State {
    let path = point.to_owned();
    match patiently(move || rustix::fs::stat(&path).map(|_| ())) {
        None => State::Silent,
        Some(Err(Errno::NOTCONN | Errno::CONNABORTED)) => State::Dead,
        Some(Err(Errno::ACCESS)) => State::Denied,
        Some(_) => State::Usable,
    }
}

/// Does what may wait for a daemon that has stopped, in a thread that is left behind if it does.
pub(super) fn patiently<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(ask()));
    receiver.recv_timeout(PATIENCE).ok()
}

/// How a mount goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Only if nothing in it is in use.
    Plain,
    /// From the tree at once, from the kernel when the last file is closed.
    Lazy,
}

/// Why a mount did not go.
#[derive(Debug)]
pub(super) enum NotUnmounted {
    Busy,
    Other(String),
}

/// Takes the mount on top at this place away: with the system call where that is allowed, else with fusermount3.
pub(super) fn unmount(point: &Path, manner: Manner) -> Result<(), NotUnmounted> {
    let flags = match manner {
        Manner::Plain => UnmountFlags::NOFOLLOW,
        Manner::Lazy => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    match rustix::mount::unmount(point, flags) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(NotUnmounted::Busy),
        Err(Errno::PERM) => unmount_with_helper(point, manner),
        Err(error) => Err(NotUnmounted::Other(error.to_string())),
    }
}

/// Takes a dead mount of ours away from this place, lazily; does nothing if what is on top is none.
///
/// A supervisor and another `mount` may come at the same time, and whoever is second must not take what the first has mounted
/// meanwhile. So the mount is held by a descriptor, and what is unmounted is what was seen to be dead. The helper knows only
/// paths: there, a moment is left.
pub(super) fn unmount_dead(point: &Path) -> Result<(), NotUnmounted> {
    let other = |error: Errno| NotUnmounted::Other(error.to_string());
    // Asks the file system nothing.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(point, flags, Mode::empty()).map_err(other)?;
    let failed = |error: io::Error| NotUnmounted::Other(error.to_string());
    let Some(dead) = seen_dead(&root).map_err(failed)? else {
        return Ok(());
    };
    let path = format!("/proc/self/fd/{}", root.as_raw_fd());
    match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
        Ok(()) => Ok(()),
        // Somebody else was faster.
        Err(Errno::INVAL) if !table().map_err(failed)?.contains(&dead) => Ok(()),
        Err(Errno::PERM) => {
            drop(root);
            unmount_with_helper(point, Manner::Lazy)
        }
        Err(error) => Err(other(error)),
    }
}

/// The mount whose root this is, if it is one of ours whose daemon is gone.
fn seen_dead(root: &OwnedFd) -> io::Result<Option<Mount>> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", root.as_raw_fd()))?;
    let mut lines = info.lines();
    let id = lines.find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    let mut table = table()?.into_iter();
    let Some(mount) = table.find(|mount| Some(mount.id) == id && mount.is_ours()) else {
        return Ok(None);
    };
    let root = root.try_clone()?;
    let answer = patiently(move || rustix::fs::statat(&root, "", AtFlags::EMPTY_PATH).map(drop));
    let dead = matches!(answer, Some(Err(Errno::NOTCONN | Errno::CONNABORTED)));
    Ok(dead.then_some(mount))
}

fn unmount_with_helper(point: &Path, manner: Manner) -> Result<(), NotUnmounted> {
    let Some(helper) = helper() else {
        let text = "fusermount3 is not installed; apt-get install fuse3";
        return Err(NotUnmounted::Other(text.to_owned()));
    };
    let mut command = Command::new(helper);
    command.arg("-u");
    if manner == Manner::Lazy {
        command.arg("-z");
    }
    command
        .arg("--")
        .arg(point)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|e| NotUnmounted::Other(e.to_string()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else if errors.contains("busy") {
        Err(NotUnmounted::Busy)
    } else {
        Err(NotUnmounted::Other(errors.trim().to_owned()))
    }
}

/// The program that mounts for users who may not, where fuser looks for it too.
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

/// The mount that this very process made.
///
/// After `fusermount3 -u` from outside, something else may be mounted at the same place by the time the daemon
/// ends, and unmounting by path would take that. So the mount is known by its place, id and device.
#[derive(Debug)]
pub(super) struct OwnMount(Mount);

impl OwnMount {
    /// To be called right after mounting.
    pub(super) fn find(point: &Path) -> Option<OwnMount> {
        at(point).ok()?.filter(Mount::is_ours).map(OwnMount)
    }

    /// Whether it is what one sees at its place.
    pub(super) fn is_there(&self) -> bool {
        at(&self.0.point).is_ok_and(|top| top.as_ref() == Some(&self.0))
    }

    /// Whether it, or a bind mount of all of it, is still in the tree.
    pub(super) fn is_anywhere(&self) -> bool {
        let of_ours =
            |mount: &Mount| mount.device == self.0.device && mount.is_ours() && mount.whole;
        // Where that cannot be told, it is.
        table().map_or(true, |table| table.iter().any(of_ours))
    }

    /// Unmounts, lazily if it must be; says whether it had to. That is also the answer when it left the tree
    /// before, from outside: then only open files keep it.
    pub(super) fn unmount(&self) -> Result<Manner, NotUnmounted> {
        let table = table().map_err(|error| NotUnmounted::Other(error.to_string()))?;
        if !table.contains(&self.0) {
            return Ok(Manner::Lazy);
        }
        let top = table.iter().rfind(|mount| mount.point == self.0.point);
        if let Some(other) = top.filter(|top| **top != self.0) {
            let text = format!("a {} is mounted on top of it", other.kind);
            return Err(NotUnmounted::Other(text));
        }
        match unmount(&self.0.point, Manner::Plain) {
            Ok(()) => Ok(Manner::Plain),
            Err(_) => unmount(&self.0.point, Manner::Lazy).map(|()| Manner::Lazy),
        }
    }

    /// Cuts the connection to the daemon: whoever waits for an answer gets an error. Asks the mount nothing.
    ///
    /// # Errors
    /// [`CONNECTIONS`] is not mounted, which only root can do, or shows no such connection.
    pub(super) fn abort(&self) -> io::Result<()> {
        let mount = &self.0;
        // The number of a connection that has ended may be another one's by now.
        let is_other = |other: &Mount| other.device == mount.device && other != mount;
        if table()?.iter().any(is_other) {
            return Err(io::Error::from(Errno::NOENT));
        }
        let minor = mount.device.rsplit(':').next().unwrap_or_default();
        let path = Path::new(CONNECTIONS).join(minor).join("abort");
        OpenOptions::new().write(true).open(path)?.write_all(b"1")
    }

    /// Takes away what a connection that was cut from outside (`umount -f`, or `abort` in sysfs) leaves: a dead
    /// mount. Its numbers may be a new mount's by now, so only a dead one is taken.
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
