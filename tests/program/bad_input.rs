//! Everything that can stand in the way of a mount: one line with the path, the cause and the cure, nothing left mounted.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::mount::{MountFlags, UnmountFlags};

use crate::harness::list;
use crate::sandbox::{Sandbox, complaint};

/// `mount` with these words must fail with 1 in both forms, name the path first, and hold all of `parts`.
fn refused_path(sandbox: &Sandbox, words: &[&str], path: &str, parts: &[&str]) {
    let before = sandbox.mounts();
    let path = sandbox.path(path);
    for form in [&["mount"][..], &["mount", "-f"]] {
        let output = sandbox.handoff([]).args(form).args(words).output();
        let line = complaint(&output.unwrap(), 1);
        let beginning = format!("{}: ", path.display());
        assert!(line.starts_with(&beginning), "{words:?}: {line}");
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert_eq!(sandbox.mounts(), before);
    }
}

/// The same, where the path that is named is the last of the words, which have blanks between them.
fn refused(sandbox: &Sandbox, words: &str, parts: &[&str]) {
    let words: Vec<&str> = words.split(' ').collect();
    refused_path(sandbox, &words, words[words.len() - 1], parts);
}

/// spec 8.1d, 8.1e: wrong usage is 2, with one line that names the word and shows a right one.
#[test]
fn wrong_usage() {
    let mut sandbox = Sandbox::new();
    let cases: [(&[&str], &str); 13] = [
        (&["mount", "m", "--retention", "soon"], "--retention"),
        (&["mount", "m", "--retention", "7"], "7d"),
        (&["mount", "m", "--retention", "0s"], "36500d"),
        (&["mount", "m", "--retention", "-1d"], "-1"),
        (&["mount", "m", "--retention", "999999999y"], "36500d"),
        (&["mount", "m", "--max-size", "many"], "512K"),
        (
            &["mount", "m", "--max-size", "0"],
            "nothing could be written",
        ),
        (&["mount", "m", "-o", "retention=nonsense"], "nonsense"),
        (&["mount", "m", "-o", "frobnicate"], "frobnicate"),
        (&["mount", ""], "MOUNTPOINT"),
        (&["mount", "m", "--editor", ""], "--editor"),
        (&["mount", "m", "n"], "--backing DIR"),
        (&["mout"], "neither a command nor a directory"),
    ];
    for (arguments, part) in cases {
        let output = sandbox.handoff([]).args(arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(errors.contains(part), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
    for arguments in [
        &["--nonsense"][..],
        &["mount", "a", "b", "c"],
        &["status", "a", "b"],
    ] {
        let output = sandbox.handoff([]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    // Whom the password database does not know.
    sandbox.become_user(4_000_123);
    let output = sandbox
        .handoff(["mount"])
        .env_remove("HOME")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("HOME is not set"));
    assert_eq!(sandbox.mounts().len(), 0);
    assert!(!sandbox.path("m").exists(), "nothing is made either");
    for arguments in [&["--help"][..], &["--version"], &["mount", "--help"]] {
        assert!(
            sandbox
                .handoff([])
                .args(arguments)
                .status()
                .unwrap()
                .success()
        );
    }
}

/// spec 8.1c, 8.1d: the bare program shows its help; a first word that is no command and no directory is refused, with the
/// command that it is most like. Nothing is made or mounted.
#[test]
fn mistyped_commands() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("file"), "").unwrap();
    symlink("nowhere", sandbox.path("link")).unwrap();
    let before = list(&sandbox.path(""));
    let output = sandbox.handoff([]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let help = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        help.contains("Usage: handoff-fs") && help.contains("unmount"),
        "{help}"
    );
    let cases: [(&[&str], &str); 12] = [
        (&["unmout", "m"], "did you mean handoff-fs unmount?"),
        (&["unmout", "/m"], "did you mean handoff-fs unmount?"),
        (&["stauts"], "did you mean handoff-fs status?"),
        (&["stauts", "--json"], "did you mean handoff-fs status?"),
        (&["--utc", "stauts"], "did you mean handoff-fs status?"),
        (&["moutn", "a", "b", "c"], "did you mean handoff-fs mount?"),
        (
            &["completions", "bash"],
            "the commands are mount, unmount, status",
        ),
        (&["file"], "neither a command nor a directory"),
        (&["link"], "neither a command nor a directory"),
        (&["new"], "handoff-fs mount new"),
        (&["a b"], "handoff-fs mount 'a b'"),
        (&["./a", "./b"], "--backing DIR"),
    ];
    for (arguments, part) in cases {
        let output = sandbox.handoff([]).args(arguments).output().unwrap();
        let line = complaint(&output, 2);
        assert!(line.contains(part), "{arguments:?}: {line}");
    }
    assert_eq!(sandbox.mounts().len(), 0);
    assert_eq!(list(&sandbox.path("")), before);
    // A word that is a directory, alive or dead, is one.
    fs::create_dir(sandbox.path("m")).unwrap();
    sandbox.run(["m"]);
    assert_eq!(sandbox.mounts(), [sandbox.path("m")]);
    rustix::mount::unmount(sandbox.path("m"), UnmountFlags::FORCE).unwrap();
    sandbox.run(["m"]);
    sandbox.run(["unmount", "m"]);
}

/// spec 8.1c: as mount(8) calls it, through its helper for FUSE: a source, a mountpoint and options.
#[test]
fn called_by_mount() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("m")).unwrap();
    let program = env!("CARGO_BIN_EXE_handoff-fs");
    sandbox.sh(&format!(
        "mount -t fuse {program}#none m -o retention=3d,noauto,user"
    ));
    assert_eq!(sandbox.mounts(), [sandbox.path("m")]);
    sandbox.sh("echo x > m/x.md; cat m/pending.md; umount m");
    assert_eq!(sandbox.mounts().len(), 0);
}

/// spec 8.1a: a missing mountpoint is made, with its parents, and a relative path is taken from where the caller is.
#[test]
fn missing_and_relative() {
    let sandbox = Sandbox::new();
    sandbox.run(["mount", "a/b/../c d"]);
    // `..` of a directory that was made for it.
    assert_eq!(sandbox.mounts().len(), 1);
    assert!(sandbox.mounts()[0].ends_with("c d"));
    sandbox.sh("cd 'a/c d'; echo x > x.md; cat pending.md");
    sandbox.sh(&format!(
        "cd a && {} unmount 'c d'",
        env!("CARGO_BIN_EXE_handoff-fs")
    ));
    assert_eq!(sandbox.mounts().len(), 0);
}

/// spec 8.1e: a mountpoint that is no directory, or cannot be.
#[test]
fn no_directory() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("file"), "").unwrap();
    symlink("nowhere", sandbox.path("link")).unwrap();
    refused(&sandbox, "file", &["is not a directory"]);
    refused(&sandbox, "file/below", &["; "]);
    refused(&sandbox, "link", &["symbolic link to nothing"]);
    refused(&sandbox, "/proc/handoffs", &["; "]);
    let long = "n".repeat(300);
    refused(&sandbox, &long, &["; choose"]);
}

/// spec 8.1e: inside a private directory, inside another mount, over and beside its backing directory.
#[test]
fn in_its_own_way() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.mount();
    sandbox.sh("mkdir m/q");
    refused(
        &sandbox,
        "m/q",
        &["is inside the handoff-fs mounted at", "already a queue"],
    );
    refused(&sandbox, "m/new", &["is inside the handoff-fs"]);
    refused(&sandbox, "n --backing m", &["the --backing", "unmount"]);
    daemon.stop();
    refused(&sandbox, "m/.handoff-fs", &["private directory"]);
    refused(&sandbox, "m/.handoff-fs/x", &["private directory"]);
    refused(&sandbox, "n --backing n/b", &["would cover it"]);
    refused(&sandbox, "m/q --backing m", &["inside itself"]);
    refused(
        &sandbox,
        "n --backing gone",
        &["does not exist", "mkdir -p"],
    );
    fs::write(sandbox.path("file"), "").unwrap();
    refused(&sandbox, "n --backing file", &["is not a directory"]);
}

/// spec 3.6i: the home directory, the root and whatever is above the home directory, by whatever name; and as --backing.
#[test]
fn homes_are_not_for_handoffs() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("d")).unwrap();
    symlink(".", sandbox.path("here")).unwrap();
    let home = sandbox.path("");
    let home = home.to_str().unwrap().trim_end_matches('/');
    for word in [".", "d/..", "here", home] {
        refused_path(
            &sandbox,
            &[word],
            home,
            &["is your home directory", "~/handoffs"],
        );
    }
    refused_path(
        &sandbox,
        &["n", "--backing", "."],
        home,
        &["is your home directory"],
    );
    for word in ["/", "/proc/../"] {
        refused_path(&sandbox, &[word], "/", &["is the root of the file system"]);
    }
    for above in [sandbox.path(".."), std::env::temp_dir()] {
        let name = above.canonicalize().unwrap();
        let name = name.to_str().unwrap();
        refused_path(
            &sandbox,
            &[above.to_str().unwrap()],
            name,
            &["is above your home directory"],
        );
    }
    assert!(!sandbox.path(".handoff-fs").exists());
    assert!(!sandbox.path("n").exists());
}

/// spec 8.1e: another filesystem of FUSE at the mountpoint is not ours to take away.
#[test]
fn a_foreign_mount() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("m")).unwrap();
    // Another program's as far as anybody can tell: another name in the table.
    let session = foreign(&sandbox.path("m"));
    refused(
        &sandbox,
        "m",
        &["another FUSE filesystem", "fusermount3 -u"],
    );
    drop(session);
    assert_eq!(sandbox.mounts().len(), 0);
}

struct Nothing;

impl fuser::Filesystem for Nothing {}

fn foreign(path: &std::path::Path) -> fuser::BackgroundSession {
    let mut config = fuser::Config::default();
    config.mount_options = vec![fuser::MountOption::FSName("sshfs".into())];
    fuser::Session::new(Nothing, path, &config)
        .unwrap()
        .spawn()
        .unwrap()
}

/// spec 8.1e, 3.1: a backing directory on a read-only disk, and one on a full disk: by mount, in one line.
#[test]
fn disks_that_take_nothing() {
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    fs::create_dir(&disk).unwrap();
    let options = c"size=32k,mode=700";
    rustix::mount::mount("tmpfs", &disk, "tmpfs", MountFlags::empty(), options).unwrap();
    fs::create_dir(disk.join("b")).unwrap();
    while fs::write(disk.join("filler"), vec![0; 1 << 20]).is_ok() {}
    refused(&sandbox, "disk/b", &["No space left", "make room"]);
    refused(
        &sandbox,
        "n --backing disk/b",
        &["No space left", "make room"],
    );
    assert!(!disk.join("b/.handoff-fs/first-mount").exists());
    rustix::mount::mount_remount(&disk, MountFlags::RDONLY, c"").unwrap();
    refused(&sandbox, "disk/b", &["read-only", "--backing"]);
    refused(&sandbox, "disk/new", &["writable filesystem"]);
    refused(&sandbox, "n --backing disk/b", &["read-only"]);
    rustix::mount::mount_remount(&disk, MountFlags::empty(), c"").unwrap();
    fs::remove_file(disk.join("filler")).unwrap();
    sandbox.run(["mount", "disk/b"]);
    sandbox.sh("echo x > disk/b/x.md; cat disk/b/pending.md");
    sandbox.run(["unmount", "disk/b"]);
    rustix::mount::unmount(&disk, UnmountFlags::empty()).unwrap();
}

/// spec 8.1e: no `/dev/fuse`, one that may not be opened, and one that is no device, each with its cure.
#[test]
fn without_the_device() {
    let sandbox = Sandbox::new();
    let program = env!("CARGO_BIN_EXE_handoff-fs");
    // In a mount namespace of its own /dev/fuse can be taken away.
    let cases = [
        (
            "mkdir d; mount -t tmpfs none /dev",
            "is missing",
            "this kernel has FUSE",
        ),
        (
            "touch f; mount --bind f /dev/fuse",
            "is not a device",
            "mknod",
        ),
        (
            "mount --bind /dev/null /dev/fuse",
            "cannot be mounted",
            "; ",
        ),
    ];
    for (spoil, cause, cure) in cases {
        let script = format!("{spoil} && {program} mount m; echo code $?");
        let output = sandbox
            .command("unshare")
            .args(["--mount", "bash", "-c", &script])
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.stdout, b"code 1\n", "{errors}");
        assert!(errors.contains(cause) && errors.contains(cure), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

/// spec 8.1e, 3.6a: a damaged record of the first mount is not guessed at.
#[test]
fn a_damaged_record() {
    let sandbox = Sandbox::new();
    sandbox.mount().stop();
    let record = sandbox.path("m/.handoff-fs/first-mount");
    fs::write(&record, "nonsense").unwrap();
    refused(
        &sandbox,
        "m",
        &["first-mount", "damaged", "remove that one file"],
    );
    fs::remove_file(&record).unwrap();
    sandbox.mount().stop();
    // A private directory that is none.
    fs::remove_dir_all(sandbox.path("m/.handoff-fs")).unwrap();
    fs::write(sandbox.path("m/.handoff-fs"), "").unwrap();
    refused(&sandbox, "m", &[".handoff-fs/", "move it aside"]);
    assert_eq!(list(&sandbox.path("m")), [".handoff-fs"]);
}

/// spec 8.4a, 3.6l: a private directory that is a symbolic link is not followed.
#[test]
fn a_private_directory_elsewhere() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("m")).unwrap();
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    symlink("../elsewhere", sandbox.path("m/.handoff-fs")).unwrap();
    refused(&sandbox, "m", &[".handoff-fs/"]);
    assert_eq!(list(&sandbox.path("elsewhere")).len(), 0);
}

/// spec 8.1e: a log that was asked for and cannot be written is an error; a place for one that does not exist is not.
#[test]
fn logs() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("file"), "").unwrap();
    refused(&sandbox, "m --log-file file/log", &["--log-file"]);
    let output = sandbox
        .handoff(["mount", "m"])
        .env("XDG_STATE_HOME", sandbox.path("file"))
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && errors.contains("no log is kept"),
        "{errors}"
    );
    sandbox.run(["unmount", "m"]);
    sandbox.run(["mount", "m", "--log-file", "here.log"]);
    sandbox.run(["unmount", "m"]);
    let log = fs::metadata(sandbox.path("here.log")).unwrap();
    assert!(log.len() > 0 && log.permissions().mode() & 0o077 == 0);
}
