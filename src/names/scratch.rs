//! The names of tools' temporary files (spec 4.6).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Is this a scratch name, shared or not? A scratch name may also be stamped or hidden.
pub(super) fn is_scratch(name: &[u8]) -> bool {
    is_shared_scratch(name) || is_temporary(name)
}

/// Scratch names that all sessions share: a lock file would not work if each session had its own.
pub(super) fn is_shared_scratch(name: &[u8]) -> bool {
    const ENDINGS: [&str; 5] = [".lock", ".lck", ".pid", ".swp", ".swx"];
    /// Vim creates this file to check that the directory is writable.
    const VIM_PROBE: &[u8] = b"4913";
    ends_with_any(name, &ENDINGS) || name == VIM_PROBE || is_hidden_swap(name)
}

/// Scratch names for which each session has its own file.
fn is_temporary(name: &[u8]) -> bool {
    const ENDINGS: [&str; 8] = [
        "~",
        ".tmp",
        ".part",
        ".partial",
        ".vsctmp",
        ".crswap",
        "___jb_tmp___",
        "___jb_old___",
    ];
    ends_with_any(name, &ENDINGS)
        || (name.len() >= 2 && name.starts_with(b"#") && name.ends_with(b"#"))
        || is_numbered_tmp(name)
        || is_random(name)
}

/// `.*.sw?`: vim's swap files.
fn is_hidden_swap(name: &[u8]) -> bool {
    let hidden = name.strip_prefix(b".");
    hidden.is_some_and(|rest| matches!(rest, [.., b'.', b's', b'w', _]))
}

/// `.name.XXXXXX`, the file that rsync renames into place. Such a file is scratch only if it was created with O_EXCL, which
/// rsync uses (spec 4.6).
pub fn is_rsync_temporary(name: &OsStr) -> bool {
    let mut parts = name.as_bytes().rsplitn(2, |&byte| byte == b'.');
    let drawn = |random: &[u8]| random.len() == 6 && random.iter().all(u8::is_ascii_alphanumeric);
    parts.next().is_some_and(drawn)
        && parts
            .next()
            .is_some_and(|rest| rest.len() >= 2 && rest.starts_with(b"."))
}

/// `*.tmp.<digits>` and `*.tmp.<digits>.<hex>`: files that agents rename into place.
fn is_numbered_tmp(name: &[u8]) -> bool {
    let some = |part: &[u8], test: fn(&u8) -> bool| !part.is_empty() && part.iter().all(test);
    let digits = |part: &[u8]| some(part, u8::is_ascii_digit);
    let hex = |part: &[u8]| some(part, u8::is_ascii_hexdigit);
    let parts: Vec<&[u8]> = name.rsplitn(5, |&byte| byte == b'.').collect();
    match *parts {
        [number, b"tmp", _, ..] if digits(number) => true,
        [random, number, b"tmp", _, ..] => digits(number) && hex(random),
        _ => false,
    }
}

/// The names that functions like `mkstemp` make for GNU sed (`sedXXXXXX`), Python (`tmpXXXXXXXX`) and others (`XXXXXXXX`).
fn is_random(name: &[u8]) -> bool {
    const PREFIXES: [(&str, usize); 3] = [("sed", 6), ("tmp", 8), ("XX", 6)];
    PREFIXES.iter().any(|&(prefix, count)| {
        name.strip_prefix(prefix.as_bytes()).is_some_and(|random| {
            let drawn = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            random.len() == count && random.iter().all(drawn)
        })
    })
}

fn ends_with_any(name: &[u8], endings: &[&str]) -> bool {
    endings.iter().any(|end| name.ends_with(end.as_bytes()))
}
