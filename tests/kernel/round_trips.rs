//! The cost of operations in round trips to the kernel, which are most of their time.

use std::fs;

use crate::actors::Actor;
use crate::daemon_process::Daemon;

/// What a process does, and which requests the kernel sends for it before it goes on. (RELEASE, RELEASEDIR and FORGET are not
/// waited for.)
///
/// None of them can be had for less, given what the kernel asks. A name is looked up anew by every system call, because it means
/// another file to another session, or from one moment to the next (4.3, 6.2): that is the one LOOKUP. The GETATTR after it is what
/// a look-up cannot say: the inode number that people see is not the node's. Every look-up of `pending.md` finds another file, so
/// where the kernel remembers one it asks a first time whether that is it still. The FLUSH is where a close can still fail (4.2);
/// who only reads is spared it.
#[rustfmt::skip]
const TRIPS: &[(&str, &str, &[&str])] = &[
    ("a new handoff is written", "put('new.md')", &["LOOKUP", "CREATE", "WRITE", "FLUSH"]),
    ("a stamped name is written", "put('2026-11-22_120000_b.md')", &["LOOKUP", "CREATE", "WRITE", "FLUSH"]),
    ("an own alias is appended to", "put('new.md', os.O_APPEND)", &["LOOKUP", "OPEN", "WRITE", "FLUSH"]),
    ("a name that nobody wrote is looked for", "os.access('nothing.md', os.F_OK)", &["LOOKUP"]),
    ("pending.md is looked at", "os.stat('pending.md')", &["LOOKUP", "GETATTR"]),
    ("pending.md is read, and consumed", "get('pending.md')", &["LOOKUP", "LOOKUP", "OPEN", "READ", "READ"]),
    ("pending.md is looked at again", "os.stat('pending.md')", &["LOOKUP", "LOOKUP", "GETATTR"]),
];

const WAITED_FOR: &[&str] = &[
    "LOOKUP", "GETATTR", "SETATTR", "CREATE", "OPEN", "READ", "WRITE", "FLUSH", "GETXATTR",
];

const DEFINITIONS: &str = "
def put(name, flags=os.O_EXCL):
    fd = os.open(name, os.O_CREAT | os.O_WRONLY | flags)
    os.write(fd, b'x' * 2000)
    os.close(fd)
def get(name):
    fd = os.open(name, os.O_RDONLY)
    while os.read(fd, 131072): pass
    os.close(fd)";

/// spec 4.2a, 6.2a: no request more than the contract needs.
#[test]
fn what_an_operation_costs() {
    let outside = tempfile::tempdir().unwrap();
    let log = outside.path().join("log");
    let wrapper = [
        "sh",
        "-c",
        "log=$1; shift; HANDOFF_LOG=fuser=debug exec \"$@\" 2>\"$log\"",
        "sh",
        log.to_str().unwrap(),
    ]
    .map(str::to_owned);
    let daemon = Daemon::over(tempfile::tempdir().unwrap(), &wrapper);
    let mut actor = Actor::alone(&daemon.at(""));
    actor.run("import os");
    actor.run(DEFINITIONS);
    for (i, (_, source, _)) in TRIPS.iter().enumerate() {
        actor.run(&format!("os.path.exists('mark-{i}-')"));
        actor.run(source);
    }
    actor.run("os.path.exists('mark-end-')");
    drop(actor);
    drop(daemon);

    let text = fs::read_to_string(&log).unwrap();
    let mut sent = vec![Vec::new(); TRIPS.len()];
    let mut at: Option<usize> = None;
    for line in text.lines().filter(|line| line.contains("FUSE(")) {
        if let Some((_, mark)) = line.split_once("mark-") {
            at = mark.split_once('-').and_then(|(i, _)| i.parse().ok());
            continue;
        }
        let operation = line
            .split_whitespace()
            .find(|word| WAITED_FOR.contains(word));
        if let (Some(i), Some(operation)) = (at, operation) {
            let of_one: &mut Vec<&str> = &mut sent[i];
            of_one.push(operation);
        }
    }
    for ((what, source, expected), sent) in TRIPS.iter().zip(sent) {
        assert_eq!(sent, *expected, "{what}: {source}");
    }
}
