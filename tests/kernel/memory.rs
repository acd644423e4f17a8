//! How much memory the daemon takes for a large merge.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::daemon_process::Daemon;

/// How much the peak of the daemon's resident memory may rise, in KiB.
const LIMIT: u64 = 16 << 10;

const HANDOFFS: usize = 10_000;
const SIZE: usize = 2048;

fn fill(dir: &Path) {
    let line = format!("{}\n", "x".repeat(63));
    let body = line.repeat(SIZE / line.len());
    for i in 0..HANDOFFS {
        let name = format!(
            "2026-01-{:02}_{:02}{:02}{:02}_handoff.md",
            1 + i / 3600,
            i / 600 % 24,
            i / 60 % 60,
            i % 60
        );
        fs::write(dir.join(name), &body).unwrap();
    }
    assert_eq!(fs::read_dir(dir).unwrap().count(), HANDOFFS);
}

/// spec 6.2a (contents are streamed): ten thousand pending handoffs of 2 KiB are merged and consumed by one `cat`, and the
/// daemon's peak memory rises by less than 16 MiB.
#[test]
fn a_large_merge_is_streamed() {
    let dir = tempfile::Builder::new()
        .prefix("handoff-fs-test-")
        .tempdir()
        .unwrap();
    fill(dir.path());
    let daemon = Daemon::over(dir, &[]);
    let before = daemon.peak();

    let mut cat = Command::new("cat");
    let cat = cat
        .arg(daemon.at("pending.md"))
        .env("HANDOFF_SESSION", "memory");
    let mut cat = cat.stdout(Stdio::piped()).spawn().unwrap();
    let mut read = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match cat.stdout.as_mut().unwrap().read(&mut buffer).unwrap() {
            0 => break,
            n => read += n,
        }
    }
    assert!(cat.wait().unwrap().success());
    assert!(read > HANDOFFS * SIZE, "{read}");

    let rise = daemon.peak() - before;
    println!(
        "memory: peak {before} KiB after mounting, {rise} KiB more for {HANDOFFS} handoffs, {read} bytes"
    );
    let left = fs::metadata(daemon.at("pending.md")).unwrap().len();
    assert_eq!(left, 0, "all are consumed");
    let done = fs::read_dir(daemon.at("")).unwrap();
    let done = done.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .to_string_lossy()
            .ends_with("_done.md")
    });
    assert_eq!(done.count(), HANDOFFS);
    assert!(rise < LIMIT, "{rise} KiB");
}
