//! As an ordinary user, through the setuid helper.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{bodies, errno, list};
use crate::sandbox::{Sandbox, complaint, started};
use crate::users::{User, run};

/// spec 8.2a, 8.4b: everything without root: mounted in the background through fusermount3, written, read, unmounted; no
/// other user is let in, not even root; what it makes is the user's.
#[test]
fn the_whole_story_without_root() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    sandbox.run(["mount"]);
    let at = sandbox.path(".claude/handoffs");
    assert_eq!(sandbox.mounts(), std::slice::from_ref(&at));
    sandbox.sh("umask 022; echo red > .claude/handoffs/auth.md");
    let names = sandbox.sh("ls .claude/handoffs");
    assert!(names.contains("_auth.md"), "{names}");
    // FUSE lets nobody else in.
    assert_eq!(errno(fs::read_dir(&at)), libc::EACCES);
    assert_eq!(
        bodies(&sandbox.sh("cat .claude/handoffs/pending.md")),
        ["red"]
    );
    assert_eq!(sandbox.sh("cat .claude/handoffs/pending.md"), "");
    assert!(sandbox.run(["status"]).contains("consumed  1"));
    sandbox.run(["unmount"]);
    assert_eq!(sandbox.mounts().len(), 0);
    for name in list(&at) {
        assert_eq!(
            fs::metadata(at.join(&name)).unwrap().uid(),
            user.uid,
            "{name}"
        );
    }
    // With a file open, lazily; and killed, and mounted again.
    let mut command = sandbox.handoff(["mount", "-f", "--report-ready"]);
    let daemon = started(&mut command);
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().0.success());
    let daemon = started(&mut command);
    sandbox.sh("echo kept > .claude/handoffs/kept.md");
    daemon.kill();
    sandbox.run(["mount"]);
    assert_eq!(
        bodies(&sandbox.sh("cat .claude/handoffs/pending.md")),
        ["kept"]
    );
    sandbox.sh("fusermount3 -u .claude/handoffs");
}

/// spec 8.1e, 8.2a: errors that only users without root meet: a directory of another user, one without rights, no
/// fusermount3, a device that may not be opened, the mount of another user.
#[test]
fn in_a_users_way() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    let fails = |arguments: [&str; 2], parts: &[&str]| {
        let line = sandbox.refused(arguments, 1);
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        assert_eq!(sandbox.mounts().len(), 0);
    };
    fs::create_dir(sandbox.path("roots")).unwrap();
    fails(["mount", "roots"], &["/roots: ", "belongs to uid 0"]);
    fails(
        ["mount", "roots/below"],
        &["/roots/below: ", "Permission denied"],
    );
    fs::create_dir(sandbox.path("shut")).unwrap();
    chown(sandbox.path("shut"), Some(user.uid), None).unwrap();
    fs::set_permissions(sandbox.path("shut"), fs::Permissions::from_mode(0o500)).unwrap();
    fails(
        ["mount", "shut"],
        &["/shut: ", "may not be read and written", "chmod u+rwx"],
    );
    let output = sandbox
        .handoff(["mount", "m"])
        .env("FUSERMOUNT_PATH", sandbox.path("none"))
        .output()
        .unwrap();
    let line = complaint(&output, 1);
    assert!(
        line.contains("is not installed") && line.contains("apt-get install fuse3"),
        "{line}"
    );
    assert_eq!(sandbox.mounts().len(), 0);
    // Root's mount is not this user's to use, to look at, or to end.
    let mine = Command::new(env!("CARGO_BIN_EXE_handoff-fs"))
        .arg("mount")
        .arg(sandbox.path("roots"))
        .env("HOME", sandbox.path("."))
        .output()
        .unwrap();
    assert!(mine.status.success(), "{mine:?}");
    for arguments in [
        ["mount", "roots"],
        ["status", "roots"],
        ["unmount", "roots"],
    ] {
        let line = sandbox.refused(arguments, 1);
        assert!(line.contains("/roots: ") && line.contains("; "), "{line}");
    }
    assert_eq!(sandbox.mounts().len(), 1);
    run(Command::new(env!("CARGO_BIN_EXE_handoff-fs"))
        .arg("unmount")
        .arg(sandbox.path("roots")));
}

/// spec 6.1a, 8.4c: a directory below that its user cannot read shuts nothing else.
#[test]
fn a_queue_without_rights() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    sandbox.run(["mount", "m"]);
    sandbox.sh("mkdir m/q; echo q > m/q/q.md; echo x > m/x.md");
    sandbox.run(["unmount", "m"]);
    sandbox.sh("chmod 0 m/q");
    sandbox.run(["mount", "m"]);
    assert_eq!(sandbox.take(), ["x"]);
    sandbox.run(["unmount", "m"]);
    sandbox.sh("chmod 700 m/q");
    sandbox.run(["mount", "m"]);
    assert_eq!(sandbox.take(), ["q"]);
    sandbox.run(["unmount", "m"]);
}

/// spec 3.6k: git works in the mount and in a queue of a user who is not root: it makes its objects read-only, and then
/// writes them.
#[test]
fn git_without_root() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    sandbox.run(["mount", "m"]);
    sandbox.sh("mkdir m/q; echo one > m/one.md; echo two > m/q/two.md; echo secret > m/.netrc");
    for queue in ["m", "m/q"] {
        let files = sandbox.sh(&format!(
            "export GIT_CONFIG_NOSYSTEM=1; cd {queue} && git init -q . && git config user.email a@b \
             && git config user.name n && git add . && git commit -qm one && git fsck --strict && git ls-files"
        ));
        assert!(files.contains("_two.md\n"), "{queue}: {files}");
    }
    assert!(sandbox.sh("cat m/.peek.md").contains("\none\n"));
    sandbox.run(["unmount", "m"]);
    assert_eq!(sandbox.sh("cat m/.netrc"), "secret\n");
    sandbox.run(["mount", "m"]);
    sandbox.run(["unmount", "m"]);
}

/// spec 3.7d: a file that is another user's allows no lease: as a stray it is adopted once it was seen unchanged for five
/// seconds, and not before.
#[test]
fn a_stray_of_another_user() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    let below = sandbox.path("m");
    sandbox.sh("mkdir m");
    let below = File::open(below).unwrap();
    sandbox.run(["mount", "m"]);
    let below = format!("/proc/self/fd/{}", below.as_raw_fd());
    let began = Instant::now();
    let mut file = File::create(format!("{below}/x.md")).unwrap();
    file.write_all(b"half, ").unwrap();
    let peek = || bodies(&sandbox.sh("cat m/.peek.md"));
    assert_eq!(peek(), [""; 0]);
    let names = sandbox.sh("ls m");
    assert_eq!(names, "pending.md\n");
    file.write_all(b"whole\n").unwrap();
    drop(file);
    // Nothing but time tells that it is finished.
    while peek().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "never adopted");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(began.elapsed() >= Duration::from_secs(5));
    assert_eq!(peek(), ["half, whole"]);
    sandbox.run(["unmount", "m"]);
}
