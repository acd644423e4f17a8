//! Writing the names of ordinary text files: others make handoffs, editors edit the file itself.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::actors::{Disguise, replaced};
use crate::editors::{NANO, at_terminal};
use crate::harness::{Mount, sorted};

fn mount() -> Mount {
    let furnish = |dir: &Path| {
        fs::create_dir(dir.join("q")).unwrap();
        fs::write(dir.join("HANDOFF.md"), "number one\n").unwrap();
        fs::write(dir.join("q/HANDOFF.md"), "number one\n").unwrap();
        fs::write(dir.join("state.json"), "{}\n").unwrap();
    };
    Mount::filled(furnish)
}

/// spec 3.6d: a write to the name of an ordinary text file makes a handoff. The session of the writer finds the handoff
/// under the name, other sessions find the old file; two sessions make two handoffs.
#[test]
fn writers_make_handoffs() {
    let outside = tempfile::tempdir().unwrap();
    let new = outside.path().join("new");
    fs::write(&new, "number two\n").unwrap();
    let new = new.display();
    let scripts = [
        "cat $N > $f".to_owned(),
        "tee $f < $N >/dev/null".to_owned(),
        "cp $N $f".to_owned(),
        "cp --remove-destination $N $f".to_owned(),
        "dd if=$N of=$f status=none".to_owned(),
        "cp $N $f.tmp.123.abc; mv $f.tmp.123.abc $f".to_owned(),
        "cp $N $f.new; mv $f.new $f".to_owned(),
        "cp $N $f.txt; mv -f *_HANDOFF.md.md $f 2>/dev/null || mv -f $f.txt $f".to_owned(),
        "cp $N $N.moved; mv $N.moved $f".to_owned(),
        "install -m 600 $N $f".to_owned(),
        "rsync $N $f".to_owned(),
        "rsync --inplace $N $f".to_owned(),
        "python3 -c \"import os,tempfile as t; d,p=t.mkstemp(dir='.'); os.write(d,b'number two\\n'); os.close(d); os.replace(p,'$f')\"".to_owned(),
        // As opencode does it, and as vim does in place.
        "python3 -c \"import os; d=os.open('$f',os.O_WRONLY|os.O_CREAT); os.write(d,b'number two\\n'); os.ftruncate(d,11)\"".to_owned(),
        "ln $N ../x 2>/dev/null; python3 -c \"import os; os.truncate('$f', 7)\"; printf 'two\\n' >> $f".to_owned(),
    ];
    for script in scripts {
        for f in ["HANDOFF.md", "q/HANDOFF.md"] {
            let mount = mount();
            let script = script.replace("$N", &new.to_string());
            for session in ["a", "b"] {
                mount.sh(session, &format!("f={f}; {script}"));
                let seen = mount.sh(session, &format!("cat {f}"));
                assert_eq!(seen, "number two\n", "{script} {f}");
                assert_eq!(
                    mount.peek().len(),
                    if session == "a" { 1 } else { 2 },
                    "{script}"
                );
            }
            assert_eq!(
                mount.sh("c", &format!("cat {f}")),
                "number one\n",
                "{script} {f}"
            );
            let below = mount.text_below(f);
            assert_eq!(below, "number one\n", "{script}");
            assert_eq!(mount.take("c"), ["number two", "number two"], "{script}");
        }
    }
}

/// spec 3.6d: `>>` begins an empty draft, another open without O_TRUNC a copy; opened and not written, it is nothing.
#[test]
fn appended_and_opened() {
    let mount = mount();
    mount.sh("a", "echo more >> HANDOFF.md; echo yet >> HANDOFF.md");
    assert_eq!(mount.sh("a", "cat HANDOFF.md"), "more\nyet\n");
    mount.sh("b", "printf N | dd of=HANDOFF.md conv=notrunc status=none");
    assert_eq!(mount.sh("b", "cat HANDOFF.md"), "Number one\n");
    mount.sh(
        "c",
        "touch -d 2020-01-01 HANDOFF.md; exec 3<> HANDOFF.md; cat <&3; : >> HANDOFF.md",
    );
    mount.settle();
    // Two handoffs of one second have a suffix; of two seconds, two stamps.
    let slugs = mount.slugs().into_iter();
    let slugs = slugs.map(|slug| slug.replace("HANDOFF_2", "HANDOFF"));
    assert_eq!(
        sorted(slugs),
        ["HANDOFF", "HANDOFF", "HANDOFF.md", "q", "state.json"]
    );
    let touched = fs::metadata(mount.below("HANDOFF.md")).unwrap().mtime();
    assert_eq!(
        touched / 86400,
        18262,
        "touch without a word is the ordinary file's"
    );
    assert_eq!(sorted(mount.peek()), ["Number one", "more\nyet"]);
    // O_EXCL finds the name taken, and destroys nothing.
    mount.fails("d", "set -C; echo x > HANDOFF.md");
}

/// spec 3.6d: the alias ends like any other: retracted, or with its session; then the ordinary file is there again, and is
/// kept when it is removed.
#[test]
fn removed() {
    let mut mount = mount();
    mount.sh("a", "echo two > HANDOFF.md; rm HANDOFF.md; cat HANDOFF.md");
    assert_eq!(mount.peek(), [""; 0]);
    assert_eq!(mount.sh("b", "cat HANDOFF.md"), "number one\n");
    mount.sh("a", "rm HANDOFF.md; test ! -e HANDOFF.md");
    assert_eq!(replaced(&mount), ["number one\n"]);
    mount.remount();
    mount.sh("a", "echo three > HANDOFF.md");
    assert_eq!(mount.peek(), ["three"]);
}

/// spec 3.6a: files that are no text stay ordinary, and every program writes them in place.
#[test]
fn other_files_are_written_in_place() {
    let mount = mount();
    mount.sh(
        "a",
        "echo 1 > state.json; cp state.json x.tmp; echo 2 >> x.tmp; mv x.tmp state.json",
    );
    assert_eq!(
        mount.sh("b", "echo 3 >> state.json; cat state.json"),
        "1\n2\n3\n"
    );
    assert_eq!(mount.peek(), [""; 0]);
}

/// spec 3.6e, 3.9a: editors and stream editors edit the ordinary file itself; all sessions see the change, and the old
/// content is kept.
#[test]
fn editors_edit_the_file() {
    let vim = |settings: &str| {
        format!("vim -u NONE -n --cmd 'set {settings} backupskip=' -es -c '%s/one/two/' -c wq $f")
    };
    let mut scripts = vec![
        "sed -i s/one/two/ $f".to_owned(),
        "sed -i.bak s/one/two/ $f".to_owned(),
        "sed -i~ s/one/two/ $f".to_owned(),
        "perl -i -pe s/one/two/ $f".to_owned(),
        "perl -i.bak -pe s/one/two/ $f".to_owned(),
        "busybox sed -i s/one/two/ $f".to_owned(),
        "printf '%s\\n' 's/one/two/' w q | ed -s $f".to_owned(),
        vim("nobackup nowritebackup"),
        vim("backup"),
    ];
    scripts.extend(["yes", "no", "auto"].map(|copy| vim(&format!("backupcopy={copy}"))));
    scripts.push(at_terminal(NANO));
    for script in scripts {
        for f in ["HANDOFF.md", "q/HANDOFF.md"] {
            let mut mount = mount();
            mount.sh("a", &format!("f={f}; {script}"));
            for round in 0..2 {
                for session in ["a", "b"] {
                    let seen = mount.sh(session, &format!("cat {f}"));
                    assert_eq!(seen, "number two\n", "{script} {f} {round}");
                }
                assert_eq!(mount.peek(), [""; 0], "{script} {f}");
                let kept = replaced(&mount);
                assert!(
                    kept.contains(&"number one\n".to_owned()),
                    "{script} {f} {kept:?}"
                );
                mount.remount();
            }
        }
    }
}

/// spec 3.6e, 4.4d: an edit is atomic: until its close all sessions read the old content, and an editor that is killed
/// leaves it.
#[test]
fn an_edit_is_atomic() {
    let mut mount = mount();
    let nano = Disguise::of(Path::new("/usr/bin/python3"), "nano");
    let run = |mount: &Mount, content: &str, then: &str| {
        let script = format!(
            "import os\nf = open('HANDOFF.md', 'w'); f.write('{content}'); f.flush()\n\
             print(open('HANDOFF.md').read(), end='')\n{then}"
        );
        let mut command = mount.command("a", nano.path());
        let output = command.args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&mount, "two\\n", "f.close()"), "number one\n");
    assert_eq!(mount.sh("b", "cat HANDOFF.md"), "two\n");
    run(&mount, "three\\n", "os.kill(os.getpid(), 9)");
    run(&mount, "", "os.kill(os.getpid(), 9)");
    assert_eq!(mount.sh("b", "cat HANDOFF.md"), "two\n");
    // A reader has the old file open during the edit.
    let mut old = File::open(mount.at("HANDOFF.md")).unwrap();
    run(&mount, "four\\n", "f.close()");
    let mut read = String::new();
    std::io::Read::read_to_string(&mut old, &mut read).unwrap();
    assert_eq!(read, "two\n");
    drop(old);
    mount.remount();
    assert_eq!(mount.sh("b", "cat HANDOFF.md"), "four\n");
    assert_eq!(mount.peek(), [""; 0]);
    let kept = replaced(&mount);
    for content in ["number one\n", "two\n", "three\n"] {
        assert!(kept.iter().any(|it| it == content), "{content} {kept:?}");
    }
}

/// spec 3.6e, 4.9a: an edit that could not be written leaves the old content, and what was written is kept.
#[test]
fn an_edit_that_fails() {
    let furnish = |dir: &Path| fs::write(dir.join("HANDOFF.md"), "number one\n").unwrap();
    let mut mount = Mount::over(furnish, |options| options.max_size = Some(100));
    let nano = Disguise::of(Path::new("/usr/bin/python3"), "nano");
    let script = "import os\nf = os.open('HANDOFF.md', os.O_WRONLY | os.O_TRUNC)\nos.write(f, b'half\\n')\n\
                  try: os.write(f, bytes(200))\nexcept OSError: print('refused')\nos.close(f)";
    let mut command = mount.command("a", nano.path());
    let output = command.args(["-c", script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "refused\n");
    assert_eq!(mount.sh("b", "cat HANDOFF.md"), "number one\n");
    // Unmounting waits for the RELEASE.
    mount.unmount();
    assert_eq!(replaced(&mount), ["half\n"]);
}

/// spec 3.6d, 3.6e: an agent is no editor here: what it writes is a handoff, also once it has read the file.
#[test]
fn agents_make_handoffs() {
    let mount = mount();
    let claude = Disguise::bash("claude");
    let write = "cat < HANDOFF.md >/dev/null; read -r x < HANDOFF.md; echo two > HANDOFF.md; \
                 echo three > x.tmp; mv x.tmp HANDOFF.md; read -r x < HANDOFF.md; echo $x";
    let output = mount
        .command("a", claude.path())
        .args(["-c", write])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "three\n");
    assert_eq!(mount.sh("b", "cat HANDOFF.md"), "number one\n");
    assert_eq!(mount.peek(), ["two", "three"]);
}
