//! Files that turn up below, and what others change there.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::actors::Actor;
use crate::first_mount::age;
use crate::harness::{Mount, errno, list, slug, sorted};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn leave_strays(mount: &Mount) {
    for name in ["a.md", "b.markdown", "c.txt", "plain", "login_done.md"] {
        fs::write(mount.below(name), format!("{name}\n")).unwrap();
        age(mount.below(name), HOUR);
    }
    for name in ["image.png", "data.json", "b.md~"] {
        fs::write(mount.below(name), "no handoff\n").unwrap();
    }
}

fn check_strays(mount: &Mount) {
    let bodies = sorted(mount.peek());
    // Strays are pending whatever their names say: no reader can have read them.
    assert_eq!(
        bodies,
        ["a.md", "b.markdown", "c.txt", "login_done.md", "plain"]
    );
    let slugs = [
        "a",
        "b",
        "b.md~",
        "c",
        "data.json",
        "image.png",
        "login-done",
        "plain",
    ];
    assert_eq!(mount.slugs(), slugs);
    assert_eq!(mount.names(), mount.names_below());
    for wanted in ["a", "login-done"] {
        let name = mount.stamped(wanted);
        let mtime = fs::metadata(mount.at(&name)).unwrap().modified().unwrap();
        let stamp = chrono::DateTime::<chrono::Utc>::from(mtime);
        assert!(name.starts_with(&stamp.format("%Y-%m-%d_%H%M%S_").to_string()));
        let age = SystemTime::now().duration_since(mtime).unwrap();
        assert!(age >= HOUR, "the mtime stays");
    }
}

/// spec 3.7a: files that were written while nothing was mounted are adopted at the next mount.
#[test]
fn written_while_nothing_was_mounted() {
    let mut mount = Mount::new();
    mount.unmount();
    leave_strays(&mount);
    mount.remount();
    check_strays(&mount);
}

/// spec 3.7a, 3.1: files that appear below a mount are adopted at the next listing or read.
#[test]
fn turned_up_while_mounted() {
    let mount = Mount::new();
    assert_eq!(mount.names(), [""; 0]);
    leave_strays(&mount);
    check_strays(&mount);
}

/// spec 3.7a: strays are adopted in every queue, also in one that was made below.
#[test]
fn in_queues_too() {
    let mut mount = Mount::new();
    mount.sh("a", "mkdir -p made/deep");
    mount.peek();
    fs::write(mount.below("made/deep/x.md"), "x\n").unwrap();
    fs::create_dir(mount.below("below")).unwrap();
    fs::write(mount.below("below/y.md"), "y\n").unwrap();
    assert_eq!(sorted(mount.peek()), ["x", "y"]);
    mount.unmount();
    fs::write(mount.below("made/z.md"), "z\n").unwrap();
    mount.remount();
    assert_eq!(sorted(mount.peek()), ["x", "y", "z"]);
}

/// spec 3.7c, 3.7e: a file that is being written below the mount is not delivered before it is closed, with any name; a
/// reader that comes meanwhile gets the rest of the queue.
#[test]
fn not_before_it_is_closed() {
    for name in ["slow.md", "2026-11-20_101500_slow.md"] {
        let mount = Mount::new();
        mount.sh("a", "echo one > one.md");
        let mut file = File::create(mount.below(name)).unwrap();
        file.write_all(b"first half, ").unwrap();
        assert_eq!(mount.take("reader"), ["one"], "{name}");
        file.write_all(b"second half\n").unwrap();
        assert_eq!(mount.peek(), [""; 0], "{name}");
        drop(file);
        assert_eq!(mount.take("reader"), ["first half, second half"], "{name}");
        assert_eq!(mount.slugs(), ["one_done", "slow_done"]);
    }
}

/// The path of a file below the mount, for another process: it names the descriptor as this process's.
fn below_for_others(mount: &Mount, name: &str) -> String {
    let path = mount.below(name).to_str().unwrap().to_owned();
    path.replace("self", &std::process::id().to_string())
}

/// spec 3.7c, 3.7e, 3.1: a file that was begun while nothing was mounted, and is still being written at the next mount,
/// is not delivered in part; neither a stray nor a file with a stamped name.
#[test]
fn begun_while_nothing_was_mounted() {
    for name in ["slow.md", "2026-11-20_101500_slow.md", "q/slow.md"] {
        let mut mount = Mount::new();
        mount.sh("a", "mkdir q; echo one > one.md; echo two > q/two.md");
        mount.unmount();
        fs::write(mount.below("closed.md"), "closed\n").unwrap();
        let mut writer = Actor::alone(Path::new("/"));
        writer.run(&format!("f = open({:?}, 'a')", mount.at(name)));
        writer.run("f.write('first half, '); f.flush()");
        mount.remount();
        let taken = sorted(mount.take("reader"));
        assert_eq!(taken, ["closed", "one", "two"], "{name}");
        writer.run("f.write('second half\\n'); f.close()");
        assert_eq!(mount.take("reader"), ["first half, second half"], "{name}");
    }
}

/// spec 3.7c: a reader also waits for a process that appends to a stray which was closed, and not adopted yet.
#[test]
fn added_to_before_it_was_adopted() {
    let mount = Mount::new();
    assert_eq!(mount.peek(), [""; 0]);
    fs::write(mount.below("log.md"), "one\n").unwrap();
    let mut writer = Actor::alone(Path::new("/"));
    writer.run(&format!(
        "f = open('{}', 'a')",
        below_for_others(&mount, "log.md")
    ));
    assert_eq!(mount.take("reader"), [""; 0]);
    writer.run("f.write('two\\n'); f.close()");
    assert_eq!(mount.take("reader"), ["one\ntwo"]);
}

/// spec 3.7c: a file that is opened for writing again and again while the daemon looks for writers is delivered whole,
/// and disturbs neither its writer nor the daemon.
#[test]
fn opened_again_and_again_while_it_is_asked_for() {
    let mount = Mount::new();
    let name = "2026-11-20_101500_log.md";
    let below = mount.below(name);
    fs::write(&below, "0\n").unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for n in 1..2000 {
                let mut file = File::options().append(true).open(&below).unwrap();
                writeln!(file, "{n}").unwrap();
            }
        });
        while !writer.is_finished() {
            mount.peek();
            mount.sh("looker", "stat -c %s pending.md .peek.md");
        }
    });
    let whole: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    assert_eq!(mount.take("reader"), [whole.join("\n")]);
}

/// spec 3.7c: a file that is written through a mapping, its descriptor closed, is being written.
#[test]
fn written_through_a_mapping() {
    let mount = Mount::new();
    mount.peek();
    let mut writer = Actor::alone(Path::new("/"));
    let path = below_for_others(&mount, "mapped.md");
    writer.run(&format!(
        "import mmap; f = os.open('{path}', os.O_RDWR | os.O_CREAT, 0o600)"
    ));
    writer.run("os.write(f, b'????'); m = mmap.mmap(f, 4); os.close(f)");
    assert_eq!(mount.take("reader"), [""; 0]);
    writer.run("m[:] = b'text'; m.close()");
    assert_eq!(mount.take("reader"), ["text"]);
}

/// spec 3.7c: adoption does not wait for a process that executes another program: closing its files, that process waits
/// for the mount.
#[test]
fn adopted_while_programs_are_replaced() {
    let mount = Mount::new();
    // Opened by perl, it is closed by the execve.
    let script = "for i in {1..150}; do perl -e 'open F, \">\", \"n$ARGV[0].md\"; print F \"x\"; exec \"true\"' $i; done";
    let mut writers = mount
        .command("writers", "bash")
        .args(["-c", script])
        .spawn()
        .unwrap();
    let mut strays = 0;
    while writers.try_wait().unwrap().is_none() {
        fs::write(mount.below(format!("s{strays}.md")), "stray\n").unwrap();
        strays += 1;
        mount.peek();
    }
    assert!(writers.wait().unwrap().success());
    assert_eq!(mount.take("reader").len(), 150 + strays);
}

/// spec 3.7a: moved in, linked in, and copied in with an old mtime.
#[test]
fn moved_and_linked_in() {
    let mount = Mount::new();
    mount.peek();
    fs::create_dir(mount.below(".outside")).unwrap();
    for name in ["moved.md", "linked.md"] {
        fs::write(mount.below(".outside").join(name), format!("{name}\n")).unwrap();
    }
    fs::rename(mount.below(".outside/moved.md"), mount.below("moved.md")).unwrap();
    fs::hard_link(mount.below(".outside/linked.md"), mount.below("linked.md")).unwrap();
    assert_eq!(sorted(mount.peek()), ["linked.md", "moved.md"]);
}

/// spec 3.7a, 3.3: two strays that would get one name both stay.
#[test]
fn two_strays_of_one_name() {
    let mut mount = Mount::new();
    mount.unmount();
    let mtime = SystemTime::now() - HOUR;
    for name in ["x.md", "x.txt", "x.markdown", "x"] {
        fs::write(mount.below(name), format!("{name}\n")).unwrap();
        File::open(mount.below(name))
            .unwrap()
            .set_modified(mtime)
            .unwrap();
    }
    mount.remount();
    assert_eq!(mount.peek().len(), 4);
    assert_eq!(mount.slugs(), ["x", "x_2", "x_3", "x_4"]);
}

/// spec 3.7a, 4.7a: `pending.md` written by an agent while nothing was mounted is a handoff, and hides nothing.
#[test]
fn pending_md_below() {
    let mut mount = Mount::new();
    mount.unmount();
    fs::write(mount.below("pending.md"), "kept\n").unwrap();
    mount.remount();
    assert_eq!(mount.take("a"), ["kept"]);
    fs::write(mount.below("pending.md"), "kept too\n").unwrap();
    assert_eq!(mount.take("a"), ["kept too"]);
}

/// spec 3.1: changes that agents of the old protocol make below the mount are seen at once, without a remount.
#[test]
fn the_old_protocol_beside() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo one > one.md; echo two > two.md; echo three > three.md",
    );
    mount.peek();
    let (one, two) = (mount.stamped("one"), mount.stamped("two"));
    let done = one.replace(".md", "_done.md");
    fs::rename(mount.below(&one), mount.below(&done)).unwrap();
    assert_eq!(mount.peek(), ["two", "three"]);
    fs::write(mount.below(&two), "two, changed\n").unwrap();
    assert_eq!(sorted(mount.peek()), ["three", "two, changed"]);
    fs::remove_file(mount.below(&two)).unwrap();
    assert_eq!(mount.take("b"), ["three"]);
    assert_eq!(mount.slugs(), ["one_done", "three_done"]);
    fs::rename(mount.below(&done), mount.below(&one)).unwrap();
    assert_eq!(mount.take("b"), ["one"]);
}

/// spec 3.1, 3.7a: more changes than the kernel keeps events of are seen all the same.
#[test]
fn a_flood_of_changes() {
    let mount = Mount::new();
    mount.sh("a", "echo one > one.md");
    mount.peek();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: u32 = limit.trim().parse().unwrap();
    // Two different events each, so that none is folded into the last.
    for n in 0..limit / 2 {
        fs::write(mount.below(if n % 2 == 0 { "f.png" } else { "g.png" }), "x").unwrap();
    }
    fs::write(mount.below("stray.md"), "stray\n").unwrap();
    fs::remove_file(mount.below(mount.stamped("one"))).unwrap();
    assert_eq!(mount.peek(), ["stray"]);
    let names: Vec<String> = mount.names().iter().map(|name| slug(name)).collect();
    assert_eq!(names, ["stray", "f.png", "g.png"]);
}

/// spec 3.7e, 4.10a: rmdir removes an empty queue, and fails while a file in it is being written below the mount.
#[test]
fn rmdir_leaves_what_is_being_written() {
    let mount = Mount::new();
    fs::create_dir(mount.at("q")).unwrap();
    assert_eq!(mount.peek(), [""; 0]);
    let mut file = File::create(mount.below("q/slow.md")).unwrap();
    file.write_all(b"first half, ").unwrap();
    assert_eq!(list(&mount.at("q")), ["pending.md"]);
    assert_eq!(errno(fs::remove_dir(mount.at("q"))), libc::ENOTEMPTY);
    file.write_all(b"second half\n").unwrap();
    drop(file);
    assert_eq!(mount.peek(), ["first half, second half"]);
}

/// spec 3.7e: a rename of an ordinary file does not replace a file of that name that is being written below the mount.
#[test]
fn a_rename_leaves_what_is_being_written() {
    let prepare = |dir: &Path| fs::write(dir.join("readme.md"), "ordinary").unwrap();
    let mount = Mount::filled(prepare);
    assert_eq!(mount.peek(), [""; 0]);
    let mut file = File::create(mount.below("slow.md")).unwrap();
    file.write_all(b"first half, ").unwrap();
    let renamed = fs::rename(mount.at("readme.md"), mount.at("slow.md"));
    assert_eq!(renamed.unwrap_err().raw_os_error(), Some(libc::EEXIST));
    file.write_all(b"second half\n").unwrap();
    drop(file);
    assert_eq!(mount.peek(), ["first half, second half"]);
    assert_eq!(mount.text("readme.md"), "ordinary");
}
