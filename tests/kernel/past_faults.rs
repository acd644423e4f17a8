//! Sequences of calls that once broke a promise, each as short as possible.

use std::fs;
use std::time::SystemTime;

use crate::actors::{Actor, replaced};
use crate::harness::{DAY, Mount, sorted};

const OLD: &str = "2020-01-02_030405_old.md";
const OLD_DONE: &str = "2020-01-02_030405_old_done.md";

/// spec 3.9a: a writer that has a handoff open overwrites text that another writer has closed meanwhile; the text is kept.
#[test]
fn a_closed_text_is_overwritten_by_an_open_writer() {
    let mount = Mount::new();
    mount.sh("a", "printf one > n.md");
    let name = mount.stamped("n");
    let mut first = Actor::new(&mount, "b");
    first.run(&format!("f = os.open('{name}', os.O_WRONLY)"));
    let mut second = Actor::new(&mount, "c");
    second.run(&format!("g = os.open('{name}', os.O_WRONLY)"));
    second.run("os.write(g, b'two'); os.close(g)");
    first.run("os.write(f, b'six'); os.close(f)");
    assert_eq!(replaced(&mount), ["one", "two"]);
    assert_eq!(mount.take("r"), ["six"]);
}

/// spec 3.3: a handoff is consumed while an open draft has its consumed name; both stay, under two names.
#[test]
fn a_draft_has_the_consumed_name() {
    let mount = Mount::new();
    mount.sh("a", &format!("printf pending > {OLD}"));
    let mut reader = Actor::new(&mount, "a");
    reader.run("r = open('pending.md', 'rb', 0); begin = r.read(10)");
    let mut writer = Actor::new(&mount, "a");
    writer.run(&format!("f = open('{OLD_DONE}', 'w')"));
    assert_eq!(
        reader.run("(begin + r.read()).count(b'\\npending\\n')"),
        "1"
    );
    writer.run("f.write('draft'); f.close()");
    assert_eq!(mount.peek(), [""; 0]);
    assert_eq!(mount.slugs(), ["old_2_done", "old_done"]);
    assert_eq!(mount.text(OLD_DONE), "draft");
    assert_eq!(mount.text("2020-01-02_030405_old_2_done.md"), "pending");
}

/// spec 3.5a: a handoff is consumed by a rename into another queue; its seven days count from the rename.
#[test]
fn consumed_into_another_queue() {
    let mount = Mount::new();
    mount.sh("a", "mkdir q; echo text > n.md");
    mount.pass(8 * DAY);
    let name = mount.stamped("n");
    let done = format!("q/{}", name.replace(".md", "_done.md"));
    mount.sh("a", &format!("mv {name} {done}"));
    expires_in_seven_days(&mount, &done, "text\n");
}

/// spec 3.5a: the same of a handoff that is consumed by a rename over a consumed one.
#[test]
fn consumed_over_a_consumed_one() {
    let mount = Mount::new();
    mount.sh("a", "echo text > n.md");
    mount.pass(8 * DAY);
    mount.sh("a", &format!("echo other > {OLD}; mv {OLD} {OLD_DONE}"));
    mount.sh("a", &format!("mv n.md {OLD_DONE}"));
    assert_eq!(mount.names(), [OLD_DONE]);
    expires_in_seven_days(&mount, OLD_DONE, "text\n");
}

/// Checks that a handoff that was just consumed stays for seven days, and no longer.
fn expires_in_seven_days(mount: &Mount, name: &str, text: &str) {
    let meta = fs::metadata(mount.below(name)).unwrap();
    for time in [meta.accessed().unwrap(), meta.modified().unwrap()] {
        assert!(time > SystemTime::now() + 7 * DAY, "{name}: {time:?}");
    }
    mount.pass(6 * DAY);
    assert_eq!(mount.text(name), text);
    assert_eq!(mount.text_below(name), text);
    mount.pass(DAY);
    assert!(!mount.at(name).exists() && !mount.below(name).exists());
}

/// spec 3.9a, 4.4d: a writer that opened a handoff before an edit began writes in place, and its close does not publish the
/// edit.
#[test]
fn a_writer_in_place_closes_during_an_edit() {
    let mount = Mount::new();
    let mut editor = Actor::called(&mount, "a", "vim");
    editor.run("open('n.md', 'w').write('old')");
    mount.settle();
    let name = mount.stamped("n");
    let mut writer = Actor::new(&mount, "b");
    writer.run(&format!("f = open('{name}', 'a')"));
    editor.run("f = open('n.md', 'w'); f.write('half'); f.flush()");
    writer.run("f.write(', more'); f.close()");
    assert_eq!(mount.text(&name), "old, more");
    assert_eq!(mount.text_below(&name), "old, more");
    editor.run("f.write(' and whole'); f.close()");
    assert_eq!(mount.take("r"), ["half and whole"]);
    assert_eq!(replaced(&mount), ["old, more"]);
}

/// spec 3.9a, 4.2a: the close of a writer that shares an edit's draft publishes the text of both; the text is kept when the
/// editor then overwrites a part of it.
#[test]
fn a_writer_of_the_same_draft_closes_during_an_edit() {
    let mount = Mount::new();
    let mut editor = Actor::called(&mount, "a", "vim");
    editor.run("open('n.md', 'w').write('old')");
    mount.settle();
    let name = mount.stamped("n");
    editor.run("f = open('n.md', 'w'); f.write('new'); f.flush()");
    mount.sh("b", &format!("printf ', more' >> {name}"));
    assert_eq!(mount.text_below(&name), "new, more");
    editor.run("f.write(' text'); f.close()");
    assert_eq!(mount.take("r"), ["new texte"]);
    assert_eq!(replaced(&mount), ["new, more", "old"]);
}

/// spec 4.3a: a hidden file that is renamed to a name of its session is found under that name.
#[test]
fn a_hidden_file_takes_an_own_name() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("open('data.json', 'w').write('one')");
    writer.run("open('.hid', 'w').write('two'); os.rename('.hid', 'data.json')");
    assert_eq!(writer.run("open('data.json').read()"), "two");
    assert_eq!(writer.run("os.path.exists('.hid')"), "False");
    assert_eq!(mount.run("b", "test -e data.json").status.code(), Some(1));
    assert_eq!(sorted(mount.take("r")), ["one", "two"]);
}

/// spec 6.6a, 6.6b: the reader of a handoff finds it under its pending name, and a plain rename(2) to that name brings the
/// handoff back.
#[test]
fn back_under_the_name_that_the_reader_finds() {
    let mount = Mount::new();
    mount.sh("a", "printf text > n.md");
    let name = mount.stamped("n");
    let done = name.replace(".md", "_done.md");
    assert_eq!(mount.take("r"), ["text"]);
    let mut reader = Actor::new(&mount, "r");
    assert_eq!(reader.run(&format!("open('{name}').read()")), "text");
    reader.run(&format!("os.rename('{done}', '{name}')"));
    assert_eq!(mount.names(), [name.as_str()]);
    assert_eq!(mount.names_below(), [name.as_str()]);
    assert_eq!(mount.sh("a", "cat n.md"), "text");
    assert_eq!(mount.take("s"), ["text"]);
}

/// spec 3.3, 3.4a: a handoff is renamed to its own name with `.txt`, under which another session has a second handoff.
#[test]
fn renamed_to_a_stamped_txt() {
    let mount = Mount::new();
    let text = OLD.replace(".md", ".txt");
    mount.sh("a", &format!("printf one > {OLD}; printf two > {text}"));
    assert_eq!(mount.slugs(), ["old", "old_2"]);
    let mut other = Actor::new(&mount, "b");
    other.run(&format!("os.rename('{OLD}', '{text}')"));
    assert_eq!(other.run(&format!("open('{text}').read()")), "one");
    assert_eq!(mount.sh("a", &format!("cat {text}")), "two");
    assert_eq!(mount.slugs(), ["old", "old_2"]);
    assert_eq!(mount.text_below(OLD), "one");
    assert_eq!(mount.take("r"), ["one", "two"]);
}
