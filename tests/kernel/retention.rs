//! The effects of time: kept versions, expiry, and clocks that step.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use handoff_fs::clock::Clock;

use crate::actors::replaced;
use crate::failures::small;
use crate::first_mount::age;
use crate::harness::{DAY, Mount, bodies, list, sorted};
use crate::layers::Layer;

const SECOND: Duration = Duration::from_secs(1);

/// spec 3.9a: an edit through the own alias, and every one of several edits.
#[test]
fn what_an_edit_replaces_is_kept() {
    let mount = Mount::with(|options| {
        options
            .programs
            .amend(handoff_fs::programs::Role::Editor, "bash")
            .unwrap();
    });
    mount.sh("a", "echo one > x.md; echo two > x.md; echo three > x.md");
    assert_eq!(mount.peek(), ["three"]);
    assert_eq!(replaced(&mount), ["one\n", "two\n"]);
}

/// spec 3.9a: an append destroys nothing, so nothing is kept of it.
#[test]
fn an_append_replaces_nothing() {
    let mount = Mount::new();
    mount.sh("a", "echo one > x.md; echo two >> x.md");
    let name = mount.stamped("x");
    mount.sh("b", &format!("echo three >> {name}"));
    assert_eq!(replaced(&mount), [""; 0]);
    assert_eq!(mount.peek(), ["one\ntwo\nthree"]);
}

/// spec 3.9a, 7.1c: replaced versions are kept for the retention time, and no longer; also over a remount, and in queues.
#[test]
fn replaced_versions_go_with_the_retention_time() {
    let mut mount = Mount::new();
    mount.sh("a", "mkdir q; echo old > q/x.md");
    let name = list(&mount.at("q")).remove(0);
    mount.sh("b", &format!("echo new > q/{name}"));
    mount.pass(7 * DAY - 60 * SECOND);
    mount.remount();
    mount.fs().sweep();
    assert_eq!(replaced(&mount), ["old\n"]);
    mount.pass(61 * SECOND);
    assert_eq!(replaced(&mount), [""; 0]);
    assert_eq!(mount.peek(), ["new"], "pending ones never expire");
}

/// spec 3.5a, 7.1a, 7.1c: a consumed handoff disappears on the second, from listing and look-up, and is then deleted; pending
/// ones never.
#[test]
fn consumed_ones_go_on_the_second() {
    let mount = Mount::new();
    mount.sh("a", "echo x > x.md");
    // The seven days begin when the handoff is consumed.
    mount.pass(30 * DAY);
    let consumed_at = mount.clock.now();
    assert_eq!(mount.take("b"), ["x"]);
    let name = mount.stamped("x_done");
    let mtime = fs::metadata(mount.at(&name)).unwrap().modified().unwrap();
    assert!(mtime >= consumed_at && mtime <= mount.clock.now());
    mount.sh("a", "echo y > y.md");
    mount.pass(7 * DAY - 60 * SECOND);
    assert!(mount.at(&name).exists() && mount.names().contains(&name));
    mount.clock.advance(60 * SECOND);
    assert!(!mount.at(&name).exists());
    assert!(File::open(mount.at(&name)).is_err());
    assert_eq!(mount.slugs(), ["y"]);
    assert!(
        mount.below(&name).exists(),
        "hidden at once, deleted by the sweep"
    );
    mount.fs().sweep();
    assert_eq!(mount.names_below().len(), 1);
    mount.pass(1000 * DAY);
    assert_eq!(mount.peek(), ["y"]);
}

/// spec 7.1a, 7.1b: to the second exactly, seen at an mtime set by hand.
#[test]
fn neither_early_nor_late() {
    let mount = Mount::with(|options| options.retention = DAY);
    mount.sh("a", "echo x > x.md; cat pending.md");
    let name = mount.stamped("x_done");
    let file = File::open(mount.below(&name)).unwrap();
    file.set_modified(SystemTime::now() - DAY + 60 * SECOND)
        .unwrap();
    assert!(mount.at(&name).exists());
    mount.clock.advance(60 * SECOND);
    assert!(!mount.at(&name).exists());
    assert_eq!(mount.names(), [""; 0]);
}

/// spec 7.1b: an mtime that is set by hand counts: by `touch -d` through the mount and below it; a younger mtime brings
/// the file back.
#[test]
fn touched_by_hand() {
    let mount = Mount::new();
    mount.sh("a", "echo x > x.md; echo y > y.md; cat pending.md");
    let (x, y) = (mount.stamped("x_done"), mount.stamped("y_done"));
    mount.sh("a", &format!("touch -d '8 days ago' {x}"));
    assert_eq!(mount.slugs(), ["y_done"]);
    age(mount.below(&y), 8 * DAY);
    assert_eq!(mount.slugs(), [""; 0]);
    age(mount.below(&y), DAY);
    assert_eq!(mount.slugs(), ["y_done"]);
    mount.fs().sweep();
    assert_eq!(mount.names_below(), [y]);
}

/// spec 7.2b: times that no calendar holds, as nanoseconds taken for seconds make them, are shown as the nearest that one does.
#[test]
fn times_that_no_calendar_holds_needs_root() {
    // Other filesystems clamp them.
    let (mut mount, _disk) = small("1m");
    mount.sh(
        "a",
        "echo one > one.md; echo two > two.md; echo three > three.md",
    );
    let names = ["one", "two", "three"].map(|slug| mount.stamped(slug));
    for (name, time) in names.iter().zip([
        "1764330000000000000",
        "-9000000000000000000",
        "99999999999999",
    ]) {
        mount.sh("b", &format!("touch -d @{time} {name}"));
    }
    fs::write(mount.below("found.md"), "found\n").unwrap();
    let found = File::options()
        .write(true)
        .open(mount.below("found.md"))
        .unwrap();
    let future = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_330_000_000_000_000);
    found.set_modified(future).unwrap();
    drop(found);
    mount.remount_with(|options| options.utc = false);
    let shown = mount.sh("r", "ls -l > /dev/null; cat pending.md");
    assert!(shown.contains("written 9999-12-31 "), "{shown}");
    assert!(shown.contains("written 0000-01-0"), "{shown}");
    assert_eq!(bodies(&shown).len(), 4);
    assert_eq!(mount.take("r"), [""; 0]);
    assert_eq!(mount.names_below().len(), 4);
}

/// spec 4.3a, 7.2b: a time before 1970 is what it was set to, to its parts of a second.
#[test]
fn times_before_1970() {
    let mount = Mount::new();
    let shown = mount.sh(
        "a",
        "echo x > x.md; touch -d @-1.25 x.md; touch -a -d @-7 x.md; stat -c '%.2Y %.2X' x.md",
    );
    assert_eq!(shown, "-1.25 -7.00\n");
}

/// spec 7.1a, 7.1c: `--retention`, and a pending handoff of any age stays.
#[test]
fn another_retention() {
    let mount = Mount::with(|options| options.retention = Duration::from_secs(3600));
    mount.sh("a", "echo x > x.md; cat pending.md; echo y > y.md");
    age(mount.below(mount.stamped("y")), 4000 * DAY);
    mount.pass(Duration::from_secs(3600));
    assert_eq!(mount.slugs(), ["y"]);
    assert_eq!(mount.names_below().len(), 1);
    assert_eq!(mount.peek(), ["y"]);
}

/// spec 7.1a: from disk at mount: what was consumed and expired while nothing was mounted is not shown again.
#[test]
fn expired_while_unmounted() {
    let mut mount = Mount::new();
    mount.sh("a", "echo x > x.md; cat pending.md");
    mount.unmount();
    mount.clock.advance(8 * DAY);
    mount.remount();
    assert_eq!(mount.names(), [""; 0]);
    mount.fs().sweep();
    assert_eq!(mount.names_below(), [""; 0]);
}

/// spec 4.6d, 4.8: scratch files and handoffs without a byte go with the retention time, those in use do not.
#[test]
fn scratch_and_empty_ones_go() {
    let mount = Mount::new();
    mount.sh("a", "touch empty.md; echo s > s.tmp");
    assert_eq!(mount.slugs(), ["empty", "s.tmp"]);
    assert_eq!(mount.peek(), [""; 0]);
    mount.fs().sweep();
    let open = File::create(mount.at("open.md")).unwrap();
    mount.clock.advance(7 * DAY);
    mount.settle_to(1);
    mount.fs().sweep();
    assert_eq!(mount.slugs(), ["open"]);
    drop(open);
}

/// spec 7.2a, 3.3: many writes in one second, and in one that has been before: the clock steps back an hour, as local
/// time does when summer ends.
#[test]
fn a_second_that_comes_twice() {
    let mount = Mount::new();
    for _ in 0..2 {
        mount.sh("a", "for i in 1 2 3 4 5 6 7 8 9; do echo $i > x.md; done");
        mount.sh("b", "echo b > x.md");
        mount.clock.retreat(10 * SECOND);
    }
    let bodies = sorted(mount.peek());
    let expected: Vec<String> = "112233445566778899bb".chars().map(String::from).collect();
    assert_eq!(bodies, expected);
    assert_eq!(mount.take("reader").len(), 20);
    // Consumed names are as unique, also where both meet.
    mount.clock.retreat(10 * SECOND);
    mount.sh("a", "for i in 1 2 3 4 5 6 7 8 9; do echo $i > x.md; done");
    assert_eq!(mount.take("reader").len(), 9);
    assert_eq!(mount.names().len(), 29);
}

/// spec 7.2a: a clock set back loses nothing; set far ahead and back it deletes no more than what is due.
#[test]
fn a_clock_set_back_deletes_nothing() {
    let mount = Mount::new();
    mount.sh("a", "echo x > x.md; cat pending.md; echo y > y.md");
    mount.clock.retreat(400 * DAY);
    mount.fs().sweep();
    assert_eq!(mount.slugs(), ["x_done", "y"]);
    mount.sh("a", "echo z > z.md");
    assert_eq!(mount.peek(), ["z", "y"], "by stamp");
    assert_eq!(mount.take("b").len(), 2);
    mount.pass(400 * DAY);
    assert!(mount.names().iter().any(|name| name.contains("_x_done")));
}

/// spec 6.2c, 7.2a: the merge's mtime moves with its content even when the clock steps back.
#[test]
fn the_merges_mtime_changes_with_its_content() {
    let mount = Mount::new();
    let mtime = || {
        fs::metadata(mount.at(Path::new("pending.md")))
            .unwrap()
            .modified()
            .unwrap()
    };
    mount.sh("a", "echo x > x.md");
    let first = mtime();
    assert_eq!(first, mtime());
    mount.clock.retreat(DAY);
    mount.sh("a", "echo y > y.md");
    let second = mtime();
    assert_ne!(first, second);
    mount.sh("b", "cat pending.md");
    assert_ne!(mtime(), second);
    assert_ne!(mtime(), first);
}

/// spec 7.1a: a file that cannot be deleted does not prevent the deletion of the others.
#[test]
fn one_that_cannot_be_deleted_needs_root() {
    let mount = Mount::new();
    mount.sh("a", "mkdir q; for d in . q; do for i in 1 2 3; do echo x > $d/2026-01-01_00000${i}_x_done.md; done; done");
    let stuck = mount.below("2026-01-01_000002_x_done.md");
    let seen = stuck
        .to_str()
        .unwrap()
        .replace("self", &std::process::id().to_string());
    let immutable = |sign: &str| {
        let done = std::process::Command::new("chattr")
            .args([sign, &seen])
            .status();
        done.is_ok_and(|status| status.success())
    };
    assert!(
        immutable("+i"),
        "chattr +i needs root, and a filesystem such as ext4 for temporary files"
    );
    mount.pass(8 * DAY);
    let (left, left_below) = (mount.names_below(), list(&mount.below("q")));
    assert!(immutable("-i"));
    assert_eq!(left, ["2026-01-01_000002_x_done.md", "q"]);
    assert_eq!(left_below, [""; 0]);
}

/// spec 7.1a, 4.3d: of a handoff that has expired nothing is remembered, not even by a session that has a name of its own and
/// so never ends.
#[test]
fn what_has_expired_is_forgotten() {
    let mount = Mount::new();
    mount.sh("w", "for i in 1 2 3; do echo $i > n$i.md; done");
    assert_eq!(mount.take("r").len(), 3);
    mount.pass(8 * DAY);
    assert_eq!(mount.names(), [""; 0]);
    mount.fs().sweep();
    let remembered: HashMap<_, _> = mount.fs().remembered().into();
    assert_eq!(remembered["aliases"], 0);
    // Entries of nodes that the kernel still knows are kept.
    assert!(remembered["files"] <= remembered["nodes"]);
    assert_eq!(mount.run("w", "cat n1.md").status.code(), Some(1));
}

/// spec 3.5a, 3.5b: over a filesystem that ignores an mtime which is set alone, what is consumed late counts from then, and
/// what is made pending again has its stamp's time.
#[test]
fn times_over_bindfs_and_encfs_needs_root() {
    for layer in [|dir: &Path| Layer::bindfs(dir, &[]), Layer::encfs] {
        let mut below = None;
        let mount = Mount::filled(|dir| below = Some(layer(dir)));
        let name = "2026-01-15_103000_old.md";
        mount.sh(
            "a",
            &format!("echo old > {name}; touch -d '8 days ago' {name}"),
        );
        assert_eq!(mount.take("r"), ["old"]);
        let done = "2026-01-15_103000_old_done.md";
        assert_eq!(mount.names(), [done]);
        mount.pass(6 * DAY);
        assert_eq!(mount.names_below(), [done]);
        mount.sh("a", &format!("mv {done} {name}"));
        let shown = mount.sh("a", &format!("TZ=UTC stat -c %y {name}"));
        assert!(shown.starts_with("2026-01-15 10:30:00.000"), "{shown}");
        mount.sh("a", &format!("mv {name} {done}"));
        mount.pass(6 * DAY);
        assert_eq!(mount.names_below(), [done]);
        mount.pass(DAY);
        let mut left = mount.names_below();
        // The FUSE filesystem below gives a deleted file such a name until its last handle is closed.
        left.retain(|name| !name.starts_with(".fuse_hidden"));
        assert_eq!(left, [""; 0]);
    }
}
