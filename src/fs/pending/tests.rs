//! The rules of `pending.md` without a mount: readers and turns, snapshots, plans, second looks, single file, reading ahead.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::delivery::ReadSeen;
use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::inode::open_merge::OpenMerge;
use crate::fs::inode::types::{Attr, PENDING_INO, VIRTUAL_INO};
use crate::fs::pending::merge_plan::{Plans, in_order};
use crate::fs::pending::readers::{Asking, Claim, ReaderId, Readers};
use crate::fs::pending::second_look::{BegunBy, SecondLooks};
use crate::fs::pending::single_file::SingleFile;
use crate::fs::queue::merge_entry::MergeEntry;
use crate::fs::queue::snapshot::{Plan, Snapshot};
use crate::read_ahead::{Purpose, ReadAhead, Source};
use crate::session::{Process, Session};

const ROOT: DirId = DirId::ROOT;
const SECOND: Duration = Duration::from_secs(1);

fn process(pid: u32) -> Process {
    Process { pid, start: 1 }
}

/// A thread of this process.
fn thread(tid: u32, pid: u32) -> ReaderId {
    let process = Some(process(pid));
    ReaderId { tid, process }
}

/// Files with these inode numbers are pending in the root.
fn plan(inos: Range<u64>) -> Arc<Plan> {
    let entries = inos.map(MergeEntry::numbered).collect();
    Arc::new(Plan::new(ROOT, entries, SystemTime::UNIX_EPOCH, false))
}

fn snapshot(inos: Range<u64>) -> Arc<Snapshot> {
    Arc::new(Snapshot::new(plan(inos)))
}

fn some_file() -> Arc<std::fs::File> {
    Arc::new(tempfile::tempfile().unwrap())
}

/// Readers of one snapshot of two files, which process 1 has open, and the moment at which it opened it.
fn one_reads() -> (Readers, Arc<Snapshot>, Instant) {
    let (mut readers, now) = (Readers::default(), Instant::now());
    let snapshot = readers.new_snapshot(&plan(1..3));
    readers.opened(thread(1, 1), &snapshot, now);
    (readers, snapshot, now)
}

/// How long this open has to wait after `at`, if all queues overlap.
fn waits(readers: &Readers, asking: &Asking, at: Instant) -> Option<Duration> {
    let until = readers.waits_until(asking, (at, at), |_| true)?;
    Some(until - at)
}

/// spec 6.4a: an open waits for another process's turn, at most 2 s; not for its own, nor for a queue elsewhere.
#[test]
fn an_open_waits_for_another_process() {
    let (mut readers, snapshot, now) = one_reads();
    let asking = readers.ask(thread(2, 2), ROOT, now);
    assert_eq!(waits(&readers, &asking, now), Some(2 * SECOND));
    assert_eq!(waits(&readers, &asking, now + SECOND), Some(SECOND));
    assert_eq!(waits(&readers, &asking, now + 2 * SECOND), None);
    assert_eq!(readers.waits_until(&asking, (now, now), |_| false), None);
    let own = readers.ask(thread(3, 1), ROOT, now);
    assert_eq!(waits(&readers, &own, now), None);
    readers.end(&snapshot);
    assert_eq!(waits(&readers, &asking, now), None);
}

/// spec 6.8: opens do not wait for a reader that has read nothing for 10 s, until it reads again.
#[test]
fn an_idle_reader_is_not_waited_for() {
    let (mut readers, snapshot, now) = one_reads();
    let later = now + 9 * SECOND;
    let asking = readers.ask(thread(2, 2), ROOT, later);
    assert_eq!(waits(&readers, &asking, later), Some(SECOND));
    let later = now + 10 * SECOND;
    let asking = readers.ask(thread(2, 2), ROOT, later);
    assert_eq!(waits(&readers, &asking, later), None);
    readers.reads(&snapshot, later);
    assert_eq!(waits(&readers, &asking, later), Some(2 * SECOND));
}

/// spec 6.4a: opens that wait are served in the order in which they came.
#[test]
fn the_first_to_wait_is_the_first_to_open() {
    let (mut readers, now) = (Readers::default(), Instant::now());
    let first = readers.ask(thread(1, 1), ROOT, now);
    let second = readers.ask(thread(2, 2), ROOT, now);
    readers.wait(&first);
    readers.wait(&second);
    assert_eq!(waits(&readers, &first, now), None);
    assert_eq!(waits(&readers, &second, now), Some(2 * SECOND));
    readers.stop_waiting(&first);
    assert_eq!(waits(&readers, &second, now), None);
}

/// spec 6.4b: all threads of a process share its snapshot, and so does a thread whose process is not known, but not the
/// nameless thread 0 (5.4).
#[test]
fn a_process_shares_its_snapshot() {
    let (mut readers, snapshot, now) = one_reads();
    let unknown = |tid| ReaderId { tid, process: None };
    for (reader, shares) in [
        (thread(7, 1), true),
        (thread(2, 2), false),
        (unknown(1), true),
        (unknown(0), false),
    ] {
        let asking = readers.ask(reader, ROOT, now);
        let shared = readers.shared(&asking);
        let is_shared = shared.is_some_and(|it| Arc::ptr_eq(&it, &snapshot));
        assert_eq!(is_shared, shares, "{reader:?}");
    }
    let elsewhere = readers.ask(thread(1, 1), DirId(1), now);
    assert!(readers.shared(&elsewhere).is_none());
}

/// spec 6.4a: the turn that was waited for is kept for its thread, once; others wait for a moment.
#[test]
fn an_invitation_is_for_one_thread() {
    let (mut readers, now) = (Readers::default(), Instant::now());
    let asking = readers.ask(thread(1, 1), ROOT, now);
    let other = readers.ask(thread(2, 2), ROOT, now);
    let kept = readers.new_snapshot(&plan(1..3));
    readers.invite(&asking, kept.clone(), Claim::Turn, now);
    assert!(readers.invitation(2, ROOT, now).is_none());
    assert!(readers.accept(&other, now).is_none());
    assert_eq!(waits(&readers, &other, now), Some(2 * SECOND));
    assert_eq!(waits(&readers, &other, now + SECOND), None);
    let invitation = readers.accept(&asking, now).unwrap();
    assert!(Arc::ptr_eq(&invitation.snapshot, &kept));
    assert!(readers.accept(&asking, now).is_none());
    readers.invite(&asking, kept, Claim::Share, now);
    assert_eq!(waits(&readers, &other, now), None);
    let late = now + 10 * SECOND;
    assert!(readers.invitation(1, ROOT, late).is_none());
    assert_eq!(readers.len(), 0);
}

/// spec 6.2a, 6.7b: a node serves a snapshot of the same bytes, and a second look only if it shows the very plan, mtime and all.
#[test]
fn a_node_serves_what_it_shows() {
    let (mine, same, other) = (snapshot(1..3), plan(1..3), plan(1..2));
    let claims = [Claim::Turn, Claim::Share, Claim::SecondLook];
    let served = |plan: &Arc<Plan>| claims.map(|claim| claim.is_served(&mine, plan));
    assert_eq!(served(&mine.plan), [true, true, true]);
    assert_eq!(served(&same), [true, true, false]);
    assert_eq!(served(&other), [false, false, false]);
}

/// spec 6.4a: a turn ends with the last handle of its snapshot.
#[test]
fn a_turn_ends_with_its_last_handle() {
    let (mut readers, snapshot, now) = one_reads();
    readers.opened(thread(1, 1), &snapshot, now);
    readers.closed(&snapshot);
    assert!(readers.holds(&snapshot));
    readers.closed(&snapshot);
    assert!(!readers.holds(&snapshot));
}

/// spec 6.2b, 6.4c: an entry whose file changes is read from the old file, and is not consumed.
#[test]
fn a_pinned_entry_is_read_as_it_was() {
    let snapshot = snapshot(1..4);
    let (old, gone) = (some_file(), || Err(Error::NotFound));
    snapshot.pin(2, &old);
    let opened = snapshot.opened(1, gone(), true).unwrap();
    assert!(Arc::ptr_eq(&opened, &old));
    assert!(!snapshot.is_right_file(1, &some_file()));
    assert!(snapshot.is_right_file(1, &old) && snapshot.is_right_file(0, &some_file()));
    assert_eq!(
        snapshot.opened(0, gone(), true).unwrap_err(),
        Error::NotFound
    );
    snapshot.spoil(2);
    let current = [0, 1, 2].map(|i| snapshot.is_current(i));
    assert_eq!(current, [true, false, false]);
}

/// spec 6.2a: the size is that of the text, and the inode number is constant.
#[test]
fn the_attributes_of_a_merge() {
    let plan = plan(1..3);
    let (attr, peek) = (Attr::of_merge(&plan, false), Attr::of_merge(&plan, true));
    assert_eq!((attr.ino, peek.ino), (PENDING_INO, VIRTUAL_INO));
    assert_eq!((attr.meta.size, peek.meta.size), (plan.size(), plan.size()));
    assert_eq!(Plan::new(ROOT, vec![], attr.meta.mtime, false).size(), 0);
}

/// spec 6.2c: the mtime changes exactly when the content does, also when the clock is set back.
#[test]
fn another_content_has_another_mtime() {
    let (mut plans, now) = (Plans::default(), SystemTime::now());
    let entries = |inos: Range<u64>| inos.map(MergeEntry::numbered).collect::<Vec<_>>();
    let first = plans.update(ROOT, 1, entries(1..3), false, now);
    let same = plans.update(ROOT, 2, entries(1..3), false, now + SECOND);
    assert!(Arc::ptr_eq(&first, &same));
    let provisional = plans.update(ROOT, 3, entries(1..3), true, now + SECOND);
    assert_eq!(provisional.mtime, first.mtime);
    let other = plans.update(ROOT, 4, entries(1..2), false, now - SECOND);
    assert!(other.mtime > first.mtime);
    let again = plans.update(ROOT, 5, entries(1..3), false, now - SECOND);
    assert!(again.mtime > other.mtime);
}

/// spec 4.2c: a plan is used again only if nothing has changed, and the RELEASE of no writer was on its way.
#[test]
fn a_provisional_plan_is_not_used_again() {
    let (mut plans, now) = (Plans::default(), SystemTime::now());
    plans.update(ROOT, 1, vec![], false, now);
    assert!(plans.current(ROOT, 1).is_some());
    assert!(plans.current(ROOT, 2).is_none() && plans.current(DirId(1), 1).is_none());
    plans.update(ROOT, 2, vec![], true, now);
    assert!(plans.current(ROOT, 2).is_none());
}

/// spec 6.1a: oldest first.
#[test]
fn entries_are_in_the_order_of_their_stamps() {
    let mut entries: Vec<_> = [3, 1, 2].map(MergeEntry::numbered).into();
    entries.sort_by(in_order);
    let inos: Vec<u64> = entries.iter().map(|entry| entry.ino).collect();
    assert_eq!(inos, [1, 2, 3]);
}

fn session(pid: u32) -> Session {
    Session::Agent(process(pid))
}

/// The session of process 1 has consumed all of this snapshot just now.
fn looked_at(snapshot: &Arc<Snapshot>, now: Instant) -> SecondLooks {
    let entries = snapshot.plan.entries.iter().enumerate();
    let consumed = entries.map(|(i, entry)| (i, entry.name().unwrap().consumed()));
    let begins = Some((BegunBy::Agent, session(1)));
    let mut looks = SecondLooks::default();
    looks.end_met(&session(1), snapshot, consumed.collect(), begins, now);
    looks
}

/// spec 6.7b: a second look lasts two minutes, and belongs to one session.
#[test]
fn a_second_look_lasts_two_minutes() {
    let (snapshot, now) = (snapshot(1..3), Instant::now());
    let mut looks = looked_at(&snapshot, now);
    let before = now + 119 * SECOND;
    assert!(looks.get_mut(ROOT, &session(1), before).is_some());
    assert!(looks.get_mut(ROOT, &session(2), before).is_none());
    assert!(looks.get_mut(DirId(1), &session(1), before).is_none());
    assert!(looks.shows(&snapshot) && looks.any(ROOT));
    assert!(
        looks
            .get_mut(ROOT, &session(1), now + 120 * SECOND)
            .is_none()
    );
    assert!(!looks.shows(&snapshot) && !looks.any(ROOT));
}

/// spec 6.7c: a second look ends when the session has read to its end a merge that shows the consumed handoffs again.
#[test]
fn a_second_look_ends_once_it_is_shown() {
    let (snapshot, now) = (snapshot(1..3), Instant::now());
    let mut looks = looked_at(&snapshot, now);
    let new = MergeEntry::numbered(3);
    let with = |mut entries: Vec<_>| {
        entries.push(new.clone());
        let plan = Plan::new(ROOT, entries, SystemTime::UNIX_EPOCH, false);
        Arc::new(Snapshot::new(Arc::new(plan)))
    };
    let (shown, other) = (with(snapshot.plan.entries.clone()), with(vec![]));
    looks.end_met(&session(1), &other, vec![], None, now);
    looks.end_met(&session(2), &shown, vec![], None, now);
    assert!(looks.any(ROOT));
    looks.end_met(&session(1), &shown, vec![], None, now);
    assert!(!looks.any(ROOT));
}

/// spec 6.7d: a handoff that was changed since is not shown again.
#[test]
fn a_second_look_has_nothing_that_changed() {
    let (snapshot, now) = (snapshot(1..4), Instant::now());
    let mut looks = looked_at(&snapshot, now);
    snapshot.pin(2, &some_file());
    let look = looks.get_mut(ROOT, &session(1), now).unwrap();
    let inos: Vec<u64> = look.unchanged().map(|(entry, _)| entry.ino).collect();
    assert_eq!(inos, [1, 3]);
}

/// spec 6.7a: a session that removes all that it has consumed keeps no more than 32 files open.
#[test]
fn a_second_look_keeps_few_files_open() {
    let now = Instant::now();
    let snapshot = snapshot(1..40);
    let mut looks = looked_at(&snapshot, now);
    let reads = Arc::downgrade(&snapshot);
    for ino in 1..=33 {
        snapshot.pin(ino, &some_file());
    }
    looks.drop_costly();
    assert!(looks.any(ROOT), "somebody reads it");
    drop(snapshot);
    looks.drop_costly();
    assert!(!looks.any(ROOT) && reads.upgrade().is_none());
}

/// spec 4.7b: an agent that writes to `pending.md` gets back what it has consumed in the last 5 s, and consumes no more.
#[test]
fn an_agent_reads_what_it_replaces() {
    let (mut single, now) = (SingleFile::default(), SystemTime::now());
    let names = |ino| vec![(ROOT, MergeEntry::numbered(ino).name().unwrap().consumed())];
    let (agent, other) = (process(1), process(2));
    single.consumed(agent, now, names(1));
    single.consumed(other, now + SECOND, names(2));
    single.consumed(agent, now + SECOND, names(3));
    assert_eq!(single.written(agent, now + 6 * SECOND), names(3));
    assert!(single.contains(Some(agent)) && !single.contains(Some(other)));
    assert!(!single.contains(None));
    assert_eq!(single.written(other, now + 6 * SECOND), names(2));
    assert_eq!(single.written(other, now + 6 * SECOND), []);
    single.forget(&HashSet::from([agent]));
    assert_eq!(single.agents(), [other]);
}

/// spec 6.3a, 6.3c: a reader's program is looked at when another thread reads, and when the read meets the end.
#[test]
fn a_program_is_looked_at_where_it_matters() {
    let open = OpenMerge::new(snapshot(1..3), 1, None);
    let size = open.snapshot.plan.size();
    let read = |offset, requested, cached| ReadSeen {
        offset,
        requested,
        returned: requested,
        cached,
    };
    let (start, rest) = (read(0, 10, false), read(10, size - 10, false));
    assert!(!open.must_check(1, start) && open.must_check(2, start));
    assert!(!open.record(1, start));
    assert!(open.must_check(1, rest));
    assert!(!open.must_check(1, read(10, size - 10, true)));
    assert!(open.record(1, rest));
}

/// A text of its own offsets; the helper cannot read beyond `readable`.
#[derive(Clone)]
struct Offsets {
    size: u64,
    readable: u64,
}

impl Source for Offsets {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>, bytes: &mut Vec<u8>, purpose: Purpose) -> Result<()> {
        if purpose == Purpose::Ahead && range.end > self.readable {
            return Err(Error::NotFound);
        }
        bytes.extend((range.start..range.end.min(self.size)).map(|i| (i % 251) as u8));
        Ok(())
    }
}

/// spec 6.2b: a read is answered with the bytes of its range, however its reader moves, and whichever parts are ready.
#[test]
fn reading_ahead_changes_no_byte() {
    const LARGE: u64 = 128 << 10;
    let size = 20 * LARGE + 100;
    for readable in [size, 10 * LARGE, 0] {
        let source = Offsets { size, readable };
        let straight = (0..=21).map(|i| (i * LARGE, LARGE));
        let jumps = [
            (0, LARGE),
            (LARGE, 10),
            (LARGE, LARGE),
            (9, LARGE),
            (size, LARGE),
            (0, LARGE),
        ];
        for reads in [straight.collect::<Vec<_>>(), jumps.into()] {
            let ahead = ReadAhead::default();
            for (offset, len) in reads {
                let mut expected = Vec::new();
                let range = offset..offset + len;
                source
                    .read(range.clone(), &mut expected, Purpose::Answer)
                    .unwrap();
                assert!(
                    ahead.read(&source, range).unwrap() == expected,
                    "{offset} {len}"
                );
            }
            ahead.close();
        }
    }
}
