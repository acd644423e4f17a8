//! The daemon is killed at random moments while writers and readers run; every acknowledged handoff is accounted for.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::{str, thread};

use handoff_fs::names::StampedName;

use crate::harness::{bodies, list};
use crate::sandbox::Sandbox;
use crate::torture;

const ROUNDS: usize = 25;
const WRITERS: usize = 3;

/// A body that shows whether it is whole, of 1 to 60 KiB.
fn body(id: &str) -> String {
    let lines = 20 + id.bytes().map(usize::from).sum::<usize>() % 1000;
    format!(
        "begin {id}\n{}end {id}",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789\n".repeat(lines)
    )
}

fn id_of(body: &str) -> Option<String> {
    let id = body.lines().next()?.strip_prefix("begin ")?;
    (body.trim_end_matches('\n') == self::body(id)).then(|| id.to_owned())
}

/// Writes until the daemon is gone, in three ways; says what was acknowledged.
fn write(dir: &Path, writer: &str, acknowledged: &Sender<String>) {
    for n in 0.. {
        let id = format!("{writer}-{n}");
        let content = body(&id) + "\n";
        let name = match n % 3 {
            0 => dir.join(format!("{id}.md")),
            1 => dir.join("handoff.md"),
            _ => dir.join(format!("{id}.tmp")),
        };
        let attempt = || -> std::io::Result<()> {
            let mut file = File::create(&name)?;
            let (first, rest) = content.split_at(content.len() / 2);
            file.write_all(first.as_bytes())?;
            file.write_all(rest.as_bytes())?;
            nix::unistd::close(file)?;
            if n % 3 == 2 {
                fs::rename(&name, dir.join("handoff.md"))?;
            }
            Ok(())
        };
        if attempt().is_err() {
            return;
        }
        acknowledged.send(id).unwrap();
    }
}

/// How a reader reads to the end (spec 6.3a).
#[derive(Clone, Copy)]
enum Manner {
    /// As cat does: by another read after all bytes, which returns nothing.
    LikeCat,
    /// As Node does: by asking for exactly the size. Such a reader is answered after the consumption.
    LikeNode,
}

/// Reads until the daemon is gone; returns the ids that were delivered. The last read may have consumed although its
/// answer did not arrive: a merge that was received in full counts.
fn read(dir: &Path, manner: Manner, stop: &AtomicBool) -> HashSet<String> {
    let mut delivered = HashSet::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut file) = File::open(dir.join("pending.md")) else {
            break;
        };
        let mut merge = Vec::new();
        let ended = match manner {
            Manner::LikeCat => read_like_cat(&mut file, &mut merge).is_ok(),
            Manner::LikeNode => read_like_node(&mut file, &mut merge).is_ok(),
        };
        let merge = String::from_utf8_lossy(&merge).into_owned();
        let announced = announced(&merge).unwrap_or(0);
        let bodies = bodies(&merge);
        let whole: Vec<_> = bodies.iter().filter_map(|body| id_of(body)).collect();
        if ended || bodies.len() == announced {
            delivered.extend(whole);
        }
        if !ended {
            break;
        }
    }
    delivered
}

fn read_like_cat(file: &mut File, merge: &mut Vec<u8>) -> std::io::Result<()> {
    file.read_to_end(merge).map(drop)
}

fn read_like_node(file: &mut File, merge: &mut Vec<u8>) -> std::io::Result<()> {
    let mut whole = vec![0; usize::try_from(file.metadata()?.len()).unwrap()];
    file.read_exact(&mut whole)?;
    *merge = whole;
    Ok(())
}

/// How many handoffs a merge says that it has, in its first header line.
pub fn announced(merge: &str) -> Option<usize> {
    let header = merge
        .lines()
        .find_map(|line| line.strip_prefix("<!-- handoff "))?;
    header.split([':', '/']).nth(1)?.parse().ok()
}

/// spec 4.2a, 6.3a, 8.2b, 3.8: acknowledged handoffs survive `kill -9`, whole, pending or consumed; nothing is consumed
/// that no reader has read to its end.
#[test]
fn kill_9_at_random_moments() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("m");
    fs::create_dir(&dir).unwrap();
    let below = File::open(&dir).unwrap();
    let below = Path::new("/proc/self/fd").join(below.as_raw_fd().to_string());
    let mut random = torture::random();
    let mut acknowledged: HashSet<String> = HashSet::new();
    let mut delivered: HashSet<String> = HashSet::new();
    for round in 0..ROUNDS {
        let daemon = sandbox.mount();
        let stop = AtomicBool::new(false);
        // The other writers and the readers are at any point at this acknowledgement.
        let moment = random.usize(0..40);
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            for writer in 0..WRITERS {
                let (sender, dir) = (sender.clone(), &dir);
                scope.spawn(move || write(dir, &format!("{round}-{writer}"), &sender));
            }
            drop(sender);
            let readers: Vec<_> = [Manner::LikeCat, Manner::LikeNode]
                .map(|manner| {
                    let (dir, stop) = (&dir, &stop);
                    scope.spawn(move || read(dir, manner, stop))
                })
                .into_iter()
                .collect();
            let mut acknowledgements = receiver.into_iter();
            acknowledged.extend(acknowledgements.by_ref().take(moment + 1));
            daemon.kill();
            acknowledged.extend(acknowledgements);
            stop.store(true, Ordering::Relaxed);
            for reader in readers {
                delivered.extend(reader.join().unwrap());
            }
        });
        account(&sandbox, &below, &acknowledged, &delivered);
    }
    let _daemon = sandbox.mount();
    let merge = sandbox.sh("cat m/pending.md");
    let last: HashSet<_> = bodies(&merge)
        .iter()
        .filter_map(|body| id_of(body))
        .collect();
    let missing: Vec<_> = acknowledged
        .iter()
        .filter(|id| !delivered.contains(*id) && !last.contains(*id))
        .collect();
    assert!(missing.is_empty(), "delivered to nobody: {missing:?}");
    println!(
        "{ROUNDS} rounds: {} acknowledged, {} delivered before a kill, {} left at the end",
        acknowledged.len(),
        delivered.len(),
        last.len()
    );
}

/// After the next daemon's recovery every acknowledged handoff is there, whole, once or more; and consumed only if some
/// reader was given it.
fn account(
    sandbox: &Sandbox,
    below: &Path,
    acknowledged: &HashSet<String>,
    delivered: &HashSet<String>,
) {
    sandbox.mount().stop();
    let (mut there, mut lost_in_part) = (HashSet::new(), Vec::new());
    for name in list(below) {
        let Some(stamped) = StampedName::parse(name.as_ref()) else {
            continue;
        };
        let content = fs::read(below.join(&name)).unwrap();
        let id = str::from_utf8(&content).ok().and_then(id_of);
        if let Some(id) = id {
            assert!(
                stamped.is_pending() || delivered.contains(&id),
                "{name}: consumed, and no reader has read {id} to its end"
            );
            there.insert(id);
        } else {
            lost_in_part.push(name);
        }
    }
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(
        lost.is_empty(),
        "lost: {lost:?}; not whole: {lost_in_part:?}"
    );
}
