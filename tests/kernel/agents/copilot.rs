//! Copilot CLI: before it runs a shell command it reads every file that the command names.

use std::path::Path;

use rustix::fs::OFlags;

use super::calls::Calls;

pub fn look_at_named(calls: &Calls, command: &str) {
    for word in command.split([' ', ';']) {
        let path = Path::new(word);
        if !word.is_empty() && calls.lstat(path).if_there().is_some_and(|it| it.is_file) {
            look_at(calls, path);
        }
    }
}

/// 32 bytes, 32, 64, 128 and so on, until there are no more.
fn look_at(calls: &Calls, path: &Path) {
    let fd = calls.open(path, OFlags::RDONLY).ok();
    let mut len = 32;
    let mut all = 0;
    loop {
        let read = calls.read(&fd, len).ok().len();
        if read == 0 {
            break;
        }
        all += read;
        len = len.max(all);
    }
    calls.close(fd).ok();
}
