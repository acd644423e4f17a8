//! `--backing`: what lies in the directory that is mounted over (spec 3.7b).

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::harness::{bodies, list, sorted};
use crate::sandbox::{Sandbox, complaint};

/// spec 3.7b: a mountpoint that is not empty is refused at the first mount there, and nothing is done to it, nor to the
/// backing directory.
#[test]
fn not_empty_at_the_first_mount() {
    let sandbox = Sandbox::new();
    sandbox.sh("mkdir b m n; echo mine > m/notes.md; echo mine > n/notes.md");
    let refused = |mountpoint: &str| {
        let mut mount = sandbox.handoff(["mount", mountpoint, "--backing", "b"]);
        let line = complaint(&mount.output().unwrap(), 1);
        for part in [
            &format!("/{mountpoint}: is not empty"),
            "move its files to ",
            "/b ",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert_eq!(sandbox.mounts().len(), 0);
        assert_eq!(list(&sandbox.path(mountpoint)), ["notes.md"]);
    };
    refused("m");
    assert_eq!(list(&sandbox.path("b")), [""; 0]);
    sandbox.sh("mv m/notes.md kept.md");
    sandbox.run(["mount", "m", "--backing", "b"]);
    sandbox.run(["unmount", "m"]);
    // The record of the backing directory does not have this mountpoint.
    refused("n");
}

/// spec 3.7b: files that were written under the mountpoint while nothing was mounted are moved into the backing
/// directory at the next mount, also to another filesystem, and delivered. Other files stay, and so does a file that is
/// still being written; the log names them.
#[test]
fn written_while_nothing_was_mounted() {
    let sandbox = Sandbox::new();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::create_dir(sandbox.path("b")).unwrap();
    for (mountpoint, backing) in [("m", sandbox.path("b")), ("n", elsewhere.path().to_owned())] {
        let backing = backing.to_str().unwrap();
        sandbox.run(["mount", mountpoint, "--backing", backing]);
        sandbox.sh(&format!("mkdir {mountpoint}/there; echo x > {mountpoint}/there/there.md; cat {mountpoint}/pending.md"));
        sandbox.run(["unmount", mountpoint]);
        let at = sandbox.path(mountpoint);
        fs::create_dir_all(at.join("q/deep")).unwrap();
        fs::create_dir_all(at.join("there")).unwrap();
        let written = [
            ("login_done.md", "login"),
            ("2026-01-02_030405_x.md", "stamped"),
            ("q/deep/y.txt", "deep"),
            ("there/there.md", "there"),
        ];
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        for (name, content) in written {
            fs::write(at.join(name), format!("{content}\n")).unwrap();
            File::open(at.join(name))
                .unwrap()
                .set_modified(hour_ago)
                .unwrap();
        }
        for name in ["data.json", ".netrc", "q/image.png"] {
            fs::write(at.join(name), "mine").unwrap();
        }
        let script = "exec 3> slow.md; echo half >&3; echo; read -r line; echo whole >&3; exec 3>&-; echo; read -r end";
        let mut writer = sandbox.command("bash");
        writer
            .args(["-c", script])
            .current_dir(&at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut writer = writer.spawn().unwrap();
        let mut output = BufReader::new(writer.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        sandbox.run(["mount", mountpoint, "--backing", backing]);
        let merge = sandbox.sh(&format!("cat {mountpoint}/pending.md"));
        assert_eq!(
            sorted(bodies(&merge)),
            ["deep", "login", "stamped", "there"],
            "{backing}"
        );
        assert!(merge.contains("_login-done.md"), "{merge}");
        let log = sandbox.sh("cat .local/state/handoff-fs/*.log");
        let told = log.lines().find(|line| {
            line.contains("where nobody sees them") && line.contains(&format!("/{mountpoint}: "))
        });
        for name in ["data.json", ".netrc", "q/image.png", "slow.md"] {
            assert!(told.unwrap().contains(name), "{log}");
        }
        let kept = list(Path::new(backing));
        let moved = kept
            .iter()
            .find(|name| name.ends_with("_login-done_done.md"));
        let stamp = chrono::DateTime::<chrono::Local>::from(hour_ago);
        let stamp = stamp.format("%Y-%m-%d_%H%M%S_").to_string();
        assert!(moved.unwrap().starts_with(&stamp), "{kept:?}");
        sandbox.run(["unmount", mountpoint]);
        assert_eq!(
            list(&at),
            [".netrc", "data.json", "q", "slow.md"],
            "{backing}"
        );
        assert_eq!(list(&at.join("q")), ["image.png"]);
        fs::write(at.join("late.md"), "late\n").unwrap();
        drop(
            writer
                .stdin
                .take()
                .map(|mut input| std::io::Write::write_all(&mut input, b"\n")),
        );
        output.read_line(&mut line).unwrap();
        writer.wait().unwrap();
        sandbox.run(["mount", mountpoint, "--backing", backing]);
        assert_eq!(
            sorted(bodies(&sandbox.sh(&format!("cat {mountpoint}/pending.md")))),
            ["half\nwhole", "late"],
            "{backing}"
        );
        sandbox.run(["unmount", mountpoint]);
    }
}
