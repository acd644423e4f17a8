//! Readers of every kind: while something is written, and at the same time as each other (spec 6.2b, 6.3a, 6.4a).

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Mount, bodies};

/// Each reads standard input to its end, and shows it.
const FROM_INPUT: &[&str] = &[
    "cat",
    "busybox cat",
    "coreutils cat",
    "dd bs=4096 status=none",
    "/usr/bin/python3 -c 'import os; os.write(1, os.read(0, os.fstat(0).st_size))'",
    "/usr/bin/python3 -c '
import mmap, os, sys
if os.fstat(0).st_size: sys.stdout.buffer.write(mmap.mmap(0, 0, mmap.MAP_PRIVATE, mmap.PROT_READ)[:])'",
    "node -e 'process.stdout.write(require(\"fs\").readFileSync(0))'",
    "sh -c 'cp /dev/stdin $1.copy; cat $1.copy' sh $out",
];

/// Each opens `pending.md` itself, and leaves what it read in `$out`.
const BY_NAME: &[&str] = &[
    "cat pending.md > $out",
    "busybox cat pending.md > $out",
    "coreutils cat pending.md > $out",
    "cp pending.md $out",
    "busybox cp pending.md $out",
    "/usr/bin/python3 -c '
import os, sys
f = os.open(\"pending.md\", os.O_RDONLY)
open(sys.argv[1], \"wb\").write(os.read(f, os.fstat(f).st_size))' $out",
    "node -e 'const fs = require(\"fs\"); fs.writeFileSync(process.argv[1], fs.readFileSync(\"pending.md\"))' $out",
];

/// A program that searches, saves or indexes, and does not disturb the readers.
const SEARCHER: &str = "rsync pending.md $out";

fn start(mount: &Mount, session: &str, script: &str, out: &str) -> Child {
    let mut bash = mount.command(session, "bash");
    bash.args(["-c", script])
        .env("out", mount.outside(out))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    bash.spawn().unwrap()
}

fn read_out(mount: &Mount, out: &str) -> String {
    fs::read_to_string(mount.outside(out)).unwrap()
}

/// spec 6.2b, 6.3a: a handoff that lands before the open, after a stat, is in the snapshot; one that lands between the open
/// and the reads stays pending; what the reader gets is as long as fstat says, before and after.
#[test]
fn landed_between_stat_and_open_and_read() {
    let mount = Mount::new();
    for tool in FROM_INPUT {
        let script = format!(
            "stat pending.md; read -r _
            exec 3< pending.md; echo opened; read -r _
            stat -L -c %s /dev/fd/3 > $out.size; {tool} <&3 > $out; stat -L -c %s /dev/fd/3 >> $out.size"
        );
        mount.sh("w", "echo first > first.md");
        let mut reader = start(&mount, "r", &script, "out");
        let mut go = reader.stdin.take().unwrap();
        let mut says = BufReader::new(reader.stdout.take().unwrap()).lines();
        while !says.next().unwrap().unwrap().contains("Modify") {}
        mount.sh("w", "echo early > early.md");
        writeln!(go).unwrap();
        while says.next().unwrap().unwrap() != "opened" {}
        mount.sh("w", "echo late > late.md");
        writeln!(go).unwrap();
        assert!(reader.wait().unwrap().success(), "{tool}");
        let read = read_out(&mount, "out");
        assert_eq!(bodies(&read), ["first", "early"], "{tool}");
        let size = format!("{0}\n{0}\n", read.len());
        assert_eq!(read_out(&mount, "out.size"), size, "{tool}");
        assert_eq!(
            mount.slugs(),
            ["early_done", "first_done", "late"],
            "{tool}"
        );
        assert_eq!(mount.take("r"), ["late"], "{tool}");
        mount.sh("w", "rm *.md");
    }
}

/// spec 6.2b, 6.3a: a handoff is written in the middle of the reading: the reader is held by the pipe that it writes
/// to.
#[test]
fn landed_while_it_is_read() {
    let mount = Mount::new();
    let line = "x".repeat(99);
    for tool in FROM_INPUT {
        mount.write(
            "w",
            "long.md",
            format!("{line}\n").repeat(20_000).as_bytes(),
        );
        let size = fs::metadata(mount.at("pending.md")).unwrap().len();
        let mut reader = start(&mount, "r", &format!("{tool} < pending.md"), "out");
        let mut output = reader.stdout.take().unwrap();
        let mut read = vec![0; 10];
        output.read_exact(&mut read).unwrap();
        mount.sh("w", "echo late > late.md; echo more >> $(ls | grep _long)");
        output.read_to_end(&mut read).unwrap();
        assert!(reader.wait().unwrap().success(), "{tool}");
        assert_eq!(read.len() as u64, size, "{tool}");
        let read = String::from_utf8(read).unwrap();
        assert_eq!(
            read.lines().filter(|it| *it == line).count(),
            20_000,
            "{tool}"
        );
        assert!(!read.contains("late"), "{tool}");
        // Some had consumed it before they showed the first byte; to others it has changed since (spec 6.4c).
        let (late, changed): (Vec<_>, Vec<_>) =
            mount.take("r").into_iter().partition(|it| it == "late");
        assert!(late.len() == 1 && changed.len() <= 1, "{tool}");
        assert!(changed.iter().all(|it| it.ends_with("x\nmore")), "{tool}");
        mount.sh("w", "rm *.md");
    }
}

/// spec 6.4a: any two at once get everything between them; what one gets the other does not, unless one was so slow that
/// the other did not wait for it any longer. A searcher beside gets something whole, and takes nothing.
#[test]
fn any_two_at_once() {
    let mount = Mount::new();
    let all: Vec<String> = (0..6).map(|i| format!("body {i}")).collect();
    let mut twice = 0;
    for (i, one) in BY_NAME.iter().enumerate() {
        for two in BY_NAME[i..].iter().chain([&SEARCHER]) {
            mount.sh("w", "for i in 0 1 2 3 4 5; do echo body $i > $i.md; done");
            let since = Instant::now();
            let readers = [start(&mount, "1", one, "1"), start(&mount, "2", two, "2")];
            for mut reader in readers {
                assert!(reader.wait().unwrap().success(), "{one} and {two}");
            }
            let in_time = since.elapsed() < Duration::from_secs(2);
            let mut first = bodies(&read_out(&mount, "1"));
            let second = bodies(&read_out(&mount, "2"));
            let case = format!("{one} and {two}: {first:?} {second:?}");
            if *two == SEARCHER {
                assert!(second.is_empty() || second == all, "{case}");
            } else {
                first.extend(second);
            }
            first.sort();
            let read = first.len();
            first.dedup();
            assert_eq!(first, all, "{case}");
            assert!(read == all.len() || !in_time, "twice: {case}");
            twice += read - all.len();
            assert_eq!(mount.peek(), [""; 0], "{case}");
            mount.sh("w", "rm *.md; rm -f $out");
        }
    }
    println!("{twice} delivered twice");
}

/// spec 6.2a, 6.2b, 6.3a, 6.4a: all of them, over and over, while others write: each reads as much as fstat says, every handoff
/// is delivered to somebody, whole.
#[test]
fn all_at_once_while_others_write() {
    const WRITERS: usize = 3;
    const EACH: usize = 60;
    let mount = Mount::new();
    let stop = mount.outside("stop").display().to_string();
    let readers: Vec<(String, Child)> = FROM_INPUT
        .iter()
        .enumerate()
        .map(|(i, tool)| {
            let script = format!(
                "once() {{
                    exec 3< pending.md || exit 1; size=$(stat -L -c %s /dev/fd/3)
                    {tool} <&3 > $out || exit 2; exec 3<&-
                    [ $(stat -c %s $out) = $size ] || {{ cp $out $out.bad; exit 3; }}
                    cat $out >> $out.all
                }}
                until [ -e '{stop}' ]; do once; done; once"
            );
            let name = format!("reader-{i}");
            let child = start(&mount, &name, &script, &name);
            (name, child)
        })
        .collect();
    let writers: Vec<Child> = (0..WRITERS)
        .map(|i| {
            let script = format!(
                "for n in $(seq {EACH}); do {{ echo begin {i}-$n; seq $((n * 30)); echo end {i}-$n; }} > h.md; done"
            );
            start(&mount, &format!("writer-{i}"), &script, "none")
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    fs::write(&stop, "").unwrap();
    let mut delivered = Vec::new();
    for (i, (name, mut reader)) in readers.into_iter().enumerate() {
        let status = reader.wait().unwrap();
        assert!(status.success(), "{}: {status}", FROM_INPUT[i]);
        delivered.extend(bodies(&read_out(&mount, &format!("{name}.all"))));
    }
    delivered.extend(mount.take("last"));
    let whole = |i: usize, n: usize| {
        let numbers: String = (1..=n * 30).map(|n| format!("{n}\n")).collect();
        format!("begin {i}-{n}\n{numbers}end {i}-{n}")
    };
    let written: BTreeSet<String> = (0..WRITERS)
        .flat_map(|i| (1..=EACH).map(move |n| whole(i, n)))
        .collect();
    let twice = delivered.len();
    let delivered: BTreeSet<String> = delivered.into_iter().collect();
    println!("{} delivered twice", twice - delivered.len());
    let lost = written.difference(&delivered).count();
    let torn = delivered.difference(&written).count();
    assert_eq!((lost, torn), (0, 0), "lost, and not whole");
}
