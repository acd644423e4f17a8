//! stress-ng: what its file system stressors do goes through, and leaves the mount in order.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::Mount;
use crate::torture;

/// The stressors of the class «filesystem» that cannot apply, and why. All others must succeed.
#[rustfmt::skip]
const EXCLUDED: &[(&str, &str)] = &[
    ("bind-mount", "mounts over directories of its own; nothing of it reaches this file system"),
    ("binderfs", "mounts another file system"),
    ("eventfd", "no file is involved"),
    ("fiemap", "FUSE has no FIEMAP"),
    ("link", "hard links other than of scratch files are EPERM (spec 4.10b)"),
    ("procfs", "reads /proc, not the files it is given"),
    ("symlink", "symbolic links are EPERM (spec 4.10b)"),
    ("verity", "FUSE passes no fs-verity ioctl on without being asked to"),
];

/// The stressors of an ordinary run, all at the same time: they make, find, rename, list and remove names, and write,
/// lock, punch and copy data.
#[rustfmt::skip]
const ORDINARY: &[&str] = &[
    "copy-file", "dentry", "dir", "fallocate", "filename", "flock", "getdent", "open", "rename", "touch", "utime",
    "xattr",
];

/// All stressors of the class in the installed version.
fn class() -> BTreeSet<String> {
    let output = Command::new("stress-ng")
        .args(["--class", "filesystem?"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let (_, names) = text.split_once("stressors:").unwrap();
    names.split_whitespace().map(str::to_owned).collect()
}

/// Runs these at the same time, and kills them all should they not come to an end.
fn stress(mount: &Mount, names: &[&str], time: Duration) -> Output {
    let seconds = time.as_secs();
    let mut command = mount.command("stress", "timeout");
    command
        // timeout leads a process group of its own, and its signals go to all of it.
        .args(["--kill-after=5", &(seconds + 60).to_string(), "stress-ng"])
        .args(["--timeout", &seconds.to_string(), "--verify", "--temp-path"])
        .arg(mount.at(""));
    for name in names {
        command.args([&format!("--{name}"), "1"]);
    }
    command.output().unwrap()
}

/// The faults that stress-ng reports. A directory that is not empty at the end is no fault: a handoff whose alias is
/// removed is retracted, and stays as consumed (spec 4.5g).
fn faults(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let expected = |line: &&str| line.contains("rmdir '") && line.contains("errno=39");
    let mut faults: Vec<String> = text
        .lines()
        .filter(|line| line.contains("fail:") || line.contains("error:"))
        .filter(|line| !expected(line))
        .map(str::to_owned)
        .collect();
    // 3 is: a stressor has found out by itself that it does not apply.
    if !matches!(output.status.code(), Some(0 | 3)) && faults.is_empty() {
        faults.push(format!("{}: {text}", output.status));
    }
    faults
}

/// spec, third rule: a tool that behaves as POSIX allows is not surprised: stress-ng's stressors find no fault, none hangs,
/// and afterwards the mount is as it should be.
#[test]
fn its_stressors_go_through() {
    let class = class();
    for (name, reason) in EXCLUDED {
        assert!(
            class.contains(*name),
            "{name} ({reason}) is no stressor of the class"
        );
    }
    let all: Vec<&str> = class
        .iter()
        .map(String::as_str)
        .filter(|name| EXCLUDED.iter().all(|(excluded, _)| excluded != name))
        .collect();
    let whole = torture::count(0, 1) == 1;
    let time = torture::time(Duration::from_secs(4), 10);
    let mut mount = Mount::new();
    mount.allow(time + Duration::from_secs(600));

    let mut faulty = Vec::new();
    let mut run = |names: &[&str], time| {
        let output = stress(&mount, names, time);
        for fault in faults(&output) {
            faulty.push(format!("{names:?}: {fault}"));
        }
    };
    if whole {
        let each = (time / u32::try_from(all.len()).unwrap()).max(Duration::from_secs(1));
        for name in &all {
            run(&[name], each);
        }
        torture::figure(
            "stress-ng",
            format_args!(
                "{} stressors, {} s each; {} excluded",
                all.len(),
                each.as_secs(),
                EXCLUDED.len()
            ),
        );
    } else {
        run(ORDINARY, time);
        torture::figure(
            "stress-ng",
            format_args!("{} stressors at once, {} s", ORDINARY.len(), time.as_secs()),
        );
    }
    assert!(faulty.is_empty(), "{faulty:#?}");

    // A handoff goes through among all that is left.
    mount.sh("w", "echo after > after.md");
    assert!(mount.take("r").iter().any(|body| body == "after"));
    assert_eq!(mount.peek(), [""; 0]);
    // RELEASE comes after close has returned.
    let deadline = Instant::now() + Duration::from_secs(30);
    while mount.fs().handles() > 0 {
        assert!(Instant::now() < deadline, "something is left open");
        thread::yield_now();
    }
}
