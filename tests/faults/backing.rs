//! The backing directory is taken away from under the mount: removed, replaced, moved, made read-only, unmounted.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags};

use crate::cases::{Outcome, overwrite, read};
use crate::harness::{bodies, errno};
use crate::sandbox::{Daemon, Sandbox};
use crate::tmpfs::Tmpfs;

fn new(path: &Path) -> Outcome {
    overwrite(
        path, "new
",
    )
}

/// A mount at `m` of `b`, with one handoff in it.
fn mounted(sandbox: &Sandbox) -> Daemon {
    let daemon = sandbox.mount_with(|command| {
        command.arg("--backing").arg(sandbox.path("b"));
    });
    sandbox.sh("echo kept > m/kept.md");
    assert!(sandbox.sh("cat m/.peek.md").contains("\nkept\n"));
    daemon
}

/// Everything is answered, and every writing call with one of these errors.
fn nothing_can_be_written(sandbox: &Sandbox, errnos: &[i32]) {
    let dir = sandbox.path("m");
    let own = dir.join("kept.md");
    let told = [
        ("a new one", errno(new(&dir.join("new.md")))),
        ("mkdir", errno(fs::create_dir(dir.join("q")))),
        ("scratch", errno(new(&dir.join("x.tmp")))),
        ("its own", errno(new(&own))),
        ("pending.md", errno(new(&dir.join("pending.md")))),
    ];
    for (what, errno) in told {
        assert!(errnos.contains(&errno), "{what}: {errno}");
    }
    // Answered, whatever they say.
    let _ = fs::read_dir(&dir).map(Iterator::count);
    let _ = read(&dir.join(".peek.md"));
    let _ = fs::metadata(&own);
}

/// `status` works, and says what is wrong and how that is mended; the log says it too, once.
fn status_says(sandbox: &Sandbox, words: &[&str]) {
    let status = sandbox.run(["status", "m"]);
    for word in words {
        assert!(status.contains(word), "{word}: {status}");
    }
}

fn says_once(errors: &str, words: &str) {
    let lines = errors.lines().filter(|line| line.contains(words));
    assert_eq!(lines.count(), 1, "{words}: {errors}");
}

/// spec 8.1e, 8.3c: a backing directory that is removed while it is mounted: errors and no hang; made again and mounted again it
/// works.
#[test]
fn removed() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("b")).unwrap();
    let daemon = mounted(&sandbox);
    fs::remove_dir_all(sandbox.path("b")).unwrap();
    nothing_can_be_written(&sandbox, &[libc::ENOENT, libc::ESTALE]);
    status_says(&sandbox, &["was removed", "mount again", "pending   0"]);
    // Another one of that name is not the same: what was open goes on being so.
    fs::create_dir(sandbox.path("b")).unwrap();
    nothing_can_be_written(&sandbox, &[libc::ENOENT, libc::ESTALE]);
    sandbox.run(["unmount", "m"]);
    let (status, errors) = daemon.wait();
    assert!(status.success(), "{errors}");
    says_once(&errors, "was removed");
    let daemon = mounted(&sandbox);
    daemon.stop();
}

/// spec 8.1e, 8.3c: the same, where the mountpoint itself holds the files: all of them are removed from under the mount, and
/// the private directory with them.
#[test]
fn emptied() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("m")).unwrap();
    let below = File::open(sandbox.path("m")).unwrap();
    let daemon = sandbox.mount();
    sandbox.sh("echo kept > m/kept.md; mkdir m/q; echo deep > m/q/deep.md");
    let below = std::os::fd::AsRawFd::as_raw_fd(&below);
    let below = format!("/proc/{}/fd/{below}", std::process::id());
    sandbox.sh(&format!("cd {below}; rm -rf q .handoff-fs 2*"));
    assert_eq!(sandbox.sh("cat m/pending.md"), "");
    sandbox.sh("echo new > m/new.md; mkdir m/q; echo deep > m/q/deep.md; echo x > m/x.tmp");
    let given = sandbox.sh("cat m/pending.md");
    assert_eq!(bodies(&given).len(), 2, "{given}");
    daemon.stop();
    let daemon = sandbox.mount();
    assert!(sandbox.sh("ls m").contains("_new_done.md"));
    daemon.stop();
}

/// spec 3.1, 8.1e: a backing directory that is moved, and another one put in its place: the files are where the old one is now,
/// and `status` says so.
#[test]
fn replaced() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("b")).unwrap();
    let daemon = mounted(&sandbox);
    fs::rename(sandbox.path("b"), sandbox.path("b2")).unwrap();
    fs::create_dir(sandbox.path("b")).unwrap();
    status_says(&sandbox, &["not there any more", "/b2"]);
    sandbox.sh("echo new > m/new.md");
    assert!(sandbox.sh("ls b2").contains("_new.md"));
    fs::remove_dir(sandbox.path("b")).unwrap();
    fs::rename(sandbox.path("b2"), sandbox.path("b")).unwrap();
    assert!(!sandbox.run(["status", "m"]).contains("trouble"));
    assert_eq!(sandbox.take(), ["kept", "new"]);
    daemon.stop();
}

/// spec 8.1e, 4.9a, 6.3a: a disk that becomes read-only: EROFS to every writer; what is pending can be read, stays pending and is
/// delivered again; and when the disk can be written everything goes on.
#[test]
fn read_only() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("b")).unwrap();
    let _disk = Tmpfs::over(&sandbox.path("b"), "size=8m");
    let daemon = mounted(&sandbox);
    let remount = |flags: MountFlags| {
        rustix::mount::mount_remount(sandbox.path("b"), flags, c"").unwrap();
    };
    remount(MountFlags::RDONLY);
    nothing_can_be_written(&sandbox, &[libc::EROFS]);
    for _ in 0..2 {
        assert_eq!(sandbox.take(), ["kept"]);
    }
    assert_eq!(
        errno(fs::remove_file(sandbox.path("m/kept.md"))),
        libc::EROFS
    );
    status_says(&sandbox, &["read-only", "remount,rw", "pending   1"]);
    remount(MountFlags::empty());
    assert!(!sandbox.run(["status", "m"]).contains("trouble"));
    sandbox.sh("echo new > m/new.md; mkdir m/q; echo deep > m/q/deep.md");
    assert_eq!(sandbox.take().len(), 3);
    sandbox.run(["unmount", "m"]);
    let (_, errors) = daemon.wait();
    says_once(&errors, "mounted read-only");
}

/// spec 8.1e: the same for a user whose directory may not be written any more.
#[test]
fn not_writable() {
    let mut sandbox = Sandbox::new();
    sandbox.become_user(65534);
    sandbox.sh("mkdir b m");
    let daemon = mounted(&sandbox);
    let mode = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(sandbox.path("b"), mode).unwrap();
    };
    mode(0o555);
    for script in [
        "echo new > new; cp new m/new.md",
        "mkdir m/q",
        "mv m/*_kept.md m/2026-01-02_030405_x_done.md",
    ] {
        let output = sandbox
            .command("bash")
            .args(["-c", script])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && errors.contains("Permission denied"),
            "{script}: {errors}"
        );
    }
    assert_eq!(sandbox.take(), ["kept"]);
    assert_eq!(sandbox.take(), ["kept"]);
    status_says(&sandbox, &["may not be written", "chmod"]);
    mode(0o700);
    assert!(!sandbox.run(["status", "m"]).contains("trouble"));
    sandbox.sh("echo newer > m/newer.md");
    let given = sandbox.take();
    assert!(
        given.contains(&"kept".to_owned()) && given.contains(&"newer".to_owned()),
        "{given:?}"
    );
    daemon.stop();
}

/// spec 8.1e, 8.3c: a disk that is unmounted lazily goes on serving what has it open; `status` says that it is not in its place.
#[test]
fn unmounted_underneath() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("b")).unwrap();
    let disk = Tmpfs::over(&sandbox.path("b"), "size=8m");
    let daemon = mounted(&sandbox);
    rustix::mount::unmount(sandbox.path("b"), UnmountFlags::DETACH).unwrap();
    status_says(&sandbox, &["not there any more", "unmounted"]);
    sandbox.sh("echo new > m/new.md");
    assert_eq!(sandbox.take(), ["kept", "new"]);
    sandbox.run(["unmount", "m"]);
    let (status, errors) = daemon.wait();
    assert!(status.success(), "{errors}");
    drop(disk);
}
