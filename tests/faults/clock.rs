//! A clock that jumps.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use crate::harness::{DAY, Mount};
use crate::torture;

const YEAR: Duration = DAY.saturating_mul(365);

/// spec 7.1a, 7.1c, 7.2a: back a year nothing vanishes; forward two years what was consumed vanishes and what is pending stays;
/// names are unique throughout, and the order is that of the stamps.
#[test]
fn back_a_year_and_forward_two() {
    let mount = Mount::new();
    mount.sh("a", "echo first > n.md; echo read > r.md");
    let read = mount.stamped("r");
    mount.sh(
        "a",
        &format!("mv {read} {}", read.replace(".md", "_done.md")),
    );
    // In the middle of a write, and between a write and its close.
    let mut open = File::create(mount.at("open.md")).unwrap();
    open.write_all(b"half ").unwrap();
    mount.clock.retreat(YEAR);
    open.write_all(b"and half\n").unwrap();
    nix::unistd::close(open).unwrap();
    mount.settle();
    assert!(mount.slugs().contains(&"r_done".to_owned()));
    mount.sh("a", "echo earlier > n.md");
    mount.fs().sweep();
    assert_eq!(mount.slugs(), ["n", "n", "open", "r_done"]);
    // By the stamp: what was written with the clock back comes first.
    assert_eq!(mount.peek(), ["earlier", "first", "half and half"]);
    // A reader that has begun when the clock jumps.
    let mut reader = File::open(mount.at("pending.md")).unwrap();
    let mut merge = vec![0; 100];
    reader.read_exact(&mut merge).unwrap();
    mount.clock.advance(3 * YEAR);
    reader.read_to_end(&mut merge).unwrap();
    drop(reader);
    mount.settle();
    // Consumed now: seven days from now.
    let consumed = ["n_done", "n_done", "open_done"];
    assert_eq!(mount.slugs(), consumed);
    mount.sh("a", "echo later > n.md");
    mount.fs().sweep();
    assert_eq!(mount.peek(), ["later"]);
    assert_eq!(mount.slugs(), ["n", "n_done", "n_done", "open_done"]);
    mount.clock.advance(8 * DAY);
    assert_eq!(mount.slugs(), ["n"]);
    mount.fs().sweep();
    assert_eq!(mount.names_below().len(), 1);
    // Back again: what is pending is, and its times are in what is the future now.
    mount.clock.retreat(2 * YEAR);
    assert_eq!(mount.take("b"), ["later"]);
    assert_eq!(mount.slugs(), ["n_done"]);
}

/// spec 7.2a, 3.3: while several write and one reads, the clock jumps back and forth: no two have one name, and every one
/// is delivered once.
#[test]
fn writers_and_a_jumping_clock() {
    let mut mount = Mount::new();
    let rounds = torture::count(25, 250);
    let clock = mount.clock.clone();
    let dir = mount.at("");
    let mut delivered: Vec<String> = Vec::new();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let dir = &dir;
                scope.spawn(move || {
                    for n in 0..rounds {
                        let mut file = File::create(dir.join("same.md")).unwrap();
                        writeln!(file, "{writer} {n}").unwrap();
                        nix::unistd::close(file).unwrap();
                    }
                })
            })
            .collect();
        let mut back = true;
        while !writers.iter().all(|writer| writer.is_finished()) {
            // Back a year, forward two, and so on: never so that what was consumed just now expires for ever.
            if back {
                clock.retreat(YEAR);
            } else {
                clock.advance(YEAR);
            }
            back = !back;
            delivered.extend(mount.take("r"));
        }
    });
    mount.settle();
    delivered.extend(mount.take("r"));
    let unique: BTreeSet<&String> = delivered.iter().collect();
    assert_eq!(unique.len() as u64, 3 * rounds);
    mount.remount();
    assert_eq!(mount.peek(), [""; 0]);
    let below = mount.names_below();
    let kept: BTreeSet<String> = below.iter().map(|name| mount.text_below(name)).collect();
    assert_eq!(
        kept.len() as u64,
        3 * rounds,
        "each under a name of its own"
    );
    torture::figure(
        "clock",
        format_args!(
            "{} handoffs beside a clock that jumped by years, each found once",
            3 * rounds
        ),
    );
}
