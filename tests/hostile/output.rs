//! Hostile names in output and in the log.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::sandbox::Sandbox;

const FORGED: &[u8] =
    b"2026-01-02_030405_a\n[2026-01-02T03:04:05Z ERROR handoff_fs] forged\x1b[2J\xff\xc2\x9b.md";

/// spec 8.1b: `.status.json` is JSON and `status` is printable, whatever a handoff is called; no name makes a line of the log,
/// and none of them reaches a terminal as more than letters.
#[test]
fn names_are_only_names() {
    let sandbox = Sandbox::new();
    sandbox.mount().stop();
    let name = OsStr::from_bytes(FORGED);
    fs::write(sandbox.path("m").join(name), "x\n").unwrap();
    let stray = [
        b"stray\n[2026-01-02T03:04:05Z ERROR handoff_fs] forged\x1b[2J".as_slice(),
        b"\xff.md",
    ]
    .concat();
    fs::write(sandbox.path("m").join(OsStr::from_bytes(&stray)), "y\n").unwrap();
    let daemon = sandbox.mount();
    let draft = fs::File::create(
        sandbox
            .path("m")
            .join(OsStr::from_bytes(b"2026-01-02_030406_\n\x1b[2J\xff.md")),
    )
    .unwrap();
    let text = sandbox.run(["status", "m"]);
    assert!(text.contains("forged") && !text.contains("\n["), "{text}");
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
    let json = sandbox.run(["status", "--json", "m"]);
    assert!(
        !json.contains(|c: char| c.is_control() && c != '\n'),
        "{json:?}"
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["pending"], 2);
    assert_eq!(json["drafts"].as_array().unwrap().len(), 1);
    drop(draft);
    daemon.signal(rustix::process::Signal::TERM);
    let (status, log) = daemon.wait();
    assert!(status.success());
    assert!(log.contains("adopted stray"), "{log}");
    for line in log.lines() {
        assert!(
            line.starts_with('[') && !line.contains("ERROR handoff_fs] forged\n"),
            "{line}"
        );
        assert!(!line.starts_with("[2026-01-02"), "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
