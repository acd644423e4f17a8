//! What a name means. Every operation asks here, so that no two of them can disagree.

use super::{Slug, Stamp, StampedName, document_stem, without_extension};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The virtual file that merges, and by being read consumes, what is pending (spec 6.1).
pub const PENDING: &str = "pending.md";
/// The virtual file with the same bytes that consumes nothing (spec 6.5).
pub const PEEK: &str = ".peek.md";
/// The virtual file that tells the daemon's state.
pub const STATUS: &str = ".status.json";
/// The private directory (spec 2).
pub const PRIVATE: &str = ".handoff-fs";

/// What kind of thing a name in a queue stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NameClass {
    /// `pending.md`
    Pending,
    /// `.peek.md`
    Peek,
    /// `.status.json`
    Status,
    /// `.handoff-fs`
    Private,
    /// A handoff under its own name, as [`StampedName::from_written`] reads it.
    Stamped(StampedName),
    /// A tool's temporary file, of which each session has its own (spec 4.6).
    Scratch,
    /// A lock, a pid or a swap file, which all sessions share (spec 4.6).
    SharedScratch,
    /// A hidden name that is none of the above: passed through as it is (spec 3.6). rsync's temporary names are among
    /// them; what they mean depends on how the file is made, see [`is_rsync_temporary`].
    Hidden,
    /// A stamped name with an ending that no document has: an ordinary file (spec 3.4).
    Ordinary,
    /// What a tool keeps of an earlier version, `*.bak` or `*.orig` (spec 4.5).
    Backup,
    /// Anything else: writing it makes a handoff (spec 4.1).
    Unstamped,
}

/// The meaning of `name`, one component of a path.
pub fn classify(name: &OsStr) -> NameClass {
    let bytes = name.as_bytes();
    if bytes == PENDING.as_bytes() {
        NameClass::Pending
    } else if bytes == PEEK.as_bytes() {
        NameClass::Peek
    } else if bytes == STATUS.as_bytes() {
        NameClass::Status
    } else if bytes == PRIVATE.as_bytes() {
        NameClass::Private
    } else if is_shared_scratch(bytes) {
        NameClass::SharedScratch
    } else if is_scratch(bytes) {
        NameClass::Scratch
    } else if bytes.starts_with(b".") {
        NameClass::Hidden
    } else if let Some(stamped) = StampedName::from_written(name) {
        NameClass::Stamped(stamped)
    } else if is_stamped_otherwise(bytes) {
        NameClass::Ordinary
    } else if is_backup(bytes) {
        NameClass::Backup
    } else {
        NameClass::Unstamped
    }
}

/// Whether a file of this name that turns up in a queue's backing directory is to become a handoff
/// (spec 3.7). Names that are stamped exactly need nothing done.
pub fn is_adoptable(name: &OsStr) -> bool {
    match classify(name) {
        NameClass::Unstamped => document_stem(name.as_bytes()).is_some(),
        NameClass::Stamped(_) => StampedName::parse(name).is_none(),
        NameClass::Pending
        | NameClass::Peek
        | NameClass::Status
        | NameClass::Private
        | NameClass::Scratch
        | NameClass::Hidden
        | NameClass::SharedScratch
        | NameClass::Ordinary
        | NameClass::Backup => false,
    }
}

/// The name under which a stray becomes a handoff (spec 3.7): pending whatever the name, for nobody can have read it.
/// `stamp` is that of its mtime; a name that is stamped but for its extension keeps its own (spec 3.4).
pub fn adopted(name: &OsStr, stamp: Stamp) -> StampedName {
    match StampedName::from_written(name) {
        Some(read) if read.is_pending() => read,
        read => {
            let stem = without_extension(name.as_bytes()).unwrap_or(name.as_bytes());
            let (stamp, stem) = match read {
                // The stamp and the `_` after it.
                Some(read) => (read.stamp(), stem.get(Stamp::LEN + 1..).unwrap_or_default()),
                None => (stamp, stem),
            };
            StampedName::new(stamp, Slug::from_stem(stem))
        }
    }
}

/// Whether a directory of this name is a lock, and so an ordinary one (spec 3.6, 4.6).
pub fn is_lock_dir(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".lock")
}

/// Spec 4.6, hidden names of these kinds included.
pub(super) fn is_scratch(name: &[u8]) -> bool {
    is_shared_scratch(name) || has_temporary_name(name)
}

/// The scratch names that all sessions share, so that locks lock.
fn is_shared_scratch(name: &[u8]) -> bool {
    const ENDINGS: [&str; 5] = [".lock", ".lck", ".pid", ".swp", ".swx"];
    /// Vim makes it to see whether it may write to the directory.
    const VIM_PROBE: &[u8] = b"4913";
    ENDINGS.iter().any(|end| name.ends_with(end.as_bytes()))
        || name == VIM_PROBE
        || is_hidden_swap(name)
}

/// The scratch names of which each session has its own.
fn has_temporary_name(name: &[u8]) -> bool {
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
    ENDINGS.iter().any(|end| name.ends_with(end.as_bytes()))
        || (name.len() >= 2 && name.starts_with(b"#") && name.ends_with(b"#"))
        || is_numbered_tmp(name)
        || is_random(name)
}

/// `.*.sw?`: vim's swap files.
fn is_hidden_swap(name: &[u8]) -> bool {
    let hidden = name.strip_prefix(b".");
    hidden.is_some_and(|rest| matches!(rest, [.., b'.', b's', b'w', _]))
}

/// `.name.XXXXXX`: the file that rsync renames into place. A scratch file if it was made with O_EXCL, as rsync does it
/// (spec 4.6).
pub fn is_rsync_temporary(name: &OsStr) -> bool {
    let mut parts = name.as_bytes().rsplitn(2, |&byte| byte == b'.');
    let drawn = |random: &[u8]| random.len() == 6 && random.iter().all(u8::is_ascii_alphanumeric);
    parts.next().is_some_and(drawn)
        && parts
            .next()
            .is_some_and(|rest| rest.len() >= 2 && rest.starts_with(b"."))
}

/// `YYYY-MM-DD_HHMMSS_*.*` with an ending that is no document's.
fn is_stamped_otherwise(name: &[u8]) -> bool {
    let rest = name.split_at_checked(Stamp::LEN);
    let rest = rest.and_then(|(stamp, rest)| Stamp::parse(stamp).map(|_| rest));
    rest.and_then(|rest| rest.strip_prefix(b"_"))
        .is_some_and(|rest| !rest.is_empty() && document_stem(name).is_none())
}

/// `*.tmp.<digits>` and `*.tmp.<digits>.<hex>`: how agents name the file they rename into place.
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

/// The whole names that `mkstemp` and its like give in GNU sed (`sedXXXXXX`), Python (`tmpXXXXXXXX`) and
/// others (`XXXXXXXX`).
fn is_random(name: &[u8]) -> bool {
    const PREFIXES: [(&str, usize); 3] = [("sed", 6), ("tmp", 8), ("XX", 6)];
    PREFIXES.iter().any(|&(prefix, count)| {
        name.strip_prefix(prefix.as_bytes()).is_some_and(|random| {
            let drawn = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            random.len() == count && random.iter().all(drawn)
        })
    })
}

/// `*.bak` and `*.orig`.
fn is_backup(name: &[u8]) -> bool {
    name.ends_with(b".bak") || name.ends_with(b".orig")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in a text.
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split_whitespace()
    }

    fn parsed(name: &str) -> StampedName {
        StampedName::parse(OsStr::new(name)).expect(name)
    }

    /// spec 4.6a, pattern by pattern, and what just misses each
    #[test]
    fn scratch_names() {
        for name in words(
            "x~ x.md~ ~ #x# ## x.tmp x.md.tmp.1234 x.md.tmp.1234.0aF9 x.tmp.1.1 \
             x.part x.md.partial x.vsctmp x.crswap x.md___jb_tmp___ x.md___jb_old___ \
             sedA1_zz9 tmpab_12xyz XXabc_12 pending.md~ pending.md.tmp.1 .x.md~ .x.tmp .x~ .x.md.tmp.12 .x.part \
             2026-11-22_142301_x~ 2026-11-22_142301_x.md~ 2026-11-22_142301_x.md.tmp.12.ab \
             2026-11-22_142301_x.tmp 2026-11-22_142301_x___jb_tmp___ .tmp",
        ) {
            assert_eq!(classify(OsStr::new(name)), NameClass::Scratch, "{name}");
        }
        for name in words(
            "x.swp x.swx .x.swp .x.swo .x.md.swn 4913 x.lock x.md.lock x.lck x.pid \
             .lock .x.pid 2026-11-22_142301_x.md.lock 2026-11-22_142301_x.pid pending.md.lock",
        ) {
            assert_eq!(
                classify(OsStr::new(name)),
                NameClass::SharedScratch,
                "{name}"
            );
        }
        for name in words(
            "x # #x x# tmp tmp.12 tmp.12.ab x.tmp. x.tmp.ab x.tmp.12. x.tmp.12.xy x.tmp.12.ab.cd \
             x.tmp.md xtmp.12 4914 4913.md sedA1zz9 sedA1zz999 sedA1-zz9 sedA1zz9.md tmpab12x \
             tmpab12xyzzz XXabc12 xxabcdef x.swp.md partial part.md pending.md.md Pending.md \
             pending lock pid x.locks x.lock.md x.swo 2026-11-22_142301_done.md 2026-11-22_142301.json \
             2026-02-30_142301_x.json x2026-11-22_142301_x.json 2026-11-22_142301-x.json",
        ) {
            assert_eq!(classify(OsStr::new(name)), NameClass::Unstamped, "{name}");
        }
    }

    /// spec 3.6k, 4.6a: what is hidden, and of it what rsync may have made
    #[test]
    fn hidden_names() {
        for (name, rsync) in [
            (".x", false),
            (".git", false),
            (".gitignore", false),
            (".netrc", false),
            (".bak", false),
            (".x.md.bak", false),
            (".sw", false),
            (".x.swap", false),
            (".2026-11-22_142301_x.md", false),
            (".x.md.Xa12b", false),
            (".x.md.Xa12b_", false),
            ("..Xa12bC", false),
            (".Xa12bC", false),
            (".x.md.Xa12bC", true),
            (".x.Xa12bC", true),
        ] {
            assert_eq!(classify(OsStr::new(name)), NameClass::Hidden, "{name}");
            assert_eq!(is_rsync_temporary(OsStr::new(name)), rsync, "{name}");
        }
        assert!(!is_rsync_temporary(OsStr::new("x.md.Xa12bC")));
    }

    /// spec 2, 4.5f, 6.1a, 6.5b: every other class
    #[test]
    fn other_classes() {
        for (name, class) in [
            ("pending.md", NameClass::Pending),
            (".peek.md", NameClass::Peek),
            (".status.json", NameClass::Status),
            (".handoff-fs", NameClass::Private),
            (".peek.md~", NameClass::Scratch),
            ("2026-11-22_142301_state.json", NameClass::Ordinary),
            ("2026-11-22_142301_x_done.json", NameClass::Ordinary),
            ("2026-11-22_142301_x.md.consumed", NameClass::Ordinary),
            ("2026-11-22_142301_x.MD", NameClass::Ordinary),
            ("x.bak", NameClass::Backup),
            ("x.md.orig", NameClass::Backup),
            ("pending.md.bak", NameClass::Backup),
            ("2026-11-22_142301_x.md.bak", NameClass::Ordinary),
            ("2026-11-22_142301_x.orig", NameClass::Ordinary),
        ] {
            assert_eq!(classify(OsStr::new(name)), class, "{name}");
        }
        for ending in ["", ".txt", ".markdown", ".md"] {
            let class = classify(OsStr::new(&format!("2026-11-22_142301_x{ending}")));
            let stamped = parsed("2026-11-22_142301_x.md");
            assert_eq!(class, NameClass::Stamped(stamped), "{ending:?}");
        }
    }

    /// spec 3.7a: which files that turn up become handoffs
    #[test]
    fn strays_that_are_adopted() {
        for name in [
            "x.md",
            "x.markdown",
            "x.txt",
            "x",
            "a b.md",
            "x_done.md",
            "done",
            "pending.txt",
            "2026-11-22_142301_x",
            "2026-11-22_142301_x.txt",
            "2026-11-22_142301.md",
        ] {
            assert!(is_adoptable(OsStr::new(name)), "{name}");
        }
        for name in words(
            "x.json x.tar.gz x. x.MD .x.md .peek.md .handoff-fs x.md~ 4913 x.md.bak pending.md \
             2026-11-22_142301_x.md 2026-11-22_142301_x_done.md 2026-11-22_142301_notes.json",
        ) {
            assert!(!is_adoptable(OsStr::new(name)), "{name}");
        }
    }

    /// spec 3.7a: pending whatever the stem ends in; spec 3.4a for what is stamped but for its extension
    #[test]
    fn what_strays_become() {
        let stamp = Stamp::parse(b"2026-11-22_142301").unwrap();
        for (name, becomes) in [
            ("x.md", "2026-11-22_142301_x.md"),
            ("x", "2026-11-22_142301_x.md"),
            ("x_done.txt", "2026-11-22_142301_x-done.md"),
            ("x_done_done.md", "2026-11-22_142301_x_done-done.md"),
            ("a b_done", "2026-11-22_142301_a-b-done.md"),
            ("x.md_done.md", "2026-11-22_142301_x.md-done.md"),
            ("_done.md", "2026-11-22_142301_-done.md"),
            ("done.md", "2026-11-22_142301_-done.md"),
            ("x_done!.md", "2026-11-22_142301_x-done.md"),
            ("2025-01-02_030405_x.txt", "2025-01-02_030405_x.md"),
            ("2025-01-02_030405_x_done", "2025-01-02_030405_x-done.md"),
            (
                "2025-01-02_030405_x_done_done.txt",
                "2025-01-02_030405_x_done-done.md",
            ),
        ] {
            let name = adopted(OsStr::new(name), stamp);
            assert_eq!(name.to_string(), becomes);
            assert!(name.is_pending(), "{name}");
        }
    }
}
