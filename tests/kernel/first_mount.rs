//! What was there before the first mount.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::{Mount, list};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PENDING: &str = "2026-11-20_101500_plan.md";
const DONE: &str = "2026-11-20_111500_old_done.md";

/// Sets the mtime of a file without opening it for writing.
pub fn age(path: impl AsRef<Path>, by: Duration) {
    let file = File::open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

fn furnished(dir: &Path) {
    fs::write(dir.join(PENDING), "the plan\n").unwrap();
    fs::write(dir.join(DONE), "read before\n").unwrap();
    fs::write(dir.join("notes.md"), "mine\n").unwrap();
    fs::write(dir.join("image.png"), [0x89, b'P']).unwrap();
    fs::create_dir_all(dir.join("proj/deep")).unwrap();
    fs::write(dir.join("proj/readme.txt"), "keep\n").unwrap();
    fs::write(
        dir.join("proj/deep/2026-11-20_101500_not.md"),
        "no handoff\n",
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

/// spec 3.6: the first mount, and looking around in it, renames and deletes nothing.
#[test]
fn the_first_mount_changes_nothing() {
    let mut before = Vec::new();
    let mut mount = Mount::over(
        |dir| {
            furnished(dir);
            before = tree(dir);
        },
        |_| {},
    );
    mount.sh(
        "a",
        "find . -type f ! -name pending.md -exec cat {} + >/dev/null; ls -lR; stat notes.md proj",
    );
    mount.fs().sweep();
    mount.peek();
    assert_eq!(tree(&mount.below("")), before);
    mount.remount();
    mount.fs().sweep();
    mount.peek();
    assert_eq!(tree(&mount.below("")), before);
}

/// spec 3.6: stamped files are handoffs; other files and all directories are ordinary: shown, usable, never merged.
#[test]
fn what_was_there_is_ordinary() {
    let mut mount = Mount::over(furnished, |_| {});
    let names = [".git", PENDING, DONE, "image.png", "notes.md", "proj"];
    assert_eq!(mount.names(), names);
    assert_eq!(mount.peek(), ["the plan"]);
    // Usable: overwritten and appended to in place, by anybody, under its own name.
    mount.sh("a", "echo one > notes.md; echo new > proj/new.md");
    mount.sh(
        "b",
        "echo two >> notes.md; sed -i s/one/1/ notes.md; mv image.png proj/",
    );
    assert_eq!(mount.sh("c", "cat notes.md proj/new.md"), "1\ntwo\nnew\n");
    mount.remount();
    assert_eq!(mount.names(), [".git", PENDING, DONE, "notes.md", "proj"]);
    assert_eq!(
        mount.sh("c", "ls proj"),
        "deep\nimage.png\nnew.md\nreadme.txt\n"
    );
    assert_eq!(mount.peek(), ["the plan"]);
    // Still ordinary under another name, and no longer once it is removed.
    mount.sh(
        "a",
        "mv notes.md ideas.md; rm ideas.md; echo again > ideas.md",
    );
    assert_eq!(mount.peek(), ["the plan", "again"]);
}

/// spec 3.6: an ordinary file that is renamed stays ordinary, also after a remount; no pending.md in an ordinary
/// directory, and none in those below it.
#[test]
fn ordinary_stays_ordinary() {
    let mut mount = Mount::over(furnished, |_| {});
    mount.sh(
        "a",
        "mv notes.md ideas.md; mv proj work; echo x > work/deep/x.md",
    );
    mount.remount();
    mount.sh("a", "test -f ideas.md && test -f work/deep/x.md");
    assert!(!mount.at("work/pending.md").exists());
    assert!(!mount.at("work/deep/pending.md").exists());
    assert_eq!(mount.peek(), ["the plan"]);
}

/// spec 3.6, 4.1: once an ordinary file is removed below, mounted or not, writers of its name write handoffs again;
/// one that is replaced there, or by an editor on the mount, stays ordinary.
#[test]
fn ordinary_no_longer() {
    let mut mount = Mount::over(furnished, |_| {});
    mount.sh(
        "a",
        "mv notes.md notes.md~; echo edited > notes.md; rm notes.md~",
    );
    fs::remove_file(mount.below("notes.md")).unwrap();
    fs::write(mount.below("notes.md"), "replaced\n").unwrap();
    assert_eq!(mount.peek(), ["the plan"]);
    assert_eq!(mount.sh("b", "cat notes.md"), "replaced\n");
    fs::remove_file(mount.below("notes.md")).unwrap();
    mount.names();
    mount.sh("a", "echo one > notes.md");
    mount.unmount();
    fs::remove_dir_all(mount.below("proj")).unwrap();
    mount.remount();
    mount.sh("a", "mkdir proj; echo two > proj/x.md");
    let mut bodies = mount.peek();
    bodies.sort();
    assert_eq!(bodies, ["one", "the plan", "two"]);
}

/// spec 3.6: hidden directories pass through at any depth, ordinary ones too: git works in both.
#[test]
fn git_works_in_passed_through_directories() {
    let mount = Mount::over(|dir| fs::create_dir(dir.join("ordinary")).unwrap(), |_| {});
    mount.sh("a", "mkdir .hidden queue queue/.deep");
    for dir in ["ordinary", ".hidden", "queue/.deep"] {
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
    assert_eq!(mount.peek(), Vec::<String>::new());
}

/// spec 3.6, 8.4: symbolic links are neither shown nor followed, whatever they are called and wherever they are.
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
    let mount = Mount::over(
        |dir| {
            links(dir);
            fs::create_dir(dir.join("ordinary")).unwrap();
            links(&dir.join("ordinary"));
        },
        |_| {},
    );
    mount.sh("a", "mkdir queue");
    links(&mount.below("queue"));
    for dir in ["", "ordinary", "queue"] {
        let at = |name: &str| mount.at(dir).join(name);
        for name in ["link.md", "2026-11-20_101500_link.md", "x.tmp", "linkdir"] {
            let error = fs::symlink_metadata(at(name)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{dir}/{name}");
        }
        assert!(fs::write(at("linkdir/dir/in"), "x").is_err());
    }
    assert_eq!(mount.names(), ["ordinary", "queue"]);
    assert_eq!(mount.peek(), Vec::<String>::new());
    // Written to under the name of a link: a handoff in the queue, and never the link's target.
    mount.sh("a", "echo mine > link.md");
    assert_eq!(mount.peek(), ["mine"]);
    let _ = mount.run(
        "a",
        "echo mine > ordinary/link.md; echo mine > x.tmp; echo m > linkdir/dir/x",
    );
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret\n");
    assert_eq!(list(&outside.path().join("dir")), Vec::<String>::new());
}

/// spec 3.6, 8.4: a directory that others replace by a symbolic link below is not followed either, also by those who
/// know it already.
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
    assert_eq!(list(outside.path()), Vec::<String>::new());
}

/// spec 3.6, 7.1: expired `_done` files that the first mount found are hidden, and deleted no sooner than seven days
/// after it.
#[test]
fn what_had_expired_before_is_given_its_time() {
    let mut mount = Mount::over(
        |dir| {
            furnished(dir);
            age(dir.join(DONE), 30 * DAY);
        },
        |_| {},
    );
    let found = |mount: &Mount| mount.names_below().contains(&DONE.to_owned());
    assert!(!mount.names().contains(&DONE.to_owned()));
    assert!(!mount.at(DONE).exists());
    mount.fs().sweep();
    mount.clock.advance(6 * DAY + 23 * DAY / 24);
    mount.fs().sweep();
    mount.remount();
    mount.fs().sweep();
    assert!(found(&mount), "deleted before its time");
    mount.clock.advance(DAY / 24);
    mount.fs().sweep();
    assert!(!found(&mount), "not deleted in its time");
}

/// spec 3.6: `--adopt` makes handoffs and queues of what was there, at any depth, and still gives expired ones their time.
#[test]
fn adopt_takes_everything_in() {
    let mount = Mount::over(
        |dir| {
            furnished(dir);
            fs::write(dir.join("proj/deep").join(DONE), "read\n").unwrap();
            age(dir.join("proj/deep").join(DONE), 30 * DAY);
        },
        |options| options.adopt = true,
    );
    mount.fs().sweep();
    let mut bodies = mount.peek();
    bodies.sort();
    assert_eq!(bodies, ["keep", "mine", "no handoff", "the plan"]);
    let deep = mount.sh("a", "cat proj/deep/.peek.md");
    assert!(
        deep.contains("no handoff") && !deep.contains("mine"),
        "{deep}"
    );
    assert!(
        mount.names().contains(&"image.png".to_owned()),
        "not a stray's name"
    );
    assert!(mount.below("proj/deep").join(DONE).exists());
    mount.clock.advance(7 * DAY);
    mount.fs().sweep();
    assert!(!mount.below("proj/deep").join(DONE).exists());
}

/// spec 3.6: `--adopt` at a later mount takes in what the first one had left ordinary.
#[test]
fn adopting_later() {
    let mut mount = Mount::over(furnished, |_| {});
    assert_eq!(mount.peek(), ["the plan"]);
    mount.remount_with(|options| options.adopt = true);
    let mut bodies = mount.peek();
    bodies.sort();
    assert_eq!(bodies, ["keep", "mine", "no handoff", "the plan"]);
    mount.remount_with(|options| options.adopt = false);
    assert_eq!(mount.peek().len(), 4);
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
        assert!(!mount.run("a", script).status.success(), "{script}");
    }
    assert!(mount.below(".handoff-fs/lock").exists());
}
