//! Claude Code: one process; what it writes has a temporary name first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::UNCHANGED;
use super::calls::{Calls, Meta, dir_of};

pub struct ClaudeCode {
    pub older: bool,
    /// The attributes of the files that the agent has read or written.
    known: HashMap<PathBuf, Known>,
}

#[derive(Clone, Copy)]
struct Known {
    meta: Meta,
    /// The text of the file is in the conversation.
    shown: bool,
}

impl ClaudeCode {
    pub fn new(older: bool) -> ClaudeCode {
        ClaudeCode {
            older,
            known: HashMap::new(),
        }
    }

    pub fn write(&mut self, calls: &Calls, f: &Path, text: &str) {
        let old = calls.statx(f).if_there();
        if let Some(old) = old {
            self.check_unmodified(f, old);
            calls.read_all(f);
        }
        self.replace(calls, f, text, old);
    }

    pub fn read(&mut self, calls: &Calls, f: &Path) -> String {
        let meta = calls.statx(f).ok();
        if self
            .known
            .get(&key(f))
            .is_some_and(|it| it.shown && it.meta == meta)
        {
            return UNCHANGED.to_owned();
        }
        if f.extension().is_none() {
            calls.sniff(f, 16);
        }
        let text = calls.read_all(f);
        self.known.insert(key(f), Known { meta, shown: true });
        text
    }

    pub fn edit(&mut self, calls: &Calls, f: &Path, old: &str, new: &str) {
        let meta = calls.statx(f).ok();
        self.check_unmodified(f, meta);
        calls.sniff(f, 4096);
        let text = calls.read_all(f);
        assert_eq!(calls.read_all(f), text);
        assert!(text.contains(old), "String to replace not found in file");
        self.replace(calls, f, &text.replacen(old, new, 1), Some(meta));
    }

    fn check_unmodified(&self, f: &Path, meta: Meta) {
        let known = self.known.get(&key(f)).expect("File has not been read yet");
        assert_eq!(meta, known.meta, "File has been modified since read");
    }

    /// The part that Write and Edit have in common.
    fn replace(&mut self, calls: &Calls, f: &Path, text: &str, old: Option<Meta>) {
        let dir = dir_of(f);
        if calls.statx(dir).if_there().is_none() {
            calls.mkdir_p(dir);
        }
        probe(calls, f, old.is_some());
        calls.mkdir(dir).fails(Errno::EXIST);
        probe(calls, f, old.is_some());

        let temp = self.temporary(f);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let fd = calls.open(&temp, flags).ok();
        calls.write(&fd, text).ok();
        if let Some(old) = old {
            calls.fchmod(&fd, old.mode).ok();
        }
        calls.fsync(&fd).ok();
        let made = calls.fstat(&fd).ok();
        calls.close(fd).ok();
        calls.rename(&temp, f).ok();

        // Where it finds none it tells the model that it failed.
        let meta = calls.statx(f).ok();
        assert_eq!(calls.statx(f).ok(), meta);
        assert!(meta.is_file);
        // All of them write to pending.md, which shows more than one's own.
        if f.file_name().unwrap() != "pending.md" {
            assert_eq!(meta.size, text.len() as u64);
            assert_eq!(meta.mode, made.mode);
        }
        calls.lstat(&temp).fails(Errno::NOENT);
        let known = Known { meta, shown: false };
        self.known.insert(key(f), known);
    }

    fn temporary(&self, f: &Path) -> PathBuf {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let unique = if self.older {
            since.as_millis().to_string()
        } else {
            format!("{:012x}", since.as_nanos() & 0xffff_ffff_ffff)
        };
        let mut temp = f.as_os_str().to_owned();
        temp.push(format!(".tmp.{}.{unique}", std::process::id()));
        temp.into()
    }
}

/// The tools use absolute paths, and make relative paths absolute.
fn key(f: &Path) -> PathBuf {
    std::path::absolute(f).unwrap()
}

/// Is any part of the path a symbolic link, and where does it lead?
fn probe(calls: &Calls, f: &Path, there: bool) {
    calls.lstat(f).ok_if(there);
    for dir in f.ancestors().skip(1).filter(|dir| *dir != Path::new("")) {
        calls.lstat(dir).ok();
        if dir.parent().is_some() {
            calls.readlink(dir).fails(Errno::INVAL);
        }
    }
    match there {
        true => calls.readlink(f).fails(Errno::INVAL),
        false => calls.readlink(f).fails(Errno::NOENT),
    }
    let dir = calls.open(dir_of(f), OFlags::PATH | OFlags::DIRECTORY).ok();
    calls.close(dir).ok();
    let file = calls.open(f, OFlags::PATH | OFlags::NOFOLLOW);
    if let Some(file) = file.ok_if(there) {
        assert!(calls.fstat(&file).ok().is_file);
        calls.close(file).ok();
    }
    calls.statx(f).ok_if(there);
}
