//! Temporary files of tools (spec 4.6a to 4.6g).

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::actors::Actor;
use crate::harness::{DAY, Mount, slug, sorted};

/// The names that all sessions share, and then the names of which each session has its own file.
#[rustfmt::skip]
const SCRATCH: [&str; 26] = [
    ".n.md.swp", ".n.md.swo", "n.swp", "n.swx", "n.md.lock", "n.lck", "n.pid", "4913", ".n.md~", ".n.md.tmp.12",
    "n.md~", "#n.md#", "n.tmp", "n.md.tmp.123", "n.md.tmp.123.0af9", "n.part", "n.md.partial", "n.vsctmp", "n.crswap",
    "n.md___jb_tmp___", "n.md___jb_old___", "sedAb12_9", "tmpab12_xyz", "XXab12_9", "2026-01-02_030405_n.md.tmp.1",
    "pending.md.tmp.12.ab",
];
const SHARED: usize = 8;

/// spec 4.6a: scratch files are ordinary files, kept in the private directory, shown under their names, and never
/// merged.
#[test]
fn ordinary_files() {
    let mount = Mount::new();
    for name in SCRATCH {
        mount.sh(
            "a",
            &format!("echo one > '{name}'; echo two >> '{name}'; chmod 600 '{name}'"),
        );
        assert_eq!(
            mount.sh("b", &format!("cat '{name}'; stat -c %a '{name}'")),
            "one\ntwo\n600\n"
        );
        mount.sh(
            "a",
            &format!("echo three > '{name}'; mv '{name}' q.tmp; mv q.tmp '{name}'"),
        );
        assert_eq!(mount.sh("a", &format!("cat '{name}'")), "three\n");
    }
    let mut expected = SCRATCH.map(str::to_owned);
    expected.sort();
    assert_eq!(mount.names(), expected);
    assert_eq!(mount.names_below(), [""; 0]);
    assert_eq!(mount.take("c"), [""; 0]);
    mount.sh("a", "rm -- .[!.]* '#n.md#' [!p.]* pending.md.tmp*; ls -A");
    assert_eq!(mount.names(), [""; 0]);
}

/// spec 4.6b: renamed to an unstamped name, each is published.
#[test]
fn published_by_rename() {
    let mount = Mount::new();
    for name in SCRATCH {
        mount.sh(
            "a",
            &format!("echo '{name}' > '{name}'; mv '{name}' n.md; cat n.md; test ! -e '{name}'"),
        );
        assert_eq!(mount.take("b"), [name]);
    }
    mount.sh("a", "echo x > x.tmp; mv x.tmp 2026-01-02_030405_x.md; echo y > y.tmp; mv y.tmp 2026-01-02_030406_y.txt");
    assert_eq!(mount.take("b"), ["x", "y"]);
    assert!(
        mount
            .names()
            .contains(&"2026-01-02_030406_y_done.md".to_owned())
    );
}

/// spec 4.6b: linked to an unstamped name it is published too.
#[test]
fn published_by_link() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo one > n.tmp; ln n.tmp n.md; cat n.md; rm n.tmp; cat n.md",
    );
    assert_eq!(mount.slugs(), ["n"]);
    assert_eq!(mount.names(), mount.names_below());
    mount.sh("a", "echo two > n.tmp; ! ln n.tmp n.md; ln n.tmp m.md; ln n.tmp 2026-01-02_030405_s.md; rm n.tmp");
    assert_eq!(mount.take("b"), ["two", "one", "two"]);
}

/// spec 4.6b, 4.10b: only a scratch file can have a second name.
#[test]
fn other_links() {
    let mount = Mount::new();
    let mut actor = Actor::new(&mount, "a");
    actor.run("open('n.md', 'w').write('x')");
    let name = mount.stamped("n");
    assert_eq!(actor.fails("os.link('n.md', 'm.md')"), "EPERM");
    assert_eq!(actor.fails(&format!("os.link('{name}', 'm.md')")), "EPERM");
    assert_eq!(actor.fails("os.link('pending.md', 'm.md')"), "EPERM");
    assert_eq!(actor.fails("os.symlink('n.md', 's.md')"), "EPERM");
}

/// spec 4.6b, 4.2c: a scratch file that is renamed to a handoff while it is open is delivered when it is closed.
#[test]
fn renamed_while_open() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('n.tmp', 'w'); f.write('on'); f.flush(); os.rename('n.tmp', 'n.md')");
    assert_eq!(mount.take("b"), [""; 0]);
    writer.run("f.write('e'); f.close()");
    assert_eq!(mount.take("b"), ["one"]);
}

/// spec 4.6c: a temporary name that no pattern knows is still one handoff.
#[test]
fn unknown_temporary_names() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    for temp in ["n.md.new", "n-8f31c2", "new.n.md", "n.md.AbCdEf"] {
        writer.run(&format!("open('{temp}', 'w').write('text')"));
        let stamp = mount.names().remove(0)[..17].to_owned();
        mount.clock.advance(Duration::from_secs(5));
        writer.run(&format!("os.rename('{temp}', 'n.md')"));
        assert_eq!(mount.names(), [format!("{stamp}_n.md")], "{temp}");
        assert_eq!(writer.run("open('n.md').read()"), "text");
        assert_eq!(writer.fails(&format!("os.stat('{temp}')")), "ENOENT");
        assert_eq!(mount.take("b"), ["text"]);
        writer.run("os.unlink('n.md')");
        mount.sh("b", "rm 2*");
    }
}

/// spec 4.6c, 4.4a: renaming such a temporary file edits if the program is an editor.
#[test]
fn unknown_temporary_name_of_an_editor() {
    let mount = Mount::new();
    let mut editor = Actor::called(&mount, "a", "hx");
    editor.run("open('n.md', 'w').write('one')");
    let names = mount.names();
    editor.run("open('n.md.fresh', 'w').write('two'); os.rename('n.md.fresh', 'n.md')");
    assert_eq!(mount.names(), names);
    assert_eq!(editor.run("open('n.md').read()"), "two");
    assert_eq!(crate::actors::replaced(&mount), ["one"]);
    assert_eq!(mount.take("b"), ["two"]);
}

/// spec 4.6d: scratch files that were not touched for the retention time are removed.
#[test]
fn expiry() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo x > old.tmp; echo y > .old.swo; touch -d '30 days ago' .old.swo",
    );
    mount.settle();
    mount.pass(6 * DAY);
    assert_eq!(mount.names(), [".old.swo", "old.tmp"]);
    mount.pass(2 * DAY);
    assert_eq!(mount.names(), [""; 0]);
}

/// spec 4.6a, 4.6f: scratch files outlive the daemon, under the names where their tools look for them.
#[test]
fn after_a_remount() {
    let mut mount = Mount::new();
    mount.sh("a", "echo x > n.tmp; mkdir q; echo y > q/n.tmp");
    mount.remount();
    mount.sh("a", "mv n.tmp n.md; mv q/n.tmp q/n.md; cat n.md q/n.md");
    assert_eq!(mount.peek(), ["x", "y"]);
    assert_eq!(
        mount
            .names()
            .iter()
            .map(|name| slug(name))
            .collect::<Vec<_>>(),
        ["n", "q"]
    );
    mount.fs().sweep();
    let left = fs::read_dir(mount.below(".handoff-fs/sessions")).unwrap();
    assert_eq!(left.count(), 0, "directories of sessions that have none");
}

/// spec 4.6b, 4.2c: data written after the file was linked to its name is part of the handoff.
#[test]
fn linked_while_open() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('n.tmp', 'w'); f.write('on'); f.flush(); os.link('n.tmp', 'n.md')");
    assert_eq!(mount.take("b"), [""; 0]);
    writer.run("f.write('e'); f.close(); os.unlink('n.tmp')");
    assert_eq!(mount.take("b"), ["one"]);
    assert_eq!(mount.slugs(), ["n_done"]);
}

/// spec 4.2c, 4.6b: a reader waits for the RELEASE of a scratch file that was closed before it was renamed to a
/// handoff.
#[test]
fn closed_before_it_was_renamed() {
    let mount = Mount::new();
    let expected = |n: u32| {
        let queue = mount.at(format!("{n}"));
        fs::create_dir(&queue).unwrap();
        let mut file = File::create(queue.join("x.tmp")).unwrap();
        file.write_all(b"x").unwrap();
        // The close that its writer waited for; what comes later is another descriptor's RELEASE.
        drop(file.try_clone().unwrap());
        fs::rename(queue.join("x.tmp"), queue.join("x.md")).unwrap();
        fs::metadata(queue.join(".peek.md")).unwrap().len() > 0
    };
    // A reader waits 100 ms at most, and the machine may be busy.
    assert!((0..100).any(expected));
}

/// spec 4.6f: two sessions that write one scratch name and rename it make two handoffs.
#[test]
fn each_session_its_own() {
    let mount = Mount::new();
    for name in &SCRATCH[SHARED..] {
        for session in ["a", "b"] {
            mount.sh(session, &format!("echo {session} > '{name}'"));
        }
        assert_eq!(mount.names(), [*name], "listed once");
        for session in ["a", "b"] {
            assert_eq!(
                mount.sh(session, &format!("cat '{name}'")),
                format!("{session}\n")
            );
        }
        for session in ["a", "b"] {
            mount.sh(session, &format!("mv '{name}' n.md; cat n.md"));
        }
        assert_eq!(mount.take("r"), ["a", "b"], "{name}");
        mount.sh("r", "rm 2*");
    }
}

/// spec 4.6f: two sessions that go the same way at one time.
#[test]
fn many_at_one_time() {
    let mount = Mount::new();
    let script =
        "for i in $(seq 50); do rm -f n.md.tmp; echo $0.$i > n.md.tmp; mv n.md.tmp n.md; done";
    let sessions = ["a", "b", "c"];
    let running = sessions.map(|session| {
        let mut shell = mount.command(session, "bash");
        shell.args(["-ec", script, session]).spawn().unwrap()
    });
    for mut shell in running {
        assert!(shell.wait().unwrap().success());
    }
    let bodies = sorted(mount.take("r"));
    let expected = sorted(
        sessions
            .iter()
            .flat_map(|session| (1..=50).map(move |i| format!("{session}.{i}"))),
    );
    assert_eq!(bodies, expected);
}

/// spec 4.6f: jobs of one session use one temporary name, beside other sessions. A job may find that another job has
/// renamed the file, as in any directory. ESTALE is accepted, too: when a lookup finds a renamed file twice in a row,
/// which happens on a loaded machine, the open fails with ESTALE; it destroys nothing.
#[test]
fn jobs_that_share_a_name() {
    let mount = Mount::new();
    let script = "for i in $(seq 40); do echo $i > n.md.tmp; mv n.md.tmp n.md; done";
    let jobs = ["a", "a", "b", "b", "c", "c"].map(|session| {
        let mut shell = mount.command(session, "bash");
        shell
            .args(["-c", script])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    for job in jobs {
        let output = job.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let other = errors.lines().find(|line| {
            !line.ends_with("No such file or directory") && !line.ends_with("Stale file handle")
        });
        assert_eq!(other, None);
    }
}

/// spec 4.6e: all sessions share one file of such a name.
#[test]
fn shared_by_all() {
    let mount = Mount::new();
    for name in &SCRATCH[..SHARED] {
        mount.sh("a", &format!("echo one > '{name}'"));
        mount.sh("b", &format!("echo two >> '{name}'"));
        assert_eq!(
            mount.sh("a", &format!("cat '{name}'")),
            "one\ntwo\n",
            "{name}"
        );
        mount.sh("b", &format!("mv '{name}' n.md"));
        assert_eq!(mount.take("r"), ["one\ntwo"], "{name}");
    }
}

/// spec 4.6f: a session that has no such file reads the file of another session; its writes go to a file of its own.
#[test]
fn writing_over_anothers() {
    let mount = Mount::new();
    let mut b = Actor::new(&mount, "b");
    for (write, expected) in [
        ("f = open('n.tmp', 'w'); f.write('b'); f.close()", "b"),
        ("f = open('n.tmp', 'a'); f.write('b'); f.close()", "b"),
        ("f = open('n.tmp', 'r+'); f.write('b'); f.close()", "b-text"),
        ("f = open('n.tmp', 'rb+'); f.truncate(3); f.close()", "a-t"),
        ("os.truncate('n.tmp', 2)", "a-"),
        ("os.truncate('n.tmp', 0)", ""),
        // As cp does it: the file was found, so it is not created.
        (
            "f = os.open('n.tmp', os.O_WRONLY | os.O_TRUNC); os.write(f, b'b'); os.close(f)",
            "b",
        ),
    ] {
        mount.sh("a", "printf a-text > n.tmp");
        assert_eq!(b.run("open('n.tmp').read()"), "a-text");
        b.run(write);
        assert_eq!(b.run("open('n.tmp').read()"), expected, "{write}");
        assert_eq!(mount.sh("a", "cat n.tmp"), "a-text", "{write}");
        b.run("os.unlink('n.tmp')");
        assert_eq!(mount.names(), ["n.tmp"], "{write}");
    }
}

/// spec 4.6f, 4.6g: a session can neither rename nor link nor remove the scratch file of another session.
#[test]
fn anothers_stays() {
    let mount = Mount::new();
    mount.sh("a", "echo a > n.tmp");
    let mut b = Actor::new(&mount, "b");
    for call in [
        "os.rename('n.tmp', 'n.md')",
        "os.rename('n.tmp', 'm.tmp')",
        "os.link('n.tmp', 'n.md')",
        "os.unlink('n.tmp')",
    ] {
        assert_eq!(b.fails(call), "ENOENT", "{call}");
    }
    // For the kernel the name exists, in whichever session (4.6g).
    assert_eq!(b.fails("open('n.tmp', 'x')"), "EEXIST");
    // Renaming onto the name leaves it, too.
    b.run("open('m.tmp', 'w').write('b'); os.rename('m.tmp', 'n.tmp')");
    assert_eq!(b.run("open('n.tmp').read()"), "b");
    mount.sh("b", "echo c > c.md; mv c.md n.tmp; mv n.tmp n.md");
    mount.sh("a", "mv n.tmp n.md");
    assert_eq!(mount.take("r"), ["a", "c"]);
}

/// spec 4.6g: a scratch file that was not touched for a while can be removed by any session, so that its directory can
/// be removed.
#[test]
fn anothers_is_removed_when_it_is_old() {
    let mount = Mount::new();
    mount.sh("a", "mkdir q; echo a > q/n.tmp");
    mount.sh("b", "echo b > q/n.tmp");
    let mut holder = Actor::new(&mount, "a");
    holder.run("f = open('q/m.tmp', 'w')");
    mount.fails("c", "rm -rf q");
    assert_eq!(mount.sh("a", "cat q/n.tmp"), "a\n");
    mount.clock.advance(Duration::from_secs(11 * 60));
    mount.fails("c", "rm -rf q");
    assert_eq!(
        crate::harness::list(&mount.at("q")),
        ["m.tmp", "pending.md"]
    );
    holder.run("f.close()");
    mount.settle();
    mount.sh("c", "rm -r q");
    assert!(!mount.at("q").exists());
}

/// spec 4.6g: the scratch files of a session that has ended belong to the first session that uses them.
#[test]
fn of_a_session_that_has_ended() {
    let mount = Mount::new();
    for (change, left) in [
        ("mv n.tmp n.md", vec!["old"]),
        ("echo more >> n.tmp; mv n.tmp n.md", vec!["old\nmore"]),
        ("rm n.tmp", vec![]),
    ] {
        let mut maker = Actor::alone(&mount.at(""));
        maker.run("open('n.tmp', 'w').write('old\\n')");
        let failed = mount.run("b", "mv n.tmp n.md");
        assert!(!failed.status.success());
        drop(maker);
        mount.sh("b", change);
        assert_eq!(mount.take("r"), left, "{change}");
        assert!(!mount.at("n.tmp").exists());
    }
}

/// spec 4.6f: after a remount a session that goes on finds its own.
#[test]
fn a_session_that_outlives_the_mount() {
    let mut mount = Mount::new();
    let (temp, name) = (mount.at("n.tmp"), mount.at("n.md"));
    let mut agent = Actor::alone(Path::new("/"));
    agent.run(&format!("open({temp:?}, 'w').write('agent')"));
    mount.sh("b", "echo b > n.tmp");
    mount.remount();
    assert_eq!(agent.run(&format!("open({temp:?}).read()")), "agent");
    agent.run(&format!("os.rename({temp:?}, {name:?})"));
    assert_eq!(mount.peek(), ["agent"]);
    mount.sh("b", "mv n.tmp n.md");
    assert_eq!(mount.peek(), ["agent", "b"]);
}

/// spec 4.6f: scratch files that an earlier version kept belong to the first session that uses them.
#[test]
fn kept_by_an_earlier_version() {
    let mut mount = Mount::new();
    mount.unmount();
    let scratch = mount.below(".handoff-fs/scratch");
    fs::create_dir_all(&scratch).unwrap();
    fs::write(scratch.join("n.tmp"), "old\n").unwrap();
    mount.remount();
    assert_eq!(mount.names(), ["n.tmp"]);
    mount.sh("a", "mv n.tmp n.md");
    assert_eq!(mount.take("r"), ["old"]);
}

/// spec 4.6f, 4.10a: scratch files move with their queue.
#[test]
fn in_a_queue_that_is_renamed() {
    let mount = Mount::new();
    for session in ["a", "b"] {
        mount.sh(session, &format!("mkdir -p q; echo {session} > q/n.tmp"));
    }
    mount.fails("a", "rmdir q");
    mount.sh("c", "mv q r");
    for session in ["a", "b"] {
        mount.sh(session, "mv r/n.tmp r/n.md");
    }
    assert_eq!(mount.take("c"), ["a", "b"]);
}

/// spec 4.6d: an open scratch file is not removed.
#[test]
fn expiry_of_open_ones() {
    let mount = Mount::new();
    let mut holder = Actor::new(&mount, "a");
    holder.run("f = open('n.tmp', 'w'); g = open('x.lock', 'w')");
    mount.sh("b", "echo b > n.tmp; echo b > y.lock");
    mount.settle_to(2);
    mount.pass(8 * DAY);
    assert_eq!(mount.names(), ["n.tmp", "x.lock"]);
    holder.run("f.write('late'); f.close(); os.rename('n.tmp', 'n.md'); g.close()");
    mount.settle();
    assert_eq!(mount.take("r"), ["late"]);
    mount.fs().sweep();
    assert_eq!(mount.slugs(), ["n_done"]);
}

/// spec 4.6e: locks lock, whichever session holds them.
#[test]
fn locks() {
    let mount = Mount::new();
    for name in ["x.lock", "x.lck", "x.pid", ".x.lock"] {
        // flock(1) keeps the file that a shell has opened.
        let mut holder = Actor::new(&mount, "a");
        holder.run(&format!(
            "import fcntl; f = open('{name}', 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
        ));
        let try_lock = format!("exec 9>> {name}; flock -n 9");
        mount.fails("b", &try_lock);
        holder.run("f.close()");
        mount.sh("b", &format!("{try_lock}; rm {name}"));
        // As `set -C` and lockfile-create do it.
        let make = format!("set -C; echo $$ > {name}");
        mount.sh("a", &make);
        mount.fails("b", &make);
        mount.sh(
            "b",
            &format!("test -s {name}; rm {name}; {make}; rm {name}"),
        );
    }
    assert_eq!(mount.names(), [""; 0]);
    assert_eq!(mount.names_below(), [""; 0]);
    assert_eq!(mount.take("r"), [""; 0]);
}

/// spec 3.6g: a directory that is a lock is an ordinary one.
#[test]
fn a_directory_that_is_a_lock() {
    let mut mount = Mount::new();
    mount.sh(
        "a",
        "mkdir x.lock; echo 12 > x.lock/pid; echo host > x.lock/info.md",
    );
    for _ in 0..2 {
        mount.fails("b", "mkdir x.lock");
        let script = "cat x.lock/pid x.lock/info.md; ls -A x.lock";
        assert_eq!(mount.sh("b", script), "12\nhost\ninfo.md\npid\n");
        mount.remount();
    }
    assert_eq!(mount.take("r"), [""; 0]);
    mount.sh("b", "rm x.lock/*; rmdir x.lock; mkdir x.lock; mv x.lock q");
    mount.sh("a", "echo 1 > q/n.md; mv q x.lock; test -f x.lock/2*_n.md");
    assert_eq!(mount.take("r"), [""; 0]);
}

/// spec 4.6f: rsync and install, which have temporary names of their own or none.
#[test]
fn real_tools_side_by_side() {
    let mount = Mount::new();
    for session in ["a", "b"] {
        let source = mount.outside(session);
        fs::create_dir(&source).unwrap();
        fs::write(source.join("n.md"), session).unwrap();
        let source = source.to_str().unwrap();
        mount.sh(
            session,
            &format!("rsync -a {source}/n.md n.md; install -m600 {source}/n.md i.md"),
        );
        mount.sh(session, "cat n.md i.md");
    }
    assert_eq!(sorted(mount.take("r")), ["a", "a", "b", "b"]);
    assert_eq!(mount.slugs().len(), 4);
}
