//! Handoffs that were removed before they were read (spec 3.9b).

use std::ffi::OsStr;
use std::fs;

use handoff_fs::names::StampedName;

use crate::actors::{Actor, replaced};
use crate::harness::{DAY, Mount, files};

/// The removed handoffs that are kept: queue, slug and content, sorted.
fn removed(mount: &Mount) -> Vec<(String, String, String)> {
    let top = mount.below(".handoff-fs/removed");
    let mut found = Vec::new();
    for path in files(&top) {
        let queue = path.parent().unwrap().strip_prefix(&top).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let (handoff, nanos) = name.rsplit_once('.').unwrap();
        assert!(nanos.parse::<u64>().is_ok(), "{name}");
        let handoff = StampedName::parse(OsStr::new(handoff)).unwrap();
        assert!(handoff.is_pending(), "{name}");
        let slug = handoff.slug().as_os_str().to_str().unwrap();
        let content = fs::read_to_string(&path).unwrap();
        found.push(kept(queue.to_str().unwrap(), slug, &content));
    }
    found.sort();
    found
}

fn kept(queue: &str, slug: &str, content: &str) -> (String, String, String) {
    (queue.to_owned(), slug.to_owned(), content.to_owned())
}

/// spec 3.9b, 4.7c: `rm -rf` of everything in the mount keeps what was pending, each with its queue and name, for the
/// retention time; nothing of what was consumed or empty.
#[test]
fn everything_is_removed() {
    let mut mount = Mount::new();
    mount.sh(
        "a",
        "mkdir -p q/deep; echo read > read.md; cat pending.md; touch empty.md",
    );
    mount.sh("a", "echo one > one.md; echo two > q/two.md");
    mount.sh("b", "echo three > q/deep/three.md");
    let rest = mount.at("");
    mount.sh(
        "c",
        &format!("echo mine > own.tmp; rm -rf {}/*", rest.display()),
    );
    assert_eq!(mount.names(), [""; 0]);
    assert_eq!(mount.names_below(), [""; 0]);
    assert_eq!(mount.peek(), [""; 0]);
    let all = [
        kept("", "one", "one\n"),
        kept("q", "two", "two\n"),
        kept("q/deep", "three", "three\n"),
    ];
    assert_eq!(removed(&mount), all);
    mount.sh("a", "mkdir q; echo again > q/two.md; rm q/2*");
    mount.pass(7 * DAY - DAY / 24);
    mount.remount();
    mount.fs().sweep();
    assert_eq!(removed(&mount).len(), 4);
    mount.pass(DAY / 24);
    assert_eq!(removed(&mount), []);
}

/// spec 3.9b, 4.5a: a handoff that is removed while it is written or edited is kept with all that its writer writes.
#[test]
fn removed_while_it_is_written() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('n.md', 'w')");
    mount.sh("b", "rm 2*_n.md");
    writer.run("f.write('all of it'); f.close()");
    assert_eq!(removed(&mount), [kept("", "n", "all of it")]);
    assert_eq!(mount.names(), [""; 0]);
    let mut editor = Actor::called(&mount, "a", "hx");
    editor.run("open('m.md', 'w').write('old')");
    editor.run("f = open('m.md', 'w'); f.write('new'); f.flush()");
    mount.sh("b", "rm 2*_m.md");
    editor.run("f.close()");
    assert_eq!(
        removed(&mount),
        [
            kept("", "m", "new"),
            kept("", "m", "old"),
            kept("", "n", "all of it")
        ]
    );
    assert_eq!(mount.peek(), [""; 0]);
}

/// Publishes `published` under this name, by the close of a copy of the descriptor, and leaves the file open as `f`.
fn publish_and_stay(writer: &mut Actor, name: &str) {
    writer.run(&format!(
        "f = open('{name}', 'w'); f.write('published'); f.flush()"
    ));
    writer.run("os.close(os.dup(f.fileno()))");
}

/// spec 3.9b: what a close has published is kept as it was when the handoff is removed, whatever its writer does to the
/// file afterwards.
#[test]
fn a_writer_goes_on_after_the_removal() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    for (name, change) in [
        ("over", "f.seek(0); f.write('X')"),
        ("cut", "f.truncate(0)"),
    ] {
        publish_and_stay(&mut writer, &format!("{name}.md"));
        mount.sh("b", &format!("rm 2*_{name}.md"));
        writer.run(&format!("{change}; f.close()"));
        let published = kept("", name, "published");
        let removed = removed(&mount);
        assert!(removed.contains(&published), "{name}: {removed:?}");
    }
    assert_eq!(mount.names(), [""; 0]);
}

/// spec 3.9a: the same of what a rename replaces, and of what an editor renames to a backup.
#[test]
fn a_writer_goes_on_after_the_rename() {
    for rename in [
        "echo new > new.tmp; mv new.tmp 2*_n.md",
        "mv 2*_n.md n.md.bak",
    ] {
        let mount = Mount::new();
        let mut writer = Actor::new(&mount, "a");
        publish_and_stay(&mut writer, "n.md");
        mount.sh("b", rename);
        writer.run("f.seek(0); f.write('X'); f.close()");
        let replaced = replaced(&mount);
        assert!(
            replaced.contains(&"published".to_owned()),
            "{rename}: {replaced:?}"
        );
    }
}

/// spec 6.2b: a reader of `pending.md` reads a handoff as it was when the file is removed or renamed, and written afterwards.
#[test]
fn a_reader_sees_nothing_of_it() {
    for command in ["rm 2*_n.md", "mv 2*_n.md n.md.bak"] {
        let mount = Mount::new();
        let (mut writer, mut reader) = (Actor::new(&mount, "a"), Actor::new(&mount, "r"));
        writer.run("open('n.md', 'w').write('o' * (8 << 20))");
        let name = mount.names().remove(0);
        reader.run("r = open('pending.md', 'rb', 0); r.read(10)");
        writer.run(&format!("f = open('{name}', 'r+')"));
        mount.sh("b", command);
        writer.run("f.write('X' * (8 << 20)); f.close()");
        assert_eq!(reader.run("r.read().count(b'X')"), "0", "{command}");
    }
}

/// spec 3.9a, 3.9b, 4.5g: an unread handoff that another is renamed over is kept with the replaced versions; a consumed one,
/// and an alias that is unlinked, leave nothing behind.
#[test]
fn what_is_kept_elsewhere_or_not_at_all() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo one > one.md; echo two > two.tmp; mv two.tmp 2*_one.md",
    );
    assert_eq!(replaced(&mount), ["one\n"]);
    assert_eq!(mount.take("a"), ["two"]);
    mount.sh("a", "rm 2*_done.md; echo three > three.md; rm three.md");
    assert_eq!(mount.slugs(), ["three_done"]);
    assert_eq!(removed(&mount), []);
}

/// spec 3.9b: a pending handoff with the longest name there is can be removed, and is kept.
#[test]
fn the_longest_name() {
    let mount = Mount::new();
    let name = format!("2026-01-02_030405_{}.md", "x".repeat(234));
    mount.sh("a", &format!("echo long > {name}; rm {name}"));
    assert_eq!(mount.names_below(), [""; 0]);
    assert_eq!(removed(&mount).len(), 1);
}
