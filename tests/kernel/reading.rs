//! Reading `pending.md`: what it says, that every reader gets every byte, and what it is that consumes.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::process::Stdio;

use crate::harness::{Mount, bodies};

/// Commands that read all of `pending.md` and show it. `$out` is a path outside of the mount.
const READERS: &[&str] = &[
    "cat pending.md",
    "cat < pending.md",
    "cat /dev/stdin < pending.md",
    "exec 3< pending.md; cat /proc/self/fd/3",
    "exec 3< pending.md; cat <&3; cat <&3",
    "busybox cat pending.md",
    "busybox cat < pending.md",
    "cp pending.md $out; cat $out",
    "busybox cp pending.md $out; cat $out",
    "cp pending.md .copy.tmp; cat .copy.tmp",
    "cat pending.md > .copy.tmp; cat .copy.tmp",
    "printf '%s\\n' \"$(< pending.md)\"",
    "while IFS= read -r line; do printf '%s\\n' \"$line\"; done < pending.md",
    "mapfile -t lines < pending.md; printf '%s\\n' \"${lines[@]}\"",
    "awk 1 pending.md",
    "sed '' pending.md",
    "perl -pe 1 pending.md",
    "dd if=pending.md bs=512 status=none",
    "dd if=pending.md bs=4096 status=none",
    "dd if=pending.md bs=1M status=none",
    "dd if=pending.md bs=$(stat -c %s pending.md) status=none",
    "tee < pending.md",
    "$python -c 'import sys; sys.stdout.write(open(\"pending.md\").read())'",
    "$python -c 'import shutil; shutil.copyfile(\"pending.md\", \"'$out'\")'; cat $out",
    // Node's readFileSync: exactly as much as fstat says, and not a byte more.
    "$python -c '
import os
f = os.open(\"pending.md\", os.O_RDONLY)
os.write(1, os.read(f, os.fstat(f).st_size))'",
    "$python -c '
import mmap, sys
f = open(\"pending.md\", \"rb\")
sys.stdout.buffer.write(mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)[:])'",
    // Backwards, and the end first.
    "$python -c '
import os
f = os.open(\"pending.md\", os.O_RDONLY)
n = os.fstat(f).st_size
assert os.pread(f, 10, n) == b\"\"
halves = [os.pread(f, n - n // 2, n // 2), os.pread(f, n // 2, 0)]
os.write(1, halves[1] + halves[0])'",
];

/// Commands that look at `pending.md`, or show a part of it.
const PART_READERS: &[&str] = &[
    "stat pending.md",
    "ls -l pending.md",
    "test -s pending.md",
    "find . -size +1k -name pending.md",
    "du pending.md",
    "head -n1 pending.md",
    "head -n1 < pending.md",
    "head -c 50 pending.md",
    "tail -n1 pending.md",
    "tail -n1 < pending.md",
    "tail -c +5 pending.md",
    "wc -c pending.md",
    "wc -c < pending.md",
    "wc -l < pending.md",
    "read -r line < pending.md",
    "sed 1q pending.md",
    "dd if=pending.md bs=64 count=1 status=none",
    "dd if=pending.md bs=64 skip=1 status=none",
    "dd if=pending.md bs=64K count=1 status=none | cat",
    "less pending.md | cat",
    "more pending.md | cat",
    "cat .peek.md",
    "busybox cat .peek.md",
    "grep -c . pending.md",
    "grep -c . < pending.md",
    "grep -q . pending.md",
    "grep -r handoff .",
    "file pending.md",
    "git hash-object pending.md",
    "tar cf $out pending.md",
    "rsync pending.md $out",
    "$python -c '
import os
f = os.open(\"pending.md\", os.O_RDONLY)
os.read(f, 4096)'",
    "$python -c '
import os
f = os.open(\"pending.md\", os.O_RDONLY)
n = os.fstat(f).st_size
os.pread(f, n - 10, 10)
assert os.pread(f, 10, n) == b\"\"'",
];

fn script(mount: &Mount, command: &str) -> String {
    let out = mount.outside("out");
    format!("out='{}' python=/usr/bin/python3; {command}", out.display())
}

fn all_pending(mount: &Mount) -> bool {
    mount.slugs().iter().all(|slug| !slug.ends_with("_done"))
}

fn write(mount: &Mount, n: usize, size: usize) {
    for i in 0..n {
        let line = format!("{i} {}\n", "x".repeat(97));
        let body = line.repeat(size.div_ceil(line.len()));
        mount.write("writer", &format!("doc{i}.md"), body.as_bytes());
    }
}

/// spec 6.2a, 6.3a: every reader that reads all gets every byte, and has consumed it by then; small, of several
/// handoffs, and longer than any read request.
#[test]
fn every_reader_gets_every_byte_and_consumes() {
    let mount = Mount::new();
    for (n, size) in [(1, 50), (3, 200), (2, 300_000)] {
        // In its session a page reader finds again what it has read (6.7).
        let session = format!("reader {n}");
        for reader in READERS {
            write(&mount, n, size);
            let expected = mount.text(".peek.md");
            assert_eq!(bodies(&expected).len(), n);
            let shown = mount.sh(&session, &script(&mount, reader));
            assert!(
                shown == expected,
                "{reader}: {} bytes of {}",
                shown.len(),
                expected.len()
            );
            let slugs = mount.slugs();
            let done = |slug: &String| slug.ends_with("_done") || slug == ".copy.tmp";
            assert!(slugs.iter().all(done), "{reader}: {slugs:?}");
            mount.sh("reader", "rm -f *_done.md .copy.tmp");
        }
    }
}

/// spec 6.3b, 6.3c, 6.5a: looking, showing a part, searching and saving consume nothing: of a short one, whose first buffer
/// holds all of it, and of a long one.
#[test]
fn part_readers_consume_nothing() {
    let mount = Mount::new();
    for (n, size) in [(1, 50), (2, 40), (3, 100_000)] {
        write(&mount, n, size);
        let before = mount.text(".peek.md");
        for reader in PART_READERS {
            let status = mount.run("reader", &script(&mount, reader)).status;
            assert_ne!(status.code(), Some(127), "{reader} is not installed");
            assert!(all_pending(&mount), "{reader} consumed");
        }
        let after = mount.text(".peek.md");
        assert_eq!(before, after);
        mount.take("reader");
        mount.sh("reader", "rm *_done.md");
    }
}

/// spec 6.3b: `cat pending.md | head` on a long one, and a reader that is killed half-way: nothing consumed, and the
/// next reader gets all of it.
#[test]
fn a_reader_that_dies_half_way_consumes_nothing() {
    let mount = Mount::new();
    write(&mount, 3, 400_000);
    mount.run("reader", "cat pending.md | head -n1");
    assert!(all_pending(&mount));

    let mut reader = mount.command("reader", "cat");
    let mut reader = reader
        .arg("pending.md")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1000];
    reader
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert!(all_pending(&mount));
    assert_eq!(mount.take("other").len(), 3);
}

/// spec 6.1a, 6.1b, 6.1c: oldest first by stamp, an index in front of two or more, a line in front of each, every body byte for
/// byte and a final newline where one is missing; those of queues below with their path.
#[test]
fn what_the_merge_says() {
    let mount = Mount::filled(|dir| {
        fs::write(dir.join("2026-03-01_100000_mid.md"), "two\n\n").unwrap();
        fs::write(dir.join("2026-01-01_100000_old.md"), "one").unwrap();
        fs::write(dir.join("2026-01-01_100001_gone_done.md"), "no\n").unwrap();
        fs::write(dir.join("2026-01-01_100001_empty.md"), "").unwrap();
    });
    mount.sh(
        "w",
        "mkdir proj; printf 'three\\n' > proj/2026-04-01_100000_new.md",
    );
    for name in [
        "2026-01-01_100000_old.md",
        "2026-03-01_100000_mid.md",
        "proj/2026-04-01_100000_new.md",
    ] {
        mount.sh("w", &format!("touch -d '2026-05-01 10:00:00 UTC' {name}"));
    }
    let field = |path: &str, size, name: &str| {
        format!("{path} | {size} bytes | written 2026-05-01 10:00:00 +0000 | stays as {name} -->\n")
    };
    let old = field(
        "2026-01-01_100000_old.md",
        3,
        "2026-01-01_100000_old_done.md",
    );
    let mid = field(
        "2026-03-01_100000_mid.md",
        5,
        "2026-03-01_100000_mid_done.md",
    );
    let new = field(
        "proj/2026-04-01_100000_new.md",
        6,
        "2026-04-01_100000_new_done.md",
    );
    let expected = format!(
        "<!-- handoffs: 3 | 14 bytes -->\n\
         <!-- index 1/3: {old}<!-- index 2/3: {mid}<!-- index 3/3: {new}\
         <!-- handoff 1/3: {old}one\n<!-- handoff 2/3: {mid}two\n\n<!-- handoff 3/3: {new}three\n"
    );
    assert_eq!(mount.sh("r", "cat .peek.md"), expected);
    let new = field(
        "2026-04-01_100000_new.md",
        6,
        "2026-04-01_100000_new_done.md",
    );
    assert_eq!(
        mount.sh("r", "cat proj/pending.md"),
        format!("<!-- handoff 1/1: {new}three\n"),
        "a queue has its own, of itself and below"
    );
    assert_eq!(mount.take("r"), ["one", "two\n"]);
    // The handoff is consumed under the name that its header line announced.
    assert_eq!(mount.sh("r", "cat 2026-01-01_100000_old_done.md"), "one");
    assert_eq!(
        mount.sh("r", "cat proj/2026-04-01_100000_new_done.md"),
        "three\n"
    );
}

/// spec 6.1a: of one stamp the order is that of the mtimes, and of one mtime that of the names.
#[test]
fn of_one_second() {
    let mount = Mount::new();
    for (slug, mtime) in [("a", 3), ("c", 1), ("b", 1), ("d", 2)] {
        let name = format!("2026-01-02_030405_{slug}.md");
        mount.sh(
            "w",
            &format!("echo {slug} > {name}; touch -d @{mtime} {name}"),
        );
    }
    assert_eq!(mount.take("r"), ["b", "c", "d", "a"]);
}

/// spec 6.1d: no handoff, no byte, in every queue; so `test -s` works.
#[test]
fn nothing_pending_is_no_byte() {
    let mount = Mount::new();
    mount.sh(
        "r",
        "mkdir q; test -f pending.md; test ! -s pending.md; test ! -s q/pending.md",
    );
    assert_eq!(
        mount.sh(
            "r",
            "cat pending.md q/pending.md .peek.md; busybox cat pending.md"
        ),
        ""
    );
    mount.sh("w", "echo x > q/x.md; touch empty.md");
    mount.sh("r", "test -s pending.md; test -s q/pending.md");
    assert_eq!(
        mount.peek(),
        ["x"],
        "what has no byte is not delivered (spec 4.8)"
    );
}

/// spec 6.2a: the size is exact and never a multiple of 512, for any length of the pending handoffs.
#[test]
fn the_size_is_exact_and_no_multiple_of_512() {
    let mount = Mount::new();
    mount.sh("w", "echo x > a.md");
    let a = mount.at(mount.stamped("a"));
    let check = || {
        let size = fs::metadata(mount.at("pending.md")).unwrap().len();
        assert_ne!(size % 512, 0);
        let file = File::open(mount.at(".peek.md")).unwrap();
        let fstat = file.metadata().unwrap().len();
        let read = fs::read(mount.at(".peek.md")).unwrap().len() as u64;
        assert_eq!((size, fstat), (read, read));
    };
    let sizes = |range: std::ops::Range<u64>| {
        for size in range {
            File::options()
                .write(true)
                .open(&a)
                .unwrap()
                .set_len(size)
                .unwrap();
            check();
        }
    };
    sizes(1..600);
    mount.sh("w", "printf y > b.md");
    sizes(1..600);
}

/// spec 6.2b: an open file is an unchanging snapshot: what fstat says is what read delivers, whatever is appended,
/// overwritten, truncated, edited, replaced, removed, consumed or added meanwhile. What changed meanwhile is delivered again
/// (spec 6.4c), what was as it was read is consumed.
#[test]
fn a_snapshot_does_not_change() {
    let mount = Mount::new();
    let slugs = [
        "append", "consume", "edit", "inplace", "keep", "remove", "replace", "slug", "sub",
        "truncate",
    ];
    for slug in slugs {
        mount.write(
            "w",
            &format!("{slug}.md"),
            format!("{slug} {}\n", "o".repeat(50_000)).as_bytes(),
        );
    }
    let expected = fs::read(mount.at(".peek.md")).unwrap();
    let mut file = File::open(mount.at("pending.md")).unwrap();
    let mut seen = vec![0; 1000];
    file.read_exact(&mut seen).unwrap();

    let of = |slug: &str| mount.stamped(slug);
    let consumed = of("consume").replace(".md", "_done.md");
    mount.sh("w", &format!("echo more >> {}", of("append")));
    mount.sh("w", &format!("mv {} {consumed}", of("consume")));
    mount.sh("w", "cat edit.md > /dev/null; sed -i s/o/0/g edit.md");
    mount.sh(
        "w",
        &format!(
            "printf XXXX | dd of={} conv=notrunc status=none",
            of("inplace")
        ),
    );
    mount.sh("w", &format!("rm {}", of("remove")));
    mount.sh(
        "w",
        &format!("echo new > .t.tmp; mv .t.tmp {}", of("replace")),
    );
    mount.sh("w", "mv slug.md guls.md");
    mount.sh("w", &format!("mkdir q; mv {} q/", of("sub")));
    mount.sh("w", &format!("echo short > {}", of("truncate")));
    mount.sh("w", "echo added > added.md");

    assert_eq!(file.metadata().unwrap().len(), expected.len() as u64);
    file.read_to_end(&mut seen).unwrap();
    assert!(
        seen == expected,
        "{} bytes of {}",
        seen.len(),
        expected.len()
    );
    let mut again = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut again).unwrap();
    assert!(again == expected, "also after it was consumed");
    assert_eq!(
        mount.slugs(),
        [
            "added",
            "append",
            "consume_done",
            "edit",
            "guls",
            "inplace",
            "keep_done",
            "q",
            "replace",
            "truncate"
        ]
    );
    drop(file);
    assert_eq!(mount.take("r").len(), 8);
}

/// spec 6.4c: a change that leaves size and time as they were is a change all the same.
#[test]
fn what_changed_within_a_tick_is_delivered_again() {
    let mount = Mount::new();
    mount.sh("w", "echo old > a.md");
    let a = mount.at(mount.stamped("a"));
    let times = fs::metadata(&a).unwrap().modified().unwrap();
    let mut file = File::open(mount.at("pending.md")).unwrap();
    let writer = File::options().write(true).open(&a).unwrap();
    writer.write_all_at(b"new", 0).unwrap();
    writer.set_modified(times).unwrap();
    drop(writer);
    // Once it is closed for good it is delivered; a reader that waits for that has seen it.
    assert_eq!(mount.peek(), ["new"]);
    let mut read = String::new();
    file.read_to_string(&mut read).unwrap();
    assert_eq!(bodies(&read), ["old"]);
    drop(file);
    assert_eq!(mount.take("r"), ["new"]);
}

/// spec 6.2c: the mtime changes exactly when the content does.
#[test]
fn the_mtime_changes_exactly_with_the_content() {
    let mount = Mount::new();
    let mtime = || {
        let meta = fs::metadata(mount.at("pending.md")).unwrap();
        (meta.mtime(), meta.mtime_nsec())
    };
    let mut last = mtime();
    let steps = [
        (true, "echo x > a.md"),
        (
            false,
            "cat .peek.md; stat pending.md; ls; head -n1 pending.md; grep x pending.md; cat a.md",
        ),
        (
            false,
            "touch empty.md; echo s > scratch.tmp; rm scratch.tmp; mkdir q; chmod 600 a.md",
        ),
        (
            false,
            "touch pending.md; chmod 644 pending.md; rm pending.md; mv pending.md x.md",
        ),
        (true, "echo y >> a.md"),
        (true, "echo z > q/z.md"),
        (true, "mv a.md b.md"),
        (true, "rm q/*_z.md"),
        (true, "cat pending.md"),
        (false, "cat pending.md"),
        (false, "rm *_done.md"),
        (true, "echo x > a.md"),
    ];
    for (changes, step) in steps {
        mount.sh("w", step);
        let now = mtime();
        assert_eq!(now != last, changes, "{step}");
        assert!(now >= last, "{step}");
        assert_eq!(mtime(), now);
        last = now;
    }
}

/// spec 6.2a: `d_ino` is `st_ino`, of everything that is listed, and that of `pending.md` never changes.
#[test]
fn listed_inode_numbers_are_those_of_stat() {
    let mount = Mount::new();
    mount.sh("w", "echo x > a.md; echo s > s.tmp; mkdir q; echo y > q/b.md; exec 3> open.md; echo z >&3; ls > /dev/null");
    let check = || {
        for dir in ["", "q"] {
            for entry in fs::read_dir(mount.at(dir)).unwrap() {
                let entry = entry.unwrap();
                let meta = entry.metadata().unwrap();
                assert_eq!(entry.ino(), meta.ino(), "{}", entry.path().display());
                let fstat = File::open(entry.path()).unwrap().metadata().unwrap();
                assert_eq!(entry.ino(), fstat.ino(), "{}", entry.path().display());
            }
        }
        fs::metadata(mount.at("pending.md")).unwrap().ino()
    };
    let ino = check();
    let found = mount.sh("r", &format!("find . -maxdepth 1 -inum {ino}"));
    assert_eq!(found, "./pending.md\n");
    mount.take("r");
    mount.sh("w", "echo more > c.md");
    assert_eq!(check(), ino);
}
