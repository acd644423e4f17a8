//! The whole name of a handoff (spec 2, 3.2 to 3.5).

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::format::{
    CONSUMABLE_MAX, DONE, EXTENSION, NAME_MAX, SLUG_MAX, document_stem, without_extension,
};
use super::scratch::is_scratch;
use super::slug::Slug;
use super::stamp::Stamp;

/// The name of a handoff, `STAMP_slug.md` or `STAMP_slug_done.md`. Orders by stamp, slug, state.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StampedName {
    stamp: Stamp,
    /// INVARIANT: short enough for the whole name to fit [`NAME_MAX`].
    slug: Slug,
    /// The number of `_done` at the end of the stem: 0 for a pending handoff, 1 for a consumed handoff. A script that
    /// renames consumed handoffs once more leaves names with several marks; such a name must format back to itself.
    marks: u8,
}

impl StampedName {
    /// The name of a pending handoff with this stamp and slug.
    pub fn new(stamp: Stamp, slug: Slug) -> StampedName {
        let marks = 0;
        StampedName { stamp, slug, marks }
    }

    /// Reads a name of exactly the on-disk form. The result formats back to the same bytes.
    pub fn parse(name: &OsStr) -> Option<StampedName> {
        let name = name.as_bytes();
        let stem = name.strip_suffix(EXTENSION.as_bytes())?;
        // A component of a path has no `/` or NUL. But this name may have been read from a damaged file.
        let is_component = !name.contains(&b'/') && !name.contains(&0);
        if name.len() > NAME_MAX || !is_component {
            return None;
        }
        StampedName::from_stem(stem)
    }

    /// Reads a name as an agent wrote it (spec 3.4): the on-disk form, or the same with `.txt`, `.markdown` or no extension.
    /// `None` for scratch names, stamped or not.
    pub fn from_written(name: &OsStr) -> Option<StampedName> {
        StampedName::parse(name).or_else(|| {
            let name = name.as_bytes();
            if name.len() > NAME_MAX || is_scratch(name) {
                return None;
            }
            let read = StampedName::from_stem(document_stem(name)?)?;
            Some(read.with_slug(read.slug.clone()))
        })
    }

    /// When the handoff was begun.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The subject of the handoff.
    pub fn slug(&self) -> &Slug {
        &self.slug
    }

    /// Is the handoff pending, that is, not consumed?
    pub fn is_pending(&self) -> bool {
        self.marks == 0
    }

    /// The name of the consumed handoff (spec 3.5). A slug that leaves no room for `_done` is cut.
    #[must_use]
    pub fn consumed(&self) -> StampedName {
        self.rebuilt(self.slug.clone(), self.marks.max(1))
    }

    /// The name of the handoff that is made pending again (spec 6.6).
    #[must_use]
    pub fn pending(&self) -> StampedName {
        self.rebuilt(self.slug.clone(), 0)
    }

    /// The name with the same stamp and state, and another slug (spec 4.5).
    #[must_use]
    pub fn with_slug(&self, slug: Slug) -> StampedName {
        self.rebuilt(slug, self.marks.min(1))
    }

    /// The `n`th name to try when earlier names are taken (spec 3.3): the name itself for `n <= 1`, else the slug ends in
    /// `_n`. The number is never cut, so the names stay different, also when the handoffs are consumed.
    #[must_use]
    pub fn with_suffix(&self, n: u32) -> StampedName {
        if n <= 1 {
            return self.clone();
        }
        self.with_slug(self.slug.with_ending(&format!("_{n}"), CONSUMABLE_MAX))
    }

    /// The file name, at most 255 bytes.
    pub fn to_os_string(&self) -> OsString {
        let marks = DONE.repeat(self.marks.into());
        let slug = self.slug.as_os_str().as_bytes();
        let (stamp, extension) = (self.stamp.written(), EXTENSION.as_bytes());
        let name = [&stamp, &b"_"[..], slug, marks.as_bytes(), extension].concat();
        OsString::from_vec(name)
    }

    fn rebuilt(&self, slug: Slug, marks: u8) -> StampedName {
        StampedName {
            stamp: self.stamp,
            slug: slug.cut(SLUG_MAX - usize::from(marks) * DONE.len()),
            marks,
        }
    }

    /// Reads `STAMP_slug` and the marks after it. The marks are split off first: `STAMP_done` has a mark and no slug, so it
    /// is no stamped name.
    fn from_stem(stem: &[u8]) -> Option<StampedName> {
        let (stamp, tail) = stem.split_at_checked(Stamp::LEN)?;
        let stamp = Stamp::parse(stamp)?;
        let (tail, marks) = split_marks(tail);
        let slug = Slug::found(tail.strip_prefix(b"_")?)?;
        let marks = u8::try_from(marks).ok()?;
        Some(StampedName { stamp, slug, marks })
    }
}

/// For messages; bytes that are not UTF-8 show as `�`.
impl fmt::Display for StampedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_os_string().display().fmt(f)
    }
}

/// `stem` without the marks at its end, and their number.
fn split_marks(stem: &[u8]) -> (&[u8], usize) {
    let mut rest = stem;
    while let Some(shorter) = rest.strip_suffix(DONE.as_bytes()) {
        rest = shorter;
    }
    (rest, (stem.len() - rest.len()) / DONE.len())
}

/// Is `done` the stem of `name` followed by `_done`? Such a rename consumes the handoff (spec 4.5).
pub fn is_done_form(name: &OsStr, done: &OsStr) -> bool {
    let stem = |name| without_extension(name).unwrap_or(name);
    let (name, done) = (stem(name.as_bytes()), stem(done.as_bytes()));
    done.strip_suffix(DONE.as_bytes()) == Some(name)
}
