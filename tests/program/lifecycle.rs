//! Mounting, staying, ending.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{bodies, errno, list, sorted};
use crate::sandbox::{Sandbox, complaint, start};
use crate::users::{User, run};

/// spec 8.1a, 1: the story of the README, by the program in the background.
#[test]
fn mount_write_read_unmount() {
    let sandbox = Sandbox::new();
    let at = sandbox.path("m");
    assert_eq!(
        sandbox.run(["mount", "m"]),
        format!("handoff-fs is mounted at {}\n", at.display())
    );
    assert_eq!(sandbox.mounts(), [sandbox.path("m")]);
    sandbox.sh("echo red > m/auth.md");
    let merge = sandbox.sh("cat m/pending.md");
    assert_eq!(bodies(&merge), ["red"]);
    assert_eq!(sandbox.sh("cat m/pending.md"), "");
    let pid = sandbox.status("m")["pid"].clone();
    sandbox.run(["unmount", "m"]);
    assert_eq!(sandbox.mounts().len(), 0);
    // Not even by name: it may still wait for its parent as a zombie.
    let program = format!("/proc/{pid}/exe");
    let running = fs::read_link(program).is_ok();
    assert!(!running, "unmount returns when the daemon has ended");
    let names = list(&sandbox.path("m"));
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[1].ends_with("_auth_done.md"));
    let log = sandbox.sh("cat .local/state/handoff-fs/*.log");
    assert!(log.contains("mounted at") && log.contains("ended"), "{log}");
}

/// spec 8.1a, 8.1b: without a word the default mountpoint below the home directory, made for its owner alone; a directory alone
/// is `mount`.
#[test]
fn the_default_mountpoint() {
    // A user without other mounts.
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    sandbox.run(["mount"]);
    let path = sandbox.path(".claude/handoffs");
    assert_eq!(sandbox.mounts(), std::slice::from_ref(&path));
    assert_eq!(sandbox.sh("stat -c %a .claude/handoffs"), "700\n");
    assert!(
        sandbox
            .run(["status"])
            .contains("/.claude/handoffs: mounted, pid ")
    );
    sandbox.run(["unmount"]);
    sandbox.run(["./other"]);
    assert_eq!(sandbox.mounts(), [sandbox.path("other")]);
    sandbox.run(["umount", "other"]);
    assert_eq!(sandbox.mounts().len(), 0);
}

/// spec 8.1a, 3.6i: without HOME the home directory is the one that the password database has.
#[test]
fn the_home_directory_without_home() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    run(Command::new("usermod")
        .arg("--home")
        .arg(sandbox.path(""))
        .arg(&user.name));
    sandbox.become_user(user.uid);
    let mount = |word: Option<&str>| {
        let mut mount = sandbox.handoff(["mount"]);
        mount.args(word).env_remove("HOME").output().unwrap()
    };
    let output = mount(None);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(sandbox.mounts(), [sandbox.path(".claude/handoffs")]);
    let log = sandbox.sh("cat .local/state/handoff-fs/*.log");
    assert!(log.contains("mounted at"), "{log}");
    sandbox.run(["unmount"]);
    assert!(complaint(&mount(Some(".")), 1).contains("is your home directory"));
}

/// spec 8.1a: `--backing DIR` keeps the files there; so does the source field of an fstab line, with its options.
#[test]
fn another_backing_directory() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("b")).unwrap();
    sandbox.run(["mount", "m", "--backing", "b"]);
    sandbox.sh("echo x > m/x.md");
    assert_eq!(list(&sandbox.path("b")).len(), 2);
    sandbox.run(["unmount", "m"]);
    assert_eq!(list(&sandbox.path("m")).len(), 0);
    let backing = sandbox.path("b");
    let mountpoint = sandbox.path("m");
    let words = [backing.to_str().unwrap(), mountpoint.to_str().unwrap()];
    sandbox.run([
        words[0],
        words[1],
        "-o",
        "rw,noatime,retention=3d,utc,_netdev",
    ]);
    assert!(sandbox.sh("cat m/pending.md").contains("\nx\n"));
    let pid = sandbox.status("m")["pid"].clone();
    let process = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let process = String::from_utf8_lossy(&process).replace('\0', " ");
    assert!(
        process.contains("--retention=3days") && process.contains("--utc"),
        "{process}"
    );
    sandbox.run(["unmount", "m"]);
}

/// spec 8.2e: SIGTERM, SIGINT and `fusermount3 -u` end it cleanly with 0.
#[test]
fn three_ways_to_end() {
    let sandbox = Sandbox::new();
    for end in ["TERM", "INT", "fusermount3"] {
        let daemon = sandbox.mount();
        sandbox.sh("echo x > m/x.md");
        match end {
            "TERM" => daemon.signal(Signal::TERM),
            "INT" => daemon.signal(Signal::INT),
            _ => drop(sandbox.sh("fusermount3 -u m")),
        }
        let (status, errors) = daemon.wait();
        assert!(status.success(), "{end}: {status} {errors}");
        assert_eq!(sandbox.mounts().len(), 0, "{end}");
    }
    let _daemon = sandbox.mount();
    assert_eq!(sandbox.take().len(), 3);
}

/// spec 8.2e: with files open it ends lazily: the mount leaves the tree, the open files go on, and what is written to
/// them is published.
#[test]
fn ending_with_open_files() {
    let sandbox = Sandbox::new();
    for end in ["TERM", "unmount"] {
        let mut daemon = sandbox.mount();
        let mut file = File::create(sandbox.path("m/open.md")).unwrap();
        file.write_all(b"before, ").unwrap();
        if end == "TERM" {
            daemon.signal(Signal::TERM);
            // The mount has left the tree when the directory below is visible.
            while !sandbox.mounts().is_empty() {
                std::thread::yield_now();
            }
        } else {
            let output = sandbox.handoff(["unmount", "m"]).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(
                output.status.success() && text.contains("still in use by"),
                "{text}"
            );
            assert!(
                text.contains(&format!("(pid {})", std::process::id())),
                "{text}"
            );
        }
        assert!(daemon.is_running());
        file.write_all(b"after\n").unwrap();
        nix::unistd::close(file).unwrap();
        let (status, errors) = daemon.wait();
        assert!(status.success(), "{end}: {status} {errors}");
        let _daemon = sandbox.mount();
        assert_eq!(sandbox.take(), ["before, after"]);
        drop(_daemon);
        sandbox.run(["mount", "m"]);
        sandbox.run(["unmount", "m"]);
    }
}

/// spec 8.2e, 3.8: a second signal does not wait for open files; what was not closed is recovered.
#[test]
fn a_second_signal_does_not_wait() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.mount();
    let mut file = File::create(sandbox.path("m/open.md")).unwrap();
    file.write_all(b"half\n").unwrap();
    daemon.signal(Signal::TERM);
    while !sandbox.mounts().is_empty() {
        std::thread::yield_now();
    }
    daemon.signal(Signal::INT);
    let (status, errors) = daemon.wait();
    assert_eq!(status.code(), Some(1));
    assert!(errors.contains("second signal"), "{errors}");
    drop(file);
    let _daemon = sandbox.mount();
    assert!(
        list(&sandbox.path("m"))
            .iter()
            .any(|name| name.ends_with("_open-partial.md"))
    );
    assert_eq!(sandbox.take(), ["half"]);
}

/// spec 8.2b, 3.8: a dead mount is cleared and mounted again; until then `status` says what it is, and `unmount` clears
/// it too. What was open is partial, what was closed is whole, an unfinished edit is kept.
#[test]
fn after_kill_9() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.mount_with(|command| {
        command.args(["--editor", "python3"]);
    });
    sandbox.sh("echo whole > m/whole.md; echo old > m/edited.md");
    // The editor must be the process that wrote the alias.
    let mut editor = sandbox
        .command("python3")
        .args(["-c", "import sys; open('m/e.md','w').write('old\\n'); f = open('m/e.md','w'); f.write('new\\n'); f.flush(); print('ok', flush=True); sys.stdin.read()"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 3];
    editor
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut word)
        .unwrap();
    // Opened last: a child that is spawned would close its copy.
    let mut open = File::create(sandbox.path("m/open.md")).unwrap();
    open.write_all(b"half\n").unwrap();
    let empty = File::create(sandbox.path("m/empty.md")).unwrap();
    daemon.kill();
    drop((open, empty));
    assert_eq!(errno(fs::metadata(sandbox.path("m"))), libc::ENOTCONN);
    let line = sandbox.refused(["status", "m"], 1);
    assert!(
        line.contains("the mount is dead") && line.contains("handoff-fs mount"),
        "{line}"
    );
    let daemon = sandbox.mount();
    drop(editor.stdin.take());
    let _ = editor.wait();
    let names = list(&sandbox.path("m"));
    assert!(
        !names.iter().any(|name| name.contains("empty")),
        "{names:?}"
    );
    assert_eq!(
        names.iter().filter(|name| name.contains("partial")).count(),
        1,
        "{names:?}"
    );
    assert_eq!(sorted(sandbox.take()), ["half", "old", "old", "whole"]);
    daemon.kill();
    sandbox.run(["unmount", "m"]);
    assert_eq!(sandbox.mounts().len(), 0);
    assert_eq!(sandbox.sh("cat m/.handoff-fs/replaced/*_e.md.*"), "new\n");
}

/// spec 8.2c, 3.1: one daemon per backing directory: the second daemon names the process that serves it, however it is
/// started.
#[test]
fn one_daemon_per_backing_directory() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("b")).unwrap();
    let daemon = sandbox.mount_with(|command| {
        command.args(["--backing", "b"]);
    });
    let second = sandbox
        .handoff(["mount", "n", "--backing", "b"])
        .output()
        .unwrap();
    let line = complaint(&second, 1);
    assert!(
        line.contains("/b: ") && line.contains(&format!("(pid {})", daemon.child.id())),
        "{line}"
    );
    let third = sandbox.handoff(["mount", "b"]).output().unwrap();
    assert!(complaint(&third, 1).contains("/b: "));
    assert_eq!(sandbox.mounts(), [sandbox.path("m")]);
    sandbox.sh("echo x > m/x.md");
    daemon.stop();
    sandbox.run(["mount", "b"]);
    assert_eq!(bodies(&sandbox.sh("cat b/pending.md")), ["x"]);
    sandbox.run(["unmount", "b"]);
}

/// spec 8.2b: a live mount is reported, with its pid, and goes on.
#[test]
fn mounted_already() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.mount();
    for form in [["mount", "m"], ["mount", "./m/../m"]] {
        let line = sandbox.refused(form, 1);
        assert!(
            line.contains(&format!("(pid {})", daemon.child.id())),
            "{line}"
        );
        assert!(line.contains("handoff-fs unmount"), "{line}");
    }
    sandbox.sh("echo x > m/x.md; cat m/pending.md");
    daemon.stop();
}

/// spec 8.1d, 8.1e: the reporting form says `error` on standard output and complains on standard error, and ends with 1.
#[test]
fn not_ready() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("file"), "").unwrap();
    let mut command = sandbox.handoff(["mount", "-f", "--report-ready", "file"]);
    let Err((line, errors)) = start(&mut command) else {
        panic!("mounted over a file");
    };
    assert!(
        line.starts_with("error ") && line.contains("is not a directory"),
        "{line}"
    );
    assert!(errors.contains("is not a directory"), "{errors}");
}

/// spec 8.1a: the daemon keeps none of its caller's descriptors open, so a pipe of the caller ends with the caller.
#[test]
fn the_callers_pipes_end() {
    let sandbox = Sandbox::new();
    let program = env!("CARGO_BIN_EXE_handoff-fs");
    let out = sandbox.sh(&format!("{program} mount m 2>&1 3>&1 | cat; echo done"));
    assert!(out.starts_with("handoff-fs is mounted at ") && out.ends_with("/m\ndone\n"));
    sandbox.run(["unmount", "m"]);
}
