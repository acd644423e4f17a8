//! Which writes are edits, and what happens to the content that they replace.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::thread;

use handoff_fs::error::Error;
use handoff_fs::fs::{NodeId, Outcome, Request};
use handoff_fs::programs::Role;

use crate::actors::{Actor, Disguise, replaced};
use crate::harness::{Mount, list};
use crate::layers::Layer;

/// The system calls of Claude Code's Write and Edit: a temporary name, made durable and renamed.
const WRITE: &str = "
def write(name, text):
    temp = f'{name}.tmp.{os.getpid()}.0123456789ab'
    f = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    os.write(f, text); os.fsync(f); os.close(f)
    os.rename(temp, name)
    assert os.stat(name).st_size == len(text)
";

/// spec 4.4b, 4.6b: an agent edits what it wrote and has read; without a read it writes another handoff.
#[test]
fn agent_writes_by_rename() {
    let mount = Mount::new();
    let mut agent = Actor::agent(&mount, "claude");
    agent.run(WRITE);
    agent.run("write('n.md', b'one')");
    let name = mount.stamped("n");
    agent.run("open('n.md').read(); write('n.md', b'one, edited')");
    assert_eq!(mount.names(), [name.as_str()]);
    assert_eq!(mount.peek(), ["one, edited"]);
    assert_eq!(replaced(&mount), ["one"]);
    // The agent has not read what it has written since.
    agent.run("write('n.md', b'two')");
    assert_eq!(mount.peek(), ["one, edited", "two"]);
    agent.run("open('n.md').read(); write('n.md', b'two, edited')");
    assert_eq!(mount.take("r"), ["one, edited", "two, edited"]);
}

/// spec 4.4b: the process itself must have read the file; a read by another process of its session does not count.
#[test]
fn only_the_reader_edits() {
    let mount = Mount::new();
    let mut agent = Actor::agent(&mount, "claude");
    agent.run("import subprocess");
    agent.run("open('n.md', 'w').write('one')");
    agent.run("subprocess.run(['cat', 'n.md'], check=True, stdout=subprocess.DEVNULL)");
    agent.run("open('n.md', 'w').write('two')");
    assert_eq!(mount.peek(), ["one", "two"]);
}

/// spec 4.4b: opening a file does not count as reading it. Having read a version that was since replaced does not
/// entitle an agent to edit the current one.
#[test]
fn an_open_is_no_reading() {
    let mount = Mount::new();
    let mut agent = Actor::agent(&mount, "claude");
    agent.run("open('n.md', 'w').write('one')");
    agent.run("f = open('n.md'); open('n.md', 'w').write('two')");
    assert_eq!(mount.peek(), ["one", "two"]);
    agent.run("open('n.md').read(); old = open('n.md'); open('n.md', 'w').write('edited')");
    assert_eq!(agent.run("old.read()"), "two");
    agent.run("open('n.md', 'w').write('three')");
    assert_eq!(mount.take("r"), ["one", "edited", "three"]);
}

/// spec 4.4b: any other program makes a new handoff with each write, also when it has read the old one.
#[test]
fn other_programs_do_not_edit() {
    let mount = Mount::new();
    let mut program = Actor::new(&mount, "a");
    program.run(WRITE);
    program.run("open('n.md', 'w').write('one')");
    program.run("open('n.md').read(); open('n.md', 'w').write('two')");
    program.run("open('n.md').read(); write('n.md', b'three')");
    assert_eq!(mount.take("r"), ["one", "two", "three"]);
}

/// spec 4.4c: the lists can be extended.
#[test]
fn more_editors() {
    let mount = Mount::with(|options| options.programs.amend(Role::Editor, "scribble").unwrap());
    let mut editor = Actor::called(&mount, "a", "scribble");
    editor.run("open('n.md', 'w').write('one')");
    editor.run("open('n.md', 'w').write('two')");
    assert_eq!(mount.take("r"), ["two"]);
}

/// spec 4.4b, 5.2: a script is known by its name, not by its interpreter's.
#[test]
fn agent_as_a_script() {
    let mount = Mount::new();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("claude.py");
    let text = "
open('n.md', 'w').write('one')
old = open('n.md').read()
open('n.md', 'w').write(old + ', edited')
";
    fs::write(&script, text).unwrap();
    let mut command = mount.command("a", "python3");
    assert!(command.arg(&script).status().unwrap().success());
    assert_eq!(mount.take("r"), ["one, edited"]);

    let shell = Disguise::bash("codex");
    let text = "echo two > n.md; read -r line < n.md; echo \"$line, edited\" > n.md";
    assert!(
        mount
            .command("b", shell.path())
            .args(["-c", text])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(mount.take("r"), ["two, edited"]);
}

/// spec 4.4d: readers find the old content or the new one, whole.
#[test]
fn an_edit_is_atomic() {
    let mount = Mount::new();
    let mut agent = Actor::agent(&mount, "claude");
    agent.run("open('n.md', 'w').write('the old text')");
    let name = mount.stamped("n");
    agent.run("open('n.md').read(); f = open('n.md', 'w')");
    for step in [
        "f.write('the new'); f.flush()",
        "f.write(' text'); f.flush()",
    ] {
        assert_eq!(mount.peek(), ["the old text"]);
        assert_eq!(mount.sh("r", &format!("cat {name}")), "the old text");
        assert_eq!(mount.text_below(&name), "the old text");
        agent.run(step);
    }
    assert_eq!(agent.run("open('n.md').read()"), "the new text");
    agent.run("f.close()");
    assert_eq!(mount.text_below(&name), "the new text");
    assert_eq!(mount.take("r"), ["the new text"]);
    assert_eq!(replaced(&mount), ["the old text"]);
}

/// spec 4.4d: an edit whose program is killed leaves the old content whole.
#[test]
fn a_killed_edit() {
    let mount = Mount::new();
    let mut agent = Actor::agent(&mount, "claude");
    agent.run("open('n.md', 'w').write('the old text')");
    agent.run(
        "open('n.md').read(); f = os.open('n.md', os.O_WRONLY | os.O_TRUNC); os.write(f, b'half')",
    );
    agent.kill();
    assert_eq!(mount.take("r"), ["the old text", "half"]);
    assert_eq!(mount.slugs(), ["n-partial_done", "n_done"]);
}

/// spec 4.4d: a handoff that is consumed during an edit has been delivered; the edit becomes a handoff of its own.
#[test]
fn consumed_while_it_is_edited() {
    let mount = Mount::new();
    let mut agent = Actor::agent(&mount, "claude");
    agent.run("open('n.md', 'w').write('old')");
    agent.run("open('n.md').read(); f = open('n.md', 'w'); f.write('new')");
    assert_eq!(mount.take("r"), ["old"]);
    agent.run("f.close()");
    assert_eq!(agent.run("open('n.md').read()"), "new");
    assert_eq!(mount.take("r"), ["new"]);
    let contents: Vec<String> = mount
        .names_below()
        .iter()
        .map(|name| mount.text_below(name))
        .collect();
    assert!(contents.contains(&"old".to_owned()), "{contents:?}");
}

/// spec 3.3, 4.2a: if a draft has taken the pending name meanwhile, the edit is published under the next suffix.
#[test]
fn consumed_while_it_is_edited_and_its_name_is_taken() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    mount.sh("a", &format!("printf old > {name}"));
    let mut editor = Actor::new(&mount, "a");
    editor.run(&format!("f = open('{name}', 'w'); f.write('edited')"));
    assert_eq!(mount.take("r"), ["old"]);
    let mut other = Actor::new(&mount, "b");
    other.run(&format!("f = open('{name}', 'w'); f.write('other')"));
    editor.run("f.close()");
    assert_eq!(mount.slugs(), ["n", "n_2", "n_done"]);
    assert_eq!(mount.take("r"), ["edited"]);
    other.run("f.close()");
    assert_eq!(mount.text(name), "other");
    assert_eq!(mount.take("r"), ["other"]);
}

/// spec 4.4b, 4.5g: retracted while it is edited: the edit's close is acknowledged, so its content is a handoff.
#[test]
fn retracted_while_it_is_edited() {
    let mount = Mount::new();
    let mut agent = Actor::agent(&mount, "claude");
    agent.run("open('n.md', 'w').write('old')");
    agent.run("open('n.md').read(); f = open('n.md', 'w'); f.write('new'); os.unlink('n.md')");
    assert_eq!(mount.peek(), [""; 0]);
    agent.run("f.close()");
    assert_eq!(mount.take("r"), ["new"]);
    let names = mount.names_below().into_iter();
    let contents: Vec<String> = names.map(|name| mount.text_below(name)).collect();
    assert!(contents.contains(&"old".to_owned()), "{contents:?}");
}

/// spec 4.4a: an edit that ends as it began changes nothing.
#[test]
fn an_edit_of_nothing() {
    let mount = Mount::new();
    let mut editor = Actor::called(&mount, "a", "vim");
    editor.run("open('n.md', 'w').write('text'); os.utime('n.md', (1100000000, 1100000000))");
    let names = mount.names();
    editor.run("os.close(os.open('n.md', os.O_RDWR))");
    assert_eq!(mount.names(), names);
    assert_eq!(editor.run("os.stat('n.md').st_mtime"), "1100000000.0");
    assert_eq!(replaced(&mount), [""; 0]);
    assert_eq!(mount.take("r"), ["text"]);
}

/// spec 3.9a, 4.5a, 4.5b, 4.5d: a stamped name is written in place; what that replaced is kept.
#[test]
fn stamped_names_are_written_in_place() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    for (change, text, kept) in [
        ("printf new > $n", "new", &["old text"][..]),
        ("truncate -s 3 $n", "old", &["old text"]),
        (
            "printf NEW | dd of=$n conv=notrunc status=none",
            "NEW text",
            &["old text"],
        ),
        ("printf ' and new' >> $n", "old text and new", &[]),
        ("truncate -s 0 $n; printf new >> $n", "new", &["old text"]),
        (
            "printf scratch > x.tmp; mv x.tmp $n",
            "scratch",
            &["old text"],
        ),
        ("printf other > o.md; mv o.md $n", "other", &["old text"]),
        (
            "cp $n k.tmp; printf two > $n; printf three > $n",
            "three",
            &["old text", "two"],
        ),
    ] {
        mount.sh("a", &format!("printf 'old text' > {name}"));
        mount.sh("b", &format!("n={name}; {change}"));
        assert_eq!(
            mount
                .names()
                .iter()
                .filter(|it| !it.ends_with(".tmp"))
                .collect::<Vec<_>>(),
            [name],
            "{change}"
        );
        assert_eq!(mount.peek(), [text], "{change}");
        assert_eq!(mount.text_below(name), text, "{change}");
        assert_eq!(replaced(&mount), kept, "{change}");
        mount.sh("b", "rm 2*; rm -f *.tmp");
        let _ = fs::remove_dir_all(mount.below(".handoff-fs/replaced"));
    }
}

/// spec 4.5b, 4.4d: opening a stamped name with O_TRUNC is an edit by any program: readers find the old content or the
/// new one, whole, and writers that come meanwhile share the draft.
#[test]
fn a_stamped_name_is_edited() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    mount.sh("a", &format!("printf 'the old text' > {name}"));
    mount.settle();
    let mut reader = Actor::new(&mount, "r");
    reader.run(&format!("f = open('{name}')"));
    let mut writer = Actor::new(&mount, "b");
    writer.run(&format!(
        "ino = os.stat('{name}').st_ino; f = open('{name}', 'w')"
    ));
    assert_eq!(writer.run("os.fstat(f.fileno()).st_ino == ino"), "True");
    for step in ["f.write('new'); f.flush()", "f.write(' text'); f.flush()"] {
        assert_eq!(mount.sh("r", &format!("cat {name}")), "the old text");
        assert_eq!(mount.peek(), ["the old text"]);
        assert_eq!(mount.text_below(name), "the old text");
        writer.run(step);
    }
    mount.sh("c", &format!("printf ', and more' >> {name}"));
    writer.run("f.close()");
    assert_eq!(mount.sh("r", &format!("cat {name}")), "new text, and more");
    assert_eq!(reader.run("f.read()"), "the old text");
    assert_eq!(mount.names(), [name]);
    assert_eq!(mount.take("r"), ["new text, and more"]);
    assert_eq!(replaced(&mount), ["the old text"]);
}

/// spec 4.5b, 4.4d: a program that edits need not say O_TRUNC.
#[test]
fn a_stamped_name_in_an_editor() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    mount.sh("a", &format!("printf 'the old text' > {name}"));
    mount.settle();
    for program in ["vim", "opencode"] {
        let mut editor = Actor::called(&mount, "b", program);
        editor.run(&format!("f = os.open('{name}', os.O_WRONLY | os.O_CREAT)"));
        editor.run("os.write(f, b'THE'); os.ftruncate(f, 3)");
        assert_eq!(
            mount.sh("r", &format!("cat {name}")),
            "the old text",
            "{program}"
        );
        editor.kill();
        assert_eq!(
            mount.take("r").len(),
            2,
            "{program}: the old one, and a part of the new one"
        );
        mount.sh("a", &format!("rm *partial*; mv *_n_done.md {name}"));
        let mut editor = Actor::called(&mount, "b", program);
        mount.settle();
        editor.run(&format!("os.close(os.open('{name}', os.O_RDWR))"));
        mount.settle();
        assert_eq!(
            mount.sh("r", &format!("cat {name}")),
            "the old text",
            "{program}"
        );
    }
    assert_eq!(replaced(&mount), [""; 0]);
}

/// spec 4.5d: a file that another process has open for writing is truncated in place, and the old content is kept.
#[test]
fn a_stamped_name_that_is_being_written() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    mount.sh("a", &format!("printf 'the old text' > {name}"));
    let mut first = Actor::new(&mount, "b");
    first.run(&format!("f = open('{name}', 'a')"));
    let mut second = Actor::new(&mount, "c");
    second.run(&format!("f = open('{name}', 'w')"));
    assert_eq!(mount.sh("r", &format!("cat {name}")), "");
    second.run("f.write('new'); f.close()");
    first.run("f.write(' text'); f.close()");
    assert_eq!(mount.take("r"), ["new text"]);
    assert_eq!(replaced(&mount), ["the old text"]);
}

/// spec 4.5c: a file that a writer empties is empty for that writer as soon as it is closed.
#[test]
fn a_stamped_name_is_emptied() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    let mut writer = Actor::new(&mount, "a");
    let script = format!(
        "for _ in range(200):
    open('{name}', 'w').write('text')
    open('{name}', 'w').close()
    assert os.stat('{name}').st_size == 0
"
    );
    writer.run(&script);
    mount.sh(
        "b",
        &format!("echo x > {name}; : > {name}; test ! -s {name}"),
    );
    assert_eq!(mount.names(), [name]);
    assert_eq!(mount.peek(), [""; 0]);
}

/// spec 4.5c: also before the RELEASE comes, which is asynchronous.
#[test]
fn a_stamped_name_is_emptied_and_not_released() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    mount.sh("a", &format!("printf 'the old text' > {name}"));
    mount.settle();
    let [who, other] = [1, std::process::id()].map(|tid| Request { tid, uid: 0 });
    let fs = mount.fs();
    let look = |who| {
        let found = fs.lookup(who, NodeId::ROOT, name.as_ref()).unwrap();
        fs.forget(found.node, 1);
        found.attr.meta.size
    };
    let flags = libc::O_WRONLY | libc::O_TRUNC;
    let found = fs.lookup(who, NodeId::ROOT, name.as_ref()).unwrap();
    let opened = fs.open_node(who, found.node, flags);
    assert!(matches!(opened, Outcome::Ready(Err(Error::Stale))));
    let again = fs.lookup(who, NodeId::ROOT, name.as_ref()).unwrap();
    let Outcome::Ready(Ok(opened)) = fs.open_node(who, again.node, flags) else {
        panic!("not opened");
    };
    fs.flush(who, opened.handle).unwrap();
    assert_eq!(look(other), 12);
    assert_eq!(look(who), 0);
    fs.release(opened.handle);
    fs.forget(found.node, 1);
    fs.forget(again.node, 1);
    assert_eq!(look(other), 0);
}

/// spec 4.5b: a file that is written anew under a consumed name stays consumed.
#[test]
fn a_consumed_name_is_edited() {
    let mount = Mount::new();
    let done = "2026-01-02_030405_n_done.md";
    mount.sh(
        "a",
        &format!("echo old > {done}; echo new > {done}; cat {done}"),
    );
    assert_eq!(mount.names(), [done]);
    assert_eq!(mount.peek(), [""; 0]);
    assert_eq!(replaced(&mount), ["old\n"]);
}

/// spec 4.5b, 5.4: the same for a caller outside the PID namespace of the daemon, whose thread is unknown.
#[test]
fn a_stamped_name_is_edited_by_nobody() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    mount.sh("a", &format!("printf 'the old text' > {name}"));
    mount.settle();
    let who = Request { tid: 0, uid: 0 };
    let fs = mount.fs();
    let flags = libc::O_WRONLY | libc::O_TRUNC;
    let found = fs.lookup(who, NodeId::ROOT, name.as_ref()).unwrap();
    let opened = fs.open_node(who, found.node, flags);
    assert!(matches!(opened, Outcome::Ready(Err(Error::Stale))));
    let again = fs.lookup(who, NodeId::ROOT, name.as_ref()).unwrap();
    assert_ne!(again.node, found.node);
    let Outcome::Ready(Ok(opened)) = fs.open_node(who, again.node, flags) else {
        panic!("not opened");
    };
    assert_eq!(fs.write(who, opened.handle, 0, b"new", false), Ok(3));
    let other = fs.lookup(who, NodeId::ROOT, name.as_ref()).unwrap();
    assert_eq!(other.node, found.node);
    assert_eq!(mount.peek(), ["the old text"]);
    fs.flush(who, opened.handle).unwrap();
    fs.release(opened.handle);
    for node in [found.node, again.node, other.node] {
        fs.forget(node, 1);
    }
    assert_eq!(mount.take("r"), ["new"]);
}

/// spec 3.9e, 4.5d: a file that a writer truncated in place, and that was killed before it wrote anything, gets its
/// content back.
#[test]
fn cut_short_in_place() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    mount.sh(
        "a",
        &format!("printf 'the old text' > {name}; chmod 640 {name}; touch -d @1700000000 {name}"),
    );
    let mut writer = Actor::new(&mount, "b");
    writer.run(&format!(
        "f = os.open('{name}', os.O_WRONLY); os.ftruncate(f, 0)"
    ));
    assert_eq!(mount.sh("r", &format!("cat {name}")), "");
    writer.kill();
    assert_eq!(mount.take("r"), ["the old text"]);
    let done = mount.stamped("n_done");
    assert_eq!(mount.sh("r", &format!("stat -c %a {done}")), "640\n");
    // A file that was emptied on purpose stays empty.
    mount.sh("a", &format!("printf old > {name}; truncate -s 0 {name}"));
    assert_eq!(mount.take("r"), [""; 0]);
    assert_eq!(replaced(&mount), ["old"]);
}

/// spec 3.9d: of one handoff the sixteen latest versions are kept.
#[test]
fn the_latest_versions() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    let other = "2026-01-02_030405_n_2.md";
    let script = format!(
        "echo 10 > {other}; echo 11 > {other}
        for i in $(seq 20 40); do echo $i > {name}; done; for i in $(seq 41 43); do truncate -s 0 {name}; echo $i >> {name}; done"
    );
    mount.sh("a", &script);
    let expected: Vec<String> = [10]
        .into_iter()
        .chain(27..43)
        .map(|i| format!("{i}\n"))
        .collect();
    assert_eq!(replaced(&mount), expected);
}

/// spec 3.9a: the copy of a file with holes has them too.
#[test]
fn a_copy_keeps_the_holes() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_n.md";
    mount.sh(
        "a",
        &format!(
            "echo head > {name}; truncate -s 3G {name}; echo tail >> {name}; truncate -s 5 {name}"
        ),
    );
    let kept = list(&mount.below(".handoff-fs/replaced"));
    let path = mount.below(".handoff-fs/replaced").join(&kept[0]);
    let meta = fs::metadata(&path).unwrap();
    assert_eq!(meta.len(), (3 << 30) + 5);
    assert!(meta.blocks() < 1000, "{}", meta.blocks());
    let mut tail = [0; 10];
    let file = fs::File::open(&path).unwrap();
    file.read_exact_at(&mut tail, (3 << 30) - 5).unwrap();
    assert_eq!(&tail, b"\0\0\0\0\0tail\n");
    file.read_exact_at(&mut tail, 0).unwrap();
    assert_eq!(&tail, b"head\n\0\0\0\0\0");
    assert_eq!(mount.take("r"), ["head"]);
}

/// spec 3.9a: while one version is copied, which takes as long as it takes, others go on.
#[test]
fn a_slow_copy_stops_nobody_needs_root() {
    let mut below = None;
    let slow = |dir: &Path| below = Some(Layer::bindfs(dir, &["--read-rate=512k"]));
    let mount = Mount::filled(slow);
    let name = "2026-01-02_030405_n.md";
    mount.sh("a", &format!("head -c 2M /dev/zero > {name}"));
    let mut cutter = Actor::new(&mount, "b");
    cutter.run(&format!("f = os.open('{name}', os.O_WRONLY)"));
    cutter.begin("os.ftruncate(f, 1)");
    let begun = || {
        fs::read_dir(mount.below(".handoff-fs/rewriting")).is_ok_and(|mut it| it.next().is_some())
    };
    while !begun() {
        thread::yield_now();
    }
    mount.sh("c", "echo x > x.md; ls -l");
    assert_eq!(
        fs::metadata(mount.below(name)).unwrap().len(),
        2 << 20,
        "it was cut by then"
    );
    assert_eq!(cutter.end().0, "value");
    assert_eq!(fs::metadata(mount.below(name)).unwrap().len(), 1);
}

/// spec 3.9a, 4.4d: an edit that was about to begin when its editor was killed is not published as an empty one.
#[test]
fn killed_before_it_opened() {
    let mount = Mount::new();
    let mut editor = Actor::called(&mount, "a", "vim");
    editor.run("open('n.md', 'w').write('old')");
    begins_an_edit(&mount, &editor);
    mount.fs().sweep();
    assert_eq!(mount.peek(), ["old"]);
}

/// spec 3.9a, 4.4d: nor by the RELEASE of the handle that wrote the old text, which may come as late as this.
#[test]
fn released_before_it_opened() {
    let mount = Mount::new();
    let mut editor = Actor::called(&mount, "a", "vim");
    editor.run("f = open('n.md', 'w'); f.write('old'); g = os.dup(f.fileno()); f.close()");
    begins_an_edit(&mount, &editor);
    editor.run("os.close(g)");
    // Waits for the RELEASE.
    assert_eq!(mount.take("r"), ["old"]);
}

/// Looks up and opens, as the kernel does before the ESTALE that makes it look up again.
fn begins_an_edit(mount: &Mount, editor: &Actor) {
    let who = Request {
        tid: editor.pid(),
        uid: 0,
    };
    let fs = mount.fs();
    let found = fs.lookup(who, NodeId::ROOT, "n.md".as_ref()).unwrap();
    let opened = fs.open_node(who, found.node, libc::O_WRONLY | libc::O_TRUNC);
    assert!(matches!(opened, Outcome::Ready(Err(Error::Stale))));
    fs.forget(found.node, 1);
}

/// spec 4.4a: emptied through a second descriptor, while a first one that wrote nothing is open.
#[test]
fn emptied_beside_an_open_one() {
    let mount = Mount::new();
    let mut editor = Actor::called(&mount, "a", "vim");
    editor.run("open('n.md', 'w').write('old')");
    editor.run("f = open('n.md', 'r+')");
    editor.run("open('n.md', 'w').close()");
    editor.run("f.close()");
    assert_eq!(editor.run("open('n.md').read()"), "");
}
