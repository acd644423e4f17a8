//! Readers take turns, writers that let go are waited for, and what stays behind for those that have read.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use handoff_fs::fs::{NodeId, Outcome, Request};

use crate::actors::Actor;
use crate::harness::{Mount, bodies, list, sorted};

/// What the readers below do: open `pending.md` or another file, read 10 bytes, read to the end.
const READER: &str = "
def begin(path='pending.md'):
    return os.open(path, os.O_RDONLY)
def some(f):
    return os.read(f, 10).decode()
def rest(f):
    text = b''
    while piece := os.read(f, 1 << 16): text += piece
    return text.decode()
";

fn reader(mount: &Mount, session: &str) -> Actor {
    let mut reader = Actor::new(mount, session);
    reader.run(READER);
    reader
}

/// spec 6.4a: while one process has an unfinished snapshot, the open of another process waits, and then gets what is
/// still pending: here what was written meanwhile.
#[test]
fn a_second_reader_gets_what_is_left() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md; echo b > b.md");
    let (mut one, mut two) = (reader(&mount, "1"), reader(&mount, "2"));
    one.run("f = begin()");
    let mut seen = one.run("some(f)");
    two.begin("f = begin()");
    mount.sh("w", "echo c > c.md");
    seen += &one.run("rest(f)");
    assert_eq!(bodies(&seen), ["a", "b"]);
    // Consuming ends the turn, too, and not only a close.
    two.finish();
    assert_eq!(bodies(&two.run("rest(f)")), ["c"]);
    one.run("os.close(f)");
    assert_eq!(mount.slugs(), ["a_done", "b_done", "c_done"]);
}

/// spec 6.4a: a reader that ends without having read to the end leaves everything to the next one.
#[test]
fn a_reader_that_gives_up_leaves_all() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md; echo b > b.md");
    let (mut one, mut two) = (reader(&mount, "1"), reader(&mount, "2"));
    one.run("f = begin()");
    one.run("some(f)");
    two.begin("f = begin()");
    one.kill();
    two.finish();
    assert_eq!(bodies(&two.run("rest(f)")), ["a", "b"]);
}

/// spec 6.4a, 6.4c: a stuck reader blocks nobody for good; the worst case is a handoff delivered twice. Its own snapshot
/// stays as it is.
#[test]
fn a_stuck_reader_blocks_nobody() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md; echo b > b.md");
    let (mut stuck, mut two) = (reader(&mount, "1"), reader(&mount, "2"));
    stuck.run("f = begin()");
    let mut seen = stuck.run("some(f)");
    two.run("f = begin()");
    assert_eq!(bodies(&two.run("rest(f)")), ["a", "b"]);
    mount.sh("w", "echo c > c.md");
    seen += &stuck.run("rest(f)");
    assert_eq!(bodies(&seen), ["a", "b"]);
    stuck.run("os.close(f)");
    assert_eq!(mount.take("3"), ["c"]);
}

/// spec 6.8: a reader that has read nothing for 10 s is waited for no more, until it reads again; `status` names it, and
/// says since when it has its turn.
#[test]
fn an_idle_reader_is_not_waited_for() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md; mkdir q; echo b > q/b.md");
    let mut idle = reader(&mount, "1");
    idle.run("f = begin()");
    let mut seen = idle.run("some(f)");
    let fs = mount.fs();
    let other = Request {
        tid: std::process::id(),
        uid: 0,
    };
    // Opens it, and closes it again unread; answers whether that had to wait.
    let waits = || {
        let name = OsStr::new("pending.md");
        let node = fs.lookup(other, NodeId::ROOT, name).unwrap().node;
        let waits = match fs.open_node(other, node, libc::O_RDONLY) {
            Outcome::Ready(opened) => {
                fs.release(opened.unwrap().handle);
                false
            }
            Outcome::Later(_) => true,
        };
        fs.forget(node, 1);
        waits
    };
    let turn = || {
        let status = mount.status();
        assert_eq!(status["turns"].as_array().unwrap().len(), 1);
        let turn = &status["turns"][0];
        assert_eq!(turn["name"], "pending.md");
        assert_eq!(turn["pid"], idle.pid());
        ["age_seconds", "idle_seconds"].map(|of| turn[of].as_u64().unwrap())
    };
    assert!(waits());
    mount.clock.advance(Duration::from_secs(2));
    assert!(waits());
    assert!(turn().iter().all(|seconds| *seconds >= 2));
    // A clock that is set is not time that passes.
    mount.clock.retreat(Duration::from_secs(3600));
    mount.clock.advance(Duration::from_secs(9));
    assert!(!waits());
    assert!(turn()[1] >= 11);
    seen += &idle.run("some(f)");
    assert!(waits());
    mount.clock.advance(Duration::from_secs(11));
    assert_eq!(mount.take("2"), ["a", "b"]);
    seen += &idle.run("rest(f)");
    assert_eq!(bodies(&seen), ["a", "b"], "its own snapshot stays as it is");
}

/// spec 6.4a: readers of a queue and of one above it are in each other's way too.
#[test]
fn turns_reach_into_queues_below() {
    let mount = Mount::new();
    mount.sh("w", "mkdir q; echo a > a.md; echo b > q/b.md");
    let (mut one, mut two) = (reader(&mount, "1"), reader(&mount, "2"));
    one.run("f = begin()");
    let mut seen = one.run("some(f)");
    two.begin("f = begin('q/pending.md')");
    seen += &one.run("rest(f)");
    two.finish();
    assert_eq!(two.run("rest(f)"), "");
    assert_eq!(bodies(&seen), ["a", "b"]);
}

/// spec 6.4b: a second open by the same process, and an open through /proc/self/fd, share its snapshot, whatever was
/// written since; the first of them that is read to the end consumes, once.
#[test]
fn a_process_shares_its_own_snapshot() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md");
    let mut reader = reader(&mount, "1");
    reader.run("f = begin()");
    reader.run("some(f)");
    mount.sh("w", "echo b > b.md");
    reader.run("g = begin()");
    reader.run("h = begin(f'/proc/self/fd/{f}')");
    assert_eq!(bodies(&reader.run("rest(g)")), ["a"]);
    assert_eq!(mount.slugs(), ["a_done", "b"]);
    assert_eq!(bodies(&reader.run("rest(h)")), ["a"]);
    // The turn is over: from now on an open gets what is pending now.
    reader.run("i = begin()");
    assert_eq!(bodies(&reader.run("rest(i)")), ["b"]);
    assert_eq!(mount.sh("1", "cat /dev/stdin < pending.md"), "");
}

/// spec 6.4b, 6.5a, 6.5b: stat, searchers and `.peek.md` neither hold nor wait: they see everything while somebody reads, and
/// a reader that comes while they have it open gets everything.
#[test]
fn peeking_neither_holds_nor_waits() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md");
    let (mut peeker, mut reader) = (reader(&mount, "1"), reader(&mount, "2"));
    peeker.run("p = begin('.peek.md')");
    reader.run("f = begin()");
    reader.run("some(f)");
    assert_eq!(bodies(&peeker.run("rest(p)")), ["a"]);
    let size = fs::metadata(mount.at(".peek.md")).unwrap().len();
    mount.sh(
        "3",
        &format!(
            "test -s pending.md; grep -q a pending.md; test $(stat -c %s pending.md) = {size}"
        ),
    );
    assert_eq!(mount.peek(), ["a"]);
    peeker.run("q = begin('.peek.md')");
    reader.run("rest(f)");
    reader.run("os.close(f)");
    assert_eq!(bodies(&peeker.run("rest(q)")), ["a"]);
    assert_eq!(mount.peek(), [""; 0]);
}

/// spec 6.4a: six that start at once get disjoint sets, and together everything.
#[test]
fn six_readers_at_once_get_disjoint_sets() {
    let mount = Mount::new();
    for round in 0..5 {
        mount.sh(
            "w",
            &format!("for i in $(seq 40); do echo {round}-$i > n.md; done"),
        );
        let readers: Vec<_> = (0..6)
            .map(|i| {
                let mut cat = mount.command(&format!("reader {i}"), "cat");
                cat.arg("pending.md")
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut all: Vec<String> = Vec::new();
        for reader in readers {
            let output = reader.wait_with_output().unwrap();
            all.extend(bodies(&String::from_utf8(output.stdout).unwrap()));
        }
        all.sort();
        let expected = sorted((1..=40).map(|i| format!("{round}-{i}")));
        assert_eq!(all, expected);
    }
}

/// spec 4.2c: a group that closes twice is one handoff, delivered when its last writer has closed, whole.
#[test]
fn a_group_of_commands_writes_one_handoff() {
    let mount = Mount::new();
    let fifo = mount.outside("go");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let script = format!(
        "(echo a; /bin/echo b; read -r _ < '{}'; /bin/echo c) > notes.md",
        fifo.display()
    );
    let mut writer = mount
        .command("w", "bash")
        .args(["-c", &script])
        .spawn()
        .unwrap();
    // Opening the pipe succeeds once the group has come so far: twice has it closed by now.
    let mut go = File::options().write(true).open(&fifo).unwrap();
    assert_eq!(mount.take("r"), [""; 0]);
    assert_eq!(mount.slugs(), ["notes"]);
    go.write_all(b"go\n").unwrap();
    assert!(writer.wait().unwrap().success());
    assert_eq!(mount.take("r"), ["a\nb\nc"]);
    assert_eq!(mount.slugs(), ["notes_done"]);
}

/// spec 4.2c: RELEASE comes asynchronously, but `echo x > n.md; cat pending.md` always shows `x`, also while other
/// writers have RELEASEs under way.
#[test]
fn what_was_written_just_before_is_always_shown() {
    let mount = Mount::new();
    let busy: Vec<_> = (0..4)
        .map(|i| {
            let script = "mkdir q$1; cd q$1; for i in $(seq 400); do echo $i > n.md; done";
            let mut bash = mount.command(&format!("busy {i}"), "bash");
            bash.args(["-c", script, "bash", &i.to_string()])
                .spawn()
                .unwrap()
        })
        .collect();
    let script = "mkdir mine; cd mine
        for i in $(seq 150); do
            echo $i > n.md; cat pending.md > ../.out.tmp
            grep -qx $i ../.out.tmp || echo \"$i is missing\"
        done";
    assert_eq!(mount.sh("w", script), "");
    for mut writer in busy {
        assert!(writer.wait().unwrap().success());
    }
    let script = "for i in $(seq 150); do echo $i > n.md; cat pending.md | grep -qx $i || echo \"$i is missing\"; done";
    assert_eq!(mount.sh("w", script), "");
}

/// spec 6.5b, 6.5c: `.peek.md` is never listed and has the bytes of `pending.md`; `--hide-pending` leaves `pending.md` out of
/// listings, and it still opens by name.
#[test]
fn peek_is_never_listed_and_pending_may_be_hidden() {
    let mut mount = Mount::new();
    mount.sh("w", "mkdir q; echo a > a.md");
    assert_eq!(list(&mount.at("q")), ["pending.md"]);
    assert!(list(&mount.at("")).contains(&"pending.md".to_owned()));
    mount.remount_with(|options| options.hide_pending = true);
    assert_eq!(list(&mount.at("q")), [""; 0]);
    let a = mount.stamped("a");
    assert_eq!(list(&mount.at("")), [a, "q".to_owned()]);
    let peek = mount.sh("r", "cat .peek.md .peek.md");
    let taken = mount.sh("r", "cat pending.md");
    assert_eq!(peek, taken.repeat(2));
    assert_eq!(bodies(&taken), ["a"]);
}

/// spec 6.6b: the session that consumed `X.md` still finds it under that name, read-only, and its `mv X.md X_done.md`
/// succeeds; other sessions do not find it.
#[test]
fn what_was_consumed_is_still_there_for_its_reader() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md");
    let a = mount.stamped("a");
    let done = a.replace(".md", "_done.md");
    mount.take("r");
    assert_eq!(
        mount.sh("r", &format!("cat {a}; stat {a} > /dev/null")),
        "a\n"
    );
    mount.fails("other", &format!("cat {a}"));
    assert_eq!(list(&mount.at("")), [done.clone(), "pending.md".to_owned()]);
    mount.sh("r", &format!("mv {a} {done}"));
    assert_eq!(mount.sh("r", &format!("cat {done}")), "a\n");
    assert_eq!(mount.slugs(), ["a_done"]);
}

/// spec 6.6b: a write under the name of a consumed handoff does not change it, but makes another handoff (spec 4.3c).
#[test]
fn what_was_consumed_is_not_written_to() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md");
    let a = mount.stamped("a");
    mount.take("r");
    mount.sh("r", &format!("echo b >> {a}"));
    assert_eq!(mount.take("s"), ["b"]);
    assert_eq!(mount.sh("r", "cat *_a_done.md"), "a\n");
}

/// spec 6.6a: a handoff that was consumed by mistake can be made pending again.
#[test]
fn what_was_consumed_comes_back() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md");
    let a = mount.stamped("a");
    mount.take("r");
    mount.sh("s", &format!("mv {} {a}", a.replace(".md", "_done.md")));
    assert_eq!(mount.slugs(), ["a"]);
    assert_eq!(mount.take("r"), ["a"]);
    assert_eq!(mount.slugs(), ["a_done"]);
    // Also for the session that consumed it, to which it has been there under that name all the time.
    mount.sh("r", &format!("mv {} {a}", a.replace(".md", "_done.md")));
    assert_eq!(mount.slugs(), ["a"]);
    assert_eq!(mount.take("r"), ["a"]);
}

/// spec 4.7c, 6.6b: the old protocol, by a script that reads each and renames each, and by one that reads all and then
/// renames all; `pending.md` is among `*.md`.
#[test]
fn the_old_protocol_goes_through() {
    let mount = Mount::new();
    let loops = [
        "for f in *.md; do case $f in *_done.md) continue;; esac; cat $f; mv $f ${f%.md}_done.md; done",
        "files=$(ls *.md | grep -v _done); cat $files; for f in $files; do mv $f ${f%.md}_done.md; done",
        "files=$(ls -r *.md | grep -v _done); for f in $files; do cat $f; mv $f ${f%.md}_done.md; done",
        "find . -name '*.md' ! -name '*_done.md' -exec cat {} + -exec \
            sh -c 'for f; do mv $f ${f%.md}_done.md; done' sh {} +",
    ];
    for script in loops {
        mount.sh("w", "echo a > a.md; echo b > b.md");
        let shown = mount.sh("r", &format!("set -e; {script}"));
        for body in ["a\n", "b\n"] {
            assert!(shown.contains(body), "{script}: {shown}");
        }
        assert_eq!(mount.slugs(), ["a_done", "b_done"], "{script}");
        assert_eq!(mount.peek(), [""; 0], "{script}");
        mount.sh("r", "rm *_done.md");
    }
}

/// spec 3.1, 6.3a: a consumed handoff is consumed below the mount as well, and a file that was changed below it while
/// it was read is not lost.
#[test]
fn what_changes_below_the_mount_is_seen() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md; echo b > b.md");
    let (a, b) = (mount.stamped("a"), mount.stamped("b"));
    let mut reader = reader(&mount, "1");
    reader.run("f = begin()");
    let mut seen = reader.run("some(f)");
    fs::remove_file(mount.below(&a)).unwrap();
    fs::write(mount.below(&b), "other\n").unwrap();
    seen += &reader.run("rest(f)");
    reader.run("os.close(f)");
    assert_eq!(
        mount.take("2"),
        ["other"],
        "what the first one saw was {seen}"
    );
    assert_eq!(
        list(&mount.below("")),
        [".handoff-fs".to_owned(), b.replace(".md", "_done.md")]
    );
}

/// spec 6.4a: a waiting open never keeps the mount from serving others, however many wait.
#[test]
fn many_may_wait_while_others_work() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md");
    let mut holder = reader(&mount, "h");
    holder.run("f = begin()");
    let mut waiting: Vec<Actor> = (0..12).map(|i| reader(&mount, &format!("{i}"))).collect();
    for reader in &mut waiting {
        reader.begin("f = begin()");
    }
    mount.sh("w", "echo b > b.md; cat b.md; ls; mkdir q; mv b.md c.md");
    holder.run("rest(f)");
    holder.run("os.close(f)");
    let mut all = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = waiting
            .iter_mut()
            .map(|reader| {
                scope.spawn(|| {
                    reader.finish();
                    let seen = bodies(&reader.run("rest(f)"));
                    reader.run("os.close(f)");
                    seen
                })
            })
            .collect();
        for thread in threads {
            all.extend(thread.join().unwrap());
        }
    });
    assert_eq!(
        all,
        ["b"],
        "the first gets what is left, and the others nothing"
    );
}

/// spec 6.2b: a mapping taken before it was consumed shows the same for as long as it is there.
#[test]
fn a_mapping_does_not_change() {
    let mount = Mount::new();
    mount.write("w", "big.md", "0123456789abcde\n".repeat(20_000).as_bytes());
    let script = "
import mmap, subprocess
f = open('pending.md', 'rb')
before = open('.peek.md', 'rb').read()
m = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
head = m[:100]
subprocess.run(['sh', '-c', 'rm *_big.md'], check=True)
assert m[:] == before and head == before[:100]
";
    mount.python("r", script);
}

/// spec 6.4a: a reader that waited for a turn, and looks the name up late because the machine is busy, gets what was
/// reserved for it, and no error; other readers had their turns meanwhile.
#[test]
fn a_turn_is_kept_for_who_comes_late() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md");
    let fs = mount.fs();
    let late = Request {
        tid: std::process::id(),
        uid: 0,
    };
    let look_up = || {
        let name = OsStr::new("pending.md");
        fs.lookup(late, NodeId::ROOT, name).unwrap().node
    };
    let open = |node| match fs.open_node(late, node, libc::O_RDONLY) {
        Outcome::Ready(answer) => answer,
        Outcome::Later(waiting) => waiting.finish(),
    };
    let first = look_up();
    mount.sh("w", "echo b > b.md");
    assert!(
        open(first).is_err(),
        "what was looked up is no longer what there is"
    );
    // Others wait for one second, not longer.
    assert_eq!(mount.take("other"), ["a", "b"]);
    mount.sh("w", "echo c > c.md");
    let second = look_up();
    let opened = open(second).unwrap();
    let answer = fs.read(late, opened.handle, 0, 1 << 20, false).unwrap();
    assert_eq!(bodies(str::from_utf8(&answer.bytes).unwrap()), ["a", "b"]);
    fs.release(opened.handle);
    fs.forget(first, 1);
    fs.forget(second, 1);
    assert_eq!(mount.take("other"), ["c"]);
}

/// spec 4.5g, 6.3a: a delivered handoff does not become pending again when its writer removes its name and makes it
/// anew.
#[test]
fn what_was_delivered_is_not_taken_back() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "w");
    writer.run("open('n.md', 'w').write('one')");
    assert_eq!(mount.take("r"), ["one"]);
    writer.run("os.unlink('n.md')");
    writer.run("open('n.md', 'w').write('two')");
    assert_eq!(mount.take("r"), ["two"]);
}
