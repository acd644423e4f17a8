//! The meaning of a name. Every operation uses this classification, so no two operations can disagree.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::format::{document_stem, without_extension};
use super::scratch::{is_scratch, is_shared_scratch};
use super::slug::Slug;
use super::stamp::Stamp;
use super::stamped::StampedName;

/// The virtual file that merges the pending handoffs; reading it consumes them (spec 6.1).
pub const PENDING: &str = "pending.md";
/// The virtual file with the same bytes as `pending.md`; reading it consumes nothing (spec 6.5).
pub const PEEK: &str = ".peek.md";
/// The virtual file with the state of the daemon.
pub const STATUS: &str = ".status.json";
/// The private directory (spec 2).
pub const PRIVATE: &str = ".handoff-fs";

/// The kind of file that a name in a queue stands for.
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
    /// A tool's temporary file: each session has its own file of that name (spec 4.6).
    Scratch,
    /// A lock, a pid or a swap file, which all sessions share (spec 4.6).
    SharedScratch,
    /// Any other hidden name: an ordinary file (spec 3.6). rsync's temporary names are hidden names, too; their meaning
    /// depends on how the file is created, see [`is_rsync_temporary`](super::is_rsync_temporary).
    Hidden,
    /// A stamped name with an extension that no text document has: an ordinary file (spec 3.4).
    Ordinary,
    /// A tool's copy of an earlier version, `*.bak` or `*.orig` (spec 4.5).
    Backup,
    /// Any other name: writing it makes a handoff (spec 4.1).
    Unstamped,
}

impl NameClass {
    /// Is this the name of a tool's temporary file, shared or not (spec 4.6)?
    pub fn is_scratch(&self) -> bool {
        matches!(self, Self::Scratch | Self::SharedScratch)
    }

    /// Is a new file of this name an ordinary one (spec 3.4b, 3.6k)?
    pub fn is_ordinary(&self) -> bool {
        matches!(self, Self::Hidden | Self::Ordinary)
    }

    /// Is this a name of this program that no client can give to a file?
    pub fn is_reserved(&self) -> bool {
        matches!(self, Self::Peek | Self::Status | Self::Private)
    }

    /// Does a new file of this name become a handoff with a stamp of its own (spec 4.1a)?
    pub fn gets_stamp(&self) -> bool {
        matches!(self, Self::Unstamped | Self::Backup)
    }

    /// Does a handoff that is renamed to this name stay a handoff (spec 4.5f)?
    pub fn keeps_handoff(&self) -> bool {
        matches!(self, Self::Stamped(_) | Self::Unstamped | Self::Pending)
    }
}

/// The meaning of `name`, one component of a path.
pub fn classify(name: &OsStr) -> NameClass {
    let bytes = name.as_bytes();
    if name == PENDING {
        NameClass::Pending
    } else if name == PEEK {
        NameClass::Peek
    } else if name == STATUS {
        NameClass::Status
    } else if name == PRIVATE {
        NameClass::Private
    } else if is_shared_scratch(bytes) {
        NameClass::SharedScratch
    } else if is_scratch(bytes) {
        NameClass::Scratch
    } else if is_hidden(name) {
        NameClass::Hidden
    } else if let Some(stamped) = StampedName::from_written(name) {
        NameClass::Stamped(stamped)
    } else if has_other_extension(bytes) {
        NameClass::Ordinary
    } else if bytes.ends_with(b".bak") || bytes.ends_with(b".orig") {
        NameClass::Backup
    } else {
        NameClass::Unstamped
    }
}

/// Does a file of this name become a handoff if another program puts it into a queue's backing directory (spec 3.7)? A file
/// with an exactly stamped name is a handoff already.
pub fn is_adoptable(name: &OsStr) -> bool {
    match classify(name) {
        NameClass::Unstamped => document_stem(name.as_bytes()).is_some(),
        NameClass::Stamped(_) => StampedName::parse(name).is_none(),
        _ => false,
    }
}

/// Is a file of this name in a queue's backing directory a stray (spec 3.7)? `pending.md` is a stray, too: a program wrote
/// it while nothing was mounted.
pub fn is_stray(name: &OsStr) -> bool {
    name == PENDING || is_adoptable(name)
}

/// Does `ls` hide this name?
pub fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

/// The name under which a stray becomes a handoff (spec 3.7): always a pending handoff's, because no agent has read the
/// file. The name gets the `stamp` of the file's mtime, unless it has a stamp and only lacks the extension (spec 3.4).
pub fn adopted(name: &OsStr, stamp: Stamp) -> StampedName {
    match StampedName::from_written(name) {
        Some(read) if read.is_pending() => read,
        read => {
            let stem = without_extension(name.as_bytes()).unwrap_or(name.as_bytes());
            let (stamp, stem) = match read {
                // The stem without the stamp and the `_` after it.
                Some(read) => (read.stamp(), stem.get(Stamp::LEN + 1..).unwrap_or_default()),
                None => (stamp, stem),
            };
            StampedName::new(stamp, Slug::from_stem(stem))
        }
    }
}

/// `YYYY-MM-DD_HHMMSS_*.*` with an extension that no text document has.
fn has_other_extension(name: &[u8]) -> bool {
    let rest = name.split_at_checked(Stamp::LEN);
    let rest = rest.and_then(|(stamp, rest)| Stamp::parse(stamp).map(|_| rest));
    rest.and_then(|rest| rest.strip_prefix(b"_"))
        .is_some_and(|rest| !rest.is_empty() && document_stem(name).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::is_rsync_temporary;

    /// The names in a text.
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split_whitespace()
    }

    fn parsed(name: &str) -> StampedName {
        StampedName::parse(OsStr::new(name)).expect(name)
    }

    /// spec 4.6a: names of every pattern, and names that nearly match one
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

    /// spec 3.6k, 4.6a: hidden names, and whether rsync may have made them
    #[test]
    fn hidden_names() {
        let others = words(
            ".x .git .gitignore .netrc .bak .x.md.bak .sw .x.swap .2026-11-22_142301_x.md .x.md.Xa12b \
             .x.md.Xa12b_ ..Xa12bC .Xa12bC",
        );
        let others = others.map(|name| (name, false));
        let rsyncs = words(".x.md.Xa12bC .x.Xa12bC").map(|name| (name, true));
        for (name, rsync) in others.chain(rsyncs) {
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
        let adopted = words(
            "x.md x.markdown x.txt x x_done.md done pending.txt 2026-11-22_142301_x \
             2026-11-22_142301_x.txt 2026-11-22_142301.md",
        );
        for name in adopted.chain(["a b.md"]) {
            assert!(is_adoptable(OsStr::new(name)), "{name}");
        }
        for name in words(
            "x.json x.tar.gz x. x.MD .x.md .peek.md .handoff-fs x.md~ 4913 x.md.bak pending.md \
             2026-11-22_142301_x.md 2026-11-22_142301_x_done.md 2026-11-22_142301_notes.json",
        ) {
            assert!(!is_adoptable(OsStr::new(name)), "{name}");
        }
    }

    /// spec 3.7a: always pending; spec 3.4a: a name that is stamped but for its extension keeps its stamp
    #[test]
    fn names_of_adopted_strays() {
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
