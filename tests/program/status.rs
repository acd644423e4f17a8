//! `status`.

use std::fs::File;
use std::io::Write;

use rustix::process::Signal;

use crate::background::{Mounted, wait_until};
use crate::sandbox::Sandbox;

/// spec 8.1b, 4.2d: pending, consumed, the oldest, drafts that stay open with pid and age, backing, pid, uptime.
#[test]
fn everything_about_a_mount() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.mount();
    sandbox.sh(
        "echo 1 > m/one.md; cat m/pending.md; echo 2 > m/two.md; mkdir m/q; echo 3 > m/q/three.md",
    );
    sandbox.sh("touch -d '2 days ago' m/*_two.md");
    let mut open = File::create(sandbox.path("m/open.md")).unwrap();
    let json = sandbox.status("m");
    assert_eq!(json["pid"], daemon.child.id());
    assert_eq!(json["backing"], sandbox.path("m").to_str().unwrap());
    assert_eq!(json["mountpoint"], sandbox.path("m").to_str().unwrap());
    assert_eq!(
        (json["pending"].as_u64(), json["consumed"].as_u64()),
        (Some(2), Some(1))
    );
    let oldest = json["oldest_pending"]["name"].as_str().unwrap();
    assert!(oldest.ends_with("_two.md"), "{oldest}");
    assert!(json["oldest_pending"]["age_seconds"].as_u64().unwrap() >= 2 * 24 * 3600 - 1);
    assert_eq!(json["drafts"].as_array().unwrap().len(), 1);
    assert!(
        json["drafts"][0]["name"]
            .as_str()
            .unwrap()
            .ends_with("_open.md")
    );
    assert!(json["drafts"][0]["pid"].is_u64() && json["drafts"][0]["age_seconds"].is_u64());
    assert!(json["uptime_seconds"].is_u64());
    let text = sandbox.run(["status", "m"]);
    for part in [
        "mounted, pid",
        ", up ",
        "backing ",
        "pending   2 (oldest: ",
        "consumed  1",
        "writing ",
        "by pid",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    open.write_all(b"whole\n").unwrap();
    nix::unistd::close(open).unwrap();
    let json = sandbox.run(["status", "--json", "m"]);
    assert!(json.contains("\"pending\": 3"), "{json}");
    daemon.stop();
}

/// spec 8.1d, 8.1e: without a mount, `status` and `unmount` fail with 1 and name the cure.
#[test]
fn nothing_is_mounted() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("m")).unwrap();
    for command in ["status", "unmount"] {
        for place in ["m", "missing", "/proc"] {
            let line = sandbox.refused([command, place], 1);
            assert!(
                line.contains("no handoff-fs is mounted here; mount it"),
                "{line}"
            );
        }
    }
}

/// spec 8.1e: a queue is a part of its mount, which is named; a mount that does not answer is said, and the cure works.
#[test]
fn another_place_is_named() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    sandbox.sh("mkdir m/q; echo x > m/x.md");
    let at = sandbox.path("m");
    for command in ["status", "unmount"] {
        let line = sandbox.refused([command, "m/q"], 1);
        let cure = format!("name the mountpoint: {}", at.display());
        assert!(
            line.contains("not its mountpoint") && line.ends_with(&cure),
            "{line}"
        );
    }
    let daemon = mounted.daemon();
    daemon.signal(Signal::STOP);
    // Each of its threads by itself.
    let states = format!(
        "cat /proc/{}/task/*/stat | grep -vc ') T ' || true",
        daemon.pid
    );
    wait_until("it has stopped", || sandbox.sh(&states) == "0\n");
    let line = sandbox.refused(["status", "m"], 1);
    let (cause, cure) = line.split_once("; ").unwrap();
    let (_, cure) = cure.split_once(": ").unwrap();
    assert!(cause.ends_with("does not answer"), "{line}");
    let program = env!("CARGO_BIN_EXE_handoff-fs");
    sandbox.sh(&cure.replace("handoff-fs ", &format!("{program} ")));
    daemon.wait();
    assert_eq!(sandbox.take(), ["x"]);
    mounted.unmount();
}
