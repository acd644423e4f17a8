//! The story that the README tells.

use crate::harness::Mount;

/// spec 1, 4.1a, 6.1a, 6.3a: write any file, read pending.md, and it is consumed.
#[test]
fn write_read_forget() {
    let mount = Mount::new();
    mount.sh("writer", "echo 'auth refactor: tests still red' > auth.md");
    assert_eq!(mount.slugs(), ["auth"]);
    assert_eq!(mount.take("reader"), ["auth refactor: tests still red"]);
    assert_eq!(mount.sh("reader", "cat pending.md"), "");
    assert_eq!(mount.slugs(), ["auth_done"]);
}

/// spec 3.1: the files on disk follow the known protocol, and survive a remount.
#[test]
fn plain_files_below() {
    let mut mount = Mount::new();
    mount.sh("a", "echo one > a.md; echo two > b.md");
    assert_eq!(mount.names(), mount.names_below());
    mount.remount();
    assert_eq!(mount.peek(), ["one", "two"]);
    assert_eq!(mount.text_below(mount.stamped("a")), "one\n");
}
