//! Large directories that are listed with attributes (`ls -l`). The kernel is given names with their attributes, and
//! may use these for a tenth of a second. Only the time that a listing takes may show that.
//!
//! The tests act «right after» a listing, which is within that time unless the machine is very busy; then a test proves
//! nothing, and passes.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::XattrFlags;

use crate::actors::Actor;
use crate::daemon_process::{Daemon, strace};
use crate::harness::{DAY, Mount};

const WEEK: Duration = DAY.saturating_mul(7);
const MANY: usize = 200;

fn name(i: usize) -> String {
    format!("2026-11-20_12{:02}{:02}_s{i}.md", i / 60, i % 60)
}

/// So many pending handoffs, which the mount finds there.
fn fill(dir: &Path, count: usize) {
    for i in 0..count {
        fs::write(dir.join(name(i)), format!("body {i}\n")).unwrap();
    }
}

fn mount() -> Mount {
    Mount::filled(|dir| fill(dir, MANY))
}

/// `ls -l`: every name is looked at as it is listed. Returns each with its `d_ino` and attributes.
fn look(dir: &Path) -> BTreeMap<String, (u64, fs::Metadata)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = fs::symlink_metadata(entry.path()).unwrap();
        let name = entry.file_name().into_string().unwrap();
        let before = found.insert(name.clone(), (entry.ino(), meta));
        assert!(before.is_none(), "{name} is listed twice");
    }
    found
}

fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// spec 3.1, 4.2d, 4.6a, 6.2a: every name is listed once, with the inode number and the attributes that stat(2) shows;
/// also the second time, and among many.
#[test]
fn every_kind_of_name() {
    let mount = Mount::filled(|dir| {
        fill(dir, MANY);
        fs::write(dir.join("data.bin"), "ordinary").unwrap();
        fs::create_dir(dir.join("there_before")).unwrap();
        fs::hard_link(dir.join(name(7)), dir.join("2026-11-20_130000_link.md")).unwrap();
    });
    fs::create_dir(mount.at("queue")).unwrap();
    mount.write("a", "scratch.tmp", b"scratch");
    mount.sh("a", &format!("mv {} {}", name(1), done(1)));
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('draft.md', 'w'); f.write('unfinished'); f.flush()");
    for _ in 0..3 {
        let found = look(&mount.at(""));
        assert_eq!(found.len(), MANY + 7, "{:?}", found.keys());
        assert!(found.contains_key("pending.md") && found.contains_key(&done(1)));
        for (name, (ino, meta)) in &found {
            let again = fs::symlink_metadata(mount.at(name)).unwrap();
            assert_eq!((*ino, meta.ino()), (again.ino(), again.ino()), "{name}");
            // Without the time of the last access: the daemon reads them too.
            let all = |meta: &fs::Metadata| {
                let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime());
                (meta.len(), meta.mode(), meta.nlink(), meta.uid(), times)
            };
            if meta.is_file() && name != "pending.md" {
                assert_eq!(all(meta), all(&again), "{name}");
            }
            if let Ok(below) = fs::symlink_metadata(mount.below(name)) {
                assert_eq!(all(&again), all(&below), "{name}");
                assert_eq!(*ino, below.ino(), "{name}");
            }
        }
        assert!(found["queue"].1.is_dir() && found["there_before"].1.is_dir());
        thread::sleep(Duration::from_millis(40));
    }
}

fn done(i: usize) -> String {
    name(i).replace(".md", "_done.md")
}

/// The kernel caches the names of a large directory for a moment, and no longer: then changes below the mount are seen.
/// The other tests here rely on that.
#[test]
fn believed_for_a_moment() {
    let mount = mount();
    let mode = |name: &str| fs::metadata(mount.at(name)).unwrap().mode() & 0o777;
    let believed = (0..20).any(|i| {
        let name = name(MANY - 1);
        let wanted = 0o600 | (i % 2);
        look(&mount.at(""));
        fs::set_permissions(mount.below(&name), Permissions::from_mode(wanted)).unwrap();
        let believed = mode(&name) != wanted;
        thread::sleep(Duration::from_millis(150));
        assert_eq!(mode(&name), wanted);
        believed
    });
    assert!(believed, "the kernel caches no name");
}

/// In a directory with a queue that the kernel knows, the kernel caches no name, because invalidating names would
/// invalidate directories, too.
#[test]
fn never_believed_beside_a_queue() {
    let mount = mount();
    look(&mount.at(""));
    fs::create_dir(mount.at("queue")).unwrap();
    let mode = |name: &str| fs::metadata(mount.at(name)).unwrap().mode() & 0o777;
    for i in 0..20 {
        let name = name(MANY - 1);
        let wanted = 0o600 | (i % 2);
        look(&mount.at(""));
        fs::set_permissions(mount.below(&name), Permissions::from_mode(wanted)).unwrap();
        assert_eq!(mode(&name), wanted);
    }
}

/// spec 4.10a: a process whose working directory is a queue keeps it, and a file system that is mounted on a queue
/// stays mounted, whatever changes in the directory above; also when the queue was made right after a listing.
#[test]
fn queues_survive_what_changes_beside_them() {
    const CHANGES: u32 = 10_000;
    let mount = mount();
    look(&mount.at(""));
    for queue in ["queue", "bound"] {
        fs::create_dir(mount.at(queue)).unwrap();
    }
    let other = mount.outside("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("inside"), "").unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        rustix::mount::mount_bind(&other, mount.at("bound")).unwrap();
    }
    let stop = mount.outside("stop");
    let mut worker = Actor::new(&mount, "a");
    let mut passer = Actor::new(&mount, "b");
    worker.run("os.chdir('queue')");
    let path = mount.at("queue");
    let changes = || {
        for i in 0..CHANGES {
            if i % 100 == 0 {
                look(&mount.at(""));
            }
            let mode = Permissions::from_mode(0o600 | (i % 2));
            fs::set_permissions(mount.at(name(MANY - 1)), mode).unwrap();
        }
        fs::write(&stop, "").unwrap();
    };
    let each = |actor: &mut Actor, check: &str| {
        actor.run("failed = []");
        let stop = stop.display();
        // The loop is one line of Python.
        actor.run(&format!(
            "while not os.path.exists('{stop}'): failed += [] if {check} else [1]"
        ));
        assert_eq!(actor.run("failed"), "[]");
    };
    thread::scope(|scope| {
        scope.spawn(changes);
        scope.spawn(|| each(&mut worker, "os.getcwd().endswith('/queue')"));
        each(&mut passer, &format!("os.path.isdir('{}')", path.display()));
    });
    if is_root {
        assert!(
            mount.at("bound/inside").exists(),
            "what was mounted on it is gone"
        );
        rustix::mount::unmount(mount.at("bound"), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

/// spec 3.1, 4.10a: a directory that is made below the mount right after a listing can be worked in and mounted on at
/// once.
#[test]
fn directories_made_below_right_after() {
    let mount = mount();
    let other = mount.outside("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("inside"), "").unwrap();
    look(&mount.at(""));
    fs::create_dir(mount.below("queue")).unwrap();
    if rustix::process::geteuid().is_root() {
        // The first that looks it up.
        rustix::mount::mount_bind(&other, mount.at("queue")).unwrap();
        for _ in 0..2 {
            let inside = mount.at("queue/inside");
            assert!(inside.exists(), "what was mounted on it is gone");
        }
        let detach = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(mount.at("queue"), detach).unwrap();
    }
    let mut worker = Actor::new(&mount, "a");
    worker.run("os.chdir('queue')");
    look(&mount.at(""));
    assert!(worker.run("os.getcwd()").ends_with("/queue"));
}

/// spec 6.3a: a name that a listing has shown is not found any more once it was consumed, also while the listing is
/// open.
#[test]
fn while_a_listing_is_open() {
    let mount = mount();
    let mut open = fs::read_dir(mount.at("")).unwrap();
    let mut seen = Vec::new();
    while seen.len() < MANY / 2 {
        let entry = open.next().unwrap().unwrap();
        fs::symlink_metadata(entry.path()).unwrap();
        seen.push(entry.path());
    }
    seen.retain(|path| !path.ends_with("pending.md"));
    Actor::new(&mount, "reader").run("open('pending.md').read()");
    assert!(seen.iter().all(|path| is_gone(path)));
    drop(open);
}

/// spec 6.3a, 6.6b: a handoff that is consumed right after a listing is found under its old name by its consumer only.
#[test]
fn consumed_right_after() {
    let mount = mount();
    let mut reader = Actor::new(&mount, "reader");
    look(&mount.at(""));
    reader.run("open('pending.md').read()");
    for i in (0..MANY).rev() {
        assert!(is_gone(&mount.at(name(i))), "{i}");
    }
    assert_eq!(
        reader.run(&format!("open('{}').read()", name(3))),
        "body 3\n"
    );
    let found = look(&mount.at(""));
    assert!((0..MANY).all(|i| found.contains_key(&done(i))));
    assert!(!found.contains_key(&name(0)));
}

/// spec 6.2b: a descriptor that was opened with O_PATH keeps its file.
#[test]
fn held_by_path() {
    let mount = mount();
    let mut reader = Actor::new(&mount, "reader");
    let last = name(MANY - 1);
    look(&mount.at(""));
    let held = File::options()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(mount.at(&last))
        .unwrap();
    reader.run("open('pending.md').read()");
    thread::sleep(Duration::from_millis(150));
    assert_eq!(held.metadata().unwrap().len(), 9);
    let again = format!("/proc/self/fd/{}", held.as_raw_fd());
    assert_eq!(
        fs::read_to_string(again).unwrap(),
        format!("body {}\n", MANY - 1)
    );
}

/// spec 7.1a, 7.1b: a handoff that expires right after a listing is gone on the second; also when its time is set by
/// hand.
#[test]
fn expired_right_after() {
    let mount = mount();
    let times = fs::FileTimes::new();
    for i in 0..MANY {
        fs::rename(mount.below(name(i)), mount.below(done(i))).unwrap();
    }
    let soon = SystemTime::now() - WEEK + Duration::from_millis(150);
    let file = File::open(mount.below(done(MANY - 1))).unwrap();
    file.set_times(times.set_modified(soon)).unwrap();
    thread::sleep(Duration::from_millis(100));
    look(&mount.at(""));
    while SystemTime::now() < soon + WEEK {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(is_gone(&mount.at(done(MANY - 1))));

    for i in 0..10 {
        look(&mount.at(""));
        let long_ago = rustix::fs::Timespec {
            tv_sec: 1_000_000_000,
            tv_nsec: 0,
        };
        let times = rustix::fs::Timestamps {
            last_access: long_ago,
            last_modification: long_ago,
        };
        let path = mount.at(done(MANY - 2 - i));
        let none = rustix::fs::AtFlags::empty();
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, none).unwrap();
        assert!(is_gone(&path));
    }
}

/// spec 4.4a: an edit right after a listing is what its name means when the close returns.
#[test]
fn edited_right_after() {
    let mount = mount();
    mount.write("a", "n.md", b"old");
    let stamped = mount.at(mount.stamped("n"));
    let mut editor = Actor::called(&mount, "a", "vi");
    for i in 1..20 {
        let before = look(&mount.at(""))[stamped.file_name().unwrap().to_str().unwrap()].0;
        editor.run(&format!("with open('n.md', 'w') as f: f.write('x' * {i})"));
        let meta = fs::metadata(&stamped).unwrap();
        assert_eq!(meta.len(), i);
        assert_ne!(meta.ino(), before);
        assert_eq!(fs::read_to_string(&stamped).unwrap().len(), i as usize);
    }
}

/// spec 4.3a: attributes that change through an alias right after a listing are seen under the stamped name.
#[test]
fn changed_through_an_alias_right_after() {
    let mount = mount();
    mount.write("a", "n.md", b"");
    mount.write("a", "n.md", b"x");
    let stamped = mount.at(mount.stamped("n"));
    let open = File::open(&stamped).unwrap();
    let mut writer = Actor::new(&mount, "a");
    for i in 1..20 {
        look(&mount.at(""));
        writer.run("f = open('n.md', 'a'); f.write('y'); f.flush()");
        assert_eq!(open.metadata().unwrap().len(), 1 + i);
        assert_eq!(fs::metadata(&stamped).unwrap().len(), 1 + i);
    }
    writer.run("f.close()");
    // The kernel asks for the attributes of an open file; from here on it may cache them.
    drop(open);
    for i in 1..20 {
        look(&mount.at(""));
        writer.run(&format!("os.chmod('n.md', 0o600 | {i} % 8)"));
        assert_eq!(
            fs::metadata(&stamped).unwrap().mode() & 0o777,
            0o600 | (i % 8)
        );
        look(&mount.at(""));
        writer.run("with open('n.md', 'a') as f: f.write('z')");
        assert_eq!(fs::metadata(&stamped).unwrap().len(), 20 + u64::from(i));
    }
}

/// spec 4.5a: renaming and removing right after a listing, and that what the kernel was told of a name does not go with it
/// to the new one.
#[test]
fn renamed_and_removed_right_after() {
    let mount = mount();
    for i in 0..20 {
        let (old, new) = (name(MANY - 1 - i), name(MANY + i));
        look(&mount.at(""));
        fs::rename(mount.at(&old), mount.at(&new)).unwrap();
        assert!(is_gone(&mount.at(&old)));
        fs::remove_file(mount.below(&new)).unwrap();
        assert!(is_gone(&mount.at(&new)), "{new} came with what was known");
    }
    // As above, with a file that the kernel knows, and that a reader consumes under its new name.
    let mut reader = Actor::new(&mount, "reader");
    for i in 0..10 {
        let (old, new) = (name(MANY - 21 - i), name(MANY + i));
        fs::read(mount.at(&old)).unwrap();
        look(&mount.at(""));
        fs::rename(mount.at(&old), mount.at(&new)).unwrap();
        reader.run("open('pending.md').read()");
        assert!(is_gone(&mount.at(&new)), "{new} came with what was known");
        let consumed = mount.at(new.replace(".md", "_done.md"));
        assert!(fs::metadata(consumed).is_ok());
        // Again to be read.
        reader.run("[os.rename(n, n.replace('_done', '')) for n in os.listdir() if '_done' in n]");
    }
    for i in 0..20 {
        let old = mount.at(name(MANY - 40 - i));
        look(&mount.at(""));
        fs::remove_file(&old).unwrap();
        assert!(is_gone(&old));
        fs::write(&old, "another").unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "another");
    }
    // Over another one, which both have.
    for i in 0..20 {
        let (old, new) = (mount.at(name(i)), mount.at(name(60 + i)));
        look(&mount.at(""));
        fs::rename(&old, &new).unwrap();
        assert!(is_gone(&old));
        assert_eq!(fs::read_to_string(&new).unwrap(), format!("body {i}\n"));
        assert_eq!(
            fs::metadata(&new).unwrap().len(),
            format!("body {i}\n").len() as u64
        );
    }
}

/// spec 3.1: a file that was replaced or renamed below the mount right after a listing is never opened under the name
/// of the other one.
#[test]
fn replaced_below_right_after() {
    let mount = mount();
    for i in 0..20 {
        let name = name(MANY - 1 - i);
        look(&mount.at(""));
        fs::write(mount.below("new.bin"), "another one").unwrap();
        fs::rename(mount.below("new.bin"), mount.below(&name)).unwrap();
        let mut file = File::open(mount.at(&name)).unwrap();
        let meta = file.metadata().unwrap();
        let below = fs::metadata(mount.below(&name)).unwrap();
        assert_eq!((meta.ino(), meta.len()), (below.ino(), 11));
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "another one");
    }
    for i in 0..20 {
        let name = name(i);
        look(&mount.at(""));
        fs::rename(mount.below(&name), mount.below("2026-11-21_000000_x.md")).unwrap();
        let opened = File::open(mount.at(&name)).map(|_| ()).unwrap_err();
        assert_eq!(opened.kind(), io::ErrorKind::NotFound);
        fs::remove_file(mount.below("2026-11-21_000000_x.md")).unwrap();
    }
}

/// truncate(2), by another program: the standard library has none.
fn set_len(path: &Path, len: u64) -> io::Result<()> {
    let line = format!("import os; os.truncate(r'{}', {len})", path.display());
    let status = Command::new("python3").args(["-c", &line]).status()?;
    assert!(status.success());
    Ok(())
}

/// Every operation on a file works on a file that was listed just before, and its errors are those of the operation.
#[test]
fn anything_right_after() {
    let mount = mount();
    let path = mount.at(name(MANY - 1));
    let each = |what: &dyn Fn(&Path) -> io::Result<()>| {
        look(&mount.at(""));
        what(&path).unwrap();
    };
    for _ in 0..5 {
        each(&|path| fs::set_permissions(path, Permissions::from_mode(0o640)));
        each(&|path| File::options().append(true).open(path)?.write_all(b"more"));
        each(&|path| File::options().write(true).open(path)?.set_len(3));
        each(&|path| set_len(path, 2));
        each(&|path| {
            Ok(rustix::fs::setxattr(
                path,
                "user.t",
                b"v",
                XattrFlags::empty(),
            )?)
        });
        each(&|path| {
            let mut value = [0; 8];
            Ok(rustix::fs::getxattr(path, "user.t", &mut value).map(|_| ())?)
        });
        each(&|path| Ok(rustix::fs::access(path, rustix::fs::Access::READ_OK)?));
        each(&|path| {
            let mut file = File::open(path)?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            assert_eq!((text.len(), file.metadata()?.len()), (2, 2));
            Ok(())
        });
    }
    // ENOTSUP tells `ls -l` to ask for no more security labels.
    let mut value = [0; 8];
    assert_eq!(
        rustix::fs::getxattr(&path, "security.selinux", &mut value),
        Err(rustix::io::Errno::NOTSUP)
    );
}

/// spec 4.10a: a process keeps its working directory when that is listed among many.
#[test]
fn working_in_a_listed_directory() {
    let mount = mount();
    fs::create_dir(mount.at("queue")).unwrap();
    fill(&mount.below("queue"), MANY);
    let mut actor = Actor::new(&mount, "a");
    actor.run("os.chdir('queue')");
    for _ in 0..5 {
        look(&mount.at(""));
        look(&mount.at("queue"));
        assert!(actor.run("os.getcwd()").ends_with("/queue"));
        assert_eq!(
            actor.run(&format!("open('{}').read()", name(2))),
            "body 2\n"
        );
    }
    actor.run("open('here.md', 'w').close()");
}

/// spec 3.1: names come and go while a directory is read: what stays is listed once.
#[test]
fn while_names_come_and_go() {
    let mount = Mount::filled(|dir| fill(dir, 2000));
    let mut seen = BTreeMap::new();
    for (i, entry) in fs::read_dir(mount.at("")).unwrap().enumerate() {
        let entry = entry.unwrap();
        let _ = fs::symlink_metadata(entry.path());
        *seen
            .entry(entry.file_name().into_string().unwrap())
            .or_insert(0) += 1;
        if i % 100 == 0 {
            let victim = i / 2 * 2 + 1;
            let _ = fs::remove_file(mount.at(name(victim)));
            fs::write(mount.below(name(3000 + i)), "late").unwrap();
        }
    }
    assert!(seen.values().all(|times| *times == 1));
    assert!((0..2000).step_by(2).all(|i| seen.contains_key(&name(i))));
}

/// The filesystem forgets the nodes that the kernel has forgotten.
#[test]
fn nothing_is_left() {
    let mount = mount();
    look(&mount.at(""));
    assert!(mount.fs().nodes() >= MANY);
    for i in 0..MANY {
        fs::remove_file(mount.at(name(i))).unwrap();
    }
    let start = Instant::now();
    // pending.md is looked up still.
    while mount.fs().nodes() > 1 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{}",
            mount.fs().nodes()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// `ls -l` of two thousand names takes a few dozen requests, and not some for each name; `ls` alone even fewer.
#[test]
fn how_many_requests_needs_root() {
    let outside = tempfile::tempdir().unwrap();
    let log = outside.path().join("strace");
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 2000);
    let daemon = Daemon::over(dir, &strace(&log, "trace=read", &[]));
    let requests = || {
        let text = fs::read_to_string(&log).unwrap();
        let done = text
            .lines()
            .filter(|line| line.contains("read") && !line.contains("= -1"));
        done.filter(|line| !line.contains("unfinished")).count()
    };
    let list = |options: &str| {
        let before = requests();
        let ls = Command::new("ls").arg(options).arg(daemon.at("")).output();
        assert!(ls.unwrap().stdout.len() > 2000 * 20);
        thread::sleep(Duration::from_millis(200));
        requests() - before
    };
    for (options, most) in [("-l", 150), ("-l", 150), ("-f", 40)] {
        let took = list(options);
        println!("ls {options} of 2000: {took} requests");
        assert!(took < most, "ls {options}: {took} requests");
    }
}
