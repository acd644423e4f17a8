//! `scripts/mount.sh` (spec 8.1a). Nothing is built: cargo is one that does nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::sandbox::Sandbox;

fn script(sandbox: &Sandbox) -> Command {
    let bin = sandbox.path("bin");
    if !bin.exists() {
        fs::create_dir_all(sandbox.path("target/release")).unwrap();
        let program = env!("CARGO_BIN_EXE_handoff-fs");
        symlink(program, sandbox.path("target/release/handoff-fs")).unwrap();
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("cargo"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command =
        sandbox.command(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mount.sh"));
    command.env("PATH", format!("{}:{path}", bin.display()));
    command.env("CARGO_TARGET_DIR", "target");
    command
}

/// spec 8.1a: the script prints where it mounted, wherever the options stand, and commands that can be pasted; when it
/// is run again, it says that all is well.
#[test]
fn what_it_says_can_be_pasted() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["--utc", "./a b"][..],
        &["./a b", "--utc"],
        &["--retention", "3d", "./a b"],
        &[],
    ] {
        let place = match arguments {
            [] => sandbox.path(".claude/handoffs"),
            _ => sandbox.path("a b"),
        };
        for again in [false, true] {
            let output = script(&sandbox).args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(sandbox.mounts(), std::slice::from_ref(&place));
            let text = String::from_utf8(output.stdout).unwrap();
            let (first, commands) = text.split_once("\n\n").unwrap();
            let said = match again {
                false => "handoff-fs is mounted at ",
                true => "handoff-fs is mounted already, and all is well: ",
            };
            assert!(first.starts_with(said), "{first}");
            assert_eq!(
                first.contains("It keeps its options"),
                again && !arguments.is_empty()
            );
            let commands: Vec<_> = commands.lines().filter(|line| !line.is_empty()).collect();
            assert_eq!(commands.len(), 4, "{text}");
            // All commands but the last one, which unmounts.
            let seen = sandbox.sh(&format!("cd /; {}", commands[..3].join("\n")));
            assert!(seen.contains("what the next session must know"), "{seen}");
            assert!(seen.contains(": mounted, pid "), "{seen}");
            if again {
                sandbox.sh(commands[3]);
                assert_eq!(sandbox.mounts().len(), 0);
            }
        }
    }
    let output = script(&sandbox).args(["m", "--nonsense"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// spec 8.1a: before a build the script says so, and how long that takes; it does not when the program is built.
#[test]
fn it_says_that_it_builds() {
    let sandbox = Sandbox::new();
    let output = script(&sandbox).args(["m"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("about a minute"));
    sandbox.run(["unmount", "m"]);
    fs::remove_file(sandbox.path("target/release/handoff-fs")).unwrap();
    let output = script(&sandbox).args(["m"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("about a minute") && !output.status.success(),
        "{text}"
    );
}
