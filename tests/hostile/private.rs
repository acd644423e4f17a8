//! Hostile files in the private directory.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use fastrand::Rng;
use rustix::fs::{CWD, FileType, Mode};

use crate::canary::Canary;
use crate::harness::{bodies, files, list};
use crate::sandbox::{Sandbox, start};
use crate::{draw, torture};

const PARTS: [&str; 9] = [
    "lock",
    "first-mount",
    "first-mount.new",
    "drafts",
    "edits",
    "scratch",
    "sessions",
    "consuming",
    "replaced",
];
const PENDING: &str = "2026-01-02_030405_c.md";
const DONE: &str = "2026-01-02_030405_c_done.md";

/// A note of an unanswered read with hostile fields.
fn note(random: &mut Rng, canary: &Path) -> Vec<u8> {
    let outside = canary.as_os_str().as_bytes().to_vec();
    let mut file = outside.clone();
    file.extend_from_slice(b"/2026-01-02_030405_c_done.md");
    let fields = [
        Vec::new(),
        b"..".to_vec(),
        b"../canary".to_vec(),
        outside.clone(),
        b".handoff-fs".to_vec(),
        b"q/../../canary".to_vec(),
        PENDING.into(),
        DONE.into(),
        b"../canary/2026-01-02_030405_c_done.md".to_vec(),
        file,
        b"../canary/file".to_vec(),
        b"2026-01-02_030405_../../canary/2026-01-02_030405_c_done.md".to_vec(),
        vec![b'n'; 300],
        vec![0xff],
        b"m".to_vec(),
    ];
    let mut note = Vec::new();
    for _ in 0..random.usize(0..8) {
        note.extend_from_slice(draw::choose::<Vec<u8>>(random, &fields));
        if random.u8(0..9) > 0 {
            note.push(0);
        }
    }
    note
}

fn garble(part: &Path, random: &mut Rng, canary: &Canary, tokens: &mut Vec<String>) {
    let name = part.file_name().unwrap().to_str().unwrap();
    let is_file = name.starts_with("lock") || name.starts_with("first-mount");
    let mut token = || {
        let token = format!("token {:016x}\n", random.u64(..));
        tokens.push(token.clone());
        token
    };
    let inside = [token(), token()];
    let junk: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
    let notes = [note(random, canary.path()), note(random, canary.path())];
    let names = [draw::name(random), draw::stamped(random)];
    match random.u8(0..10) {
        0..=3 if !is_file => {
            // The expected kind of file, with unexpected names and contents.
            fs::create_dir_all(part.join("sub")).unwrap();
            for (i, name) in names.iter().filter(|name| name.len() <= 255).enumerate() {
                let content = if part.ends_with("consuming") {
                    notes[i].clone()
                } else {
                    inside[i].clone().into_bytes()
                };
                let _ = fs::write(part.join(name), &content);
                let _ = fs::write(part.join("sub").join(name), content);
            }
            symlink(
                canary.path().join("file"),
                part.join("2026-01-02_030405_link.md"),
            )
            .unwrap();
            symlink(canary.path(), part.join("linked")).unwrap();
            let _ = rustix::fs::mknodat(CWD, part.join("fifo"), FileType::Fifo, Mode::RWXU, 0);
            return;
        }
        _ => {}
    }
    let _ = fs::remove_file(part);
    let _ = fs::remove_dir_all(part);
    match random.u8(0..6) {
        0 => {}
        1 => symlink(canary.path().join("file"), part).unwrap(),
        2 => symlink(canary.path(), part).unwrap(),
        3 => rustix::fs::mknodat(CWD, part, FileType::Fifo, Mode::RWXU, 0).unwrap(),
        4 => fs::write(part, [&b"handoff-fs first mount 1\0"[..], &junk].concat()).unwrap(),
        _ => fs::create_dir(part).unwrap(),
    }
}

/// All files in a directory and below, as one text.
fn texts(dir: &Path) -> String {
    let texts = files(dir).into_iter().map(|path| fs::read(path).unwrap());
    texts
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .collect()
}

/// spec 8.1e, 8.3d, 8.4a, 3.8, 3.9a: with any file in the place of each part of the private directory, a mount works,
/// or refuses with one line that names the path, the cause and the cure. Either way the mount loses nothing, does not
/// block, and opens nothing outside.
#[test]
fn anything_in_the_private_directory() {
    let mut random = torture::random();
    let cases = torture::count(10, 1_000);
    let (mut worked, mut refused) = (0, 0);
    let mut parts = PARTS;
    for case in 0..cases {
        let sandbox = Sandbox::new();
        let canary = Canary::new(sandbox.path("canary"), None);
        let daemon = sandbox.mount();
        sandbox.sh("echo one > m/one.md; echo two > m/two.md");
        daemon.stop();
        let private = sandbox.path("m/.handoff-fs");
        let mut tokens = Vec::new();
        random.shuffle(&mut parts);
        for part in &parts[..random.usize(1..4)] {
            garble(&private.join(part), &mut random, &canary, &mut tokens);
        }
        let before = texts(&sandbox.path("m"));
        tokens.retain(|token| before.contains(token.as_str()));
        for round in 0..2 {
            let said = format!("case {case}, round {round}");
            let mut command = sandbox.handoff(["mount", "--foreground", "--report-ready", "m"]);
            match start(&mut command) {
                Ok(daemon) => {
                    worked += 1;
                    let peek = sandbox.sh("ls m >/dev/null; cat m/.peek.md");
                    for body in ["one", "two"] {
                        assert!(bodies(&peek).iter().any(|it| it == body), "{said}: {peek}");
                    }
                    sandbox.sh("echo x > m/x.tmp; mv m/x.tmp m/new.md; cat m/new.md; rm m/new.md");
                    daemon.stop();
                }
                Err((line, errors)) => {
                    refused += 1;
                    let path = sandbox.path("m");
                    let good =
                        |text: &str| text.contains(path.to_str().unwrap()) && text.contains("; ");
                    assert!(good(&line) || good(&errors), "{said}: {line:?} {errors:?}");
                    assert!(!errors.contains("panicked"), "{said}: {errors}");
                }
            }
            assert_eq!(sandbox.mounts().len(), 0, "{said}");
            let after = texts(&sandbox.path("m"));
            for token in tokens.iter().map(String::as_str).chain(["one\n", "two\n"]) {
                assert!(after.contains(token), "{said}: {token} is lost");
            }
            canary.check(&said);
        }
    }
    torture::figure(
        "hostile",
        format_args!(
            "{cases} garbled private directories: {worked} mounts worked, {refused} were refused"
        ),
    );
}

/// spec 8.4a, 6.3a: the note of an unanswered read leads to nothing outside, and does not keep a mount from working.
#[test]
fn a_note_leads_nowhere_else() {
    let sandbox = Sandbox::new();
    let canary = Canary::new(sandbox.path("canary"), None);
    let daemon = sandbox.mount();
    sandbox.sh("echo one > m/one.md; mkdir m/q");
    daemon.stop();
    let outside = canary.path().to_str().unwrap();
    let notes = sandbox.path("m/.handoff-fs/consuming");
    fs::create_dir_all(&notes).unwrap();
    for (i, [queue, name, done]) in [
        ["", PENDING, "../canary/2026-01-02_030405_c_done.md"],
        ["", PENDING, &format!("{outside}/{DONE}")],
        ["../canary", PENDING, DONE],
        [outside, PENDING, DONE],
        ["q", &format!("../../canary/{PENDING}"), DONE],
        ["", "../canary/file2", "../canary/file"],
        [&"n".repeat(300), PENDING, DONE],
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(
            notes.join(format!("{i}")),
            format!("{queue}\0{name}\0{done}\0"),
        )
        .unwrap();
    }
    sandbox.mount().stop();
    canary.check("after the mount");
    assert_eq!(list(&sandbox.path("m/q")), [""; 0]);
}

/// spec 8.4b: a private directory that another user made is not used; one of ours that was opened to others is shut again.
#[test]
fn whose_private_directory() {
    let sandbox = Sandbox::new();
    sandbox.mount().stop();
    let private = sandbox.path("m/.handoff-fs");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o777)).unwrap();
    sandbox.mount().stop();
    assert_eq!(
        fs::metadata(&private).unwrap().permissions().mode() & 0o777,
        0o700
    );
    chown(&private, Some(12345), None).unwrap();
    let (line, errors) = start(&mut sandbox.handoff(["mount", "-f", "--report-ready", "m"]))
        .err()
        .unwrap();
    assert!(
        format!("{line}{errors}").contains("belongs to uid 12345"),
        "{line}{errors}"
    );
}
