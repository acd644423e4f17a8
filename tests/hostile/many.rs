//! A great deal of it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::time::{Duration, Instant, SystemTime};

use rustix::mount::MountFlags;

use crate::harness::memory;
use crate::merge::parse;
use crate::sandbox::{Daemon, Sandbox};
use crate::torture;

/// The most memory that the daemon ever had, in KiB.
fn peak(daemon: &Daemon) -> u64 {
    memory(daemon.child.id(), "VmHWM")
}

/// spec 3.7a, 3.3: strays by the thousand, a fifth of which want one and the same name, are all adopted when they are mounted,
/// each once, and are all merged; what that takes of memory is bounded.
#[test]
fn strays_by_the_thousand() {
    let count = usize::try_from(torture::count(2_000, 100_000)).unwrap();
    let sandbox = Sandbox::new();
    // A disk of memory: a real one takes minutes to make and remove that many files, which says nothing of the program. It
    // goes with the sandbox.
    fs::create_dir(sandbox.path("m")).unwrap();
    let flags = MountFlags::empty();
    rustix::mount::mount("tmpfs", sandbox.path("m"), "tmpfs", flags, c"mode=700").unwrap();
    let no_sync = |command: &mut std::process::Command| {
        command.arg("--no-sync");
    };
    let daemon = sandbox.mount_with(no_sync);
    let empty = peak(&daemon);
    daemon.stop();
    let mtime = SystemTime::now() - Duration::from_secs(3_600);
    for i in 0..count {
        let name = match i % 5 {
            // No letter and no digit in it: all of them are `handoff`.
            0 => format!(
                "{}.md",
                format!("{i:b}").replace('0', " ").replace('1', "!")
            ),
            1 => format!("n{i}.txt"),
            _ => format!("n{i}"),
        };
        let path = sandbox.path("m").join(name);
        fs::write(&path, format!("stray {i}\n")).unwrap();
        File::open(&path).unwrap().set_modified(mtime).unwrap();
    }
    let begun = Instant::now();
    let daemon = sandbox.mount_with(no_sync);
    let took = begun.elapsed();
    let rise = peak(&daemon).saturating_sub(empty);
    let merge = fs::read(sandbox.path("m/.peek.md")).unwrap();
    let found = parse(&merge).unwrap();
    let different: HashSet<_> = found.iter().map(|found| &found.body).collect();
    assert_eq!((found.len(), different.len()), (count, count));
    assert_eq!(fs::read_dir(sandbox.path("m")).unwrap().count(), count + 1);
    let read = peak(&daemon).saturating_sub(empty);
    daemon.stop();
    torture::figure(
        "hostile",
        format_args!(
            "{count} strays: adopted within {took:.1?}, {rise} KiB more; {read} KiB more once merged"
        ),
    );
    assert!(read < (32 << 10) + 3 * count as u64, "{read} KiB");
}

/// spec 6.2a: a handoff of a gigabyte is streamed: every byte is delivered, and the daemon's memory does not follow.
#[test]
fn a_gigabyte_is_streamed() {
    let size = torture::count(48 << 20, 1 << 30);
    let sandbox = Sandbox::new();
    let daemon = sandbox.mount();
    sandbox.sh("echo small > m/small.md");
    let before = peak(&daemon);
    let name = sandbox.path("m/2026-01-02_030405_big.md");
    File::create(&name).unwrap().set_len(size).unwrap();
    let promised = fs::metadata(sandbox.path("m/pending.md")).unwrap().len();
    let mut reader = File::open(sandbox.path("m/pending.md")).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => break,
            n => read += n as u64,
        }
    }
    assert_eq!(read, promised);
    assert!(read > size);
    assert!(fs::metadata(sandbox.path("m/2026-01-02_030405_big_done.md")).is_ok());
    let rise = peak(&daemon).saturating_sub(before);
    drop(reader);
    daemon.stop();
    torture::figure(
        "hostile",
        format_args!("a handoff of {} MiB was read: {rise} KiB more", size >> 20),
    );
    assert!(rise < 16 << 10, "{rise} KiB");
}
