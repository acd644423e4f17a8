//! `mount` after `unmount`, with somebody still in the old tree (spec 8.2d).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};

use rustix::process::Signal;

use crate::background::{Mounted, Process};
use crate::harness::{errno, list, sorted, succeeds};
use crate::sandbox::Sandbox;
use crate::users::User;

/// A process that runs this script in the mount, and has begun to wait.
fn sits(sandbox: &Sandbox, script: &str) -> Child {
    let mut child = sandbox
        .command("bash")
        .args(["-c", &format!("{script}; echo; read")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = child.stdout.as_mut().unwrap().read_exact(&mut [0]);
    said.unwrap();
    child
}

fn ends(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

fn is_cut_off(child: &Child) -> bool {
    let cwd = format!("/proc/{}/cwd/.", child.id());
    fs::metadata(cwd).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN))
}

/// spec 8.2d: after any way of unmounting, the directory can be mounted again at once; processes that only have the old
/// tree as their working directory, or read in it, are cut off.
#[test]
fn who_only_sits_there_is_cut_off() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    for way in ["unmount", "fusermount3", "umount -l"] {
        sandbox.sh("echo x > m/x.md; mkdir -p m/q elsewhere; mount --bind m/q elsewhere");
        let (daemon, supervisor) = mounted.processes();
        let sitter = sits(&sandbox, "cd m");
        let reader = File::open(mounted.at("pending.md")).unwrap();
        match way {
            "unmount" => {
                let output = sandbox.handoff(["unmount", "m"]).output().unwrap();
                let text = String::from_utf8(output.stderr).unwrap();
                assert!(text.contains("the next mount cuts them off"), "{text}");
            }
            "fusermount3" => drop(sandbox.sh("fusermount3 -u -z m")),
            _ => drop(sandbox.sh("umount -l m")),
        }
        assert_eq!(sandbox.mounts(), [sandbox.path("elsewhere")], "{way}");
        assert!(daemon.is_running() && !is_cut_off(&sitter), "{way}: lazily");
        mounted.mount();
        daemon.wait();
        supervisor.wait();
        assert!(is_cut_off(&sitter), "{way}");
        sandbox.sh("umount elsewhere");
        assert_eq!(sandbox.mounts(), [sandbox.path("m")]);
        assert!((&reader).read(&mut [0]).is_err());
        assert_eq!(sandbox.take(), ["x"], "{way}");
        ends(sitter);
    }
    mounted.unmount();
}

/// spec 8.2d: a mount waits for a file that is being written in the old tree, and says so; if the file is closed in time,
/// it is a whole handoff.
#[test]
fn a_writer_is_waited_for() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let daemon = mounted.daemon();
    let mut file = File::create(mounted.at("notes.md")).unwrap();
    file.write_all(b"before, ").unwrap();
    let sitter = sits(&sandbox, "cd m");
    sandbox.sh("umount -l m");
    let mut mount = sandbox.handoff(["mount", "m"]);
    let mount = mount.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut mount = mount.spawn().unwrap();
    let mut said = String::new();
    let stderr = mount.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut said).unwrap();
    assert!(said.contains("waiting up to 10 s for programs"), "{said}");
    assert!(mounted.log().contains("waiting for writers"));
    assert!(daemon.is_running() && mount.try_wait().unwrap().is_none());
    file.write_all(b"after\n").unwrap();
    nix::unistd::close(file).unwrap();
    assert!(mount.wait().unwrap().success());
    daemon.wait();
    assert!(is_cut_off(&sitter));
    assert_eq!(sandbox.take(), ["before, after"]);
    assert!(
        !list(&sandbox.path("m"))
            .iter()
            .any(|name| name.contains("partial"))
    );
    ends(sitter);
    mounted.unmount();
}

/// spec 8.2d, 4.9a: a file that is not closed in time is kept as partial, whether a first close has published it or
/// not; the writer gets an error and does not hang. Acknowledged handoffs are whole.
#[test]
fn a_writer_that_does_not_end_is_partial() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let old = mounted.daemon();
    sandbox.sh("echo whole > m/whole.md");
    let mut file = File::create(mounted.at("draft.md")).unwrap();
    file.write_all(b"half\n").unwrap();
    // Two closes: after the first it has its name, and is not finished.
    let writer = sits(&sandbox, "exec 3> m/two.md; (echo first >&3)");
    sandbox.run(["unmount", "m"]);
    assert!(old.is_running());
    mounted.mount();
    old.wait();
    assert_eq!(errno(file.write_all(b"rest\n")), libc::ENOTCONN);
    let names = list(&sandbox.path("m"));
    for partial in ["_draft-partial.md", "_two-partial.md"] {
        assert!(
            names.iter().any(|name| name.ends_with(partial)),
            "{names:?}"
        );
    }
    assert_eq!(sorted(sandbox.take()), ["first", "half", "whole"]);
    ends(writer);
    mounted.unmount();
}

/// spec 8.2d: a daemon that somebody stopped gives way as well; `unmount` again ends one that is still in use.
#[test]
fn stopped_and_unmounted_twice() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let sitter = sits(&sandbox, "cd m");
    let daemon = mounted.daemon();
    daemon.signal(Signal::STOP);
    sandbox.sh("umount -l m");
    mounted.mount();
    daemon.wait();
    ends(sitter);

    let sitter = sits(&sandbox, "cd m");
    let (daemon, supervisor) = mounted.processes();
    sandbox.run(["unmount", "m"]);
    assert!(daemon.is_running());
    sandbox.run(["unmount", "m"]);
    assert!(!daemon.is_running() && !supervisor.is_running() && is_cut_off(&sitter));
    ends(sitter);
    mounted.mount();
    mounted.unmount();
}

/// spec 8.2b, 8.2c: a daemon that is mounted is never taken for one that has left: with --backing, and in a mount namespace of
/// its own, where only its pid can be named.
#[test]
fn who_is_mounted_stays() {
    let sandbox = Sandbox::new();
    let mounted = Mounted::new(&sandbox);
    let daemon = mounted.daemon();
    let line = sandbox.refused(["mount", "n", "--backing", "m"], 1);
    assert!(line.contains("unmount it first"), "{line}");
    // The plain directory, where it is not covered.
    let below = mounted.below.display().to_string();
    let below = below.replace("self", &std::process::id().to_string());
    sandbox.sh(&format!(
        "mkdir -p n; mount --no-canonicalize --bind {below} \"$PWD\"/n"
    ));
    let line = sandbox.refused(["mount", "n"], 1);
    let at = sandbox.path("m").display().to_string();
    let cure = format!("use that mount, or first run: handoff-fs unmount {at}");
    assert!(
        line.contains(&format!("(pid {})", daemon.pid)) && line.contains(&cure),
        "{line}"
    );
    sandbox.sh("umount n");
    assert!(daemon.is_running());
    mounted.unmount();

    let mut elsewhere = sandbox.command("unshare");
    elsewhere.args(["--mount", env!("CARGO_BIN_EXE_handoff-fs"), "mount", "m"]);
    succeeds(&mut elsewhere);
    assert_eq!(sandbox.mounts().len(), 0);
    let line = sandbox.refused(["mount", "m"], 1);
    let pid: i32 = sandbox
        .sh("head -1 m/.handoff-fs/lock")
        .trim()
        .parse()
        .unwrap();
    let cure = format!("kill {pid}");
    assert!(
        line.contains("in another mount namespace") && line.ends_with(&cure),
        "{line}"
    );
    let other = Process::new(&pid.into());
    assert!(other.is_running());
    other.signal(Signal::TERM);
    other.wait();
    mounted.mount();
    mounted.unmount();
}

/// spec 8.2a, 8.2d: the same without root; and one that is mounted in a sandbox of the user's stays.
#[test]
fn without_root() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    let program = sandbox.path("handoff-fs");
    let mut elsewhere = sandbox.command("unshare");
    elsewhere.args(["--user", "--map-root-user", "--mount"]);
    succeeds(elsewhere.arg(program).args(["mount", "m"]));
    let line = sandbox.refused(["mount", "m"], 1);
    let (_, cure) = line.split_once("in another mount namespace").unwrap();
    let (_, kill) = cure.split_once("end it: ").unwrap();
    sandbox.sh(kill);
    sandbox.run(["mount", "m"]);
    sandbox.sh("echo x > m/x.md");
    let sitter = sits(&sandbox, "cd m");
    sandbox.run(["unmount", "m"]);
    sandbox.run(["mount", "m"]);
    assert_eq!(sandbox.take(), ["x"]);
    ends(sitter);
    sandbox.run(["unmount", "m"]);
}
