//! The cost of telling callers apart: which files of `/proc` the daemon reads for which system call (spec 5.5).

use crate::actors::Actor;
use crate::daemon_process::{Daemon, strace};

/// System calls of a process that the daemon knows, and the files of that process in `/proc` that are read for each.
///
/// `statm` tells whether a writer that closes its file is being killed (4.9), whatever its name. For `pending.md` the
/// OPEN must know whose turn it is (6.4), and the READ that meets the end must know which program runs by then (6.3,
/// 6.5).
#[rustfmt::skip]
const COSTS: &[(&str, &str, &[&str])] = &[
    ("a stamped name is written", "put('2026-11-22_120000_b.md')", &["statm"]),
    ("a stamped name is appended to", "put('2026-11-22_120000_b.md', 'a')", &["statm"]),
    ("a stamped name is read", "open('2026-11-22_120000_b.md').read()", &[]),
    ("an unstamped name is made", "put('new.md')", &["stat", "statm"]),
    ("an own alias is made again", "put('new.md')", &["stat", "statm"]),
    ("an own alias is appended to", "put('new.md', 'a')", &["stat", "statm"]),
    ("an own alias is read", "open('new.md').read()", &["stat"]),
    ("an own alias is looked at", "os.stat('new.md')", &["stat"]),
    ("a name that nobody wrote is looked for", "os.path.exists('other.md')", &[]),
    ("a scratch file is written", "put('a.tmp')", &["stat"]),
    ("a scratch file is read", "open('a.tmp').read()", &[]),
    ("a lock is made", "put('a.lock')", &[]),
    ("a scratch file is renamed to an own alias", "os.rename('a.tmp', 'new.md')", &["stat"]),
    ("a scratch file is renamed to a new name", "put('b.tmp'); os.rename('b.tmp', 'newer.md')", &["stat", "stat"]),
    ("the directory is listed", "os.listdir('.')", &[]),
    ("pending.md is looked at", "os.stat('pending.md')", &[]),
    (".peek.md is read", "open('.peek.md').read()", &[]),
    ("pending.md is read", "open('pending.md').read()", &["stat", "stat"]),
    ("pending.md is read and has nothing", "open('pending.md').read()", &[]),
        // The first stat and the statm are for the write.
    ("a big pending.md is read in many pieces", "put('big.md', size=1000000); open('pending.md').read()", &["stat", "statm", "stat", "stat"]),
];

const PUT: &str = "
def put(name, mode='w', size=2000):
    with open(name, mode) as f:
        f.write('x' * size)";

/// spec 5.5: a process that was seen before is asked for once in a system call, and only where it matters. Its files are open.
#[test]
fn what_a_known_process_costs_needs_root() {
    let outside = tempfile::tempdir().unwrap();
    let log = outside.path().join("strace");
    let calls = "trace=open,openat,openat2,stat,newfstatat,statx,read,pread64,readv,preadv,preadv2";
    // With the path of each descriptor, and without what is read.
    let wrapper = strace(&log, calls, &["-y", "-s0"]);
    let daemon = Daemon::over(tempfile::tempdir().unwrap(), &wrapper);
    let sweeper = format!("{} ", daemon.thread("sweep"));
    let mut actor = Actor::alone(&daemon.at(""));
    let pid = actor.run("os.getpid()");
    actor.run(PUT);
    // Now it was seen.
    actor.run("put('seen.md')");
    actor.run("open('pending.md').read()");
    for (i, (_, source, _)) in COSTS.iter().enumerate() {
        actor.run(&format!("os.path.exists('mark-{i}')"));
        actor.run(source);
    }
    actor.run("os.path.exists('mark-end')");
    drop(actor);
    let text = daemon.end_traced(&log);

    // The sweep looks for processes that have ended at any time.
    let lines = text.lines().filter(|line| !line.starts_with(&sweeper));
    let text = lines.collect::<Vec<_>>().join("\n");
    // A path is quoted, that of a descriptor is not.
    let (opened, read) = (format!("\"/proc/{pid}/"), format!("</proc/{pid}/"));
    let mut reads = vec![Vec::new(); COSTS.len()];
    for part in text.split("\"mark-").skip(1) {
        let (mark, calls) = part.split_once('"').unwrap();
        let Ok(i) = mark.parse::<usize>() else {
            continue;
        };
        let (what, source, _) = COSTS[i];
        let files = calls
            .lines()
            .filter_map(|line| line.split_once(&read)?.1.split('>').next());
        reads[i].extend(files);
        assert!(!calls.contains(&opened), "{what}: {source}: {calls}");
    }
    for ((what, source, expected), read) in COSTS.iter().zip(reads) {
        assert_eq!(read, *expected, "{what}: {source}");
    }
}
