//! Another user of the same machine.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode};

use crate::harness::{bodies, list, sorted};
use crate::merge::parse;
use crate::sandbox::{Daemon, Sandbox, setpriv, start, started};
use crate::torture;
use crate::users::User;

/// A sandbox of one user that another one may look into, and a directory of the other one's.
fn shared(owner: &User, other: &User) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.become_user(owner.uid);
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let theirs = sandbox.path("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::copy(sandbox.path("handoff-fs"), theirs.join("handoff-fs")).unwrap();
    fs::write(theirs.join("mine"), "mine\n").unwrap();
    for path in [theirs.clone(), theirs.join("mine")] {
        chown(path, Some(other.uid), Some(other.uid)).unwrap();
    }
    sandbox
}

fn as_user(user: &User, sandbox: &Sandbox, program: &str) -> Command {
    let prefix = setpriv(user.uid);
    let mut command = Command::new(&prefix[0]);
    command
        .args(&prefix[1..])
        .arg(program)
        .current_dir(sandbox.path("theirs"))
        .env("HOME", sandbox.path("theirs"));
    command
}

fn mounted(sandbox: &Sandbox) -> Daemon {
    let mut command = sandbox.handoff(["mount", "-f", "--report-ready", "m"]);
    started(&mut command)
}

/// Modes of everything in a directory and below.
fn modes(dir: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        found.push((path.to_str().unwrap().to_owned(), metadata.mode() & 0o777));
        if metadata.is_dir() {
            modes(&path, found);
        }
    }
}

/// spec 8.4b: no system call of another user on the mount, through its path or through what `/proc` says of the daemon, gets any
/// other answer than EACCES or EPERM; nothing is read, changed, consumed or unmounted by it; and what lies below, with the
/// private directory, is nobody else's to look at either.
#[test]
fn another_user_gets_nothing() {
    let (owner, other) = (User::new(), User::new());
    let sandbox = shared(&owner, &other);
    let daemon = mounted(&sandbox);
    sandbox.sh("umask 0; cd m; mkdir q; echo secret > q/a.md; echo secret > b.md; echo scratch > s.tmp; cat s.tmp");
    let edit = sandbox
        .sh("umask 0; cd m; echo old > e.md; for n in *_e.md; do echo more >> $n; done; echo $n");
    let before = sandbox.sh("cd m; ls -lR; cat .peek.md");
    let mut stranger = as_user(&other, &sandbox, "/usr/bin/python3");
    stranger
        .args(["-c", include_str!("other_user.py")])
        .arg(sandbox.path("m"));
    stranger.arg(daemon.child.id().to_string()).args([
        "pending.md",
        ".peek.md",
        ".status.json",
        "q",
        "s.tmp",
        ".handoff-fs",
    ]);
    let output = stranger.arg(edit.trim()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let tried = String::from_utf8(output.stdout).unwrap();
    assert_eq!(sandbox.sh("cd m; ls -lR; cat .peek.md"), before);
    assert_eq!(list(&sandbox.path("theirs")), ["handoff-fs", "mine"]);
    daemon.kill();
    let at = sandbox.path("m");
    rustix::mount::unmount(&at, rustix::mount::UnmountFlags::DETACH).unwrap();
    // Only the owner can reach the files, whatever the umask of their writers.
    assert_eq!(fs::metadata(&at).unwrap().mode() & 0o777, 0o700);
    let mut found = Vec::new();
    modes(&at.join(".handoff-fs"), &mut found);
    assert_eq!(
        fs::metadata(at.join(".handoff-fs")).unwrap().mode() & 0o777,
        0o700
    );
    let inside = |(path, mode): &&(String, u32)| {
        Path::new(path).parent() == Some(&at.join(".handoff-fs")) && mode & 0o077 != 0
    };
    assert_eq!(found.iter().find(inside), None);
    let read = as_user(&other, &sandbox, "ls")
        .arg(at.join(".handoff-fs"))
        .output()
        .unwrap();
    assert!(!read.status.success());
    torture::figure(
        "hostile",
        format_args!(
            "{} attempts of another user: nothing read, nothing changed",
            tried.trim()
        ),
    );
}

/// spec 8.4a, 8.4b, 3.6l, 3.7a: files that another user puts into a writable backing directory give away nothing of its
/// owner, do not prevent deliveries, and take over nothing.
#[test]
fn planted_by_another_user() {
    let (owner, other) = (User::new(), User::new());
    let sandbox = shared(&owner, &other);
    let at = sandbox.path("m");
    let plant = |script: &str| {
        let output = as_user(&other, &sandbox, "bash")
            .args(["-ec", script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let refused = |part: &str| {
        let mut command = sandbox.handoff(["mount", "-f", "--report-ready", "m"]);
        let (line, errors) = start(&mut command).err().expect("was mounted");
        assert!(format!("{line}{errors}").contains(part), "{line} {errors}");
    };
    fs::create_dir(&at).unwrap();
    chown(&at, Some(owner.uid), Some(owner.uid)).unwrap();
    fs::set_permissions(&at, fs::Permissions::from_mode(0o777)).unwrap();
    let secret = sandbox.path("secret");
    fs::write(&secret, "secret\n").unwrap();
    chown(&secret, Some(owner.uid), Some(owner.uid)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    // Before the first mount: a private directory of their own, open to all, or one that leads elsewhere.
    plant("mkdir -m 777 ../m/.handoff-fs; mkdir -m 777 ../m/.handoff-fs/drafts");
    refused("belongs to uid");
    plant(
        "rm -r ../m/.handoff-fs; mkdir -m 777 elsewhere; ln -s ../theirs/elsewhere ../m/.handoff-fs",
    );
    refused(".handoff-fs/");
    plant("rm ../m/.handoff-fs; test -z \"$(ls elsewhere)\"");
    mounted(&sandbox).stop();
    // Afterwards: strays of theirs, open and shut, and what leads to the owner's secrets.
    plant(
        "cd ../m; echo theirs > open.md; echo shut > shut.md; chmod 644 open.md; chmod 600 shut.md; mkfifo fifo.md
         echo done > 2026-01-02_030405_t.md; chmod 600 2026-01-02_030405_t.md
         ln -s ../secret link.md; ln -s ../secret 2026-01-02_030405_l.md; mkdir -m 777 .git theirs; ln -s ../../secret theirs/s.md
         ! ls .handoff-fs; ! mv .handoff-fs/drafts x; ! ln .handoff-fs/lock x",
    );
    symlink(&secret, at.join("2026-01-02_030405_root.md")).unwrap();
    rustix::fs::mknodat(CWD, at.join("f.md"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let daemon = mounted(&sandbox);
    sandbox.sh("echo mine > m/mine.md");
    // Another's file allows no lease: it is adopted when it was seen unchanged for 5 s.
    sandbox.sh("for i in {1..300}; do ! grep -qx theirs m/.peek.md || break; sleep 0.1; done");
    let promised: usize = sandbox
        .sh("stat -c %s m/pending.md")
        .trim()
        .parse()
        .unwrap();
    let text = sandbox.sh("cat m/pending.md");
    assert_eq!(text.len(), promised);
    parse(text.as_bytes()).unwrap();
    assert_eq!(sorted(bodies(&text)), ["mine", "theirs"], "{text}");
    assert!(
        !sandbox
            .sh("cat m/*.md m/*/*.md 2>/dev/null || true")
            .contains("secret")
    );
    // Handoffs that were read are consumed if their owner permits the rename; else they are delivered again.
    assert!(sandbox.sh("ls m").contains("_mine_done.md"));
    let kept = fs::metadata(&secret).unwrap();
    assert_eq!((kept.mode() & 0o777, kept.uid()), (0o600, owner.uid));
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret\n");
    daemon.stop();
}
