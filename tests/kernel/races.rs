//! Two things at once, on one name.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::actors::{Actor, replaced};
use crate::harness::{Mount, sorted};

/// The system calls of Claude Code's Write and Edit, and the stat afterwards without which the tools report failure.
const WRITE: &str = "
def store(text):
    with open('n.md.tmp.1.0123456789ab', 'x') as f: f.write(text); f.flush(); os.fsync(f.fileno())
    os.rename('n.md.tmp.1.0123456789ab', 'n.md')
def look():
    # But for the times: who reads it in between sets one, and who consumes it another.
    one, two = (os.stat('n.md')[:7] for _ in range(2))
    assert one == two, (one, two)
";

/// spec 4.3c: a handoff that is consumed between a writer’s rename and its stat is still found by the writer. The next
/// write is another handoff, although the writer had read the first one.
#[test]
fn consumed_between_rename_and_stat() {
    let mount = Mount::new();
    let mut agent = Actor::agent(&mount, "claude");
    agent.run(WRITE);
    agent.run("store('one')");
    assert_eq!(mount.take("r"), ["one"]);
    agent.run("look()");
    assert_eq!(agent.run("open('n.md').read()"), "one");
    agent.run("store('two')");
    agent.run("look(); assert open('n.md').read() == 'two'");
    // Read by a reader that comes while its edit is under way.
    agent.run("open('n.md.tmp.1.0123456789ab', 'x').write('three')");
    assert_eq!(mount.take("r"), ["two"]);
    agent.run("os.rename('n.md.tmp.1.0123456789ab', 'n.md'); look()");
    assert_eq!(mount.take("r"), ["three"]);
    agent.run("look()");
    assert_eq!(mount.names().len(), 3);
    assert_eq!(replaced(&mount), [""; 0]);
}

/// spec 4.3c, 4.4b, 6.3a: the same many times, with readers that consume all the time: the stat always succeeds, and
/// every text was delivered, or was edited before a reader came, and kept.
#[test]
fn consumed_at_any_moment_between() {
    const ROUNDS: usize = 120;
    let mount = Mount::new();
    let written = AtomicBool::new(false);
    let mut taken: Vec<String> = thread::scope(|scope| {
        let readers = [0, 1].map(|i| {
            let (mount, written) = (&mount, &written);
            scope.spawn(move || {
                let mut taken = Vec::new();
                while !written.load(Ordering::Relaxed) {
                    taken.extend(mount.take(&format!("r{i}")));
                }
                taken
            })
        });
        let mut agent = Actor::agent(&mount, "claude");
        agent.run(WRITE);
        let (kind, answer) = agent.ask(&format!(
            "
for i in range({ROUNDS}):
    store(f'text {{i}}'); look()
    if i % 2: assert open('n.md').read() == f'text {{i}}'"
        ));
        // Before anything can fail: the readers must end.
        written.store(true, Ordering::Relaxed);
        assert_eq!(kind, "value", "{answer}");
        let taken = readers.into_iter().flat_map(|it| it.join().unwrap());
        taken.collect()
    });
    taken.extend(mount.take("last"));
    let kept = replaced(&mount);
    println!("{} delivered, {} edited before", taken.len(), kept.len());
    let all: BTreeSet<String> = taken.into_iter().chain(kept).collect();
    let expected: BTreeSet<String> = (0..ROUNDS).map(|i| format!("text {i}")).collect();
    assert_eq!(all, expected);
}

/// Runs two loops of Python in two threads of one process; each has `i` for its round. Returns what is pending then.
fn in_two_threads(program: &str, rounds: usize, loops: [&str; 2]) -> (Mount, Vec<String>) {
    let mount = Mount::new();
    let mut process = Actor::called(&mount, "s", program);
    let [one, two] = loops.map(|body| body.replace('\n', "\n        "));
    process.run(&format!(
        "
errors = []
barrier = threading.Barrier(2)
def note_errors(loop):
    try: loop()
    except BaseException as error: errors.append(repr(error))
def one():
    for i in range({rounds}):
        barrier.wait(){one}
def two():
    for i in range({rounds}):
        barrier.wait(){two}
threads = [threading.Thread(target=note_errors, args=(loop,)) for loop in (one, two)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not errors, errors"
    ));
    let bodies = sorted(mount.take("r"));
    (mount, bodies)
}

fn bodies_of(rounds: usize, kinds: &[&str]) -> Vec<String> {
    let all = kinds
        .iter()
        .flat_map(|kind| (0..rounds).map(move |i| format!("{kind} {i} {kind}")));
    sorted(all)
}

/// spec 4.3b: two threads append under a name that neither has made yet: one handoff, and no line is lost.
#[test]
fn two_threads_append() {
    const ROUNDS: usize = 60;
    for program in ["python3", "claude"] {
        let append = |kind| {
            format!(
                "\nwith open(f'log{{i // 20}}.md', 'a') as f: f.write(f'{kind} {{i}} {kind}\\n')"
            )
        };
        let (mount, bodies) = in_two_threads(program, ROUNDS, [&append("a"), &append("b")]);
        assert_eq!(mount.slugs(), ["log0_done", "log1_done", "log2_done"]);
        assert_eq!(
            sorted(
                bodies
                    .iter()
                    .flat_map(|body| body.lines().map(str::to_owned))
            ),
            bodies_of(ROUNDS, &["a", "b"])
        );
    }
}

/// How a thread writes a whole file, in two writes.
const TRUNCATE: &str = "
with open('n.md', 'w') as f: f.write(f'a {i} '); f.flush(); f.write('a')";

/// spec 4.1c, 4.6b: one thread truncates and writes, the other renames onto the same name: two files.
#[test]
fn one_thread_truncates_and_one_renames_onto_it() {
    const ROUNDS: usize = 60;
    let replace = "
with open('n.md.tmp', 'w') as f: f.write(f'b {i} b')
os.rename('n.md.tmp', 'n.md')";
    for program in ["python3", "claude"] {
        let (mount, bodies) = in_two_threads(program, ROUNDS, [TRUNCATE, replace]);
        assert_eq!(bodies, bodies_of(ROUNDS, &["a", "b"]), "{program}");
        assert_eq!(mount.names().len(), 2 * ROUNDS);
    }
}

/// spec 4.5f: one thread renames the file that the other one is writing: the same file under another name.
#[test]
fn one_thread_renames_what_the_other_writes() {
    const ROUNDS: usize = 80;
    let rename = "
try: os.rename('n.md', f'm{i}.md')
except FileNotFoundError: pass";
    for program in ["python3", "claude"] {
        let (mount, bodies) = in_two_threads(program, ROUNDS, [TRUNCATE, rename]);
        assert_eq!(bodies, bodies_of(ROUNDS, &["a"]), "{program}");
        assert_eq!(mount.names().len(), ROUNDS);
    }
}
