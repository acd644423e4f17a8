//! Recovery of what a daemon that died left open. The tests lay out the private directory as the daemon leaves it; the
//! tests of the program kill a real daemon.

use std::fs;
use std::path::Path;

use crate::actors::replaced;
use crate::harness::{Mount, list, sorted};

const NAME: &str = "2026-11-20_101500_plan.md";

fn private(dir: &Path, area: &str, name: &str, content: &str) {
    let path = dir.join(".handoff-fs").join(area).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// spec 3.8: a new handoff that was open is published as partial, in its queue, and the empty one is dropped.
#[test]
fn drafts_are_published_as_partial() {
    let mount = Mount::filled(|dir| {
        fs::create_dir(dir.join("queue")).unwrap();
        private(dir, "drafts", NAME, "half a pl");
        private(dir, "drafts", "2026-11-20_101501_empty.md", "");
        private(dir, "drafts/queue", "2026-11-20_101502_deep.md", "deep");
    });
    assert_eq!(
        mount.names(),
        ["2026-11-20_101500_plan-partial.md", "queue"]
    );
    assert_eq!(mount.peek(), ["half a pl", "deep"]);
    assert!(mount.at("queue/2026-11-20_101502_deep-partial.md").exists());
    assert_eq!(list(&mount.below(".handoff-fs/drafts")), ["queue"]);
}

/// spec 3.8, 3.3: a partial handoff whose name is taken gets the next suffix.
#[test]
fn a_partial_name_that_is_taken() {
    let mount = Mount::filled(|dir| {
        fs::write(dir.join("2026-11-20_101500_plan-partial.md"), "first\n").unwrap();
        private(dir, "drafts", NAME, "second\n");
    });
    assert_eq!(mount.slugs(), ["plan-partial", "plan-partial_2"]);
    assert_eq!(sorted(mount.peek()), ["first", "second"]);
}

/// spec 3.8: the unfinished edit of an old handoff is kept with the replaced versions; the old one stays as it was.
#[test]
fn unfinished_edits_are_kept() {
    let mount = Mount::filled(|dir| {
        fs::write(dir.join(NAME), "old\n").unwrap();
        private(dir, "edits", NAME, "new, unfini");
    });
    assert_eq!(mount.peek(), ["old"]);
    let kept = list(&mount.below(".handoff-fs/replaced"));
    assert_eq!(kept.len(), 1, "{kept:?}");
    let kept = mount.below(".handoff-fs/replaced").join(&kept[0]);
    assert_eq!(fs::read_to_string(kept).unwrap(), "new, unfini");
    assert_eq!(
        list(&mount.below(".handoff-fs/edits")),
        Vec::<String>::new()
    );
}

/// spec 3.8: an edit whose handoff is gone, or was empty, becomes a handoff.
#[test]
fn an_edit_of_nothing_is_published() {
    let empty = "2026-11-20_101501_empty.md";
    let mount = Mount::filled(|dir| {
        fs::write(dir.join(empty), "").unwrap();
        private(dir, "edits", empty, "one\n");
        private(dir, "edits", NAME, "two\n");
    });
    assert_eq!(sorted(mount.peek()), ["one", "two"]);
}

/// spec 3.9e: a file that is empty because its rewriting was cut short gets its content back; a file that was written
/// since stays.
#[test]
fn a_rewriting_that_was_cut_short() {
    let (other, gone) = ("2026-11-20_101501_other.md", "2026-11-20_101502_gone.md");
    let rewriting = |dir: &Path, name: &str, content: &str| {
        private(
            dir,
            "rewriting/q",
            &format!("{name}.1764330000000000000"),
            content,
        );
    };
    let mut mount = Mount::filled(|dir| {
        fs::create_dir(dir.join("q")).unwrap();
        fs::write(dir.join("q").join(NAME), "").unwrap();
        rewriting(dir, NAME, "old\n");
        private(dir, "edits/q", NAME, "new, unfini");
        fs::write(dir.join("q").join(other), "new\n").unwrap();
        rewriting(dir, other, "replaced\n");
        rewriting(dir, gone, "gone\n");
    });
    assert_eq!(mount.peek(), ["old", "new"]);
    assert_eq!(replaced(&mount), ["gone\n", "new, unfini", "replaced\n"]);
    assert_eq!(list(&mount.below(".handoff-fs/rewriting/q")), [""; 0]);
    mount.remount();
    assert_eq!(mount.take("r"), ["old", "new"]);
}

/// spec 3.8: the queue of a draft may be gone by now.
#[test]
fn a_draft_of_a_queue_that_is_gone() {
    let mount = Mount::filled(|dir| private(dir, "drafts/a/b", NAME, "kept\n"));
    assert_eq!(mount.peek(), ["kept"]);
    assert!(mount.at("a/b/2026-11-20_101500_plan-partial.md").exists());
}

/// spec 3.8, 4.2a: the power went between publishing and removing the draft's own name: one handoff, whole.
#[test]
fn two_names_of_one_file() {
    let mount = Mount::filled(|dir| {
        private(dir, "drafts", NAME, "whole\n");
        fs::hard_link(dir.join(".handoff-fs/drafts").join(NAME), dir.join(NAME)).unwrap();
    });
    assert_eq!(mount.names(), [NAME]);
    assert_eq!(mount.peek(), ["whole"]);
}

/// spec 3.8: an obstacle to one recovery stops neither the mount nor the other recoveries.
#[test]
fn what_cannot_be_recovered_stays() {
    let mut mount = Mount::filled(|dir| {
        fs::write(dir.join("file"), "in the way of the queue\n").unwrap();
        private(dir, "drafts/file", NAME, "later\n");
        private(dir, "drafts", NAME, "now\n");
    });
    assert_eq!(mount.peek(), ["now"]);
    assert!(mount.below(".handoff-fs/drafts/file").join(NAME).exists());
    mount.unmount();
    fs::remove_file(mount.below("file")).unwrap();
    mount.remount();
    assert_eq!(sorted(mount.peek()), ["later", "now"]);
}

/// spec 3.8, 4.6a: scratch files outlive the daemon as they are, under their names.
#[test]
fn scratch_files_stay() {
    let mut mount = Mount::new();
    mount.sh("a", "echo swap > .x.md.swp; echo tmp > x.md.tmp");
    mount.remount();
    assert_eq!(mount.sh("b", "cat .x.md.swp x.md.tmp"), "swap\ntmp\n");
    assert_eq!(mount.names_below(), [""; 0]);
    mount.sh("a", "mv x.md.tmp x.md");
    assert_eq!(mount.peek(), ["tmp"]);
}

/// spec 3.8, 6.3a: handoffs that were consumed by a read that was not answered are pending again, also when another
/// handoff has the name by then.
#[test]
fn an_unanswered_read_of_a_name_that_is_taken() {
    let mut mount = Mount::new();
    mount.unmount();
    let (name, done) = ("2026-01-02_030405_x.md", "2026-01-02_030405_x_done.md");
    fs::write(mount.below(done), "consumed, and not answered\n").unwrap();
    fs::write(mount.below(name), "the next\n").unwrap();
    fs::create_dir_all(mount.below(".handoff-fs/consuming")).unwrap();
    let note = format!("\0{name}\0{done}\0");
    fs::write(mount.below(".handoff-fs/consuming/1"), note).unwrap();
    mount.remount();
    assert_eq!(
        sorted(mount.peek()),
        ["consumed, and not answered", "the next"]
    );
    assert_eq!(mount.slugs(), ["x", "x_2"]);
    assert!(!mount.below(".handoff-fs/consuming/1").exists());
}
