//! Directories, and what may not be made in them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use rustix::io::Errno;

use crate::harness::{Mount, errno, sorted};

/// spec 4.10a, 6.1a: mkdir makes a queue of its own; each merges itself and what is below, under the path from it.
#[test]
fn queues_merge_what_is_below() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "mkdir -p p/q r; echo root > x.md; echo p > p/x.md; echo q > p/q/x.md; echo r > r/x.md",
    );
    let peek = |dir: &str| mount.sh("a", &format!("cat {dir}/.peek.md"));
    for (dir, there, not) in [
        (".", vec!["root", "p", "q", "r"], vec![]),
        ("p", vec!["p", "q"], vec!["root", "r"]),
        ("p/q", vec!["q"], vec!["root", "p", "r"]),
        ("r", vec!["r"], vec!["root", "p", "q"]),
    ] {
        let merge = peek(dir);
        let has = |body: &str| merge.lines().any(|line| line == body);
        assert!(there.iter().all(|body| has(body)), "{dir}: {merge}");
        assert!(!not.iter().any(|body| has(body)), "{dir}: {merge}");
    }
    assert!(peek(".").contains(": p/q/20") && peek("p").contains(": q/20"));
    // A handoff that is read in a queue is consumed for the queues above, too.
    assert!(mount.sh("b", "cat p/pending.md").contains("\nq\n"));
    assert_eq!(sorted(mount.peek()), ["r", "root"]);
    assert!(mount.sh("b", "ls p/q").contains("_x_done.md"));
}

/// spec 4.10a: rmdir removes a queue that lists nothing, `pending.md` and expired ones apart, and no other.
#[test]
fn rmdir_removes_what_lists_nothing() {
    let mount = Mount::new();
    mount.sh("a", "mkdir q; echo x > q/x.md");
    assert_eq!(errno(fs::remove_dir(mount.at("q"))), libc::ENOTEMPTY);
    mount.sh("a", "cat q/pending.md");
    assert_eq!(errno(fs::remove_dir(mount.at("q"))), libc::ENOTEMPTY);
    mount.sh("a", "touch -d '8 days ago' q/*_done.md; echo s > q/s.tmp");
    assert_eq!(errno(fs::remove_dir(mount.at("q"))), libc::ENOTEMPTY);
    mount.sh("a", "rm q/s.tmp; rmdir q; test ! -e q");
    assert!(!mount.below("q").exists());
    mount.sh(
        "a",
        "mkdir q; echo y > q/y.md; cat q/pending.md; rm -r q; test ! -e q",
    );
    assert_eq!(errno(fs::remove_dir(mount.at("pending.md"))), libc::ENOTDIR);
}

/// spec 4.10a: `rm -rf` of a queue with everything in it goes through.
#[test]
fn rm_rf_goes_through() {
    let mount = Mount::new();
    mount.sh("a", "mkdir -p q/r/.h; echo x > q/x.md; echo y > q/r/y.md; echo s > q/r/s.tmp; echo h > q/r/.h/h");
    mount.sh("a", "rm -rf q; test ! -e q");
    assert_eq!(mount.names_below(), [""; 0]);
}

/// spec 4.10a: a handoff that is moved between queues keeps its name; a renamed queue takes its handoffs, drafts and
/// scratch files along.
#[test]
fn renames_between_and_of_queues() {
    let mount = Mount::new();
    mount.sh("a", "mkdir p q; echo x > p/x.md");
    let name = mount.sh("a", "ls p | grep _x");
    mount.sh("b", &format!("mv p/{} q/", name.trim()));
    assert_eq!(mount.sh("b", "ls q | grep _x"), name);
    assert_eq!(mount.sh("b", "ls p"), "pending.md\n");
    let out = mount.sh(
        "a",
        "exec 3> q/open.md; echo one >&3; echo s > q/s.tmp; mv q p/moved; echo two >&3; exec 3>&-; \
         cat p/moved/s.tmp; cat p/moved/open.md; ls p/moved",
    );
    assert!(out.starts_with("s\none\ntwo\n"), "{out}");
    assert_eq!(sorted(mount.peek()), ["one\ntwo", "x"]);
    assert_eq!(mount.names(), ["p"]);
    assert_eq!(
        errno(fs::rename(mount.at("p"), mount.at("p/moved/p"))),
        libc::EINVAL
    );
    mount.sh(
        "a",
        "mkdir empty full; echo f > full/f.md; mv -T p/moved empty; test -d empty",
    );
    assert_eq!(
        errno(fs::rename(mount.at("empty"), mount.at("full"))),
        libc::ENOTEMPTY
    );
    assert_eq!(
        errno(fs::rename(mount.at("full"), mount.at("pending.md"))),
        libc::ENOTDIR
    );
}

/// spec 4.10a, 3.6k: a queue that is renamed to a hidden name passes through, and is a queue again under another.
#[test]
fn a_queue_that_is_hidden_and_shown() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "mkdir q; echo x > q/x.md; mv q .q; echo plain > .q/plain.md; ls .q",
    );
    assert_eq!(mount.peek(), [""; 0]);
    assert!(!mount.at(".q/pending.md").exists());
    mount.sh("a", "mv .q q");
    assert_eq!(sorted(mount.peek()), ["plain", "x"]);
}

/// spec 4.10b: symbolic links, special files and hard links fail with EPERM; names that exist fail with EEXIST.
#[test]
fn what_may_not_be_made() {
    let mount = Mount::new();
    mount.sh("a", "mkdir q; echo x > x.md");
    let name = mount.stamped("x");
    assert_eq!(errno(symlink("x", mount.at("link.md"))), libc::EPERM);
    assert_eq!(errno(symlink("x", mount.at("q/link.md"))), libc::EPERM);
    for kind in [FileType::Fifo, FileType::Socket, FileType::CharacterDevice] {
        let made = rustix::fs::mknodat(CWD, mount.at("special"), kind, Mode::RWXU, 0);
        assert_eq!(made, Err(Errno::PERM), "{kind:?}");
    }
    assert_eq!(
        errno(fs::hard_link(mount.at(&name), mount.at("y.md"))),
        libc::EPERM
    );
    assert_eq!(
        errno(fs::hard_link(mount.at(&name), mount.at("y.tmp"))),
        libc::EPERM
    );
    assert_eq!(
        errno(fs::hard_link(mount.at("pending.md"), mount.at("y.md"))),
        libc::EPERM
    );
    assert_eq!(errno(fs::create_dir(mount.at(&name))), libc::EEXIST);
    assert_eq!(errno(fs::create_dir(mount.at("pending.md"))), libc::EEXIST);
    assert_eq!(errno(fs::remove_file(mount.at("q"))), libc::EISDIR);
    assert_eq!(mount.names_below(), [name, "q".to_owned()]);
    // A link of a scratch file publishes it.
    mount.sh("a", "echo new > s.tmp; ln s.tmp y.md; rm s.tmp");
    assert_eq!(sorted(mount.peek()), ["new", "x"]);
}

/// spec 4.10b, 3.2c: a name may have 255 bytes; 256 fail with ENAMETOOLONG. The stamped name of any 255 bytes fits,
/// too.
#[test]
fn long_names() {
    let mount = Mount::new();
    let name = |len: usize, end: &str| format!("{}{end}", "n".repeat(len - end.len()));
    fs::write(mount.at(name(255, ".md")), "long\n").unwrap();
    fs::write(mount.at(name(255, ".tmp")), "scratch\n").unwrap();
    fs::create_dir(mount.at(name(255, "q"))).unwrap();
    fs::write(mount.at(name(255, "q")).join(name(254, "x")), "deep\n").unwrap();
    let accents =
        OsString::from_vec([b"\xff\n".as_slice(), &"é".repeat(126).into_bytes()].concat());
    fs::write(mount.at(OsStr::from_bytes(accents.as_bytes())), "bytes\n").unwrap();
    assert_eq!(sorted(mount.peek()), ["bytes", "deep", "long"]);
    assert_eq!(mount.take("a").len(), 3);
    assert!(mount.names_below().iter().all(|name| name.len() <= 255));
    assert_eq!(
        errno(fs::write(mount.at(name(256, ".md")), "x")),
        libc::ENAMETOOLONG
    );
    assert_eq!(
        errno(fs::create_dir(mount.at(name(256, "q")))),
        libc::ENAMETOOLONG
    );
    assert_eq!(
        errno(fs::rename(
            mount.at(name(255, ".tmp")),
            mount.at(name(256, "x"))
        )),
        libc::ENAMETOOLONG
    );
    assert_eq!(
        errno(fs::metadata(mount.at(name(256, "x")))),
        libc::ENAMETOOLONG
    );
}

/// spec 4.10b: lists of access are ENOTSUP, other extended attributes work and stay with the handoff.
#[test]
fn extended_attributes() {
    let mut mount = Mount::new();
    mount.sh("a", "echo x > x.md");
    let path = mount.at(mount.stamped("x"));
    let set = |name: &str| rustix::fs::setxattr(&path, name, b"value", XattrFlags::empty());
    assert_eq!(set("system.posix_acl_access"), Err(Errno::NOTSUP));
    let mut buffer = [0; 64];
    assert_eq!(
        rustix::fs::getxattr(&path, "system.posix_acl_access", &mut buffer),
        Err(Errno::NOTSUP)
    );
    assert_eq!(
        rustix::fs::getxattr(&path, "user.none", &mut buffer),
        Err(Errno::NODATA)
    );
    if let Err(error) = set("user.test") {
        // Older tmpfs has none.
        assert_eq!(error, Errno::NOTSUP);
        return;
    }
    mount.sh("a", "cat pending.md");
    mount.remount();
    let path = mount.at(mount.stamped("x_done"));
    let n = rustix::fs::getxattr(&path, "user.test", &mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"value");
    let n = rustix::fs::listxattr(&path, &mut buffer).unwrap();
    assert!(
        buffer[..n]
            .split(|byte| *byte == 0)
            .any(|name| name == b"user.test")
    );
    rustix::fs::removexattr(&path, "user.test").unwrap();
    assert_eq!(
        rustix::fs::getxattr(&path, "user.test", &mut buffer),
        Err(Errno::NODATA)
    );
}

/// spec 4.10a: a queue that is removed below while the mount knows it is gone, and another one made there is new.
#[test]
fn a_queue_replaced_below() {
    let mount = Mount::new();
    mount.sh("a", "mkdir q; echo x > q/x.md");
    assert_eq!(mount.peek(), ["x"]);
    fs::remove_dir_all(mount.below("q")).unwrap();
    assert_eq!(mount.peek(), [""; 0]);
    assert!(!mount.at("q").exists());
    fs::create_dir(mount.below("q")).unwrap();
    fs::write(mount.below("q/y.md"), "y\n").unwrap();
    assert_eq!(mount.peek(), ["y"]);
    mount.sh("a", "echo z > q/z.md");
    assert_eq!(mount.take("b").len(), 2);
}

/// spec 8.4c: no file is made more permissive than its writer's umask asked, nor a directory.
#[test]
fn modes_are_the_writers() {
    use std::os::unix::fs::PermissionsExt;
    let mount = Mount::new();
    mount.sh(
        "a",
        "umask 077; mkdir q; echo x > x.md; echo s > s.tmp; cp s.tmp y.md; mv s.tmp z.md",
    );
    for name in mount.names_below() {
        let mode = fs::metadata(mount.below(&name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    mount.sh("a", "chmod 400 x.md; echo new > x.md");
    let private = fs::metadata(mount.below(".handoff-fs"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(private & 0o077, 0);
    mount.sh("b", "umask 022; echo w > w.md");
    let mode = fs::metadata(mount.below(mount.stamped("w")))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);
}

/// spec 4.10a, 3.6a: a directory whose name is stamped but for its extension is made, found and removed like any other; so is
/// an ordinary file that was there before.
#[test]
fn a_directory_of_a_stamped_name() {
    let names = [
        "2026-01-02_030405_x",
        "2026-01-02_030405_y.txt",
        "2026-01-02_030405_z.md",
    ];
    let prepare = |dir: &Path| fs::write(dir.join("2026-01-02_030405_old.txt"), "old\n").unwrap();
    let mount = Mount::filled(prepare);
    let old = mount.at("2026-01-02_030405_old.txt");
    assert_eq!(fs::read_to_string(&old).unwrap(), "old\n");
    fs::remove_file(old).unwrap();
    for name in names {
        mount.sh("a", &format!("mkdir {name} && echo {name} > {name}/n.md"));
        assert_eq!(mount.take("b"), [name]);
        mount.sh(
            "a",
            &format!("cd {name} && rm *.md && cd .. && rmdir {name}"),
        );
    }
    assert_eq!(mount.names(), [""; 0]);
}
