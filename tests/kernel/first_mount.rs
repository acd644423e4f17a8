//! Files that were there before the first mount.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use handoff_fs::fs::Adopt;

use crate::harness::{DAY, Mount, errno, list, sorted};

const PENDING: &str = "2026-11-20_101500_plan.md";
const DONE: &str = "2026-11-20_111500_old_done.md";

/// Sets the mtime of a file without opening it for writing.
pub fn age(path: impl AsRef<Path>, by: Duration) {
    let file = File::open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

/// A directory as people have them: a plan that is pending, one that was read, files of their own, and directories with the
/// same.
fn furnished(dir: &Path) {
    fs::write(dir.join(PENDING), "the plan\n").unwrap();
    fs::write(dir.join(DONE), "read before\n").unwrap();
    fs::write(dir.join("notes.md"), "mine\n").unwrap();
    fs::write(dir.join("image.png"), [0x89, b'P']).unwrap();
    fs::create_dir_all(dir.join("proj/deep")).unwrap();
    fs::write(dir.join("proj/readme.txt"), "keep\n").unwrap();
    fs::write(
        dir.join("proj/deep/2026-11-20_101500_deep.md"),
        "deep plan\n",
    )
    .unwrap();
    fs::create_dir(dir.join(".git")).unwrap();
    fs::write(dir.join(".git/HEAD"), "ref\n").unwrap();
}

/// Every path below a directory with its content, the private directory left out.
fn tree(dir: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for name in list(dir) {
        if name == ".handoff-fs" {
            continue;
        }
        let path = dir.join(&name);
        if path.is_dir() {
            found.push((name.clone(), None));
            let below = tree(&path).into_iter();
            found.extend(below.map(|(path, content)| (format!("{name}/{path}"), content)));
        } else {
            found.push((name, fs::read(&path).ok()));
        }
    }
    found
}

/// spec 3.6a: the first mount, and looking around in it, renames and deletes nothing.
#[test]
fn the_first_mount_changes_nothing() {
    let mut before = Vec::new();
    let mut mount = Mount::filled(|dir| {
        furnished(dir);
        before = tree(dir);
    });
    mount.sh(
        "a",
        "find . -type f ! -name pending.md -exec cat {} + >/dev/null; ls -lR; stat notes.md proj",
    );
    mount.fs().sweep();
    mount.peek();
    assert_eq!(tree(&mount.below("")), before);
    mount.clock.advance(30 * DAY / 24);
    mount.remount();
    mount.fs().sweep();
    mount.peek();
    assert_eq!(tree(&mount.below("")), before);
}

/// spec 3.6a, 3.6f: stamped files are handoffs, at any depth; other files are ordinary: shown, readable, never merged. The
/// directories are queues.
#[test]
fn what_was_there_is_ordinary() {
    let mut mount = Mount::filled(furnished);
    let names = [".git", PENDING, DONE, "image.png", "notes.md", "proj"];
    assert_eq!(mount.names(), names);
    assert_eq!(mount.peek(), ["the plan", "deep plan"]);
    assert_eq!(
        mount.sh("c", "cat notes.md proj/readme.txt; ls proj"),
        "mine\nkeep\ndeep\npending.md\nreadme.txt\n"
    );
    // Two sessions that write in a directory that was there lose nothing either.
    mount.sh("a", "echo one > proj/new.md; cat proj/new.md");
    mount.sh("b", "echo two > proj/new.md; mv image.png proj/");
    mount.remount();
    assert_eq!(mount.names(), [".git", PENDING, DONE, "notes.md", "proj"]);
    assert_eq!(
        sorted(mount.peek()),
        ["deep plan", "one", "the plan", "two"]
    );
    // Still ordinary under another name, and no longer once it is removed.
    mount.sh("a", "mv notes.md ideas.md");
    mount.remount();
    assert_eq!(mount.sh("b", "cat ideas.md"), "mine\n");
    mount.sh("a", "rm ideas.md");
    mount.sh("b", "test ! -e ideas.md; echo again > ideas.md");
    assert_eq!(mount.peek().len(), 5);
}

/// spec 3.6a: an ordinary file stays so when it or its directory is renamed, also after a remount.
#[test]
fn ordinary_stays_ordinary() {
    let mut mount = Mount::filled(furnished);
    mount.sh(
        "a",
        "mv notes.md ideas.md; mv proj work; mv work/readme.txt work/deep/",
    );
    for _ in 0..2 {
        mount.remount();
        assert_eq!(mount.peek(), ["the plan", "deep plan"]);
        assert_eq!(
            mount.sh("a", "cat ideas.md work/deep/readme.txt"),
            "mine\nkeep\n"
        );
    }
}

/// spec 3.6a, 3.7a: once an ordinary file is removed below, mounted or not, a file of its name is a stray again; one that is
/// replaced there stays ordinary.
#[test]
fn ordinary_no_longer() {
    let mut mount = Mount::filled(furnished);
    fs::remove_file(mount.below("notes.md")).unwrap();
    fs::write(mount.below("notes.md"), "replaced\n").unwrap();
    assert_eq!(mount.peek(), ["the plan", "deep plan"]);
    assert_eq!(mount.sh("b", "cat notes.md"), "replaced\n");
    fs::remove_file(mount.below("notes.md")).unwrap();
    mount.names();
    mount.sh("a", "rm proj/readme.txt");
    mount.unmount();
    fs::write(mount.below("notes.md"), "one\n").unwrap();
    fs::write(mount.below("proj/readme.txt"), "two\n").unwrap();
    mount.remount();
    assert_eq!(
        sorted(mount.peek()),
        ["deep plan", "one", "the plan", "two"]
    );
}

/// spec 3.6a, 4.7a: a real pending.md with content becomes a handoff, in every queue; one without a byte is left alone.
#[test]
fn a_real_pending_md() {
    let mount = Mount::filled(|dir| {
        fs::create_dir_all(dir.join("q/r")).unwrap();
        fs::write(dir.join("pending.md"), "old list\n").unwrap();
        fs::write(dir.join("q/pending.md"), "of q\n").unwrap();
        fs::write(dir.join("q/r/pending.md"), "").unwrap();
    });
    assert_eq!(sorted(mount.peek()), ["of q", "old list"]);
    assert_eq!(mount.slugs(), ["pending", "q"]);
    assert_eq!(list(&mount.below("q/r")), ["pending.md"]);
    mount.sh("a", "rmdir q/r");
}

/// spec 3.6g, 3.6k: hidden directories pass through at any depth, ordinary ones too: git works in both.
#[test]
fn git_works_in_passed_through_directories() {
    let mount = Mount::new();
    mount.sh("a", "mkdir .hidden queue queue/.deep made");
    for dir in ["made", ".hidden", "queue/.deep"] {
        let script = format!(
            "cd {dir} && export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 && git init -q . \
             && git config user.email a@b && git config user.name n \
             && echo one > a.md && git add a.md && git commit -qm one \
             && echo two > a.md && git commit -qam two && git gc -q && git fsck --strict \
             && git checkout -q HEAD~1 && cat a.md && git status --porcelain"
        );
        assert_eq!(mount.sh("a", &script), "one\n", "{dir}");
        assert!(mount.below(dir).join(".git/HEAD").exists());
    }
    assert_eq!(mount.peek(), [""; 0]);
}

/// spec 3.6l, 8.4a: symbolic links are neither shown nor followed, with any name and at any place.
#[test]
fn symbolic_links_do_not_exist() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.md");
    fs::write(&secret, "secret\n").unwrap();
    fs::create_dir(outside.path().join("dir")).unwrap();
    let links = |dir: &Path| {
        symlink(&secret, dir.join("link.md")).unwrap();
        symlink(&secret, dir.join("2026-11-20_101500_link.md")).unwrap();
        symlink(&secret, dir.join("x.tmp")).unwrap();
        symlink(outside.path(), dir.join("linkdir")).unwrap();
    };
    let mount = Mount::filled(|dir| {
        links(dir);
        fs::create_dir(dir.join("ordinary")).unwrap();
        links(&dir.join("ordinary"));
    });
    mount.sh("a", "mkdir queue");
    links(&mount.below("queue"));
    for dir in ["", "ordinary", "queue"] {
        let at = |name: &str| mount.at(dir).join(name);
        for name in ["link.md", "2026-11-20_101500_link.md", "x.tmp", "linkdir"] {
            assert_eq!(
                errno(fs::symlink_metadata(at(name))),
                libc::ENOENT,
                "{dir}/{name}"
            );
        }
        assert!(fs::write(at("linkdir/dir/in"), "x").is_err());
    }
    assert_eq!(mount.names(), ["ordinary", "queue"]);
    assert_eq!(mount.peek(), [""; 0]);
    // Written to under the name of a link: a handoff in the queue, and never the link's target.
    mount.sh("a", "echo mine > link.md");
    assert_eq!(mount.peek(), ["mine"]);
    let _ = mount.run(
        "a",
        "echo mine > ordinary/link.md; echo mine > x.tmp; echo m > linkdir/dir/x",
    );
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret\n");
    assert_eq!(list(&outside.path().join("dir")), [""; 0]);
}

/// spec 3.6l, 8.4a: a directory that is replaced by a symbolic link below the mount is not followed, also by processes
/// that have it open.
#[test]
fn a_directory_that_becomes_a_link_is_gone() {
    let outside = tempfile::tempdir().unwrap();
    let mount = Mount::new();
    mount.sh("a", "mkdir queue; echo one > queue/one.md");
    let dir = File::open(mount.at("queue")).unwrap();
    fs::rename(mount.below("queue"), mount.below(".aside")).unwrap();
    symlink(outside.path(), mount.below("queue")).unwrap();
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    assert!(rustix::fs::openat(&dir, "two.md", flags, rustix::fs::Mode::RWXU).is_err());
    assert!(mount.run("a", "echo x > queue/x.md").status.code() != Some(0));
    assert_eq!(list(outside.path()), [""; 0]);
}

/// spec 3.6j: consumed handoffs that the first mount finds past their time are hidden and never deleted, at any depth, under
/// whatever name their directory has, nor is a directory that holds one.
#[test]
fn what_had_expired_before_is_never_deleted() {
    let mut mount = Mount::filled(|dir| {
        furnished(dir);
        fs::write(dir.join("proj/deep").join(DONE), "read\n").unwrap();
        for found in ["", "proj/deep"] {
            age(dir.join(found).join(DONE), 30 * DAY);
        }
    });
    assert!(!mount.names().contains(&DONE.to_owned()));
    assert!(!mount.at(DONE).exists());
    mount.sh("a", "mv proj/deep proj/deeper; mv proj work");
    for _ in 0..2 {
        mount.fs().sweep();
        mount.pass(400 * DAY);
        assert!(mount.below(DONE).exists());
        assert!(mount.below("work/deeper").join(DONE).exists());
        mount.remount();
    }
    let status = mount.text(".status.json");
    assert!(status.contains("\"hidden\": 2"), "{status}");
    // A handoff that is consumed now expires as usual.
    mount.sh(
        "a",
        "echo x > work/deeper/x.md; rm work/deeper/*_deep.md; cat work/deeper/pending.md",
    );
    mount.pass(8 * DAY);
    assert_eq!(list(&mount.below("work/deeper")), [DONE]);
}

/// spec 3.6j, 4.10a: the directory of a consumed handoff that had expired before the first mount is not removed, by rmdir or by
/// a rename onto it; nor does making its name anew delete the file.
#[test]
fn a_directory_with_what_had_expired_stays() {
    let old = "2026-01-02_030405_old_done.md";
    let mount = Mount::filled(|dir| {
        fs::create_dir(dir.join("q")).unwrap();
        fs::write(dir.join("q").join(old), "k\n").unwrap();
        age(dir.join("q").join(old), 8 * DAY);
    });
    assert_eq!(mount.sh("a", "ls q"), "pending.md\n");
    assert_eq!(errno(fs::remove_dir(mount.at("q"))), libc::ENOTEMPTY);
    mount.sh(
        "a",
        "mkdir p; ! mv -T p q 2>/dev/null; ! rm -r q 2>/dev/null",
    );
    mount.sh(
        "a",
        &format!("echo new > q/n.md; ! mv q/*_n.md q/{old} || ls q"),
    );
    let below = fs::read_to_string(mount.below("q").join(old)).unwrap();
    assert_eq!(below, "k\n");
}

/// spec 3.6b, 3.6c: with `--adopt` text files of the root become handoffs; other files, and those in directories, stay ordinary.
/// So they do by themselves where the program says so, but at a first mount only.
#[test]
fn adopted_at_the_first_mount() {
    for adopt in [Adopt::Always, Adopt::AtFirst] {
        let mut mount = Mount::over(furnished, |options| options.adopt = adopt);
        assert_eq!(sorted(mount.peek()), ["deep plan", "mine", "the plan"]);
        assert_eq!(mount.sh("a", "cat proj/readme.txt"), "keep\n");
        assert!(mount.names().contains(&"image.png".to_owned()));
        let status = mount.text(".status.json");
        assert!(
            status.contains("\"adopted\": 1") && status.contains("\"ordinary\": 2"),
            "{status}"
        );
        mount.remount();
        assert_eq!(mount.peek().len(), 3);
    }
}

/// spec 3.6b: `--adopt` at a later mount takes in what the first one had left ordinary; the name of the mountpoint alone does
/// not.
#[test]
fn adopting_later() {
    let mut mount = Mount::filled(furnished);
    mount.remount_with(|options| options.adopt = Adopt::AtFirst);
    assert_eq!(mount.peek(), ["the plan", "deep plan"]);
    mount.remount_with(|options| options.adopt = Adopt::Always);
    assert_eq!(sorted(mount.peek()), ["deep plan", "mine", "the plan"]);
    mount.remount_with(|options| options.adopt = Adopt::Nothing);
    assert_eq!(mount.peek().len(), 3);
    assert_eq!(mount.sh("a", "cat proj/readme.txt"), "keep\n");
}

/// The record as the version before wrote it: what is ordinary, and what had expired.
fn version_1(dir: &Path, ordinary: &[&str], expired: &[&str]) {
    let mut bytes = b"handoff-fs first mount 1\x001763821381\0".to_vec();
    for (mark, paths) in [("o", ordinary), ("x", expired)] {
        for path in paths {
            bytes.extend_from_slice(format!("{mark}{path}\0").as_bytes());
        }
    }
    fs::create_dir(dir.join(".handoff-fs")).unwrap();
    fs::write(dir.join(".handoff-fs/first-mount"), bytes).unwrap();
}

/// spec 3.6a, 3.6f: a mount that an older version began: nothing becomes pending that was not, nothing is renamed or deleted. Its
/// ordinary directories are queues now, but for those with stamped files or a pending.md of their own.
#[test]
fn a_record_of_the_version_before() {
    let mut before = Vec::new();
    let mut mount = Mount::over(
        |dir| {
            furnished(dir);
            for name in ["docs/more", "repo/.git", "q"] {
                fs::create_dir_all(dir.join(name)).unwrap();
            }
            for name in ["docs/a.md", "docs/more/b", "repo/README", "q/c.json"] {
                fs::write(dir.join(name), "mine\n").unwrap();
            }
            fs::write(dir.join("docs/more/pending.md"), "real\n").unwrap();
            age(dir.join(DONE), 30 * DAY);
            let ordinary = ["docs", "notes.md", "proj", "repo"];
            version_1(dir, &ordinary, &[DONE]);
            before = tree(dir);
        },
        |options| options.adopt = Adopt::AtFirst,
    );
    for _ in 0..2 {
        assert_eq!(mount.peek(), ["the plan"]);
        mount.fs().sweep();
        mount.pass(30 * DAY);
        assert_eq!(tree(&mount.below("")), before);
        mount.remount();
    }
    assert_eq!(
        mount.sh("a", "cat docs/more/pending.md proj/deep/*_deep.md"),
        "real\ndeep plan\n"
    );
    // `docs` and `proj` are queues; what lies in them as it lay is ordinary.
    mount.sh("a", "echo one > docs/a.md; echo two > proj/readme.txt");
    assert_eq!(
        mount.sh("b", "cat docs/a.md proj/readme.txt"),
        "mine\nkeep\n"
    );
    assert_eq!(mount.peek().len(), 3);
}

/// spec 3.6f: a queue of an older version that has handoffs stays a queue, with any name.
#[test]
fn a_queue_of_the_version_before_stays_one() {
    let mut mount = Mount::filled(|dir| {
        for name in ["done", "repo/.git", "old"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        for queue in ["done", "repo"] {
            fs::write(dir.join(queue).join(PENDING), format!("{queue}\n")).unwrap();
        }
        fs::write(dir.join("old").join(DONE), "old\n").unwrap();
        version_1(dir, &[], &[]);
        for queue in ["done", "repo", "old"] {
            fs::create_dir_all(dir.join(".handoff-fs/drafts").join(queue)).unwrap();
        }
    });
    for _ in 0..2 {
        assert_eq!(sorted(mount.peek()), ["done", "repo"]);
        mount.pass(30 * DAY);
        assert!(mount.below("old").join(DONE).exists());
        mount.remount();
    }
}

/// spec 2, 3.1: the private directory is never shown, nor reached, nor made through the mount.
#[test]
fn the_private_directory_is_out_of_reach() {
    let mount = Mount::new();
    mount.sh("a", "mkdir queue; echo x > x.md");
    assert!(mount.below(".handoff-fs/lock").exists());
    assert_eq!(mount.sh("a", "ls -A | grep handoff-fs || true"), "");
    for script in [
        "ls .handoff-fs",
        "cat .handoff-fs/lock",
        "mkdir .handoff-fs",
        "mkdir queue/.handoff-fs",
        "echo x > .handoff-fs",
        "mv queue .handoff-fs",
        "rm -r .handoff-fs",
    ] {
        mount.fails("a", script);
    }
    assert!(mount.below(".handoff-fs/lock").exists());
}
