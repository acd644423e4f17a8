//! `status` and `unmount` without a name (spec 8.1b).

use std::fs;

use crate::sandbox::{Sandbox, complaint, started};
use crate::users::User;

/// spec 8.1b: without a name, the commands use the only mount of the user, wherever it is, also a dead one; with none
/// or several mounts they say so.
#[test]
fn without_a_name() {
    let (user, other) = (User::new(), User::new());
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    let fails = |arguments: &[&str], code| {
        complaint(&sandbox.handoff([]).args(arguments).output().unwrap(), code)
    };
    for command in ["status", "unmount"] {
        let line = fails(&[command], 1);
        assert!(
            line.contains("no handoff-fs of yours is mounted; mount one"),
            "{line}"
        );
    }
    sandbox.run(["mount", "a b"]);
    assert!(sandbox.run(["status"]).contains("/a b': mounted, pid "));
    let json: serde_json::Value = serde_json::from_str(&sandbox.run(["status", "--json"])).unwrap();
    assert_eq!(json["mountpoint"], sandbox.path("a b").to_str().unwrap());

    sandbox.run(["mount", "c"]);
    for arguments in [&["status"][..], &["status", "--json"], &["unmount"]] {
        let line = fails(arguments, 2);
        let cure = format!("name one: handoff-fs {} '/", arguments[0]);
        assert!(
            line.contains("2 are mounted: '/") && line.contains("/a b', /"),
            "{line}"
        );
        assert!(line.contains("/c; ") && line.contains(&cure), "{line}");
    }
    sandbox.run(["unmount", "c"]);
    sandbox.run(["unmount"]);
    assert_eq!(sandbox.mounts().len(), 0);

    let directory = sandbox.path("d");
    let mut command = sandbox.handoff(["mount", "-f", "--report-ready", "d"]);
    let daemon = started(&mut command);
    daemon.kill();
    let line = fails(&["status"], 1);
    assert!(
        line.starts_with(directory.to_str().unwrap()) && line.contains("is dead"),
        "{line}"
    );
    sandbox.run(["unmount"]);
    assert_eq!(sandbox.mounts().len(), 0);

    // Another user's counts for nobody else.
    fs::create_dir(sandbox.path("theirs")).unwrap();
    std::os::unix::fs::chown(sandbox.path("theirs"), Some(other.uid), None).unwrap();
    let mut theirs = std::process::Command::new("setpriv");
    theirs
        .arg(format!("--reuid={}", other.uid))
        .args(["--clear-groups", "--"]);
    theirs
        .arg(sandbox.path("handoff-fs"))
        .arg("mount")
        .arg(sandbox.path("theirs"));
    let output = theirs.env("HOME", "/nonexistent").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(fails(&["status"], 1).contains("no handoff-fs of yours"));
}
