//! A queue is removed with all that is in it, again and again, while others write to it and read (spec 4.10a).

use std::collections::HashSet;
use std::fs;
use std::thread;

use crate::actors::Actor;
use crate::harness::{Mount, slug};

const WRITERS: usize = 3;
/// How often it is removed at least.
const REMOVALS: usize = 40;
/// And how many files rm must have come upon by then, in the midst of the writers.
const FILES: usize = 200;

/// Writes until it is told to stop; returns what was acknowledged. That the queue, or the temporary file, was gone before
/// it was done is what it must expect; anything else is not.
const WRITER: &str = "
def write(who, stop):
    acknowledged = []
    for i in range(1 << 30):
        if os.path.exists(stop): return ' '.join(acknowledged)
        body = f'{who}-{i}'
        try:
            try: os.mkdir('q')
            except FileExistsError: pass
            name = f'q/{body}.md'
            with open('q/x.tmp' if i % 2 else name, 'w') as f: f.write(body + ' '); f.flush(); f.write(body)
            if i % 2: os.rename('q/x.tmp', name)
        except FileNotFoundError: continue
        acknowledged.append(body)
";

/// spec 4.10a, 4.2a: `rm` may find the queue not empty, and no process gets another error. Acknowledged handoffs were
/// read, or are there, or are among the files that rm says it removed; and the queue can be made anew.
#[test]
fn removed_while_it_is_written_to() {
    let mount = Mount::new();
    let stop = mount.outside("stop");
    let (acknowledged, read, removed) = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|i| {
                let (mount, stop) = (&mount, &stop);
                scope.spawn(move || {
                    let mut writer = Actor::new(mount, &format!("writer {i}"));
                    writer.run(&WRITER.replace("x.tmp", &format!("x{i}.tmp")));
                    writer.run(&format!("write('w{i}', {:?})", stop.display().to_string()))
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut read = Vec::new();
            while !stop.exists() {
                read.extend(mount.take("r"));
            }
            read
        });
        let (mut removed, mut complaints) = (HashSet::new(), Vec::new());
        let mut removals = 0;
        while removals < REMOVALS || removed.len() < FILES {
            removals += 1;
            let output = mount.run("rm", "LC_ALL=C rm -rfv q");
            let errors = String::from_utf8(output.stderr).unwrap();
            complaints.extend(errors.lines().map(str::to_owned));
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                if let Some(name) = line.strip_prefix("removed 'q/") {
                    let slug = slug(name.trim_end_matches('\''));
                    removed.insert(slug.trim_end_matches("_done").to_owned());
                }
            }
        }
        fs::write(&stop, "").unwrap();
        // The latter when it was not there for the first look, and made just then: rm takes it for a file.
        let usual = [": Directory not empty", "'q': Is a directory"];
        complaints.retain(|line| !usual.iter().any(|it| line.ends_with(it)));
        assert!(complaints.is_empty(), "{complaints:?}");
        let acknowledged: Vec<String> = writers
            .into_iter()
            .flat_map(|writer| {
                let said = writer.join().unwrap();
                said.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut read = reader.join().unwrap();
        read.extend(mount.take("last"));
        (acknowledged, read, removed)
    });
    println!(
        "{} acknowledged, {} read, {} removed",
        acknowledged.len(),
        read.len(),
        removed.len()
    );
    let mut delivered = HashSet::new();
    for body in &read {
        let (one, two) = body.split_once(' ').unwrap_or((body, ""));
        assert_eq!(one, two, "not whole");
        delivered.insert(one);
    }
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|body| !delivered.contains(body.as_str()) && !removed.contains(*body))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");

    mount.sh("rm", "rm -rf q; test ! -e q; mkdir q");
    mount.sh("w", "echo after > q/after.md");
    assert_eq!(mount.take("r"), ["after"]);
}
