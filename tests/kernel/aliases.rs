//! The names that writers use.

use crate::actors::Actor;
use crate::harness::{Mount, sorted, succeeds};

/// spec 4.1a, 4.1c, 4.3a: each session has its own file under one name, and others none.
#[test]
fn each_session_its_own() {
    let mount = Mount::new();
    mount.sh("a", "echo from-a > n.md");
    mount.sh("b", "echo from-b > n.md");
    assert_eq!(mount.sh("a", "cat n.md"), "from-a\n");
    assert_eq!(mount.sh("b", "cat n.md"), "from-b\n");
    assert_eq!(
        mount
            .sh("c", "stat n.md 2>&1 || cat n.md 2>&1 || true")
            .matches("No such file")
            .count(),
        2
    );
    assert_eq!(mount.peek(), ["from-a", "from-b"]);
}

/// spec 4.3a: an alias is not listed.
#[test]
fn not_listed() {
    let mount = Mount::new();
    let listed = mount.sh("a", "echo x > n.md; ls -A; echo *");
    assert!(
        !listed.contains(" n.md") && !listed.contains("\nn.md"),
        "{listed}"
    );
    assert!(listed.contains("_n.md"), "{listed}");
}

/// spec 4.1c: no writer overwrites a handoff through an unstamped name.
#[test]
fn writing_again_is_another_handoff() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo one > n.md; echo two > n.md; cat n.md > /dev/null",
    );
    assert_eq!(mount.peek(), ["one", "two"]);
    assert_eq!(mount.sh("a", "cat n.md"), "two\n");
}

/// spec 4.1c: two writers at once in one session, two files.
#[test]
fn two_writers_in_one_session() {
    let mount = Mount::new();
    let (mut first, mut second) = (Actor::new(&mount, "s"), Actor::new(&mount, "s"));
    let open = "f = os.open('n.md', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)";
    first.run(open);
    second.run(open);
    first.run("os.write(f, b'fir')");
    second.run("os.write(f, b'second')");
    first.run("os.write(f, b'st'); os.close(f)");
    second.run("os.close(f)");
    // Which one is the older of two in one second, their last writes decide.
    assert_eq!(sorted(mount.take("r")), ["first", "second"]);
}

/// spec 4.1c: two writers that share no more than the kernel's session, two files.
#[test]
fn two_jobs_of_one_shell() {
    let mount = Mount::new();
    succeeds(&mut mount.alone(
        "bash",
        "(echo a > n.md) & (echo b > n.md) & wait; cat n.md | grep -q '^[ab]$'",
    ));
    assert_eq!(sorted(mount.take("r")), ["a", "b"]);
}

/// spec 4.1c: two writers on one terminal, two files.
#[test]
fn two_jobs_on_one_terminal() {
    let mount = Mount::new();
    succeeds(&mut mount.on_terminal("(echo a > n.md) & (echo b > n.md) & wait; test -s n.md"));
    assert_eq!(sorted(mount.take("r")), ["a", "b"]);
}

/// spec 4.1c: threads of one process that write one name at one time.
#[test]
fn threads_of_one_process() {
    let mount = Mount::new();
    for name in ["python3", "claude"] {
        let mut writer = Actor::called(&mount, name, name);
        writer.run(
            "
def write(i):
    barrier.wait()
    for n in range(20):
        with open('n.md', 'w') as f:
            for part in range(5): f.write(f'{i}.{n}.'); f.flush()
barrier = threading.Barrier(6)
threads = [threading.Thread(target=write, args=(i,)) for i in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
",
        );
        let bodies = sorted(mount.take("r"));
        let expected =
            sorted((0..6).flat_map(|i| (0..20).map(move |n| format!("{i}.{n}.").repeat(5))));
        assert_eq!(bodies, expected);
    }
}

/// spec 4.1b: without O_TRUNC a draft starts as a copy, and the old handoff stays.
#[test]
fn without_truncation_a_copy() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "printf abcdef > n.md; printf XY | dd of=n.md conv=notrunc status=none",
    );
    assert_eq!(mount.peek(), ["abcdef", "XYcdef"]);
    assert_eq!(mount.sh("a", "cat n.md"), "XYcdef");
}

/// spec 4.1b: opened to write and closed again, nothing has happened.
#[test]
fn opened_and_not_written() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("open('n.md', 'w').write('text')");
    let name = mount.stamped("n");
    for flags in [
        "os.O_RDWR",
        "os.O_WRONLY | os.O_CREAT",
        "os.O_WRONLY | os.O_APPEND",
    ] {
        writer.run(&format!("os.close(os.open('n.md', {flags}))"));
        assert_eq!(writer.run("open('n.md').read()"), "text");
        assert_eq!(mount.names(), [name.as_str()]);
    }
    assert_eq!(mount.take("b"), ["text"]);
}

/// spec 4.1d: an own alias that is still empty is reused, unless somebody is writing it.
#[test]
fn empty_alias_is_reused() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "touch t.md; echo one > t.md; : > c.md; echo two | dd of=c.md status=none",
    );
    assert_eq!(mount.slugs(), ["c", "t"]);
    let mut holder = Actor::new(&mount, "a");
    holder.run("f = open('h.md', 'w')");
    mount.sh("a", "echo four > h.md");
    holder.run("f.write('three'); f.close()");
    assert_eq!(sorted(mount.take("b")), ["four", "one", "three", "two"]);
}

/// spec 4.1d: made with O_EXCL and opened again by its path, as python's mailbox does it.
#[test]
fn made_and_opened_again() {
    let mount = Mount::new();
    let mut maker = Actor::new(&mount, "a");
    let make = "f = os.open('n.md', os.O_CREAT | os.O_EXCL | os.O_RDWR)";
    for mode in ["rb+", "wb"] {
        maker.run(&format!("{make}; g = open('n.md', '{mode}'); os.close(f)"));
        maker.run("g.write(b'text'); g.close()");
        assert_eq!(mount.slugs(), ["n"]);
        assert_eq!(mount.take("r"), ["text"]);
        maker.run("os.unlink('n.md')");
        mount.sh("r", "rm 2*");
    }
    // Another process does not use the empty file, and no process uses a file that has been written.
    maker.run(make);
    mount.sh("a", "echo other > n.md");
    maker.run("os.write(f, b'one'); os.close(f)");
    maker.run("os.unlink('n.md')");
    maker.run(&format!(
        "{make}; os.write(f, b'two'); open('n.md', 'w').write('three'); os.close(f)"
    ));
    assert_eq!(sorted(mount.take("r")), ["one", "other", "three", "two"]);
}

/// spec 4.1a, 4.1d, 4.6e: each message that python's mailbox stores is one handoff, its locks are none.
#[test]
fn a_mailbox() {
    let mount = Mount::new();
    let script = "
import mailbox
for box in mailbox.mbox('box'), mailbox.Maildir('dir'), mailbox.MH('mh'):
    box.lock()
    box.add('Subject: hello\\n\\nbody\\n')
    box.flush()
    box.unlock()
    box.close()
";
    mount.python("a", script);
    let count = |dir: &str| {
        let names = crate::harness::list(&mount.at(dir)).into_iter();
        let names: Vec<_> = names.filter(|name| name.starts_with("20")).collect();
        names.len()
    };
    let counts = ["", "dir/tmp", "dir/new", "mh"].map(count);
    assert_eq!(counts, [1, 0, 1, 1]);
    let bodies = mount.take("r");
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| body.contains("Subject: hello")));
}

/// spec 4.1a: O_EXCL is answered as for any file that is there, and O_CREAT without it is not.
#[test]
fn exclusive_creation() {
    let mount = Mount::new();
    let mut a = Actor::new(&mount, "a");
    let mut b = Actor::new(&mount, "b");
    a.run("open('n.md', 'x').write('a')");
    assert_eq!(a.fails("open('n.md', 'x')"), "EEXIST");
    b.run("open('n.md', 'x').write('b')");
    assert_eq!(mount.peek(), ["a", "b"]);
    mount.sh("c", "set -C; echo c > n.md; ! echo d > n.md");
    assert_eq!(mount.take("r"), ["a", "b", "c"]);
    // Consumed, it is still there for its writer.
    assert_eq!(a.fails("open('n.md', 'x')"), "EEXIST");
}

/// spec 4.3b: `>>` appends to the session's own handoff, in place.
#[test]
fn appending() {
    let mount = Mount::new();
    mount.sh("a", "echo 1 > n.md; echo 2 >> n.md; echo 3 | tee -a n.md");
    mount.sh("b", "echo other >> n.md");
    assert_eq!(mount.peek(), ["1\n2\n3", "other"]);
    assert_eq!(mount.slugs().len(), 2);
}

/// spec 4.3b: writers of one handoff share one draft.
#[test]
fn appending_together() {
    let mount = Mount::new();
    let (mut first, mut second) = (Actor::new(&mount, "s"), Actor::new(&mount, "s"));
    let open = "f = os.open('n.md', os.O_WRONLY | os.O_CREAT | os.O_APPEND)";
    first.run(open);
    second.run(open);
    first.run("os.write(f, b'1 ')");
    second.run("os.write(f, b'2 ')");
    first.run("os.write(f, b'3 '); os.close(f)");
    assert_eq!(mount.take("r"), [""; 0]);
    second.run("os.write(f, b'4'); os.close(f)");
    assert_eq!(mount.take("r"), ["1 2 3 4"]);

    let script =
        "for i in $(seq 8); do (for n in $(seq 25); do echo $i.$n >> log.md; done) & done; wait";
    mount.sh("s", script);
    let [body] = &mount.take("r")[..] else {
        panic!("more than one");
    };
    assert_eq!(body.lines().count(), 200);
    for i in 1..=8 {
        let prefix = format!("{i}.");
        let own: Vec<&str> = body
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect();
        assert!(
            own.iter().map(|n| n.parse::<u32>().unwrap()).eq(1..=25),
            "{own:?}"
        );
    }
}

/// spec 4.3c: when it is consumed the alias goes on resolving; the next write under it starts a new handoff.
#[test]
fn after_consumption() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    for (mode, expected) in [("w", "new"), ("a", "new"), ("r+", "newst")] {
        writer.run("open('n.md', 'w').write('first')");
        let inode = writer.run("os.stat('n.md').st_ino");
        assert_eq!(mount.take("b"), ["first"]);
        assert_eq!(writer.run("os.stat('n.md').st_ino"), inode);
        assert_eq!(writer.run("open('n.md').read()"), "first");
        assert_eq!(mount.take("b"), [""; 0], "reading it back is no change");
        writer.run(&format!(
            "f = open('n.md', '{mode}'); f.write('new'); f.close()"
        ));
        assert_eq!(mount.take("b"), [expected], "{mode}");
        let done = mount.names_below().into_iter();
        let contents: Vec<String> = done.map(|name| mount.text_below(name)).collect();
        assert!(contents.iter().any(|text| text == "first"), "{contents:?}");
        mount.sh("b", "rm 2*");
    }
}

/// spec 4.3c: a consumed handoff is read-only through its alias.
#[test]
fn cut_after_consumption() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("open('n.md', 'w').write('first')");
    assert_eq!(mount.take("b"), ["first"]);
    assert_eq!(writer.fails("os.truncate('n.md', 0)"), "EACCES");
    writer.run("os.chmod('n.md', 0o600); os.utime('n.md')");
    assert_eq!(writer.run("open('n.md').read()"), "first");
}

/// spec 4.3c: renaming onto it then starts a new handoff, too.
#[test]
fn renamed_onto_after_consumption() {
    let mount = Mount::new();
    let mut agent = Actor::agent(&mount, "claude");
    agent.run("open('n.md', 'w').write('one')");
    assert_eq!(mount.take("b"), ["one"]);
    agent.run("open('n.md').read(); open('n.md.tmp.1', 'w').write('two'); os.rename('n.md.tmp.1', 'n.md')");
    assert_eq!(agent.run("open('n.md').read()"), "two");
    agent.run("open('n.md.new', 'w').write('three')");
    assert_eq!(mount.take("b"), ["two", "three"]);
    // A reader consumed the handoff before its writer renamed it; the writer finds it under the new name.
    agent.run("os.rename('n.md.new', 'm.md')");
    assert_eq!(agent.run("open('m.md').read()"), "three");
    assert!(mount.slugs().contains(&"m_done".to_owned()));
}

/// spec 4.1b, 4.3a: to its writer a file that is written anew, or edited, is the same file.
#[test]
fn the_inode_stays() {
    let mount = Mount::new();
    for name in ["python3", "claude"] {
        let mut writer = Actor::called(&mount, name, name);
        writer.run("open('n.md', 'w').write('one')");
        let inode = writer.run("os.stat('n.md').st_ino");
        for mode in ["r+", "w", "a"] {
            writer.run(&format!("open('n.md').read(); f = open('n.md', '{mode}')"));
            assert_eq!(
                writer.run("os.fstat(f.fileno()).st_ino"),
                inode,
                "{name} {mode}"
            );
            assert_eq!(writer.run("os.stat('n.md').st_ino"), inode, "{name} {mode}");
            writer.run("f.write('more'); f.close()");
            assert_eq!(writer.run("os.stat('n.md').st_ino"), inode, "{name} {mode}");
        }
        let stamped = mount.names().pop().unwrap();
        assert_ne!(writer.run(&format!("os.stat('{stamped}').st_ino")), inode);
    }
}

/// spec 4.3a: everything that can be done to a file can be done through its alias.
#[test]
fn every_call_through_an_alias() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("open('n.md', 'w').write('text')");
    let name = mount.stamped("n");
    writer.run("os.chmod('n.md', 0o640); os.utime('n.md', (1000000000, 1100000000))");
    assert_eq!(writer.run("oct(os.stat('n.md').st_mode & 0o777)"), "0o640");
    assert_eq!(
        writer.run(&format!(
            "(lambda s: (oct(s.st_mode & 0o777), s.st_mtime, s.st_size))(os.stat('{name}'))"
        )),
        "('0o640', 1100000000.0, 4)"
    );
    writer.run("os.setxattr('n.md', 'user.topic', b'auth')");
    assert_eq!(
        writer.run(&format!("os.getxattr('{name}', 'user.topic')")),
        "b'auth'"
    );
    assert_eq!(writer.run("os.listxattr('n.md')"), "['user.topic']");
    writer.run("os.removexattr('n.md', 'user.topic')");
    writer.run("os.chown('n.md', os.getuid(), os.getgid()); os.access('n.md', os.W_OK)");
    writer.run("f = open('n.md', 'a'); f.write('more'); f.close()");
    assert_eq!(writer.run("open('n.md').read()"), "textmore");
    writer.run("os.rename('n.md', 'other.md')");
    assert_eq!(writer.fails("os.stat('n.md')"), "ENOENT");
    assert_eq!(writer.run("open('other.md').read()"), "textmore");
    assert_eq!(mount.slugs(), ["other"]);
    writer.run("os.unlink('other.md')");
    assert_eq!(writer.fails("os.stat('other.md')"), "ENOENT");
    assert_eq!(mount.slugs(), ["other_done"]);
}

/// spec 4.3d: aliases end with the daemon.
#[test]
fn ends_with_the_daemon() {
    let mut mount = Mount::new();
    mount.sh("a", "echo x > n.md; cat n.md");
    mount.remount();
    mount.fails("a", "cat n.md");
    mount.sh("a", "echo y > n.md");
    assert_eq!(mount.peek(), ["x", "y"]);
}

/// spec 4.1a, 4.3a: the rules of the root hold in every queue, and one name in two queues is two aliases.
#[test]
fn in_a_queue() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "mkdir q; echo root > n.md; echo sub > q/n.md; cat n.md q/n.md; echo more >> q/n.md",
    );
    assert_eq!(mount.sh("a", "cat n.md q/n.md"), "root\nsub\nmore\n");
    mount.fails("b", "cat q/n.md");
    assert_eq!(
        mount.sh("b", "cat q/pending.md | tail -n +2"),
        "sub\nmore\n"
    );
}
