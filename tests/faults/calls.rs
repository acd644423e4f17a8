//! System calls of the real daemon that fail, one after the other, whatever they are for: drafts, edits, scratch files, notes.
//!
//! strace(1) makes them fail. It is attached to a daemon that runs, for one case, and detached again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cases::{Outcome, overwrite, own_name, read, write};
use crate::harness::{bodies, files};
use crate::sandbox::{Daemon, Sandbox};
use crate::torture;

/// The calls by which the daemon reaches the backing directory. `write` and `read` are those to the kernel's device, too.
#[rustfmt::skip]
const CALLS: [&str; 16] = [
    "openat", "openat2", "pwrite64", "pwritev2", "pread64", "fsync", "renameat2", "renameat", "linkat", "unlinkat",
    "mkdirat", "statx", "getdents64", "utimensat", "ftruncate", "ioctl",
];

const ERRNOS: [(&str, i32); 5] = [
    ("EIO", libc::EIO),
    ("ENOSPC", libc::ENOSPC),
    ("EDQUOT", libc::EDQUOT),
    ("EROFS", libc::EROFS),
    ("EMFILE", libc::EMFILE),
];

/// strace, attached to a daemon.
struct Injection {
    strace: Child,
    log: PathBuf,
}

impl Injection {
    /// The Nth such call of each thread of the daemon fails; with `+`, and all that follow.
    fn start(daemon: &Daemon, log: PathBuf, call: &str, errno: &str, when: &str) -> Injection {
        let pid = daemon.pid().as_raw_nonzero().to_string();
        let mut strace = Command::new("strace")
            .args(["-f", "-y", "-p", &pid, "-e", &format!("trace={call}")])
            .arg("-e")
            .arg(format!("inject={call}:error={errno}:when={when}"))
            .arg("-o")
            .arg(&log)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
        // `Process 1 attached with 7 threads`: all of them are.
        let attached = said.find(|line| line.as_ref().unwrap().contains("attached"));
        assert!(attached.is_some(), "strace could not attach");
        std::thread::spawn(move || said.for_each(drop));
        Injection { strace, log }
    }

    /// Detaches.
    fn end(mut self) -> Failed {
        kill_process(Pid::from_child(&self.strace), Signal::INT).unwrap();
        self.strace.wait().unwrap();
        let text = fs::read(&self.log).unwrap();
        let mut failed = Failed::default();
        // A thread's call may be told in two lines, with those of others between them.
        let mut begun = BTreeMap::new();
        for line in String::from_utf8_lossy(&text).lines() {
            let (thread, call) = line.split_once(' ').unwrap();
            // The call opens a file of /proc by its path, or reads it through a descriptor that stays open.
            let of_proc = call.contains("\"/proc/") || call.contains("</proc/");
            if call.ends_with("<unfinished ...>") {
                begun.insert(thread.to_owned(), of_proc);
            } else if call.contains("(INJECTED)") {
                failed.calls += 1;
                failed.of_proc |= of_proc || begun.get(thread).is_some_and(|of_proc| *of_proc);
            }
        }
        failed
    }
}

/// The calls that strace made fail.
#[derive(Default)]
struct Failed {
    calls: usize,
    /// Whether any of the calls read `/proc` of the caller.
    of_proc: bool,
}

struct Operation {
    name: &'static str,
    prepare: fn(&Path, &str),
    run: fn(&Path, &str) -> Outcome,
    /// Both bodies of the case, the old and the new one, in what must be found: (acknowledged, found).
    check: fn(&Outcome, &Files, &str),
}

/// The files in the backing directory: contents by name.
type Files = BTreeMap<String, String>;

/// Before and after an operation, the body of a case.
fn old_body(id: &str) -> String {
    format!("old {id}\nand more\n")
}

fn new_body(id: &str) -> String {
    format!("new {id}\nand more\n")
}

fn old(dir: &Path, id: &str) {
    overwrite(&dir.join(format!("{id}.md")), &old_body(id)).unwrap();
}

fn stamped(dir: &Path, id: &str) -> std::io::Result<PathBuf> {
    let ending = format!("_{id}.md");
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_str().unwrap().ends_with(&ending) {
            return Ok(path);
        }
    }
    panic!("{ending} is not listed");
}

fn has(found: &Files, body: &str, pending: bool) -> bool {
    let mut all = found.iter();
    all.any(|(name, it)| it == body && name.contains("_done") != pending)
}

fn new_if_said(outcome: &Outcome, found: &Files, id: &str) {
    let new = new_body(id);
    assert!(outcome.is_err() || has(found, &new, true), "{found:?}");
    for (name, body) in found {
        let part = body.contains(&format!("new {id}")) && *body != new;
        assert!(!part || name.contains("-partial"), "{name}: {body}");
    }
}

fn old_or_new(outcome: &Outcome, found: &Files, id: &str) {
    new_if_said(outcome, found, id);
    let bodies = [old_body(id), new_body(id)];
    assert!(
        bodies.iter().any(|body| has(found, body, true)),
        "{found:?}"
    );
}

const OPERATIONS: [Operation; 7] = [
    Operation {
        name: "write",
        prepare: |_, _| {},
        run: |dir, id| overwrite(&dir.join(format!("{id}.md")), &new_body(id)),
        check: new_if_said,
    },
    Operation {
        name: "edit",
        prepare: old,
        run: |dir, id| overwrite(&dir.join(format!("{id}.md")), &new_body(id)),
        check: old_or_new,
    },
    Operation {
        name: "append",
        prepare: old,
        run: |dir, id| {
            let path = dir.join(format!("{id}.md"));
            write(&path, File::options().append(true), "appended\n")
        },
        check: |outcome, found, id| {
            let old = old_body(id);
            let starts = |body: &&String| body.starts_with(&old);
            let body = found
                .values()
                .find(starts)
                .unwrap_or_else(|| panic!("{found:?}"));
            assert!(
                outcome.is_err() || body.ends_with("appended\n"),
                "{found:?}"
            );
        },
    },
    Operation {
        name: "rename a scratch file onto its own",
        prepare: |dir, id| {
            old(dir, id);
            overwrite(&dir.join(format!("{id}.tmp")), &new_body(id)).unwrap();
        },
        run: |dir, id| {
            let (from, to) = (format!("{id}.tmp"), format!("{id}.md"));
            fs::rename(dir.join(from), dir.join(to)).map(|()| Vec::new())
        },
        check: old_or_new,
    },
    Operation {
        name: "rename X to X_done",
        prepare: old,
        run: |dir, id| {
            let name = stamped(dir, id)?;
            let to = name.to_str().unwrap().replace(".md", "_done.md");
            fs::rename(name, to).map(|()| Vec::new())
        },
        check: |outcome, found, id| {
            let old = old_body(id);
            assert!(
                has(found, &old, false) || has(found, &old, true),
                "{found:?}"
            );
            assert!(outcome.is_err() || has(found, &old, false), "{found:?}");
        },
    },
    Operation {
        name: "read to the end",
        prepare: old,
        run: |dir, _| read(&dir.join("pending.md")),
        check: |outcome, found, id| {
            let old = old_body(id);
            let given = outcome.as_ref().map_or(&[][..], |bytes| bytes);
            let given = String::from_utf8_lossy(given).contains(&old);
            let consumed = has(found, &old, false);
            assert!(consumed || has(found, &old, true), "{found:?}");
            assert!(given || !consumed, "consumed and not read: {found:?}");
        },
    },
    Operation {
        name: "mkdir and write in it",
        prepare: |_, _| {},
        run: |dir, id| {
            let queue = dir.join(format!("q-{id}"));
            fs::create_dir(&queue)?;
            overwrite(&queue.join("x.md"), &new_body(id))
        },
        check: new_if_said,
    },
];

fn found(dir: &Path) -> Files {
    let mut all = Files::new();
    for path in files(dir) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("20") && !path.starts_with(dir.join(".handoff-fs")) {
            all.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
        }
    }
    all
}

/// Waits until every worker has its descriptor of the device. The daemon is ready before that; a call that opens the
/// device is not part of an operation.
fn wait_for_workers(daemon: &Daemon) {
    // One of the daemon, and one of each of its eight workers.
    const DEVICES: usize = 9;
    let dir = format!("/proc/{}/fd", daemon.pid().as_raw_nonzero());
    let is_device =
        |path: PathBuf| fs::read_link(path).is_ok_and(|to| to == Path::new("/dev/fuse"));
    let devices = || {
        let all = fs::read_dir(&dir).unwrap();
        all.filter(|entry| is_device(entry.as_ref().unwrap().path()))
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while devices() < DEVICES {
        assert!(
            Instant::now() < deadline,
            "{} of {DEVICES} descriptors",
            devices()
        );
        std::thread::yield_now();
    }
}

/// Waits until a reader gets what was just written. A reader waits 100 ms at most for a close (spec 4.2c); a busy
/// machine may take longer.
fn is_delivered(dir: &Path, line: &str, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut given = String::new();
    while !given.contains(line) {
        assert!(Instant::now() < deadline, "{what}: {line:?}: {given}");
        let bytes = read(&dir.join("pending.md")).unwrap();
        given.push_str(&String::from_utf8(bytes).unwrap());
    }
}

/// spec 4.2a, 4.9a, 6.3a, 8.3c: any system call of the daemon may fail, once or from then on: acknowledged handoffs are
/// kept, the caller gets the error, and the mount works again at once.
#[test]
fn every_call_of_the_daemon() {
    let mut random = torture::random();
    // An ordinary run takes one case in so many.
    let one_in = torture::count(15, 1);
    let errnos = torture::count(1, ERRNOS.len() as u64) as usize;
    let (mut id, mut cases, mut faults, mut told) = (0, 0, 0, 0);
    for operation in &OPERATIONS {
        // A sandbox each: it has a watchdog.
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("b")).unwrap();
        let _disk = crate::tmpfs::Tmpfs::over(&sandbox.path("b"), "size=64m");
        let mount = || {
            let daemon = sandbox.mount_with(|command| {
                command.arg("--backing").arg(sandbox.path("b"));
                command.args(["--editor", &own_name()]);
            });
            wait_for_workers(&daemon);
            daemon
        };
        let mut daemon = mount();
        let (dir, below) = (sandbox.path("m"), sandbox.path("b"));
        for call in CALLS {
            for when in ["", "+"] {
                for n in 1..=12 {
                    if random.u64(..one_in) != 0 {
                        // As far as any operation goes.
                        if n < 4 { continue } else { break }
                    }
                    let first = random.usize(..ERRNOS.len());
                    let mut any = false;
                    for i in 0..errnos {
                        let (errno, number) = ERRNOS[(first + i) % ERRNOS.len()];
                        id += 1;
                        let id = format!("c{id}");
                        let what = format!("{}: {call} {n}{when} {errno}", operation.name);
                        (operation.prepare)(&dir, &id);
                        let log = sandbox.path("strace");
                        let injection =
                            Injection::start(&daemon, log, call, errno, &format!("{n}{when}"));
                        let outcome = (operation.run)(&dir, &id);
                        let failed = injection.end();
                        cases += 1;
                        faults += u64::from(failed.calls > 0);
                        // The caller may be told that the connection has ended before this process can see that the
                        // daemon has.
                        let cut = outcome.as_ref().is_err_and(|error| {
                            [Some(libc::ECONNABORTED), Some(libc::ENOTCONN)]
                                .contains(&error.raw_os_error())
                        });
                        if cut || !daemon.is_running() {
                            let (status, errors) = daemon.wait();
                            panic!("{what}: {outcome:?}: the daemon has ended: {status}: {errors}");
                        }
                        if let Err(error) = &outcome {
                            told += 1;
                            let said = error.raw_os_error().unwrap();
                            assert!(failed.calls > 0, "{what}: {error} without a fault");
                            // Without /proc nobody knows whose the alias is.
                            let unknown = failed.of_proc && said == libc::ENOENT;
                            assert!(said == number || unknown, "{what}: {error}");
                        }
                        let peek = fs::read_to_string(dir.join(".peek.md"));
                        let peek = peek.unwrap_or_else(|error| panic!("{what}: {error}"));
                        println!("{what}: {outcome:?}");
                        let mut of_case = found(&below);
                        of_case.retain(|_, body| body.contains(&id));
                        (operation.check)(&outcome, &of_case, &id);
                        drop(bodies(&peek));
                        // The mount works again at once.
                        overwrite(
                            &dir.join(format!("{id}-after.md")),
                            &format!("after {id}\n"),
                        )
                        .unwrap();
                        is_delivered(&dir, &format!("\nafter {id}\n"), &what);
                        if failed.calls > 0 && random.u64(..10) == 0 {
                            let before = found(&below);
                            sandbox.run(["unmount", "m"]);
                            daemon.wait();
                            daemon = mount();
                            let after = found(&below);
                            for (name, body) in before {
                                // Made pending again, if the note of its reading could not be removed.
                                let here = after.values().any(|it| *it == body);
                                assert!(here, "{what}: {name} is gone with a restart");
                            }
                        }
                        any |= failed.calls > 0;
                        if failed.calls == 0 {
                            // Another errno would not be returned either.
                            break;
                        }
                    }
                    if !any && n > 1 {
                        break;
                    }
                }
            }
        }
    }
    torture::figure(
        "system calls",
        format_args!(
            "{} operations x {} calls x Nth, once and from then on x {errnos} errnos: {cases} cases, {faults} with a fault, {told} told to the \
             caller, 0 lost",
            OPERATIONS.len(),
            CALLS.len()
        ),
    );
}
