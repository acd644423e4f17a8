//! Power loss. A disk of our own stands below the backing directory, mounted through FUSE, and knows what fsync(2) has made
//! durable ([`disk`]). Each scenario is run once, and the disk is noted after each of its operations that changed it. The
//! power may go after any of them: what is left of the disk then ([`cut`] says what may be) is mounted again, the program
//! is started over it, and what it finds is held against what its callers had been told by then ([`check`]).
//!
//! The recorded run itself is not cut short. This is equivalent: after the cut, the program would write to a disk
//! without power, and answer nobody.
//!
//! A whole run (`HANDOFF_TORTURE_MINUTES`) tries many more disks for each cut, and cuts the power once more during each recovery.

#![allow(unreachable_pub, reason = "nothing of a test is reachable")]

mod adapter;
mod check;
mod cut;
mod disk;
mod machine;
mod mount;
mod scenarios;
mod starts;
mod write_log;

#[path = "../common/torture.rs"]
mod torture;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::check::Recovered;
use crate::disk::Disk;
use crate::machine::{Machine, StoppedClock};
use crate::mount::{Mounted, Rack, Step};
use crate::scenarios::{From, Scenario};
use crate::write_log::{Moment, WriteLog};

/// A scenario that was run.
struct Recorded {
    before: Disk,
    steps: Vec<Step>,
    log: WriteLog,
    clock: StoppedClock,
}

fn record(rack: &Arc<Rack>, scenario: &Scenario, sync: bool) -> Recorded {
    let clock = StoppedClock::new();
    let mut disk = Disk::new();
    let mut log = WriteLog::default();
    if scenario.from != From::FirstMount {
        let machine = Machine::start(Mounted::new(rack, disk), clock.clone(), true).unwrap();
        disk = machine.disk();
        disk.settle();
    }
    (scenario.prepare)(&mut disk, &mut log);
    if scenario.from != From::Killed {
        disk.settle();
    }
    let mut machine =
        Machine::start(Mounted::new(rack, disk.clone()), clock.clone(), sync).unwrap();
    if scenario.from == From::Mounted {
        machine.settle();
        disk = machine.disk();
    }
    machine.log = log;
    (scenario.act)(&mut machine);
    clock.advance(Duration::from_secs(60));
    Recorded {
        before: disk,
        steps: machine.steps(),
        log: machine.log.clone(),
        clock,
    }
}

/// How many disks are tried.
#[derive(Clone, Copy)]
struct Effort {
    /// Disks for a cut.
    disks: usize,
    /// Disks for a cut during a recovery; none: it is not cut.
    again: usize,
}

impl Effort {
    fn usual() -> Effort {
        Effort {
            disks: torture::count(40, 1024) as usize,
            again: torture::count(0, 12) as usize,
        }
    }
}

#[derive(Default)]
struct Tally {
    operations: usize,
    /// Disks over all cuts.
    disks: usize,
    /// The number of starts: one for each different disk, and more for cuts during a start.
    starts: usize,
    /// For each disk on which something was not as promised: what.
    broken: Vec<String>,
}

/// Cuts the power after every operation.
fn cut_everywhere(name: &str, scenario: &Scenario, sync: bool, effort: Effort) -> Tally {
    let rack = Rack::new();
    let recorded = record(&rack, scenario, sync);
    let mut tally = Tally {
        operations: recorded.steps.len(),
        ..Tally::default()
    };
    let mut cuts = Vec::new();
    let mut different = HashMap::new();
    for n in 0..=recorded.steps.len() {
        let disk = match n.checked_sub(1) {
            None => &recorded.before,
            Some(i) => &recorded.steps[i].after,
        };
        for left in cut::left_of(disk, effort.disks, n as u64) {
            let fingerprint = cut::fingerprint(&left);
            cuts.push((n, fingerprint.clone()));
            different.entry(fingerprint).or_insert(left);
        }
    }
    let found = start_all(different, |left| {
        start_over(&rack, left, &recorded.clock, sync, effort)
    });
    tally.disks = cuts.len();
    tally.starts = found.values().map(Vec::len).sum();
    for (operations, fingerprint) in cuts {
        let mut wrong = BTreeSet::new();
        for (found, answered) in found[&fingerprint]
            .iter()
            .flat_map(|it| [(it, false), (it, true)])
        {
            let moment = Moment {
                operations,
                answered,
            };
            wrong.extend(check::verify(&recorded.log, found, moment));
        }
        if !wrong.is_empty() {
            let last = operations.checked_sub(1).map(|i| &recorded.steps[i].what);
            let last = last.map_or("none", String::as_str);
            tally.broken.push(format!(
                "{name}: power cut after operation {operations} ({last}): {wrong:#?}"
            ));
        }
    }
    torture::figure(
        "power",
        format_args!(
            "{name}{}: {} operations; {} disks left by {} cuts; {} starts; {} broken",
            if sync { "" } else { " --no-sync" },
            tally.operations,
            tally.disks,
            tally.operations + 1,
            tally.starts,
            tally.broken.len(),
        ),
    );
    tally
}

/// Starts the program over each of these disks, a few at a time: it is mostly waiting.
fn start_all<T: Send>(
    disks: HashMap<Vec<u8>, Disk>,
    start: impl Fn(Disk) -> T + Sync,
) -> HashMap<Vec<u8>, T> {
    let left = Mutex::new(disks.into_iter());
    let found = Mutex::new(HashMap::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((fingerprint, disk)) = left.lock().next() else {
                        return;
                    };
                    let started = start(disk);
                    found.lock().insert(fingerprint, started);
                }
            });
        }
    });
    found.into_inner()
}

/// Starts the program over what is left, and once more over what is left when the power goes during that.
fn start_over(
    rack: &Arc<Rack>,
    left: Disk,
    clock: &StoppedClock,
    sync: bool,
    effort: Effort,
) -> Vec<Recovered> {
    let (found, steps) = check::recover(rack, left, clock, sync);
    let mut all = vec![found];
    if effort.again == 0 {
        return all;
    }
    let mut seen = HashSet::new();
    for (n, step) in steps.iter().enumerate() {
        for left in cut::left_of(&step.after, effort.again, n as u64) {
            if seen.insert(cut::fingerprint(&left)) {
                all.push(check::recover(rack, left, clock, sync).0);
            }
        }
    }
    all
}

/// Nothing of what was promised is lost, and there is something to lose: without fsyncs it is.
fn survives(name: &str, scenario: &Scenario) {
    let mut effort = Effort::usual();
    if scenario.again && effort.again == 0 {
        (effort.disks, effort.again) = (8, 1);
    }
    let broken = cut_everywhere(name, scenario, true, effort).broken;
    assert!(
        broken.is_empty(),
        "{}",
        broken[..broken.len().min(5)].join("\n")
    );
}

macro_rules! scenarios {
    ($($(#[$doc:meta])* $name:ident: $scenario:expr;)*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            survives(stringify!($name), &$scenario);
        }
    )*};
}

scenarios! {
    /// spec 4.2a: a handoff whose writer saw its close succeed survives power loss.
    write: Scenario::new(scenarios::WRITE);
    /// spec 4.2a, 3.4a: a handoff with a name that its writer stamped survives, too.
    write_stamped: Scenario::new(scenarios::WRITE_STAMPED);
    /// spec 4.2a, 4.3b: appended data survives, and so does the handoff that it was appended to.
    append: Scenario::new(scenarios::APPEND);
    /// spec 4.2a, 4.6b: the rename publishes, whether its writer used fsync or not.
    temp_and_rename: Scenario::new(scenarios::TEMP_AND_RENAME);
    /// spec 4.2a, 4.6b: a link publishes, too.
    temp_and_link: Scenario::new(scenarios::TEMP_AND_LINK);
    /// spec 4.2a: data that is written after the rename is durable at the close.
    written_after_rename: Scenario::new(scenarios::WRITTEN_AFTER_RENAME);
    /// spec 4.4d, 3.9a: the old content or the new one, whole; and the old one is kept.
    edit: Scenario::new(scenarios::EDIT);
    /// spec 4.4d, 3.9a: the same for an edit by rename.
    agent_edits: Scenario::new(scenarios::AGENT_EDITS);
    /// spec 4.5d, 3.9a: a write in place destroys nothing that is not kept.
    edit_stamped: Scenario::new(scenarios::EDIT_STAMPED);
    /// spec 4.5e, 4.5f, 4.2a, 3.9a: renames to and from stamped names, and over one.
    renames: scenarios::RENAMES;
    /// spec 4.5f, 3.9a: moved out of the way by an editor.
    backup: Scenario::new(scenarios::BACKUP);
    /// spec 4.10a, 4.2a: renames between queues.
    moves: Scenario::new(scenarios::MOVES);
    /// spec 6.3a, 7.1a: consumed is what its reader had all of, and for seven days.
    consume: scenarios::CONSUME;
    /// spec 7.1a, 7.1c: nothing expires but what has.
    expiry: scenarios::EXPIRY;
    /// spec 3.7a: a stray is adopted once.
    adoption: starts::ADOPTION;
    /// spec 4.10a, 4.2a: a queue survives with what was written in it.
    queue: Scenario::new(scenarios::QUEUE);
    /// spec 4.10a, 4.2a: the same for a queue that is renamed.
    rename_queue: Scenario::new(scenarios::RENAME_QUEUE);
    /// spec 4.5a: a removal removes nothing else.
    remove: Scenario::new(scenarios::REMOVE);
    /// spec 3.6a: the first mount renames and deletes nothing, and what was ordinary stays so.
    first_mount: starts::FIRST_MOUNT;
    /// spec 3.6a: an ordinary file stays ordinary under another name.
    ordinary: starts::ORDINARY;
    /// spec 3.8: recovering is itself interrupted.
    recovery: starts::RECOVERY;
    /// spec 3.8: a recovered handoff survives.
    killed: starts::KILLED;
    /// spec 4.2b, 3.8: fsync makes the content so far durable and recoverable.
    fsync_without_close: Scenario::new(scenarios::FSYNC);
    /// spec 4.5g: retracted, and written anew.
    unlink_and_write: Scenario::new(scenarios::UNLINK_AND_WRITE);
}

/// spec 4.2b: `--no-sync` leaves out the fsyncs, so a power cut loses acknowledged handoffs; and this test sees it.
#[test]
fn without_fsyncs_handoffs_are_lost() {
    let effort = Effort {
        disks: 16,
        again: 0,
    };
    for (name, act) in [
        ("write", scenarios::WRITE),
        ("append", scenarios::APPEND),
        ("temp_and_rename", scenarios::TEMP_AND_RENAME),
        ("edit", scenarios::EDIT),
        ("queue", scenarios::QUEUE),
    ] {
        let tally = cut_everywhere(name, &Scenario::new(act), false, effort);
        let lost = |broken: &String| broken.contains("is lost");
        assert!(tally.broken.iter().any(lost), "{name}: nothing is lost");
    }
}
