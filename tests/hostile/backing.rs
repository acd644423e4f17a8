//! Hostile files in the backing directory.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;

use fastrand::Rng;
use rustix::fs::{CWD, FileType, Mode, makedev};

use crate::canary::Canary;
use crate::harness::files;
use crate::merge::parse;
use crate::sandbox::{Sandbox, started};
use crate::users::User;
use crate::{draw, torture};

/// The number of files by kind.
type Kinds = BTreeMap<&'static str, u64>;

/// Fills a directory with files of hostile kinds, names and modes.
fn fill(dir: &Path, depth: u32, random: &mut Rng, canary: &Path, owner: u32, kinds: &mut Kinds) {
    for _ in 0..random.usize(1..9) {
        let name = match random.u8(0..8) {
            0 => OsString::from("2026-01-02_030405_x.md"),
            1 => OsString::from(*draw::choose(
                random,
                &["pending.md", ".peek.md", ".status.json", ".git"],
            )),
            _ => draw::name(random),
        };
        let path = dir.join(&name);
        if name == ".handoff-fs" || name.len() > 255 || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        let special =
            |kind, device| rustix::fs::mknodat(CWD, &path, kind, Mode::RWXU, device).is_ok();
        let (kind, made) = match random.u8(0..12) {
            0 => {
                let targets = [
                    canary.join("file"),
                    canary.to_owned(),
                    "../canary/file".into(),
                    ".".into(),
                    "loop".into(),
                ];
                (
                    "links",
                    symlink(draw::choose(random, &targets), &path).is_ok(),
                )
            }
            1 => ("fifos", special(FileType::Fifo, 0)),
            2 => ("sockets", special(FileType::Socket, 0)),
            // /dev/null's number, and one that nothing has.
            3 => (
                "devices",
                special(
                    FileType::CharacterDevice,
                    makedev(*draw::choose(random, &[1, 240]), 3),
                ),
            ),
            4 | 5 if depth < 3 => {
                fs::create_dir(&path).unwrap();
                fill(&path, depth + 1, random, canary, owner, kinds);
                ("directories", true)
            }
            _ => {
                let token = format!("token {:016x}\n", random.u64(..)).repeat(random.usize(1..40));
                ("files", fs::write(&path, token).is_ok())
            }
        };
        assert!(made || kind == "devices", "{kind}: {}", path.display());
        if !made {
            continue;
        }
        *kinds.entry(kind).or_default() += 1;
        let owner = if random.u8(0..6) == 0 { 0 } else { owner };
        lchown(&path, Some(owner), Some(owner)).unwrap();
        if kind != "links" {
            let mode = *draw::choose(
                random,
                &[
                    0, 0o200, 0o400, 0o444, 0o600, 0o644, 0o755, 0o700, 0o777, 0o4755,
                ],
            );
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// How often each content is in a directory and below.
fn contents_of(dir: &Path) -> BTreeMap<Vec<u8>, u64> {
    let mut found = BTreeMap::new();
    for path in files(dir) {
        let content = fs::read(path).unwrap();
        if content.starts_with(b"token ") {
            *found.entry(content).or_default() += 1;
        }
    }
    found
}

/// spec 3.1, 3.6a, 3.6l, 3.7a, 6.1a, 6.2a, 8.3c, 8.3d, 8.4a: a directory full of links out of it, fifos, sockets, devices,
/// directories named like handoffs and files without rights is mounted by an ordinary user, looked at, read, written, renamed
/// and removed through the mount, and mounted again: nothing blocks, no answer is not POSIX's, the merge is one, no content is
/// lost by reading, and nobody opens anything outside.
#[test]
fn anything_in_the_backing_directory() {
    let user = User::new();
    let mut random = torture::random();
    let cases = torture::count(5, 400);
    let mut kinds = Kinds::new();
    for case in 0..cases {
        let mut sandbox = Sandbox::new();
        sandbox.become_user(user.uid);
        let top = sandbox.path("m");
        let canary = Canary::new(sandbox.path("canary"), Some(user.uid));
        fs::create_dir(&top).unwrap();
        lchown(&top, Some(user.uid), Some(user.uid)).unwrap();
        let mount = |options: &[&str]| {
            let mut command =
                sandbox.handoff(["mount", "--foreground", "--report-ready", "--no-sync"]);
            command.args(options).arg("--").arg(&top);
            started(&mut command)
        };
        let options: &[&str] = match random.u8(0..3) {
            0 => &[],
            1 => &["--adopt"],
            _ => {
                // After a first mount, new files are strays.
                mount(&[]).stop();
                &[]
            }
        };
        fill(&top, 0, &mut random, canary.path(), user.uid, &mut kinds);
        let before = contents_of(&top);
        let exercise = |what: &str| {
            let mut python = sandbox.command("/usr/bin/python3");
            python
                .args(["-c", include_str!("exercise.py"), what])
                .arg(&top)
                .arg(case.to_string());
            let output = python.output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "case {case}: {what}: {} {errors}",
                output.status
            );
            output.stdout
        };
        let daemon = mount(options);
        let twice = exercise("look");
        let (peek, taken) = twice.split_at(twice.len() / 2);
        assert!(peek == taken, "case {case}: the two differ");
        parse(peek).unwrap_or_else(|error| panic!("case {case}: {error}"));
        daemon.stop();
        assert!(
            contents_of(&top) == before,
            "case {case}: a content is lost, or there twice"
        );
        let daemon = mount(options);
        exercise("change");
        exercise("look");
        daemon.stop();
        let daemon = mount(&[]);
        exercise("look");
        daemon.stop();
        canary.check(&format!("case {case}"));
    }
    torture::figure(
        "hostile",
        format_args!(
            "{cases} backing directories with {kinds:?} were mounted, used and mounted again"
        ),
    );
}

/// spec 6.1a, 8.4c: a pending handoff that its reader may not read keeps the others from nobody, and is merged once it may be.
#[test]
fn a_handoff_without_rights() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    sandbox.run(["mount", "m"]);
    sandbox.sh("cd m; echo shut > shut.md; echo open > open.md; chmod 0 *_shut.md");
    sandbox.run(["unmount", "m"]);
    sandbox.run(["mount", "m"]);
    let merge = |name: &str| parse(sandbox.sh(&format!("cat m/{name}")).as_bytes()).unwrap();
    let bodies: Vec<_> = merge("pending.md")
        .into_iter()
        .map(|found| found.body)
        .collect();
    assert_eq!(bodies, [b"open\n"]);
    assert_eq!(sandbox.sh("stat -c %s m/pending.md"), "0\n");
    sandbox.run(["unmount", "m"]);
    sandbox.sh("chmod 600 m/*_shut.md");
    sandbox.run(["mount", "m"]);
    let bodies: Vec<_> = merge("pending.md")
        .into_iter()
        .map(|found| found.body)
        .collect();
    assert_eq!(bodies, [b"shut\n"]);
    assert!(
        !sandbox
            .sh("ls m")
            .contains(OsStr::new("shut.md").to_str().unwrap())
    );
    sandbox.run(["unmount", "m"]);
}

/// spec 3.6b, 6.1a: a directory that may not be read keeps nothing from being adopted.
#[test]
fn a_directory_without_rights_is_left_out_of_an_adoption() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    sandbox.sh("mkdir -p m/shut; echo old > m/old.md; chmod 0 m/shut");
    sandbox.run(["mount", "m", "--adopt"]);
    assert!(sandbox.sh("cat m/pending.md").ends_with("\nold\n"));
    sandbox.run(["unmount", "m"]);
}

/// spec 3.7a, 3.7e: a stray that cannot be adopted, because its directory may not be written, is not listed either where no
/// look-up finds it, does not go with its directory, and is adopted once it can be.
#[test]
fn a_stray_that_cannot_be_adopted() {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    sandbox.run(["mount", "m"]);
    sandbox.run(["unmount", "m"]);
    let shut = sandbox.path("m/shut");
    fs::create_dir(&shut).unwrap();
    fs::write(shut.join("stray.md"), "stray\n").unwrap();
    fs::write(shut.join("image.png"), "image\n").unwrap();
    sandbox.run(["mount", "m"]);
    assert_eq!(sandbox.sh("ls -l m/shut | wc -l"), "3\n");
    assert_eq!(sandbox.sh("ls m/shut"), "image.png\npending.md\n");
    assert_eq!(
        sandbox
            .sh("cat m/shut/stray.md 2>&1 || true")
            .lines()
            .count(),
        1
    );
    assert!(
        sandbox
            .sh("rmdir m/shut 2>&1 || true")
            .contains("not empty")
    );
    sandbox.run(["unmount", "m"]);
    fs::remove_file(shut.join("image.png")).unwrap();
    sandbox.run(["mount", "m"]);
    assert!(
        sandbox
            .sh("rmdir m/shut 2>&1 || true")
            .contains("not empty")
    );
    sandbox.run(["unmount", "m"]);
    lchown(&shut, Some(user.uid), Some(user.uid)).unwrap();
    sandbox.run(["mount", "m"]);
    // Root's file, which allows its user no lease: it is adopted when it was seen unchanged for 5 s.
    sandbox.sh("for i in {1..300}; do ! test -s m/.peek.md || break; sleep 0.1; done");
    assert!(sandbox.sh("cat m/pending.md").ends_with("\nstray\n"));
    sandbox.run(["unmount", "m"]);
}
