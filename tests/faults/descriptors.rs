//! No descriptor left.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::cases::{overwrite, read};
use crate::harness::bodies;
use crate::sandbox::{Daemon, Sandbox};

fn limit(daemon: &Daemon, most: u64) {
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    prlimit(Some(daemon.pid()), Resource::Nofile, limit).unwrap();
}

fn descriptors(daemon: &Daemon) -> usize {
    let dir = format!("/proc/{}/fd", daemon.pid().as_raw_nonzero());
    fs::read_dir(dir).unwrap().count()
}

fn told(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMFILE)
}

/// Opens files until one is refused; the error must say why.
fn exhaust(dir: &Path, open: impl Fn(&Path, usize) -> io::Result<File>) -> Vec<File> {
    let mut held = Vec::new();
    loop {
        match open(dir, held.len()) {
            Ok(file) => held.push(file),
            Err(error) => {
                assert!(told(&error), "{error}");
                return held;
            }
        }
    }
}

/// spec 8.3c, 6.3a, 6.5a, 4.2a: a daemon that may open no more files for its callers refuses the one open with EMFILE; reading,
/// searching and listing go on, nothing is taken for gone, and closing is all it takes for everything to work again.
#[test]
fn clients_at_the_limit() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.mount();
    let dir = sandbox.path("m");
    overwrite(&dir.join("mine.md"), "mine\n").unwrap();
    limit(&daemon, 200);
    // Held open to be read, and as drafts.
    let read_only: fn(&Path, usize) -> io::Result<File> = |dir, _| File::open(dir.join("mine.md"));
    let drafts: fn(&Path, usize) -> io::Result<File> = |dir, n| {
        let mut file = File::create(dir.join(format!("draft-{n}.md")))?;
        file.write_all(b"drafted\n")?;
        Ok(file)
    };
    for open in [read_only, drafts] {
        let held = exhaust(&dir, open);
        assert!(held.len() > 80, "{}", held.len());
        // A descriptor that was in use for a moment may be free again, but not more.
        let more = exhaust(&dir, open);
        assert!(more.len() < 8, "{}", more.len());
        // The daemon still tells searchers from readers.
        assert_eq!(sandbox.sh("grep -c ^mine$ m/pending.md"), "1\n");
        assert_eq!(sandbox.sh("cat m/.peek.md | grep -c ^mine$"), "1\n");
        assert!(sandbox.sh("ls m").contains("_mine.md"));
        assert!(fs::metadata(dir.join("mine.md")).unwrap().len() == 5);
        assert!(sandbox.run(["status", "m"]).contains("pending"));
        drop(held);
        // The RELEASE arrives after the close.
        while descriptors(&daemon) > 60 {
            std::thread::yield_now();
        }
        overwrite(&dir.join("again.md"), "again\n").unwrap();
    }
    let given = String::from_utf8(read(&dir.join("pending.md")).unwrap()).unwrap();
    let given = bodies(&given);
    let count = |body: &str| given.iter().filter(|it| *it == body).count();
    assert_eq!(count("mine"), 1);
    assert_eq!(count("again"), 2);
    assert!(count("drafted") > 80);
    daemon.stop();
}

/// spec 8.2a: where the hard limit allows, 10,000 files can be open in the mount, whatever the soft limit was.
#[test]
fn ten_thousand_open_files() {
    let sandbox = Sandbox::new();
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    assert!(
        hard.is_none_or(|hard| hard >= 10_200),
        "ulimit -H -n is {hard:?}"
    );
    let soft = Rlimit {
        current: hard,
        maximum: hard,
    };
    rustix::process::setrlimit(Resource::Nofile, soft).unwrap();
    let daemon = {
        let mut command = sandbox.command("prlimit");
        command
            .arg("--nofile=256:")
            .arg(env!("CARGO_BIN_EXE_handoff-fs"))
            .args(["mount", "--no-sync", "--foreground", "--report-ready", "--"])
            .arg(sandbox.path("m"));
        crate::sandbox::started(&mut command)
    };
    let dir = sandbox.path("m");
    overwrite(&dir.join("mine.md"), "mine\n").unwrap();
    let many = crate::torture::count(2_000, 10_000) as usize;
    let held: Vec<File> = (0..many)
        .map(|n| File::open(dir.join("mine.md")).unwrap_or_else(|error| panic!("{n}: {error}")))
        .collect();
    assert!(descriptors(&daemon) > many);
    overwrite(&dir.join("another.md"), "another\n").unwrap();
    assert_eq!(sandbox.sh("grep -c ^another$ m/pending.md"), "1\n");
    crate::torture::figure(
        "descriptors",
        format_args!("{many} files open at once, writes and searches beside"),
    );
    drop(held);
    drop(daemon);
}
