//! Files from before the first mount, in the output of `mount` and `status`.

use crate::harness::bodies;
use crate::sandbox::{Sandbox, complaint};

const FURNISH: &str = "mkdir -p $d/proj; echo old > $d/notes.md; echo 1 > $d/state.json; echo keep > $d/proj/readme.txt; \
     echo k > $d/2026-01-02_030405_old_done.md; touch -d '8 days ago' $d/*_done.md";

/// spec 3.6b, 3.6c, 3.6j, 8.1a: `mount` says how many files it left, adopted and hid, at the first mount, and what the other
/// choice is; `status` says so whenever it is asked. Where the directory is called `handoffs` its text files are adopted.
#[test]
fn what_was_found_is_said() {
    let sandbox = Sandbox::new();
    for (dir, options, adopted, left) in [
        ("m", &[][..], 0, 3),
        ("a", &["--adopt"], 1, 2),
        ("x/handoffs", &[][..], 1, 2),
        ("y/handoffs", &["--keep"], 0, 3),
        ("z/handoffs", &["-o", "keep"], 0, 3),
    ] {
        sandbox.sh(&format!("d={dir}; {FURNISH}"));
        let output = sandbox
            .handoff(["mount", dir])
            .args(options)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let case = format!("{dir} {options:?}: {said}");
        let line = |what: &str, n: u32| {
            let expected = if n > 0 { 1 } else { 0 };
            let wanted = format!("{dir}: {what}: {n}");
            assert_eq!(
                said.lines().filter(|line| line.contains(what)).count(),
                expected,
                "{case}"
            );
            assert!(n == 0 || said.contains(&wanted), "{case}");
        };
        line("adopted as handoffs", adopted);
        line("left as they are", left);
        line("hidden and never deleted", 1);
        assert_eq!(said.contains("--adopt"), left > 0, "{case}");
        assert_eq!(said.contains("--keep"), adopted > 0, "{case}");
        let merge = sandbox.sh(&format!("cat {dir}/pending.md"));
        assert_eq!(bodies(&merge).len(), adopted as usize, "{case}");
        let json = sandbox.status(dir);
        let found = &json["found"];
        assert_eq!(found["adopted"], adopted, "{found}");
        assert_eq!(found["ordinary"], left, "{found}");
        assert_eq!(found["hidden"], 1, "{found}");
        let status = sandbox.run(["status", dir]);
        assert!(status.contains("found     left as they are: "), "{status}");
        sandbox.run(["unmount", dir]);
        // Only the first mount says so.
        let again = sandbox.run(["mount", dir]);
        assert_eq!(again.lines().count(), 1, "{case}{again}");
        sandbox.run(["unmount", dir]);
    }
    let both = sandbox
        .handoff(["mount", "m", "-o", "keep,adopt"])
        .output()
        .unwrap();
    let line = complaint(&both, 2);
    assert!(line.contains("--adopt and --keep"), "{line}");
}

/// spec 3.6b, 3.6h, 8.3b: a daemon that comes after one that died adopts nothing more, and knows the same archives.
#[test]
fn another_daemon_adopts_nothing_more() {
    let sandbox = Sandbox::new();
    sandbox.sh("mkdir -p m/proj m/attic; echo keep > m/proj/readme.txt; echo a > m/attic/a.md");
    sandbox.run([
        "mount",
        "m",
        "--adopt",
        "--archive",
        "attic",
        "--archive=!done",
    ]);
    sandbox.sh("mv m/proj/readme.txt m/; mkdir m/done; echo d > m/done/d.md");
    let pid = |sandbox: &Sandbox| {
        let json = sandbox.status("m");
        json["pid"].as_u64().unwrap()
    };
    let first = pid(&sandbox);
    sandbox.sh(&format!(
        "kill -9 {first}; until test -e m/done && handoff=$(cat m/.status.json); do :; done"
    ));
    assert_ne!(pid(&sandbox), first);
    assert_eq!(bodies(&sandbox.sh("cat m/.peek.md")), ["d"]);
    assert_eq!(sandbox.sh("cat m/readme.txt m/attic/a.md"), "keep\na\n");
    sandbox.run(["unmount", "m"]);
    let bad = sandbox
        .handoff(["mount", "m", "--archive", "a/b"])
        .output()
        .unwrap();
    assert!(complaint(&bad, 2).contains("--archive: \"a/b\" names no directory;"));
}
