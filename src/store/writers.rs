//! Who is still writing a file: what `/proc/PID/fd` and `/proc/PID/fdinfo` tell of other processes.
//!
//! The store tells of a file that it was begun and that it was closed. Of one that was begun before the store was
//! watched nothing tells that it is not finished, but that somebody has it open. A lease would be told by the kernel,
//! but cannot be asked for without `unsafe`.
//!
//! Nothing here waits for a file system: links are read and never followed, for one of them may lead into a mount that
//! hangs. But a process that is just running another program lets nobody look before it has closed its files, and one of them
//! may be here: the look has a time limit. What cannot be seen is taken for closed: processes of other users and of other PID namespaces, and files that were
//! opened in another mount namespace.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::names::StampedName;

/// An open file, as every process that has it open sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The mount through which it was opened: a file of our own mount may have the number of the one below.
    mount: String,
    /// Not told before Linux 5.14.
    ino: Option<String>,
}

impl Identity {
    /// Of a file of ours.
    pub fn of(file: &File) -> Option<Identity> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
        Identity::parse(&info)
    }

    fn parse(info: &str) -> Option<Identity> {
        Some(Identity {
            mount: field(info, "mnt_id:")?.to_owned(),
            ino: field(info, "ino:").map(str::to_owned),
        })
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(name).map(str::trim))
}

fn may_write(info: &str) -> bool {
    let flags = field(info, "flags:").and_then(|flags| i32::from_str_radix(flags, 8).ok());
    flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
}

/// How long looking at every process may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// The files of these names and, if `pending`, with the name of a pending handoff, in whatever directory, that other
/// processes have open for writing. Those that cannot be had in time are taken for closed.
pub fn of(names: HashSet<OsString>, pending: bool) -> Vec<(OsString, Identity)> {
    if names.is_empty() && !pending {
        return Vec::new();
    }
    let (found, look) = mpsc::sync_channel(1);
    let looking = thread::Builder::new().spawn(move || {
        let is_pending = |name: &OsStr| {
            pending && StampedName::parse(name).is_some_and(|name| name.is_pending())
        };
        let wanted = |name: &OsStr| names.contains(name) || is_pending(name);
        let _ = found.send(look_for(wanted));
    });
    let found = looking.ok().and_then(|_| look.recv_timeout(PATIENCE).ok());
    found.unwrap_or_else(|| {
        log::warn!(
            "who is writing what turned up cannot be told just now; it is taken for finished"
        );
        Vec::new()
    })
}

fn look_for(wanted: impl Fn(&OsStr) -> bool) -> Vec<(OsString, Identity)> {
    let mut found = Vec::new();
    let own = std::process::id().to_string();
    for process in entries(Path::new("/proc")) {
        let is_number = process
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok());
        if !is_number || process == *own {
            continue;
        }
        let process = Path::new("/proc").join(process);
        for descriptor in entries(&process.join("fd")) {
            let Ok(link) = fs::read_link(process.join("fd").join(&descriptor)) else {
                continue;
            };
            let Some(name) = link.file_name().filter(|name| wanted(name)) else {
                continue;
            };
            let Ok(info) = fs::read_to_string(process.join("fdinfo").join(&descriptor)) else {
                continue;
            };
            if let (true, Some(identity)) = (may_write(&info), Identity::parse(&info)) {
                found.push((name.to_owned(), identity));
            }
        }
    }
    found
}

/// The names in a directory; none where it may not be read, or is gone.
fn entries(directory: &Path) -> impl Iterator<Item = OsString> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.file_name()))
}

/// Is the file of this name among those found? It is opened only if one of its name is.
pub fn has(
    found: &[(OsString, Identity)],
    name: &OsStr,
    open: impl FnOnce() -> Option<File>,
) -> bool {
    let mut same = found.iter().filter(|(other, _)| other == name).peekable();
    same.peek().is_some()
        && open()
            .and_then(|file| Identity::of(&file))
            .is_some_and(|own| same.any(|(_, identity)| *identity == own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn what_the_kernel_tells_of_a_descriptor() {
        let info = "pos:\t3\nflags:\t0100001\nmnt_id:\t29\nino:\t4711\n";
        let identity = Identity::parse(info).unwrap();
        assert_eq!(
            (identity.mount.as_str(), identity.ino.as_deref()),
            ("29", Some("4711"))
        );
        assert!(may_write(info) && !may_write("flags:\t0100000\n") && !may_write(""));
        assert_eq!(Identity::parse("flags:\t02\n"), None);
    }

    /// Only those that write count, and only that very file.
    #[test]
    fn those_that_another_process_writes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("other")).unwrap();
        for name in ["written", "added", "read", "twin", "other/twin"] {
            fs::write(at(name), "x").unwrap();
        }
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec 3> written 4>> added 5< read 6> other/twin; echo; read -r end",
            ])
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let names = ["written", "added", "read", "twin"];
        let found = of(names.iter().map(OsString::from).collect(), false);
        let seen: Vec<&str> = names
            .into_iter()
            .filter(|name| has(&found, OsStr::new(name), || File::open(at(name)).ok()))
            .collect();
        assert_eq!(seen, ["written", "added"]);
        drop(child.stdin.take());
        child.wait().unwrap();
        let found = of(names.iter().map(OsString::from).collect(), false);
        assert!(!has(&found, OsStr::new("written"), || File::open(at(
            "written"
        ))
        .ok()));
    }
}
