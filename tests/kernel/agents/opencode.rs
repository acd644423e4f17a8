//! opencode: in place, and cut to its length afterwards; its watcher reads what it wrote at once.

use std::path::Path;

use rustix::fs::OFlags;

use super::calls::Calls;

pub fn write(calls: &Calls, f: &Path, text: &str) {
    let there = calls.access(f).if_there().is_some();
    calls.statx(f).ok_if(there);
    replace(calls, f, text);
}

pub fn edit(calls: &Calls, f: &Path, old: &str, new: &str) {
    let text = read(calls, f);
    assert!(text.contains(old), "oldString not found in content");
    replace(calls, f, &text.replacen(old, new, 1));
}

pub fn read(calls: &Calls, f: &Path) -> String {
    let size = calls.statx(f).ok().size;
    calls.sniff(f, size.min(4096) as usize);
    calls.read_all(f)
}

fn replace(calls: &Calls, f: &Path, text: &str) {
    // No O_TRUNC.
    let fd = calls.open(f, OFlags::WRONLY | OFlags::CREATE).ok();
    calls.write(&fd, text).ok();
    calls.ftruncate(&fd, text.len()).ok();
    calls.close(fd).ok();
    watch(calls, f, text);
    calls.statx(f).ok();
    watch(calls, f, text);
}

fn watch(calls: &Calls, f: &Path, text: &str) {
    let meta = calls.statx(f).ok();
    let seen = calls.read_all(f);
    assert_eq!(meta.size, seen.len() as u64);
    // All of them write to pending.md, which shows more than one's own.
    match f.file_name().unwrap() == "pending.md" {
        true => assert!(seen.contains(text), "{seen}"),
        false => assert_eq!(seen, text),
    }
}
