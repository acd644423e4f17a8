//! Made-up process trees, and a few real ones.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use proptest::prelude::*;

use super::*;

/// A process table that behaves like the kernel's and counts how often it is read.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<Tasks>>);

#[derive(Default)]
struct Tasks {
    tasks: HashMap<u32, Task>,
    hidden: HashSet<(u32, &'static str)>,
    clock: u64,
    reads: usize,
}

#[derive(Clone)]
struct Task {
    group: u32,
    parent: u32,
    session: u32,
    tty: i32,
    start: u64,
    comm: Vec<u8>,
    argv: Vec<String>,
    environ: String,
    state: char,
    flags: u64,
    exit_code: u64,
}

impl Table {
    /// `init`, and a shell (pid 10) that leads the session of terminal 1025.
    fn new() -> Table {
        let table = Table::default();
        table.insert(
            1,
            Task {
                group: 1,
                parent: 0,
                session: 1,
                tty: 0,
                start: 0,
                comm: b"init".to_vec(),
                argv: vec!["/sbin/init".to_owned()],
                environ: "HOME=/\0".to_owned(),
                state: 'S',
                flags: 0x40_0000,
                exit_code: 0,
            },
        );
        table.terminal_shell(10, 1025);
        table
    }

    fn insert(&self, pid: u32, mut task: Task) {
        let mut tasks = self.0.lock();
        tasks.clock += 100;
        task.start = tasks.clock;
        tasks.tasks.insert(pid, task);
    }

    fn edit(&self, pid: u32, edit: impl FnOnce(&mut Task)) {
        edit(self.0.lock().tasks.get_mut(&pid).expect("no such task"));
    }

    fn terminal_shell(&self, pid: u32, tty: i32) {
        self.spawn(1, pid, &["-bash"]);
        self.setsid(pid);
        self.edit(pid, |task| {
            task.comm = b"bash".to_vec();
            task.tty = tty;
        });
    }

    /// fork and execve.
    fn spawn(&self, parent: u32, pid: u32, argv: &[&str]) {
        let mut task = self.0.lock().tasks[&parent].clone();
        (task.group, task.parent) = (pid, task.group);
        self.insert(pid, task);
        self.exec(pid, argv);
    }

    fn exec(&self, pid: u32, argv: &[&str]) {
        let name = argv[0].rsplit('/').next().unwrap_or_default();
        self.edit(pid, |task| {
            task.comm = name.bytes().take(15).collect();
            task.argv = argv.iter().map(|&arg| arg.to_owned()).collect();
        });
    }

    fn setsid(&self, pid: u32) {
        self.edit(pid, |task| (task.session, task.tty) = (pid, 0));
    }

    fn thread(&self, pid: u32, tid: u32, name: &str) {
        let mut task = self.0.lock().tasks[&pid].clone();
        task.comm = name.into();
        self.insert(tid, task);
    }

    /// exit, and the children go to init.
    fn exit(&self, pid: u32) {
        let tasks = &mut self.0.lock().tasks;
        tasks.retain(|_, task| task.group != pid);
        for task in tasks.values_mut().filter(|task| task.parent == pid) {
            task.parent = 1;
        }
    }

    fn hide(&self, pid: u32, file: &'static str) {
        self.0.lock().hidden.insert((pid, file));
    }

    fn process(&self, pid: u32) -> Process {
        Process {
            pid,
            start: self.0.lock().tasks[&pid].start,
        }
    }

    /// How often `call` reads.
    fn reads<T>(&self, call: impl FnOnce() -> T) -> usize {
        let before = self.0.lock().reads;
        call();
        self.0.lock().reads - before
    }

    fn resolver(&self) -> Resolver {
        Resolver::new(Box::new(self.clone()), Arc::default())
    }

    fn read(
        &self,
        pid: u32,
        file: &'static str,
        show: impl FnOnce(&Task) -> Vec<u8>,
    ) -> io::Result<Vec<u8>> {
        let mut tasks = self.0.lock();
        tasks.reads += 1;
        if tasks.hidden.contains(&(pid, file)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        tasks
            .tasks
            .get(&pid)
            .map(show)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Proc for Table {
    fn stat(&self, pid: u32) -> io::Result<Vec<u8>> {
        self.read(pid, "stat", |task| {
            let Task { state, parent, session, tty, flags, start, exit_code, .. } = task;
            let mut stat = format!("{pid} (").into_bytes();
            stat.extend(&task.comm);
            stat.extend(
                format!(
                    ") {state} {parent} 1 {session} {tty} -1 {flags} 0 0 0 0 1 2 3 4 20 0 1 0 {start} 5 6 \
                     18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 1 2 3 4 5 6 7 {exit_code}\n"
                )
                .into_bytes(),
            );
            stat
        })
    }

    fn status(&self, pid: u32) -> io::Result<Vec<u8>> {
        self.read(pid, "status", |task| {
            format!("Name:\tTgid: 7\nNgid:\t0\nTgid:\t{}\n", task.group).into_bytes()
        })
    }

    fn environ(&self, pid: u32) -> io::Result<Vec<u8>> {
        self.read(pid, "environ", |task| task.environ.clone().into_bytes())
    }

    fn cmdline(&self, pid: u32) -> io::Result<Vec<u8>> {
        self.read(pid, "cmdline", |task| {
            task.argv
                .iter()
                .flat_map(|arg| [arg, "\0"])
                .collect::<String>()
                .into_bytes()
        })
    }
}

/// spec 5: one Claude Code run is one session, whichever thread writes and whichever shell command it runs.
#[test]
fn an_agents_threads_and_detached_commands_are_its_session() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.thread(20, 21, "HeapHelper");
    table.thread(20, 22, "ThreadPoolForegroundWorker");
    table.spawn(20, 30, &["/bin/bash", "-c", "..."]);
    table.setsid(30);
    table.spawn(30, 31, &["tee", "notes.md"]);
    let resolver = table.resolver();
    let session = Session::Agent(table.process(20));
    for (tid, pid) in [(31, 31), (21, 20), (20, 20), (22, 20), (30, 30)] {
        let caller = resolver.caller(tid, 1000);
        assert_eq!(caller.session, session, "{tid}");
        assert_eq!(caller.process, Some(table.process(pid)));
        assert_eq!(
            caller.program.plays(&Programs::builtin(), Role::Agent),
            pid == 20,
            "{tid}"
        );
    }
    assert!(resolver.same_process(21, 22));
    assert!(!resolver.same_process(21, 30));
    assert!(!resolver.same_process(0, 0));
    assert!(!resolver.same_process(98, 99));
}

/// spec 5: two agents that run side by side on one terminal are two sessions.
#[test]
fn agents_side_by_side_are_apart() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.spawn(10, 21, &["claude"]);
    table.spawn(20, 30, &["sh"]);
    table.spawn(21, 31, &["sh"]);
    let resolver = table.resolver();
    assert_eq!(
        resolver.caller(30, 0).session,
        Session::Agent(table.process(20))
    );
    assert_eq!(
        resolver.caller(31, 0).session,
        Session::Agent(table.process(21))
    );
}

/// spec 5: "Codex patches files in a child `codex`": the outermost of an unbroken line, under a script's name too.
#[test]
fn the_outermost_of_the_same_agent_counts() {
    let table = Table::new();
    table.spawn(10, 20, &["/usr/bin/node", "/usr/bin/codex"]);
    table.spawn(20, 21, &["codex"]);
    table.spawn(21, 22, &["codex", "--apply-patch"]);
    let resolver = table.resolver();
    for pid in [22, 21, 20] {
        assert_eq!(
            resolver.caller(pid, 0).session,
            Session::Agent(table.process(20))
        );
    }
    // Here the line is broken: a run of its own.
    table.spawn(21, 30, &["bash"]);
    table.spawn(30, 31, &["codex", "exec"]);
    assert_eq!(
        resolver.caller(31, 0).session,
        Session::Agent(table.process(31))
    );
}

/// spec 5: the nearest agent, when one works for another.
#[test]
fn an_agent_within_another_is_a_session_of_its_own() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.spawn(20, 21, &["gemini"]);
    table.spawn(21, 22, &["sh"]);
    table.spawn(20, 23, &["sh"]);
    let resolver = table.resolver();
    assert_eq!(
        resolver.caller(22, 0).session,
        Session::Agent(table.process(21))
    );
    assert_eq!(
        resolver.caller(23, 0).session,
        Session::Agent(table.process(20))
    );
}

/// spec 5: an agent known by its interpreter's script.
#[test]
fn a_script_is_an_agent() {
    let table = Table::new();
    table.spawn(
        10,
        20,
        &["node", "--no-warnings", "/usr/local/bin/gemini.js"],
    );
    table.spawn(20, 21, &["bash"]);
    table.setsid(21);
    let resolver = table.resolver();
    assert_eq!(
        resolver.caller(21, 0).session,
        Session::Agent(table.process(20))
    );
    assert!(
        resolver
            .caller(20, 0)
            .program
            .plays(&Programs::builtin(), Role::Agent)
    );
}

/// spec 5: each terminal is a session, and a detached child belongs to that of its nearest ancestor with one.
#[test]
fn terminals_are_sessions() {
    let table = Table::new();
    table.terminal_shell(11, -2);
    table.spawn(10, 20, &["cat"]);
    table.spawn(11, 21, &["cat"]);
    table.spawn(11, 22, &["cat"]);
    table.setsid(22);
    let resolver = table.resolver();
    let first = Session::Terminal {
        tty: 1025,
        leader: table.process(10),
    };
    let second = Session::Terminal {
        tty: u32::MAX - 1,
        leader: table.process(11),
    };
    assert_eq!(resolver.caller(20, 0).session, first);
    assert_eq!(resolver.caller(21, 0).session, second);
    assert_eq!(resolver.caller(22, 0).session, second);
}

/// spec 5: the kernel's session comes last; its leader may be gone already.
#[test]
fn without_a_terminal_the_kernels_session_counts() {
    let table = Table::new();
    table.spawn(1, 20, &["cron"]);
    table.setsid(20);
    table.spawn(20, 21, &["sh"]);
    table.spawn(21, 22, &["cat"]);
    let resolver = table.resolver();
    let session = Session::Kernel(table.process(20));
    assert_eq!(resolver.caller(22, 0).session, session);
    table.exit(20);
    assert_eq!(resolver.caller(21, 0).session, session, "known before");
    assert!(resolver.session_alive(&session), "two of it are left");

    let later = table.resolver();
    let leaderless = Session::Kernel(Process { pid: 20, start: 0 });
    assert_eq!(later.caller(22, 0).session, leaderless);
    assert_eq!(later.caller(21, 0).session, leaderless);
    assert!(later.session_alive(&leaderless));
    table.exit(21);
    table.exit(22);
    assert!(!later.session_alive(&leaderless));
    assert!(!resolver.session_alive(&session));
}

/// spec 5: `HANDOFF_SESSION` wins over everything, if it says something.
#[test]
fn the_environment_names_the_session() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.edit(20, |task| {
        task.environ = "A=1\0XHANDOFF_SESSION=no\0HANDOFF_SESSION=a=b\0".to_owned();
    });
    table.spawn(10, 21, &["claude"]);
    table.edit(21, |task| {
        task.environ = "HANDOFF_SESSION=\0HANDOFF_SESSIONS=x\0".to_owned();
    });
    let resolver = table.resolver();
    let named = Session::Named(Arc::from(&b"a=b"[..]));
    assert_eq!(resolver.caller(20, 0).session, named);
    assert!(resolver.session_alive(&named));
    assert_eq!(
        resolver.caller(21, 0).session,
        Session::Agent(table.process(21))
    );
}

/// spec 5: "Pid 0, or `/proc` out of reach, is one anonymous session per uid".
#[test]
fn the_unknown_are_one_session_for_each_user() {
    let table = Table::new();
    table.hide(10, "stat");
    let resolver = table.resolver();
    for tid in [0, 10, 999] {
        let caller = resolver.caller(tid, 7);
        assert_eq!(caller.session, Session::Anonymous { uid: 7 });
        assert_eq!(caller.process, None);
        assert!(resolver.session_alive(&caller.session));
        assert!(!resolver.dying_by_signal(tid));
    }
    assert_ne!(resolver.caller(0, 7).session, resolver.caller(0, 8).session);
}

/// spec 5: with a part of `/proc` hidden, the next rule that can be decided holds.
#[test]
fn what_is_hidden_is_done_without() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.spawn(20, 21, &["bash"]);
    table.setsid(21);
    table.spawn(21, 22, &["cat"]);
    for file in ["environ", "cmdline", "status"] {
        table.hide(22, file);
    }
    assert_eq!(
        table.resolver().caller(22, 0).session,
        Session::Agent(table.process(20))
    );
    table.hide(20, "stat");
    assert_eq!(
        table.resolver().caller(22, 0).session,
        Session::Kernel(table.process(21))
    );
    table.hide(21, "stat");
    assert_eq!(
        table.resolver().caller(22, 0).session,
        Session::Kernel(Process { pid: 21, start: 0 })
    );
    table.edit(22, |task| task.session = 0);
    assert_eq!(
        table.resolver().caller(22, 5).session,
        Session::Anonymous { uid: 5 }
    );
}

/// spec 5: "A session is a pid *and* its start time", for threads too.
#[test]
fn a_reused_pid_is_somebody_else() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.thread(20, 25, "worker");
    let resolver = table.resolver();
    let old = resolver.caller(20, 0);
    assert_eq!(resolver.caller(25, 0).session, old.session);
    table.exit(20);
    assert!(!resolver.session_alive(&old.session));
    table.spawn(10, 20, &["claude"]);
    table.spawn(10, 24, &["codex"]);
    table.thread(24, 25, "worker");
    assert!(!resolver.session_alive(&old.session));
    assert_eq!(
        resolver.caller(20, 0).session,
        Session::Agent(table.process(20))
    );
    assert_ne!(resolver.caller(20, 0).session, old.session);
    assert_eq!(
        resolver.caller(25, 0).session,
        Session::Agent(table.process(24))
    );
}

/// spec 5: a parent younger than its child is not its parent.
#[test]
fn a_reused_parent_pid_is_not_followed() {
    let table = Table::new();
    table.spawn(10, 20, &["sh"]);
    table.spawn(20, 21, &["cat"]);
    table.spawn(10, 20, &["claude"]);
    let session = table.resolver().caller(21, 0).session;
    assert_eq!(
        session,
        Session::Terminal {
            tty: 1025,
            leader: table.process(10)
        }
    );
}

/// spec 5: `sh` becomes `claude` in the same process, for itself and for the children it has from then on.
#[test]
fn another_program_is_another_caller() {
    let table = Table::new();
    table.spawn(10, 20, &["sh", "/usr/bin/claude-launcher"]);
    let resolver = table.resolver();
    assert!(matches!(
        resolver.caller(20, 0).session,
        Session::Terminal { .. }
    ));
    table.spawn(20, 30, &["sh"]);
    assert!(matches!(
        resolver.caller(30, 0).session,
        Session::Terminal { .. }
    ));
    table.exec(30, &["codex"]);
    assert_eq!(
        resolver.caller(30, 0).session,
        Session::Agent(table.process(30))
    );
    table.exec(20, &["claude"]);
    table.spawn(20, 21, &["bash"]);
    assert_eq!(
        resolver.caller(21, 0).session,
        Session::Agent(table.process(20))
    );
    assert_eq!(
        resolver.caller(20, 0).session,
        Session::Agent(table.process(20))
    );
}

/// spec 5: what an agent left in the background stays its own, after its parent died and after it ran `execve`.
#[test]
fn an_orphan_keeps_its_session() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.spawn(20, 21, &["bash"]);
    table.setsid(21);
    table.spawn(21, 22, &["sh"]);
    let resolver = table.resolver();
    let session = Session::Agent(table.process(20));
    assert_eq!(resolver.caller(22, 0).session, session);
    table.exit(21);
    resolver.forget_dead();
    assert_eq!(resolver.caller(22, 0).session, session);
    table.exec(22, &["python3", "server.py"]);
    assert_eq!(resolver.caller(22, 0).session, session);
    table.exec(22, &["make"]);
    table.spawn(22, 23, &["cat"]);
    assert_eq!(
        resolver.caller(23, 0).session,
        session,
        "and so do its children"
    );
}

/// spec 5, "look-ups are cached": one read for a thread seen before, and no walk twice.
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

/// spec 5: the cache is bounded, and forgetting changes no answer.
#[test]
fn the_cache_stays_small() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    let resolver = table.resolver();
    for pid in 100..100 + 2 * MAX_KNOWN as u32 {
        table.spawn(20, pid, &["cat"]);
        assert_eq!(
            resolver.caller(pid, 0).session,
            Session::Agent(table.process(20))
        );
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

/// spec 4.9: exiting, and a signal in the low bits; a plain exit, or a signal that only stops, is neither.
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

/// spec 4.9: a thread that wrote and ended is still known as its process's when another one closes.
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

/// spec 5: no name that a program gives itself hides the fields after it.
#[test]
fn a_name_may_be_anything() {
    for name in [
        &b"a) R 1 (b"[..],
        b") (",
        b"\n \xff\0",
        b"",
        b"((((",
        b"))))",
    ] {
        let table = Table::new();
        table.edit(10, |task| task.comm = name.to_vec());
        table.spawn(10, 20, &["cat"]);
        let leader = table.process(10);
        assert_eq!(
            table.resolver().caller(20, 0).session,
            Session::Terminal { tty: 1025, leader }
        );
    }
}

/// spec 5: the dead are not alive, though a zombie's entry stays; one whose first thread alone has ended lives.
#[test]
fn a_zombie_is_dead() {
    let table = Table::new();
    let (resolver, shell) = (table.resolver(), table.process(10));
    assert!(resolver.is_alive(shell));
    table.edit(10, |task| task.state = 'Z');
    assert!(!resolver.is_alive(shell));
    assert!(!resolver.is_alive(Process { pid: 10, start: 0 }));
}

/// Every file holds anything, or something near enough to be taken for real.
struct Garbage(HashMap<u32, [Vec<u8>; 4]>, Arc<Mutex<usize>>);

impl Garbage {
    fn file(&self, pid: u32, file: usize) -> io::Result<Vec<u8>> {
        *self.1.lock() += 1;
        self.0
            .get(&pid)
            .map(|files| files[file].clone())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[rustfmt::skip]
impl Proc for Garbage {
    fn stat(&self, pid: u32) -> io::Result<Vec<u8>> { self.file(pid, 0) }
    fn status(&self, pid: u32) -> io::Result<Vec<u8>> { self.file(pid, 1) }
    fn environ(&self, pid: u32) -> io::Result<Vec<u8>> { self.file(pid, 2) }
    fn cmdline(&self, pid: u32) -> io::Result<Vec<u8>> { self.file(pid, 3) }
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
    /// spec 8.3, 5: whatever `/proc` says, every call answers, and after a bounded number of reads; parents in a
    /// circle included.
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

/// A real process that waits until it is dropped, once it has said which pids there are.
struct Waiting(Child, Vec<u32>);

impl Waiting {
    fn start(command: &mut Command) -> Waiting {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let pids = line
            .split_whitespace()
            .map(|pid| pid.parse().expect("a pid"))
            .collect();
        Waiting(child, pids)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // All that wait do so for the end of this pipe.
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

fn system() -> Resolver {
    Resolver::new(Box::new(SystemProc), Arc::default())
}

/// spec 5, on the kernel's `/proc`: a detached child of an agent.
#[test]
fn a_real_agents_detached_child_is_its_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let agent = dir.path().join("claude");
    symlink("/bin/sh", &agent).expect("symlink");
    let inner = r#"echo "$0 $$"; read -r _; :"#;
    let outer = format!(r#"setsid sh -c '{inner}' "$$"; :"#);
    let waiting = Waiting::start(
        Command::new(agent)
            .args(["-c", &outer])
            .env_remove("HANDOFF_SESSION"),
    );
    let [agent, child] = waiting.1[..] else {
        panic!("two pids, not {:?}", waiting.1)
    };
    let resolver = system();
    let caller = resolver.caller(child, 0);
    assert_eq!(caller.process.map(|process| process.pid), Some(child));
    let Session::Agent(process) = caller.session else {
        panic!("{caller:?}")
    };
    assert_eq!(process.pid, agent);
    assert!(resolver.is_alive(process));
    drop(waiting);
    assert!(!resolver.is_alive(process));
}

/// spec 5, on the kernel's `/proc`: the environment.
#[test]
fn a_real_environment_names_the_session() {
    let mut command = Command::new("setsid");
    command
        .args(["sh", "-c", "echo $$; read -r _; :"])
        .env("HANDOFF_SESSION", "blue");
    let waiting = Waiting::start(&mut command);
    let caller = system().caller(waiting.1[0], 0);
    assert_eq!(caller.session, Session::Named(Arc::from(&b"blue"[..])));
}

/// spec 5, on the kernel's `/proc`: the threads of this process, one of them ended.
#[test]
fn real_threads_are_one_process() {
    let tid = || -> u32 {
        let link = std::fs::read_link("/proc/thread-self").expect("/proc");
        link.file_name()
            .and_then(|name| name.to_str()?.parse().ok())
            .expect("a thread id")
    };
    let resolver = system();
    let here = tid();
    let caller = resolver.caller(here, 0);
    assert_eq!(
        caller.process.map(|process| process.pid),
        Some(std::process::id())
    );
    let there = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            assert!(resolver.same_process(tid(), here));
            tid()
        });
        thread.join().expect("the thread")
    });
    assert!(resolver.same_process(here, there));
    assert!(resolver.session_alive(&caller.session));
    assert!(!resolver.dying_by_signal(here));
}
