//! The part of a handoff's name that says what it is about (spec 3.2).

use super::{CONSUMABLE_MAX, DONE, without_extension};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// What replaces an ending that would read as [`DONE`]. Of the same length, so that mending a cut slug
/// never makes it too long again.
const NOT_DONE: &str = "-done";
/// The slug of a name that leaves nothing to name it by.
const NAMELESS: &str = "handoff";
/// The slug of what was written to `pending.md`.
const PENDING: &str = "pending";
/// The ending of what its writer could not finish.
const PARTIAL: &str = "-partial";
/// Longest slug with [`PARTIAL`], in bytes: it leaves room for `_` and the ten digits of a `u32`.
const PARTIAL_MAX: usize = CONSUMABLE_MAX - 11;
/// Longest slug of a written name, in bytes: with every suffix it may get, the whole name fits.
const WRITTEN_MAX: usize = PARTIAL_MAX - PARTIAL.len();

/// The bytes of a handoff's name between the stamp and what says its state.
///
/// Never empty, never with `/` or NUL in it, and never such that a pending name would match `*_done.md`.
/// One made from a written name holds only letters and digits of any script with their marks and joiners,
/// `.`, `-` and `_`; one found on disk holds whatever was found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slug(Vec<u8>);

impl Slug {
    /// The slug of a name as somebody wrote it. Total: any bytes have one.
    pub fn from_written(name: &OsStr) -> Slug {
        let name = name.as_bytes();
        Slug::from_stem(without_extension(name).unwrap_or(name))
    }

    /// `<slug>-partial`, for what a crash or an error left unfinished (spec 3.8, 4.9). Cut so that it
    /// leaves room for a number and for being consumed.
    #[must_use]
    pub fn partial(&self) -> Slug {
        self.with_ending(PARTIAL, PARTIAL_MAX)
    }

    /// The slug of what was written to `pending.md` (spec 4.7).
    pub fn pending() -> Slug {
        Slug(PENDING.into())
    }

    /// The bytes, as part of a file name.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// Does it begin with the other one, as one with a number does?
    pub fn starts_with(&self, other: &Slug) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The slug of a written name that has lost its extension already.
    pub(super) fn from_stem(stem: &[u8]) -> Slug {
        let mut slug = cleaned(stem).trim_matches(['-', '.']).to_owned();
        slug.truncate(prefix(slug.as_bytes(), WRITTEN_MAX).len());
        match slug.trim_end_matches(['-', '.']) {
            "" => Slug(NAMELESS.into()),
            slug => Slug(mended(slug.into())),
        }
    }

    /// The slug of a name found on disk, kept as it is; `None` if it cannot be one.
    pub(super) fn found(bytes: &[u8]) -> Option<Slug> {
        let never = |byte: &u8| matches!(byte, b'/' | 0);
        let possible = !bytes.is_empty() && !bytes.iter().any(never) && !reads_as_done(bytes);
        possible.then(|| Slug(bytes.to_vec()))
    }

    /// The slug, cut at a character boundary to at most `max` bytes.
    pub(super) fn cut(mut self, max: usize) -> Slug {
        self.0.truncate(prefix(&self.0, max).len());
        Slug(mended(self.0))
    }

    /// The slug and then `ending`, `max` bytes together at most; only the slug is cut.
    pub(super) fn with_ending(&self, ending: &str, max: usize) -> Slug {
        let mut bytes = prefix(&self.0, max - ending.len()).to_vec();
        bytes.extend_from_slice(ending.as_bytes());
        Slug(mended(bytes))
    }
}

/// Spec 3.2: letters and digits of any script with their marks and joiners, `.`, `-` and `_` stay, every
/// run of anything else, bytes that are no UTF-8 included, becomes one `-`.
fn cleaned(stem: &[u8]) -> String {
    let mut clean = String::with_capacity(stem.len());
    let mut in_run = false;
    let mut in_letter = false;
    for chunk in stem.utf8_chunks() {
        let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for c in chunk.valid().chars().chain(invalid) {
            in_letter = c.is_alphanumeric() || in_letter && continues_letter(c);
            let stays = in_letter || matches!(c, '.' | '-' | '_');
            if stays {
                clean.push(c);
            } else if !in_run {
                clean.push('-');
            }
            in_run = !stays;
        }
    }
    clean
}

/// Whether this belongs to the letter before it: a combining mark, or a joiner of Indic and Arabic scripts.
fn continues_letter(c: char) -> bool {
    const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
    const ZERO_WIDTH_JOINER: char = '\u{200d}';
    c.general_category_group() == GeneralCategoryGroup::Mark
        || matches!(c, ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER)
}

/// Whether a pending name with this slug would match `*_done.md`. The `_` between stamp and slug is enough
/// to make `done` alone do so.
fn reads_as_done(slug: &[u8]) -> bool {
    slug.ends_with(DONE.as_bytes()) || slug == &DONE.as_bytes()[1..]
}

/// `slug`, with an ending that would read as done changed to one that does not.
fn mended(mut slug: Vec<u8>) -> Vec<u8> {
    if reads_as_done(&slug) {
        slug.truncate(slug.len().saturating_sub(DONE.len()));
        slug.extend_from_slice(NOT_DONE.as_bytes());
    }
    slug
}

/// The first `max` bytes at most, ending neither within a character nor between a letter and its marks.
/// Bytes that are no UTF-8 have no characters to keep whole, and are cut anywhere.
fn prefix(bytes: &[u8], max: usize) -> &[u8] {
    const LONGEST_CHARACTER: usize = 4;
    if bytes.len() <= max {
        return bytes;
    }
    let continues = |&at: &usize| matches!(bytes[at], 0x80..=0xbf);
    let boundary = (max.saturating_sub(LONGEST_CHARACTER - 1)..=max)
        .rev()
        .find(|at| !continues(at))
        .unwrap_or(max);
    // What begins there, and what would go with it, as far as it is text.
    let cut_off = bytes[boundary..].utf8_chunks().next();
    let splits = cut_off.is_some_and(|chunk| chunk.valid().starts_with(continues_letter));
    let kept = &bytes[..boundary];
    match std::str::from_utf8(kept) {
        // A mark without its letter goes, and the letter too; but one with nothing but marks is cut all the same.
        Ok(text) if splits => match text
            .trim_end_matches(continues_letter)
            .char_indices()
            .last()
        {
            Some((letter, _)) if letter > 0 => &kept[..letter],
            _ => kept,
        },
        _ => kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slug of `written`, as text.
    fn slug_of(written: &str) -> String {
        let slug = Slug::from_written(OsStr::new(written));
        slug.as_os_str().to_str().unwrap().to_owned()
    }

    /// spec 3.2b, clause by clause
    #[test]
    fn slugs_of_written_names() {
        for (written, slug) in [
            ("notes.md", "notes"),
            ("notes.markdown", "notes"),
            ("notes.txt", "notes"),
            ("notes.md.md", "notes.md"),
            ("notes.json", "notes.json"),
            ("NOTES.MD", "NOTES.MD"),
            ("v1.2_a-b.md", "v1.2_a-b"),
            ("session  summary (2).md", "session-summary-2"),
            ("a & b.md", "a-b"),
            ("a - b.md", "a---b"),
            ("größe 引き継ぎ ٣.md", "größe-引き継ぎ-٣"),
            ("cafe\u{301} cre\u{300}me.md", "cafe\u{301}-cre\u{300}me"),
            ("บันทึกที่แก้.md", "บันทึกที่แก้"),
            ("हिन्दी क्\u{200d}ष.md", "हिन्दी-क्\u{200d}ष"),
            ("می\u{200c}خواهم.md", "می\u{200c}خواهم"),
            ("a\u{301}\u{328}b.md", "a\u{301}\u{328}b"),
            ("\u{301}\u{200d}a.md", "a"),
            ("a-\u{301}b_\u{200d}c.md", "a--b_-c"),
            ("❤\u{fe0f}\u{200d}🔥x.md", "x"),
            ("line\nbreak\t.md", "line-break"),
            ("-.-notes-.-.md", "notes"),
            ("_notes_.md", "_notes_"),
            ("auth_done.md", "auth-done"),
            ("auth_done!.md", "auth-done"),
            ("auth_done_done.md", "auth_done-done"),
            ("_done.md", "-done"),
            ("done.md", "-done"),
            ("undone.md", "undone"),
            ("auth_done_2.md", "auth_done_2"),
            ("", "handoff"),
            (".md", "handoff"),
            ("...", "handoff"),
            ("!!!.md", "handoff"),
            ("🦀.md", "handoff"),
        ] {
            assert_eq!(slug_of(written), slug, "{written:?}");
        }
        let slug = Slug::from_written(OsStr::from_bytes(b"a\xff\xfe/\0b\xc3.md"));
        assert_eq!(slug.as_os_str(), "a-b", "no UTF-8");
    }

    /// spec 3.2c: cut at a character boundary
    #[test]
    fn long_slugs_are_cut_between_characters() {
        assert_eq!(slug_of(&"a".repeat(255)), "a".repeat(210));
        assert_eq!(slug_of(&"aé".repeat(85)), "aé".repeat(70));
        assert_eq!(slug_of(&format!("a{}", "é".repeat(120))).len(), 209);
        // Not between a letter and its marks.
        let marked = "e\u{301}\u{327}";
        assert_eq!(slug_of(&format!("a{}", marked.repeat(48))).len(), 206);
        assert_eq!(slug_of(&format!("a{}", "\u{301}".repeat(120))).len(), 209);
        let hindi = slug_of(&format!("aa{}", "क्षि".repeat(20)));
        assert_eq!(hindi, format!("aa{}", "क्षि".repeat(17)));
        let dash_at_cut = format!("{}-{}", "a".repeat(209), "b".repeat(40));
        assert_eq!(slug_of(&dash_at_cut), "a".repeat(209));
        let done_at_cut = format!("{}_done{}", "a".repeat(205), "b".repeat(40));
        assert_eq!(slug_of(&done_at_cut), format!("{}-done", "a".repeat(205)));
    }

    /// spec 4.7a, 4.9a: the slugs that no written name gives
    #[test]
    fn slugs_of_our_own() {
        assert_eq!(Slug::pending().as_os_str(), "pending");
        let slug = Slug::from_written(OsStr::new("auth.md")).partial();
        assert_eq!(slug.as_os_str(), "auth-partial");
    }
}
