//! Tools that copy, move and synchronise, unmodified (spec 4.1a, 4.1b, 4.3a, 4.5g, 4.6b). `tests/tools` has more of
//! them.

use std::fs;

use tempfile::TempDir;

use crate::actors::Actor;
use crate::harness::{Mount, sorted};

/// Files outside the mount, on another filesystem for every tool.
fn outside() -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("one"), "one\n").unwrap();
    fs::write(dir.path().join("two"), "two\n").unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (dir, path)
}

/// spec 4.1a, 4.5g: cp within the mount, and cp that unlinks its target first.
#[test]
fn cp_within() {
    let mount = Mount::new();
    let (_dir, outside) = outside();
    mount.sh(
        "a",
        "echo x > n.md; cp n.md m.md; cp 2*_n.md k.md; cat m.md k.md",
    );
    assert_eq!(mount.peek(), ["x", "x", "x"]);
    mount.sh(
        "a",
        &format!("cp --remove-destination {outside}/two m.md; cat m.md"),
    );
    assert_eq!(sorted(mount.take("b")), ["two", "x", "x", "x"]);
}

/// spec 4.5g: mv from another filesystem unlinks its target before it creates it; neither handoff is lost.
#[test]
fn mv_from_elsewhere() {
    let mount = Mount::new();
    let (_dir, outside) = outside();
    mount.sh(
        "a",
        &format!(
            "mv {outside}/one n.md; cat n.md; mv {outside}/two n.md; cat n.md; ! ls {outside}/*"
        ),
    );
    // In the order of their mtimes, which mv takes along.
    assert_eq!(sorted(mount.take("b")), ["one", "two"]);
}

/// spec 4.5a, 4.5g: mv out of the mount takes the handoff along.
#[test]
fn mv_elsewhere() {
    let mount = Mount::new();
    let (_dir, outside) = outside();
    mount.sh(
        "a",
        &format!("echo x > n.md; echo y > m.md; mv 2*_n.md {outside}/taken; cat {outside}/taken"),
    );
    assert_eq!(mount.slugs(), ["m"]);
    mount.sh(
        "a",
        &format!("mv m.md {outside}/alias; cat {outside}/alias"),
    );
    assert_eq!(mount.slugs(), ["m_done"]);
}

/// spec 4.6a, 4.6b: rsync writes a hidden name and renames it.
#[test]
fn rsync() {
    let mount = Mount::new();
    let (_dir, outside) = outside();
    mount.sh(
        "a",
        &format!("rsync -a {outside}/one n.md; cmp {outside}/one n.md"),
    );
    let stamped = mount.stamped("n");
    // A second time it finds its own file, of the same size and time, and does nothing.
    mount.sh("a", &format!("rsync -a {outside}/one n.md"));
    assert_eq!(mount.names(), [stamped]);
    mount.sh(
        "a",
        &format!("rsync -aI {outside}/two n.md; cmp {outside}/two n.md"),
    );
    assert_eq!(mount.peek(), ["one", "two"]);
    assert_eq!(mount.take("b").len(), 2);
    assert!(mount.names().iter().all(|name| !name.starts_with('.')));
}

/// spec 4.6b: rsync of a directory makes a handoff of each file.
#[test]
fn rsync_directory() {
    let mount = Mount::new();
    let (_dir, outside) = outside();
    mount.sh("a", &format!("rsync -r {outside}/ ./"));
    assert_eq!(mount.slugs(), ["one", "two"]);
    assert_eq!(mount.take("b").len(), 2);
}

/// spec 4.6b: Python's way of replacing a file at once.
#[test]
fn tempfile_and_replace() {
    let mount = Mount::new();
    let mut python = Actor::new(&mount, "a");
    python.run("import tempfile");
    let replace = |text: &str| {
        format!(
            "
f = tempfile.NamedTemporaryFile('w', dir='.', delete=False)
f.write('{text}'); f.flush(); os.fsync(f.fileno()); f.close()
os.replace(f.name, 'n.md')
d = os.open('.', os.O_DIRECTORY); os.fsync(d); os.close(d)
assert open('n.md').read() == '{text}'
"
        )
    };
    python.run(&replace("one"));
    assert_eq!(mount.slugs(), ["n"]);
    python.run(&replace("two"));
    assert_eq!(mount.peek(), ["one", "two"]);
    python.run("f = tempfile.NamedTemporaryFile('w', dir='.'); f.write('scratch'); f.flush()");
    assert_eq!(mount.take("b"), ["one", "two"]);
}

/// spec 4.1a, 4.6a: a mode that forbids to open the file does not keep its maker from writing it; and it can be changed.
#[test]
fn modes_that_forbid_to_open() {
    let mount = Mount::filled(|dir| fs::create_dir(dir.join("ordinary")).unwrap());
    for name in [
        "n.md",
        "2026-01-15_103000_s.md",
        "x.tmp",
        ".hidden",
        "ordinary/x",
    ] {
        for mask in ["777", "577", "222"] {
            let script = format!(
                "umask {mask}; echo one > {name}; umask 022; touch -d @1700000000 {name}; chmod 600 {name};
                stat -c %Y {name}; cat {name}; rm {name}"
            );
            assert_eq!(mount.sh("a", &script), "1700000000\none\n", "{name} {mask}");
        }
    }
    let script = "umask 777; echo one > m.md; s=$(ls | grep _m); mv $s ${s%.md}_done.md; chmod 600 *_m_done.md; cat *_m_done.md";
    assert_eq!(mount.sh("b", script), "one\n");
}

/// spec 8.4c: a file whose mode forbids it is not opened again, as in any directory.
#[test]
fn opened_again_against_its_mode() {
    let mount = Mount::new();
    if rustix::process::geteuid().is_root() {
        return;
    }
    for name in ["n.md", "x.tmp"] {
        let script = format!("echo one > {name}; chmod 000 {name}; echo two >> {name}");
        let output = mount.run("a", &script);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains("Permission denied"), "{name}: {errors}");
    }
}
