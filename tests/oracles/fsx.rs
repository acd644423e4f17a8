//! fsx, the file system exerciser: random operations on one file, each read compared with what was written.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::Mount;
use crate::torture;

/// Where `scripts/test.sh` installs it.
fn program() -> std::path::PathBuf {
    let target = env!("CARGO_TARGET_TMPDIR");
    let target = Path::new(target).parent().unwrap();
    let program = target.join("tools/bin/fsx");
    assert!(
        program.exists(),
        "{}: missing; scripts/test.sh installs it",
        program.display()
    );
    program
}

/// Operations of one run of it. It leaves many of its mappings behind, each of which every truncation has to look at, and of
/// which the kernel allows 65,530: a run of a million gets slower and slower, and does not come to its end.
const RUN: u64 = 10_000;

/// spec 4.5a: a stamped name is an ordinary file: reads, writes, mappings, truncation, holes, copies, syncs and reopening
/// in any order give what they give on any file system.
#[test]
fn a_stamped_file_behaves_as_any_file() {
    let mut mount = Mount::new();
    let operations = torture::count(4_000, 1_000_000);
    // An ordinary run takes seconds; a whole one has a limit all the same.
    mount.allow(Duration::from_secs(torture::count(120, 3600)));
    fs::write(mount.outside("fsx.toml"), include_str!("fsx.toml")).unwrap();
    let mut random = torture::random();
    let began = Instant::now();
    let mut left = operations;
    while left > 0 {
        let some = left.min(RUN);
        exercise(&mount, some, random.u32(1..));
        left -= some;
    }
    torture::figure(
        "fsx",
        format_args!(
            "{operations} operations on a stamped file, {} s: no difference",
            began.elapsed().as_secs()
        ),
    );
    // Still one handoff, whole.
    assert_eq!(mount.names(), ["2026-01-02_030405_fsx.md"]);
    let above = fs::read(mount.at("2026-01-02_030405_fsx.md")).unwrap();
    let below = fs::read(mount.below("2026-01-02_030405_fsx.md")).unwrap();
    assert!(above == below);
}

/// One run of fsx, on the file that the last run has left.
fn exercise(mount: &Mount, operations: u64, seed: u32) {
    let output = Command::new("timeout")
        .args(["--kill-after=5", "100"])
        .arg(program())
        .args(["-N", &operations.to_string(), "-S", &seed.to_string(), "-P"])
        .arg(mount.outside(""))
        .arg("-f")
        .arg(mount.outside("fsx.toml"))
        .arg(mount.at("2026-01-02_030405_fsx.md"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = text.lines().rev().take(40).collect();
    assert!(
        output.status.success(),
        "{operations} operations, seed {seed}: {}; {}; the last first:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        last.join("\n")
    );
}
