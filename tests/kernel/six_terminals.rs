//! The case that the program exists for: six agents side by side, all writing to one name, while others read.

use std::collections::HashMap;
use std::fs;
use std::process::{Child, Stdio};

use crate::harness::{Mount, bodies};

const WRITERS: usize = 6;
const HANDOFFS: usize = 50;
const READERS: usize = 3;

/// Writes a handoff of several lines, in several writes, fifty times to the same name.
const WRITE: &str = r#"
    for i in $(seq $2); do
        { echo "begin $1-$i"; seq -s ' ' $((i * 20)); echo "end $1-$i"; } > handoff.md
    done
"#;

/// Reads until it is told to stop, and once more then.
const READ: &str = r#"
    until [ -e $1/stop ]; do cat pending.md; done > $1/reader-$2
    cat pending.md >> $1/reader-$2
"#;

/// How each process is started.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Apart {
    /// All are one session.
    No,
    /// Each has a HANDOFF_SESSION of its own.
    BySession,
    /// Each has a terminal of its own.
    ByTerminal,
}

fn start(mount: &Mount, apart: Apart, name: &str, script: &str, args: &[&str]) -> Child {
    let mut command = if apart == Apart::ByTerminal {
        let file = mount.outside(&format!("{name}.sh"));
        fs::write(&file, script).unwrap();
        mount.on_terminal(&format!("bash {} {}", file.display(), args.join(" ")))
    } else {
        let session = if apart == Apart::No { "all" } else { name };
        let mut command = mount.command(session, "bash");
        command.args(["-c", script, "bash"]).args(args);
        command
    };
    command.stdout(Stdio::null()).spawn().unwrap()
}

fn six_terminals(apart: Apart) {
    let mount = Mount::without_agents();
    let outside = mount.outside("").display().to_string();
    let start = |name: String, script, args: &[&str]| start(&mount, apart, &name, script, args);
    let reader = |i: usize| start(format!("r{i}"), READ, &[&outside, &i.to_string()]);
    let readers: Vec<Child> = (0..READERS).map(reader).collect();
    let count = HANDOFFS.to_string();
    let writer = |i: usize| start(format!("w{i}"), WRITE, &[&i.to_string(), &count]);
    let writers: Vec<Child> = (0..WRITERS).map(writer).collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    fs::write(mount.outside("stop"), "").unwrap();
    for mut reader in readers {
        assert!(reader.wait().unwrap().success());
    }

    let mut delivered: HashMap<String, usize> = HashMap::new();
    for i in 0..READERS {
        let read = fs::read_to_string(mount.outside(&format!("reader-{i}"))).unwrap();
        for body in bodies(&read) {
            *delivered.entry(body).or_default() += 1;
        }
    }
    let mut missing = Vec::new();
    for writer in 0..WRITERS {
        for i in 1..=HANDOFFS {
            let numbers: Vec<String> = (1..=i * 20).map(|n| n.to_string()).collect();
            let body = format!(
                "begin {writer}-{i}\n{}\nend {writer}-{i}",
                numbers.join(" ")
            );
            match delivered.get_mut(&body) {
                Some(times) => *times -= 1,
                None => missing.push((writer, i)),
            }
        }
    }
    let total = WRITERS * HANDOFFS;
    let duplicates: usize = delivered.values().sum();
    println!(
        "six terminals, apart: {apart:?}: {} of {total} delivered, {duplicates} twice",
        total - missing.len()
    );
    assert!(missing.is_empty(), "to nobody: {missing:?}");
    assert_eq!(delivered.len(), total, "some were not whole");
    assert_eq!(mount.peek(), [""; 0]);
    assert_eq!(mount.names().len(), total, "one file each");
    assert!(mount.slugs().iter().all(|slug| slug.ends_with("_done")));
}

/// spec 1, 4.1c, 4.2c, 6.3a, 6.4a: six processes of one session write to one name while three others read: every handoff is
/// delivered, whole, none to nobody.
#[test]
fn six_writers_of_one_session() {
    six_terminals(Apart::No);
}

/// spec 1, 5.1: the same, with HANDOFF_SESSION apart.
#[test]
fn six_writers_of_six_sessions() {
    six_terminals(Apart::BySession);
}

/// spec 1, 5.1: the same, on six terminals.
#[test]
fn six_writers_on_six_terminals() {
    six_terminals(Apart::ByTerminal);
}
