//! The cost of a look-up, the size of the cache, and any bytes in `/proc`.

use super::*;

/// spec 5.5, "look-ups are cached": one read for a thread seen before, and no walk twice.
#[test]
fn known_threads_cost_one_read() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    for depth in 0..20 {
        table.spawn(20 + depth, 21 + depth, &["bash"]);
    }
    table.thread(40, 99, "worker");
    let resolver = table.resolver();
    let first = table.reads(|| resolver.caller(40, 0));
    assert!(first > 40, "{first}: the whole line is new");
    assert_eq!(table.reads(|| resolver.caller(40, 0)), 1);
    assert_eq!(
        table.reads(|| resolver.caller(99, 0)),
        3,
        "a new thread of a known process"
    );
    assert_eq!(table.reads(|| resolver.caller(99, 0)), 1);
    assert_eq!(
        table.reads(|| resolver.caller(39, 0)),
        2,
        "a known ancestor: stat, environ"
    );
    assert_eq!(table.reads(|| resolver.caller(39, 0)), 1);
    table.spawn(40, 50, &["cat"]);
    assert_eq!(
        table.reads(|| resolver.caller(50, 0)),
        5,
        "four of its own, and its parent's stat"
    );
    assert_eq!(table.reads(|| resolver.caller(0, 0)), 0);
    assert_eq!(table.reads(|| resolver.same_process(40, 99)), 2);
}

/// spec 5.4, 5.5: a caller whose files cannot be read for lack of a descriptor is anonymous; its next call reads them again.
#[test]
fn no_descriptor_left() {
    let table = Table::new();
    table.spawn(10, 20, &["node", "/usr/bin/gemini"]);
    let resolver = table.resolver();
    table.exhaust(true);
    assert_eq!(
        resolver.caller(20, 7).session,
        Session::Anonymous { uid: 7 }
    );
    table.exhaust(false);
    let caller = resolver.caller(20, 0);
    assert!(caller.program.plays(&Programs::builtin(), Role::Agent));
    assert_eq!(caller.session, table.agent(20));
}

/// spec 5.5: the cache is bounded, and forgetting changes no answer.
#[test]
fn the_cache_stays_small() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    let resolver = table.resolver();
    for pid in 100..100 + 2 * MAX_KNOWN as u32 {
        table.spawn(20, pid, &["cat"]);
        assert_eq!(session_of(&resolver, pid), table.agent(20));
        if pid % 2 == 0 {
            table.exit(pid);
        }
    }
    for tid in 100_000..100_100 + MAX_KNOWN as u32 {
        table.thread(20, tid, "worker");
        resolver.caller(tid, 0);
    }
    let cache = resolver.cache.lock();
    assert!(cache.processes.len() <= MAX_KNOWN && cache.processes.len() > MAX_KNOWN / 4);
    assert!(cache.threads.len() <= MAX_KNOWN);
    drop(cache);
    table.exit(20);
    resolver.forget_dead();
    assert!(resolver.cache.lock().threads.is_empty());
}

/// spec 4.9b: a thread that is exiting with a signal in the low bits dies by the signal. A plain exit does not count, nor does a
/// signal that only stops.
#[test]
fn a_death_by_signal_is_told_from_an_exit() {
    const EXITING: u64 = 0x40_0004;
    let table = Table::new();
    let resolver = table.resolver();
    for (flags, exit_code, dying) in [
        (EXITING, 9, true),
        (EXITING, 11 | 0x80, true),
        (EXITING, 0, false),
        (EXITING, 3 << 8, false),
        (0x40_0000, 19, false),
    ] {
        table.edit(10, |task| (task.flags, task.exit_code) = (flags, exit_code));
        assert_eq!(resolver.dying_by_signal(10), dying, "{flags:x} {exit_code}");
    }
}

/// spec 4.9b: a writing thread that has ended still belongs to its process when another thread closes.
#[test]
fn an_ended_thread_is_still_of_its_process() {
    let table = Table::new();
    table.thread(10, 11, "writer");
    table.thread(10, 12, "closer");
    let resolver = table.resolver();
    resolver.caller(11, 0);
    table.0.lock().tasks.remove(&11);
    assert!(resolver.same_process(11, 12));
}

/// spec 4.9b: an unknown thread that has ended counts as a thread of the closing process; a thread of another process does not.
#[test]
fn a_thread_that_only_wrote_and_ended_is_of_the_process_that_closes() {
    let table = Table::new();
    table.thread(10, 12, "closer");
    table.spawn(10, 20, &["sh"]);
    let resolver = table.resolver();
    assert!(resolver.same_process(11, 12));
    assert!(!resolver.same_process(20, 12));
    assert!(!resolver.same_process(0, 12));
}

/// spec 5.1: a program cannot hide the fields after its name, whatever its name is.
#[test]
fn a_name_may_be_anything() {
    let names: [&[u8]; 6] = [b"a) R 1 (b", b") (", b"\n \xff\0", b"", b"((((", b"))))"];
    for name in names {
        let table = Table::new();
        table.edit(10, |task| task.comm = name.to_vec());
        table.spawn(10, 20, &["cat"]);
        let session = session_of(&table.resolver(), 20);
        assert_eq!(session, table.terminal(), "{name:?}");
    }
}

/// spec 5.5: a zombie is not alive, though its entry stays.
#[test]
fn a_zombie_is_dead() {
    let table = Table::new();
    let (resolver, shell) = (table.resolver(), table.process(10));
    assert!(resolver.is_alive(shell));
    table.edit(10, |task| task.state = 'Z');
    assert!(!resolver.is_alive(shell));
    assert!(!resolver.is_alive(Process { pid: 10, start: 0 }));
}

/// A `/proc` whose files have random or nearly real content.
struct Garbage(HashMap<u32, [Vec<u8>; 4]>, Arc<Mutex<usize>>);

impl Proc for Garbage {
    fn read(&self, pid: u32, file: &'static str) -> io::Result<Vec<u8>> {
        *self.1.lock() += 1;
        let files = self.0.get(&pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(match file {
            "stat" => files[0].clone(),
            "environ" => files[2].clone(),
            "cmdline" => files[3].clone(),
            _ => files[1].clone(),
        })
    }
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..60)
}

fn stat_like() -> impl Strategy<Value = Vec<u8>> {
    (
        any_bytes(),
        0..9u32,
        0..9u32,
        -2..3i32,
        0..3u64,
        prop::option::weighted(0.1, 0..150usize),
    )
        .prop_map(|(comm, parent, session, tty, start, cut)| {
            let mut stat = [b"1 (", &comm[..], b") "].concat();
            let zeros = "0 ".repeat(12);
            stat.extend(format!("S {parent} 1 {session} {tty} -1 4 {zeros} 1 {start} 0 0").bytes());
            stat.truncate(cut.unwrap_or(stat.len()));
            stat
        })
}

proptest! {
    /// spec 8.3c, 5.1: whatever `/proc` says, also parents in a circle, every call answers after a bounded number of reads.
    #[test]
    fn nonsense_is_survived(
        processes in prop::collection::hash_map(
            0..9u32,
            (
                prop_oneof![4 => stat_like(), 1 => any_bytes()],
                prop_oneof![(0..9u32).prop_map(|pid| format!("Tgid:\t{pid}\n").into_bytes()), any_bytes()],
                any_bytes(),
                prop_oneof![Just(b"node\0-r\0--\0codex".to_vec()), Just(b"claude\0".to_vec()), any_bytes()],
            ).prop_map(|(stat, status, environ, cmdline)| [stat, status, environ, cmdline]),
            0..9,
        ),
        calls in prop::collection::vec((0..9u32, 0..9u32), 1..20),
    ) {
        let reads = Arc::default();
        let resolver = Resolver::new(Box::new(Garbage(processes, Arc::clone(&reads))), Arc::default());
        for (a, b) in calls {
            *reads.lock() = 0;
            let caller = resolver.caller(a, 0);
            prop_assert!(*reads.lock() <= 4 + 3 * MAX_DEPTH);
            if a == 0 {
                prop_assert_eq!(caller.process, None);
            }
            resolver.session_alive(&caller.session);
            resolver.dying_by_signal(b);
            resolver.same_process(a, b);
        }
        resolver.forget_dead();
    }
}
