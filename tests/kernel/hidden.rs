//! Hidden names pass through (spec 3.6k), and what they are to renames (spec 4.6b).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::actors::{Actor, replaced};
use crate::harness::{DAY, Mount, list};

const MONTH: Duration = DAY.saturating_mul(30);

/// spec 3.6k: a file that is written under a hidden name stays under that name in the backing directory, at any depth,
/// before the first mount and after it; it is not merged, and never expires.
#[test]
fn under_their_own_name() {
    let furnished = |dir: &Path| {
        fs::write(dir.join(".gitignore"), "*.o\n").unwrap();
        fs::create_dir(dir.join(".config")).unwrap();
        fs::write(dir.join(".config/notes.md"), "mine\n").unwrap();
    };
    let mut mount = Mount::filled(furnished);
    mount.sh("a", "mkdir -p q/deep; echo secret > .netrc; echo one > q/deep/.notes.md; echo x >> .config/notes.md");
    // All sessions share the one file, as in any directory.
    mount.sh(
        "b",
        "echo more >> .netrc; sed -i s/one/two/ q/deep/.notes.md; mkdir q/.hidden; echo y > q/.hidden/2026-01-02_030405_y.md",
    );
    mount.sh(
        "c",
        "mv .gitignore .ignore; set -C; ! echo z > .netrc; chmod 600 .netrc",
    );
    let expected = [
        (".netrc", "secret\nmore\n"),
        (".ignore", "*.o\n"),
        (".config/notes.md", "mine\nx\n"),
        ("q/deep/.notes.md", "two\n"),
        ("q/.hidden/2026-01-02_030405_y.md", "y\n"),
    ];
    for remounted in [false, true] {
        for (name, content) in expected {
            assert_eq!(mount.text(name), content, "{name}");
            assert_eq!(mount.text_below(name), content, "{name}");
        }
        assert_eq!(
            mount.names(),
            [".config", ".ignore", ".netrc", "q"],
            "{remounted}"
        );
        assert_eq!(list(&mount.at("q/deep")), [".notes.md", "pending.md"]);
        assert_eq!(mount.peek(), [""; 0]);
        assert_eq!(
            fs::metadata(mount.at(".netrc")).unwrap().mode() & 0o777,
            0o600
        );
        let old = SystemTime::now() - MONTH;
        let file = fs::File::open(mount.below(".netrc")).unwrap();
        file.set_modified(old).unwrap();
        mount.pass(MONTH);
        mount.remount();
    }
    mount.unmount();
    assert_eq!(mount.text(".netrc"), "secret\nmore\n");
    mount.remount();
    mount.sh(
        "a",
        "! rmdir q/deep 2>/dev/null; rm -r q .netrc .ignore .config",
    );
    assert_eq!(mount.names_below(), [""; 0]);
}

/// spec 3.6g, 3.6k: nothing of section 4 holds in a hidden directory.
#[test]
fn in_a_hidden_directory() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "mkdir .d; cd .d; echo one > x.md; echo two > x.tmp; echo three > pending.md; mv x.tmp y.md; ln y.md z.md",
    );
    let names = ["pending.md", "x.md", "y.md", "z.md"];
    assert_eq!(list(&mount.at(".d")), names);
    assert_eq!(list(&mount.below(".d")), names);
    assert_eq!(
        mount.sh(
            "b",
            "cat .d/x.md .d/pending.md; echo four > .d/x.md; cat .d/x.md"
        ),
        "one\nthree\nfour\n"
    );
    assert_eq!(mount.peek(), [""; 0]);
}

/// spec 4.6b: renaming a hidden file to an unstamped name publishes it, or a stamped one; linking it does, too.
#[test]
fn published_by_rename() {
    let mount = Mount::new();
    mount.sh("a", "mkdir q");
    for (n, temporary) in [
        ".notes.md",
        ".notes.md.new",
        ".x",
        "q/.tmpfile",
        ".n.md.Xa12bC",
    ]
    .iter()
    .enumerate()
    {
        mount.sh(
            "a",
            &format!(
                "echo {n} > {temporary}; mv {temporary} n.md; cat n.md; test ! -e {temporary}"
            ),
        );
        assert_eq!(mount.take("b"), [n.to_string()], "{temporary}");
        assert!(!mount.below(temporary).exists());
    }
    mount.sh("a", "echo x > .x; mv .x 2026-01-02_030405_x.md; echo y > .y; mv .y data.json; echo z > .z; ln .z z.md; rm .z");
    assert_eq!(mount.take("b"), ["x", "y", "z"]);
}

/// spec 4.5f: a handoff that is renamed to a hidden name is none any more, and lies there; renamed back it is one again.
#[test]
fn a_handoff_that_is_hidden() {
    let mount = Mount::new();
    mount.sh("a", "echo one > n.md; mv n.md .n.md; ! test -e n.md");
    assert_eq!(mount.names_below(), [".n.md"]);
    assert_eq!(mount.peek(), [""; 0]);
    assert_eq!(mount.sh("b", "cat .n.md"), "one\n");
    mount.sh("b", "mv .n.md n.md");
    assert_eq!(mount.peek(), ["one"]);
    let name = mount.stamped("n");
    // Over another hidden file, under the stamped name.
    mount.sh("c", &format!("echo old > .n.md; mv {name} .n.md"));
    assert_eq!(mount.sh("c", "cat .n.md"), "one\n");
    assert_eq!(mount.peek(), [""; 0]);
    assert_eq!(
        replaced(&mount),
        ["one\n", "one\n"],
        "as before an editor's backup"
    );
}

/// spec 4.6a: a name as rsync's temporary files have it is a scratch file when it is made with O_EXCL, and else a hidden
/// file as any other.
#[test]
fn made_as_rsync_does() {
    let mount = Mount::new();
    let mut rsync = Actor::new(&mount, "a");
    rsync.run("f = os.open('.n.md.Xa12bC', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600); os.write(f, b'one')");
    assert_eq!(mount.names(), [".n.md.Xa12bC"]);
    assert_eq!(mount.names_below(), [""; 0]);
    rsync.run("os.close(f); os.chmod('.n.md.Xa12bC', 0o644); os.rename('.n.md.Xa12bC', 'n.md')");
    assert_eq!(mount.take("b"), ["one"]);
    mount.sh("a", "echo two > .n.md.Yb34cD");
    assert!(mount.names_below().contains(&".n.md.Yb34cD".to_owned()));
    // Left behind.
    rsync.run("os.close(os.open('.m.md.Xa12bC', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))");
    mount.settle();
    mount.pass(MONTH);
    assert_eq!(mount.names(), [".n.md.Yb34cD"]);
}

/// spec 3.6k: git works in the mount itself and in a queue, and takes nothing of what is pending.
#[test]
fn git_in_the_mount() {
    let mount = Mount::new();
    mount.sh("a", "mkdir q; echo one > one.md; echo two > q/two.md");
    for dir in [".", "q"] {
        let script = format!(
            "cd {dir} && export HOME=$PWD/.home GIT_CONFIG_NOSYSTEM=1 && mkdir .home && git init -q . \
             && git config user.email a@b && git config user.name n && echo .home > .gitignore \
             && git add . && git commit -qm one && git fsck --strict && git ls-files"
        );
        let files = mount.sh("a", &script);
        assert!(
            files.contains(".gitignore\n") && files.contains("_two.md\n"),
            "{dir}: {files}"
        );
        assert!(mount.below(dir).join(".git/HEAD").exists());
    }
    assert_eq!(mount.peek()[..1], ["one"]);
}
