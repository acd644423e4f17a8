//! From the creation of a draft to its delivery.

use std::fs;
use std::time::Duration;

use crate::actors::Actor;
use crate::harness::{DAY, Mount, sorted};

/// spec 4.2a: a handoff whose close succeeded is published, whole.
#[test]
fn published_by_close() {
    let mount = Mount::with(|options| options.sync = true);
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = os.open('n.md', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)");
    writer.run("os.write(f, b'all of it\\n')");
    assert!(mount.names_below().is_empty());
    writer.run("os.close(f)");
    let name = mount.stamped("n");
    assert_eq!(mount.text_below(name), "all of it\n");
    assert_eq!(mount.take("b"), ["all of it"]);
}

/// spec 4.2a, 4.2c: published by the first close that follows a write, delivered by the last.
#[test]
fn published_by_the_first_close_delivered_by_the_last() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = os.open('n.md', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)");
    writer.run("g = os.dup(f)");
    writer.run("os.write(f, b'one\\n'); os.close(f)");
    assert_eq!(mount.names_below().len(), 1);
    assert_eq!(mount.take("b"), [""; 0]);
    writer.run("os.write(g, b'two\\n')");
    assert_eq!(mount.take("b"), [""; 0]);
    writer.run("os.close(g)");
    assert_eq!(mount.take("b"), ["one\ntwo"]);
    assert_eq!(mount.slugs(), ["n_done"]);
}

/// spec 4.2c: two closes and one handoff.
#[test]
fn subshells_share_one_handoff() {
    let mount = Mount::new();
    mount.sh("a", "(echo 1; /bin/echo 2; echo 3) > notes.md");
    mount.sh("a", "{ /bin/echo 4; /bin/echo 5; } > more.md");
    assert_eq!(mount.take("b"), ["1\n2\n3", "4\n5"]);
}

/// spec 4.2c: a reader right after the close finds what was written.
#[test]
fn read_after_close() {
    let mount = Mount::new();
    let out = mount.sh(
        "a",
        "for i in $(seq 100); do echo mark$i > n.md; cat pending.md; done",
    );
    assert_eq!(out.matches("mark").count(), 100);
    assert_eq!(mount.take("b"), [""; 0]);
}

/// spec 4.2d: listed from its creation, and named by the status for as long as it stays open.
#[test]
fn open_drafts_are_listed_and_reported() {
    let mount = Mount::new();
    let drafts = || -> Vec<(String, u32, u64)> {
        let status = mount.status();
        let drafts = status["drafts"].as_array().unwrap().iter();
        drafts
            .map(|draft| {
                (
                    draft["name"].as_str().unwrap().to_owned(),
                    draft["pid"].as_u64().unwrap() as u32,
                    draft["age_seconds"].as_u64().unwrap(),
                )
            })
            .collect()
    };
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = os.open('n.md', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)");
    let name = mount.stamped("n");
    mount.clock.advance(Duration::from_secs(600));
    for step in ["os.write(f, b'x')", "os.close(os.dup(f))"] {
        let [(named, pid, age)] = &drafts()[..] else {
            panic!("{:?}", drafts());
        };
        assert_eq!((named, *pid), (&name, writer.pid()));
        assert!(*age >= 600, "{age}");
        writer.run(step);
    }
    assert_eq!(drafts().len(), 1, "published, and open all the same");
    assert_eq!(mount.text(&name), "x");
    writer.run("os.close(f)");
    assert_eq!(mount.take("b"), ["x"]);
    assert_eq!(drafts(), []);
}

/// spec 4.2b: fsync makes the content so far recoverable: it is in the private directory, under its name.
#[test]
fn fsync_of_a_draft() {
    let mount = Mount::with(|options| options.sync = true);
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = os.open('n.md', os.O_WRONLY | os.O_CREAT)");
    writer.run("os.write(f, b'so far'); os.fsync(f)");
    let draft = format!(".handoff-fs/drafts/{}", mount.stamped("n"));
    assert_eq!(mount.text_below(draft), "so far");
    assert!(mount.names_below().is_empty());
    writer.run("os.close(f)");
}

/// spec 4.2a: an error of publishing is the error of the close.
#[test]
fn publishing_fails_the_close() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = os.open('n.md', os.O_WRONLY | os.O_CREAT)");
    writer.run("os.write(f, b'x')");
    let draft = format!(".handoff-fs/drafts/{}", mount.stamped("n"));
    fs::remove_file(mount.below(draft)).unwrap();
    assert_eq!(writer.fails("os.close(f)"), "ENOENT");
    // And nothing hangs on it afterwards.
    mount.sh("b", "echo y > n.md");
    assert!(mount.take("c").contains(&"y".to_owned()));
}

/// spec 4.1c, 4.2a: writers that come together each publish their own, whole.
#[test]
fn many_writers_at_once() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "for i in $(seq 24); do
             (for line in $(seq 50); do echo $i; done > notes.md) &
         done
         wait",
    );
    let bodies = sorted(mount.take("b"));
    let mut expected: Vec<String> = (1..=24)
        .map(|i| vec![i.to_string(); 50].join("\n"))
        .collect();
    expected.sort();
    assert_eq!(bodies, expected);
}

/// spec 4.8: without a byte it is listed, never delivered, and goes with the retention time.
#[test]
fn empty_handoffs() {
    let mount = Mount::new();
    mount.sh("a", "touch t.md; : > c.md");
    assert_eq!(mount.slugs(), ["c", "t"]);
    assert_eq!(
        mount.sh("b", "cat pending.md; stat -c %s pending.md"),
        "0\n"
    );
    assert_eq!(mount.slugs(), ["c", "t"]);
    mount.pass(8 * DAY);
    assert_eq!(mount.slugs(), [""; 0]);
    assert_eq!(mount.names_below(), [""; 0]);
}

/// spec 4.8: an empty handoff may be written later, and is delivered then.
#[test]
fn touched_then_written() {
    let mount = Mount::new();
    mount.sh("a", "touch t.md");
    let name = mount.stamped("t");
    assert_eq!(mount.take("b"), [""; 0]);
    mount.sh("a", "echo now > t.md");
    assert_eq!(mount.names(), [name]);
    assert_eq!(mount.take("b"), ["now"]);
}

/// spec 4.1b, 8.4c: below it has the mode that its writer's umask left, also when it is written anew or edited.
#[test]
fn modes() {
    let mount = Mount::new();
    let modes = || {
        mount
            .sh("r", "stat -c %a 2* | sort | uniq -c")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    mount.sh("a", "umask 077; echo 1 > n.md; echo 2 > n.md; echo 3 > x.tmp; mv x.tmp n.md; vim -u NONE -es -c 'norm A.' -c wq n.md");
    assert_eq!(modes(), "3 600");
    mount.sh(
        "a",
        "rm 2*; umask 022; echo 1 > m.md; sed -i s/1/2/ m.md; echo 3 | dd of=m.md status=none",
    );
    assert_eq!(modes(), "2 644");
}

/// spec 4.1a, 4.8: created to be read only, it is published by its close all the same.
#[test]
fn created_to_be_read() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = os.open('n.md', os.O_RDONLY | os.O_CREAT)");
    assert_eq!(writer.fails("os.write(f, b'x')"), "EBADF");
    writer.run("os.close(f); os.mknod('k.md')");
    // The next open waits for the RELEASE of the one before.
    mount.sh("a", "cat pending.md; flock lock.md true; echo x >> n.md");
    assert_eq!(mount.take("r"), ["x"]);
    assert_eq!(mount.slugs(), ["k", "lock", "n_done"]);
    mount.pass(8 * DAY);
    assert_eq!(mount.names(), [""; 0]);
}

/// spec 4.2a: written through a mapping, and in one piece that is larger than any request.
#[test]
fn mapped_and_large() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run(
        "import mmap; f = os.open('n.md', os.O_RDWR | os.O_CREAT); os.write(f, b'mapped here')",
    );
    writer.run("m = mmap.mmap(f, 11); m[7:11] = b'HERE'; m.close(); os.close(f)");
    assert_eq!(mount.take("r"), ["mapped HERE"]);
    writer.run(
        "f = open('l.md', 'wb', buffering=0); f.write(b'0123456789abcdef' * (1 << 19)); f.close()",
    );
    let name = mount.stamped("l");
    assert_eq!(fs::metadata(mount.below(&name)).unwrap().len(), 8 << 20);
    assert_eq!(mount.take("r"), ["0123456789abcdef".repeat(1 << 19)]);
}

/// spec 4.2a: a handoff that is written in pieces, by position and beyond its end, is what was written.
#[test]
fn written_in_pieces() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = os.open('n.md', os.O_RDWR | os.O_CREAT)");
    writer.run("os.pwrite(f, b'cd', 2); os.pwrite(f, b'ab', 0); os.pwrite(f, b'e.', 4)");
    writer.run("os.ftruncate(f, 5)");
    assert_eq!(writer.run("os.pread(f, 99, 0)"), "b'abcde'");
    writer.run("os.close(f)");
    assert_eq!(mount.take("b"), ["abcde"]);
}

/// spec 4.1c, 4.1d, 4.8: a program that opens its new file a second time before it has written anything (uutils cp does, to
/// clone it) writes one handoff; what it does write is never dropped.
#[test]
fn opened_again_before_it_was_written() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    let flags = "os.O_WRONLY | os.O_CREAT | os.O_TRUNC";
    writer.run(&format!(
        "f = os.open('n.md', {flags}); g = os.open('n.md', {flags})"
    ));
    writer.run("os.write(g, b'one'); os.close(g); os.close(f)");
    assert_eq!(writer.run("open('n.md').read()"), "one");
    assert_eq!(mount.take("b"), ["one"]);
    assert_eq!(mount.names().len(), 1, "{:?}", mount.names());
    writer.run(&format!(
        "f = os.open('m.md', {flags}); g = os.open('m.md', {flags})"
    ));
    writer.run("os.write(g, b'two'); os.close(g); os.write(f, b'three'); os.close(f)");
    assert_eq!(sorted(mount.take("b")), ["three", "two"]);
    // Nothing was written through either: it is there, and empty.
    writer.run("f = os.open('e.md', os.O_WRONLY | os.O_CREAT); g = os.open('e.md', os.O_WRONLY)");
    writer.run("os.close(f); os.close(g)");
    assert_eq!(writer.run("os.stat('e.md').st_size"), "0");
}
