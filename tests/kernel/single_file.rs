//! `pending.md` written, removed and renamed as if it were one file like any other.

use std::time::Duration;

use crate::actors::{Actor, Disguise};
use crate::harness::{Mount, bodies, python, sorted, succeeds};

/// Runs a Python program as an agent program; returns its output.
#[track_caller]
fn run_claude(mount: &Mount, session: &str, script: &str) -> String {
    let claude = Disguise::of(&python(), "claude");
    succeeds(mount.command(session, claude.path()).args(["-c", script]))
}

/// spec 4.7a: every write to `pending.md` makes a handoff with the slug `pending`, and no other handoff is lost.
#[test]
fn writing_to_pending_makes_a_handoff() {
    let mount = Mount::new();
    let writers = [
        "echo new > pending.md",
        "echo new | tee pending.md > /dev/null",
        "echo new | dd of=pending.md status=none",
        "echo new | dd of=pending.md conv=notrunc status=none",
        "cp $x pending.md",
        "cp --remove-destination $x pending.md",
        "busybox cp $x pending.md",
        "install -m 644 $x pending.md",
        "cp $x $x.2; mv $x.2 pending.md",
        "cp $x new.tmp; mv new.tmp pending.md",
        "cp $x new.tmp; mv -f new.tmp pending.md",
        "cp $x new.tmp; ln new.tmp pending.md 2>/dev/null || mv new.tmp pending.md; rm -f new.tmp",
        "rsync $x pending.md",
        "rsync --inplace $x pending.md",
        "rm pending.md; echo new > pending.md",
        "$python -c 'open(\"pending.md\", \"w\").write(\"new\\n\")'",
        "$python -c '
import os, tempfile
f, name = tempfile.mkstemp(dir=\".\")
os.write(f, b\"new\\n\"); os.fsync(f); os.close(f)
os.replace(name, \"pending.md\")'",
        "$python -c '
import os
f = os.open(\"pending.md\", os.O_WRONLY | os.O_CREAT)
os.write(f, b\"new\\n\"); os.ftruncate(f, 4); os.close(f)'",
    ];
    for writer in writers {
        mount.sh("other", "echo old > old.md");
        let x = mount.outside("x");
        std::fs::write(&x, "new\n").unwrap();
        let script = format!("x='{}' python=/usr/bin/python3; {writer}", x.display());
        mount.sh("w", &script);
        assert_eq!(mount.slugs(), ["old", "pending"], "{writer}");
        assert_eq!(sorted(mount.take("r")), ["new", "old"], "{writer}");
        mount.sh("r", "rm *_done.md");
    }
}

/// spec 4.7a: appending continues the session’s own handoff, and no other one; a consumed one is not continued.
#[test]
fn appending_to_pending_continues_ones_own() {
    let mount = Mount::new();
    mount.sh("a", "echo 1 >> pending.md; echo 2 >> pending.md");
    mount.sh("b", "echo 3 >> pending.md");
    mount.sh("a", "echo 4 | tee -a pending.md > /dev/null");
    assert_eq!(sorted(mount.peek()), ["1\n2\n4", "3"]);
    mount.sh("a", "echo 5 > pending.md; echo 6 >> pending.md");
    assert_eq!(sorted(mount.take("r")), ["1\n2\n4", "3", "5\n6"]);
    mount.sh("a", "echo 7 >> pending.md");
    assert_eq!(mount.take("r"), ["7"]);
}

/// spec 4.7a: six that overwrite it at once lose nothing.
#[test]
fn six_writers_of_pending_lose_nothing() {
    let mount = Mount::new();
    let writers: Vec<_> = (0..6)
        .map(|i| {
            let script = "for i in $(seq 20); do echo $1-$i > pending.md; done";
            let mut bash = mount.command(&format!("{}", i % 3), "bash");
            bash.args(["-c", script, "bash", &i.to_string()])
                .spawn()
                .unwrap()
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let all = sorted(mount.take("r"));
    let expected = sorted((0..6).flat_map(|i| (1..=20).map(move |j| format!("{i}-{j}"))));
    assert_eq!(all, expected);
}

/// spec 4.7c: removing, renaming and changing `pending.md` succeeds and changes nothing; `rm -rf` of a queue goes through.
#[test]
fn removing_pending_changes_nothing() {
    let mount = Mount::new();
    mount.sh("w", "echo a > a.md; mkdir q; echo b > q/b.md");
    for script in [
        "rm pending.md",
        "rm -f pending.md; rm -f pending.md",
        "mv pending.md pending_done.md",
        "mv pending.md old.md",
        "chmod 600 pending.md; touch pending.md; chown 0 pending.md",
        "truncate -s 0 pending.md",
        ": > pending.md",
        ": >> pending.md",
        "unlink pending.md",
        "perl -e 'rename(\"pending.md\", \"x.md\") or die $!'",
    ] {
        mount.sh("r", script);
        assert_eq!(mount.sh("r", "ls pending.md"), "pending.md\n", "{script}");
        assert_eq!(mount.names().len(), 2, "{script}: {:?}", mount.names());
        assert_eq!(mount.peek().len(), 2, "{script}");
    }
    mount.sh("r", "rm -rf q");
    assert_eq!(mount.slugs(), ["a"]);
    mount.sh("r", "rm -rf ./*");
    assert_eq!(mount.slugs(), [""; 0]);
    assert_eq!(mount.sh("r", "ls"), "pending.md\n");
}

/// spec 4.7b: an agent program that knows one single file for both reads what it is about to replace: that read does not
/// consume, nor do its own later ones; other readers do.
#[test]
fn an_agent_with_one_single_file() {
    let mount = Mount::new();
    let steps = "
import os, sys
def read():
    with open('pending.md') as f:
        return f.read()
def write(text):
    name = 'pending.md.tmp.%d.0123456789ab' % os.getpid()
    with open(name, 'x') as f:
        f.write(text)
    os.rename(name, 'pending.md')
    os.stat('pending.md')
";
    let replacing = [
        "old = read(); write('mine\\n')",
        "old = read(); open('pending.md', 'w').write('mine\\n')",
        "old = read(); old = read() or old; write('mine\\n'); read(); read()",
        "write('mine\\n'); old = read()",
        "f = open('pending.md'); write('mine\\n'); old = f.read()",
        "old = read(); open('pending.md', 'a').write('mine\\n')",
        "old = read(); os.unlink('pending.md'); open('pending.md', 'x').write('mine\\n')",
    ];
    for (i, script) in replacing.iter().enumerate() {
        mount.sh("w", "echo old > old.md");
        let seen = run_claude(
            &mount,
            &format!("{i}"),
            &format!("{steps}{script}\nsys.stdout.write(old)"),
        );
        assert_eq!(bodies(&seen)[0], "old", "{script}");
        assert_eq!(mount.slugs(), ["old", "pending"], "{script}");
        assert_eq!(sorted(mount.take("r")), ["mine", "old"], "{script}");
        mount.sh("r", "rm *_done.md");
    }
}

/// spec 4.7b: only an agent program's own process is taken for one that uses a single file, only for what it read in the last
/// 5 s, and not for longer than it lives.
#[test]
fn an_agent_that_only_reads_consumes() {
    let mount = Mount::new();
    mount.sh("w", "echo old > old.md");
    let seen = run_claude(&mount, "c", "print(open('pending.md').read(), end='')");
    assert_eq!(bodies(&seen)[0], "old");
    assert_eq!(mount.slugs(), ["old_done"]);

    // Another process of the same session writes: what it had not read itself it does not give back.
    run_claude(&mount, "c", "open('pending.md', 'w').write('new\\n')");
    assert_eq!(mount.slugs(), ["old_done", "pending"]);
    assert_eq!(mount.take("c"), ["new"]);
    mount.sh("w", "rm *_done.md");

    // A shell is no agent program.
    mount.sh("w", "echo old > old.md");
    mount.sh("c", "x=$(< pending.md); echo new > pending.md");
    assert_eq!(mount.slugs(), ["old_done", "pending"]);
    mount.take("c");
    mount.sh("w", "rm *_done.md");

    // More than five seconds before.
    mount.sh("w", "echo old > old.md");
    let mut claude = Actor::called(&mount, "c", "claude");
    claude.run("open('pending.md').read()");
    mount.clock.advance(Duration::from_secs(6));
    claude.run("open('pending.md', 'w').write('new\\n')");
    assert_eq!(mount.slugs(), ["old_done", "pending"]);
}
