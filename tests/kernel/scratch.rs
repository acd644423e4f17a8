//! Temporary files of tools (spec 4.6).

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use crate::actors::Actor;
use crate::harness::{Mount, slug};

const SCRATCH: [&str; 22] = [
    ".n.md~",
    ".n.md.swp",
    ".n.md.tmp.12",
    "n.md~",
    "#n.md#",
    "n.tmp",
    "n.md.tmp.123",
    "n.md.tmp.123.0af9",
    "n.part",
    "n.md.partial",
    "n.swp",
    "n.swx",
    "n.vsctmp",
    "n.crswap",
    "n.md___jb_tmp___",
    "n.md___jb_old___",
    "4913",
    "sedAb12_9",
    "tmpab12_xyz",
    "XXab12_9",
    "2026-01-02_030405_n.md.tmp.1",
    "pending.md.tmp.12.ab",
];

/// spec 4.6: ordinary files, kept in the private directory, shown under their names, never merged.
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
            "b",
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

/// spec 4.6: renamed to an unstamped name, each is published.
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

/// spec 4.6: linked to an unstamped name it is published too.
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

/// spec 4.6, 4.10: what is no scratch file has no second name.
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

/// spec 4.6, 4.2: what is renamed while it is open is delivered when it is closed.
#[test]
fn renamed_while_open() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('n.tmp', 'w'); f.write('on'); f.flush(); os.rename('n.tmp', 'n.md')");
    assert_eq!(mount.take("b"), [""; 0]);
    writer.run("f.write('e'); f.close()");
    assert_eq!(mount.take("b"), ["one"]);
}

/// spec 4.6: a temporary name that no pattern knows is still one handoff.
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

/// spec 4.6, 4.4: and it edits where its program edits.
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

/// spec 4.6: untouched for the retention time they are removed.
#[test]
fn expiry() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo x > old.tmp; echo y > .old.swo; touch -d '30 days ago' .old.swo",
    );
    mount.clock.advance(Duration::from_secs(6 * 24 * 60 * 60));
    mount.fs().sweep();
    assert_eq!(mount.names(), [".old.swo", "old.tmp"]);
    mount.clock.advance(Duration::from_secs(2 * 24 * 60 * 60));
    mount.fs().sweep();
    assert_eq!(mount.names(), [""; 0]);
}

/// spec 4.6: they outlive the daemon, where their tools look for them.
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
    assert_eq!(
        fs::read_dir(mount.below(".handoff-fs/scratch"))
            .unwrap()
            .count(),
        1,
        "the queue's"
    );
}

/// spec 4.6, 4.2: what is written through a descriptor after the file was linked to its name is part of the handoff.
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

/// spec 4.2, 4.6: what a scratch file's writer closed before it was renamed to a handoff is about to be let go of: its
/// readers wait for that.
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
    // It is expected for 100 ms only, and this machine may be busy.
    assert!((0..100).any(expected));
}
