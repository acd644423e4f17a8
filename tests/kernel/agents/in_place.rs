//! Gemini CLI, pi and aider: in place, and no look at it before.

use std::path::Path;

use rustix::fs::OFlags;

use super::calls::{Calls, dir_of};

pub fn write(calls: &Calls, f: &Path, text: &str) {
    calls.mkdir_p(dir_of(f));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let fd = calls.open(f, flags).ok();
    calls.write(&fd, text).ok();
    calls.close(fd).ok();
}

pub fn read(calls: &Calls, f: &Path) -> String {
    calls.statx(f).ok();
    calls.read_all(f)
}

pub fn edit(calls: &Calls, f: &Path, old: &str, new: &str) {
    let text = read(calls, f);
    assert!(text.contains(old), "0 occurrences found");
    write(calls, f, &text.replacen(old, new, 1));
}
