//! Directories that are ordinary throughout: archives, repositories, locks, other filesystems.

use std::fs;

use crate::first_mount::age;
use crate::harness::{DAY, Mount, errno, list, slug, sorted};
use crate::tmpfs::Tmpfs;

const DONE: &str = "2026-11-20_111500_old_done.md";

/// spec 3.6h: handoffs that are moved to an archive are not delivered and do not expire, whether the archive was found
/// or made, at any depth.
#[test]
fn archives() {
    let mut mount = Mount::filled(|dir| {
        for archive in ["archive", "q/taken"] {
            fs::create_dir_all(dir.join(archive)).unwrap();
            fs::write(dir.join(archive).join(DONE), "old\n").unwrap();
            fs::write(dir.join(archive).join("notes.md"), "mine\n").unwrap();
            age(dir.join(archive).join(DONE), 30 * DAY);
        }
    });
    mount.sh(
        "a",
        "echo x > x.md; echo y > y.md; cat pending.md; mkdir done",
    );
    mount.sh(
        "a",
        "mv *_x_done.md archive/; mv *_y_done.md done/; echo z > z.md; mv *_z.md q/taken/; echo p > q/taken/plain.md",
    );
    for _ in 0..2 {
        assert_eq!(mount.peek(), [""; 0]);
        mount.pass(30 * DAY);
        for (archive, expected) in [
            ("archive", vec!["notes.md", "old_done", "x_done"]),
            ("done", vec!["y_done"]),
            ("q/taken", vec!["notes.md", "old_done", "plain.md", "z"]),
        ] {
            let mut slugs: Vec<String> =
                list(&mount.at(archive)).iter().map(|it| slug(it)).collect();
            slugs.sort();
            assert_eq!(slugs, expected, "{archive}");
        }
        mount.remount();
    }
    // From there it goes back by a rename, and is pending again.
    mount.sh("a", "mv q/taken/*_z.md .");
    assert_eq!(mount.peek(), ["z"]);
}

/// spec 3.6h: an archive that is renamed stays ordinary if it holds anything; a queue that is renamed to one is an archive.
#[test]
fn archives_are_renamed() {
    let mut mount = Mount::new();
    mount.sh(
        "a",
        "mkdir old trash q; echo mine > old/notes.md; echo x > q/x.md; mv old kept; mv trash fresh; mv q read",
    );
    for _ in 0..2 {
        assert_eq!(mount.peek(), [""; 0]);
        assert_eq!(
            mount.sh("a", "cat kept/notes.md; ls -A fresh"),
            "mine\npending.md\n"
        );
        assert!(!mount.at("read/pending.md").exists());
        mount.remount();
    }
    mount.sh("a", "echo y > fresh/y.md");
    assert_eq!(mount.peek(), ["y"]);
}

/// spec 3.6h: which directories are archives is settable.
#[test]
fn other_archives() {
    let mount = Mount::with(|options| {
        options.archives.amend("!done").unwrap();
        options.archives.amend("attic").unwrap();
    });
    mount.sh(
        "a",
        "mkdir done attic; echo d > done/d.md; echo a > attic/a.md",
    );
    assert_eq!(mount.peek(), ["d"]);
    assert_eq!(list(&mount.below("attic")), ["a.md"]);
}

/// spec 3.6g: a directory that has a `.git` is ordinary throughout, whenever that turned up; also when it is gone again, or
/// the directory has another name.
#[test]
fn repositories() {
    let mut mount = Mount::filled(|dir| {
        fs::create_dir_all(dir.join("found/.git")).unwrap();
        fs::write(dir.join("found/2026-11-20_101500_not.md"), "no handoff\n").unwrap();
    });
    mount.sh(
        "a",
        "mkdir -p made/sub; mkdir made/.git; echo one > made/README.md; echo s > made/sub/s.md",
    );
    mount.sh("b", "echo two > made/README.md; echo new > found/new.md");
    // Below the mount too: a queue that is known, and one that is not.
    mount.sh("a", "mkdir below; ls below");
    fs::create_dir(mount.below("below/.git")).unwrap();
    fs::create_dir_all(mount.below("unseen/.git")).unwrap();
    fs::write(mount.below("unseen/Makefile"), "all:\n").unwrap();
    mount.sh("a", "ls below unseen; echo x > below/x.md");
    mount.sh("a", "rm -r made/.git; mv found moved");
    for _ in 0..2 {
        assert_eq!(mount.peek(), [""; 0]);
        assert_eq!(
            mount.sh(
                "c",
                "cat made/README.md made/sub/s.md below/x.md moved/* unseen/Makefile"
            ),
            "two\ns\nx\nno handoff\nnew\nall:\n"
        );
        for dir in ["made", "made/sub", "below", "moved", "unseen"] {
            assert!(!mount.at(dir).join("pending.md").exists(), "{dir}");
        }
        mount.remount();
    }
}

/// spec 3.6f: a queue that holds handoffs stays one when a `.git` is made in it, here or further down, on the mount or below
/// it, mounted or not.
#[test]
fn a_queue_with_handoffs_stays_one() {
    let mut mount = Mount::new();
    mount.sh(
        "a",
        "mkdir -p p q/deep r s; for d in p q/deep r s; do echo $d > $d/x.md; done",
    );
    mount.sh(
        "a",
        "mkdir p/.git q/.git; echo p2 > p/y.md; echo q2 > q/y.md",
    );
    fs::create_dir(mount.below("r/.git")).unwrap();
    mount.sh("a", "ls r; echo r2 > r/y.md");
    mount.unmount();
    fs::create_dir(mount.below("s/.git")).unwrap();
    for _ in 0..2 {
        mount.remount();
        assert_eq!(
            sorted(mount.peek()),
            ["p", "p2", "q/deep", "q2", "r", "r2", "s"]
        );
    }
}

/// spec 3.6g: the root is a queue, also where it has a `.git` or such a name.
#[test]
fn the_root_is_a_queue() {
    let mount = Mount::filled(|dir| fs::create_dir(dir.join(".git")).unwrap());
    mount.sh("a", "echo x > x.md; mkdir .git/y");
    assert_eq!(mount.peek(), ["x"]);
}

/// spec 3.6g: a directory on another filesystem below a queue is ordinary: `echo >` makes an ordinary file there, a rename
/// into it is EXDEV, and mv copies.
#[test]
fn another_filesystem_needs_root() {
    let mut tmpfs = None;
    let mut mount = Mount::filled(|dir| {
        let other = dir.join("q/other");
        fs::create_dir_all(&other).unwrap();
        tmpfs = Some(Tmpfs::over(&other, "size=1m"));
    });
    mount.sh(
        "a",
        "echo one > q/other/x.md; mkdir q/other/sub; echo deep > q/other/sub/y.md",
    );
    assert_eq!(
        mount.sh("b", "cat q/other/x.md q/other/sub/y.md"),
        "one\ndeep\n"
    );
    assert_eq!(list(&mount.below("q/other")), ["sub", "x.md"]);
    mount.sh("a", "echo z > z.md");
    fs::write(mount.at("t.tmp"), "t\n").unwrap();
    let name = mount.stamped("z");
    for from in [name.as_str(), "t.tmp"] {
        assert_eq!(
            errno(fs::rename(mount.at(from), mount.at("q/other/z.md"))),
            libc::EXDEV,
            "{from}"
        );
    }
    assert_eq!(mount.peek(), ["z"]);
    mount.sh("a", &format!("mv {name} q/other/; mv q/other/x.md back.md"));
    assert_eq!(mount.peek(), ["one"]);
    assert_eq!(list(&mount.below("q/other")), [name.as_str(), "sub"]);
    mount.unmount();
}
