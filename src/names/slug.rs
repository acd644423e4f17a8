//! The slug: the part of a handoff's name that gives its subject (spec 3.2).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::format::{CONSUMABLE_MAX, DONE, without_extension};

/// Replaces an ending that would read as [`DONE`]. Both have the same length, so the slug does not grow.
const NOT_DONE: &str = "-done";
/// The slug of a written name that has no character for a slug.
const NAMELESS: &str = "handoff";
/// The slug of a handoff that was written to `pending.md`.
const PENDING: &str = "pending";
/// The ending of a handoff whose writer could not finish.
const PARTIAL: &str = "-partial";
/// Longest slug with [`PARTIAL`], in bytes: `_` and the ten digits of a `u32` fit after the slug.
const PARTIAL_MAX: usize = CONSUMABLE_MAX - 11;
/// Longest slug of a written name, in bytes: all endings and suffixes fit after the slug.
const WRITTEN_MAX: usize = PARTIAL_MAX - PARTIAL.len();

/// The bytes of a handoff's name between the stamp and `_done` or `.md`.
///
/// A slug is never empty, has no `/` or NUL, and never makes a pending name match `*_done.md`. A slug from a written name
/// has only letters and digits of any script with their marks and joiners, `.`, `-` and `_`. A slug from a name on disk is
/// unchanged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slug(Vec<u8>);

impl Slug {
    /// The slug of a name as a program wrote it. Any bytes give a slug.
    pub fn from_written(name: &OsStr) -> Slug {
        let name = name.as_bytes();
        Slug::from_stem(without_extension(name).unwrap_or(name))
    }

    /// `<slug>-partial`, for a handoff that a crash or an error left unfinished (spec 3.8, 4.9). The slug is cut to leave
    /// room for a number and for `_done`.
    #[must_use]
    pub fn partial(&self) -> Slug {
        self.with_ending(PARTIAL, PARTIAL_MAX)
    }

    /// The slug of a handoff that was written to `pending.md` (spec 4.7).
    pub fn pending() -> Slug {
        Slug(PENDING.into())
    }

    /// The bytes, as part of a file name.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// Does this slug begin with the other slug? The other slug with a number does.
    pub fn starts_with(&self, other: &Slug) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The slug of a written name without its extension.
    pub(super) fn from_stem(stem: &[u8]) -> Slug {
        let mut slug = cleaned(stem).trim_matches(['-', '.']).to_owned();
        slug.truncate(prefix(slug.as_bytes(), WRITTEN_MAX).len());
        match slug.trim_end_matches(['-', '.']) {
            "" => Slug(NAMELESS.into()),
            slug => Slug(mended(slug.into())),
        }
    }

    /// The unchanged slug of a name on disk; `None` if the bytes cannot be a slug.
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

    /// The slug and then `ending`, at most `max` bytes together; only the slug is cut.
    pub(super) fn with_ending(&self, ending: &str, max: usize) -> Slug {
        let mut bytes = prefix(&self.0, max - ending.len()).to_vec();
        bytes.extend_from_slice(ending.as_bytes());
        Slug(mended(bytes))
    }
}

/// Keeps letters and digits of any script with their marks and joiners, `.`, `-` and `_`. Every run of other characters, and
/// of bytes that are not UTF-8, becomes one `-` (spec 3.2b).
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

/// Does this character belong to the letter before it? Combining marks, and joiners of Indic and Arabic scripts, do.
fn continues_letter(c: char) -> bool {
    const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
    const ZERO_WIDTH_JOINER: char = '\u{200d}';
    c.general_category_group() == GeneralCategoryGroup::Mark
        || matches!(c, ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER)
}

/// Would a pending name with this slug match `*_done.md`? The slug `done` would, by the `_` between stamp and slug.
fn reads_as_done(slug: &[u8]) -> bool {
    slug.ends_with(DONE.as_bytes()) || slug == &DONE.as_bytes()[1..]
}

/// `slug`, with an ending that would read as done changed to [`NOT_DONE`].
fn mended(mut slug: Vec<u8>) -> Vec<u8> {
    if reads_as_done(&slug) {
        slug.truncate(slug.len().saturating_sub(DONE.len()));
        slug.extend_from_slice(NOT_DONE.as_bytes());
    }
    slug
}

/// At most the first `max` bytes, without a cut within a character or between a letter and its marks. A cut between bytes
/// that are not UTF-8 may be anywhere.
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
    // A mark at the start of the text that is cut off belongs to a letter before the cut.
    let cut_off = bytes[boundary..].utf8_chunks().next();
    let splits = cut_off.is_some_and(|chunk| chunk.valid().starts_with(continues_letter));
    let kept = &bytes[..boundary];
    match std::str::from_utf8(kept) {
        // That letter is cut off, too, with all its marks, unless the text has no other letter.
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

    /// spec 4.7a, 4.9a: slugs that this program makes itself
    #[test]
    fn slugs_of_our_own() {
        assert_eq!(Slug::pending().as_os_str(), "pending");
        let slug = Slug::from_written(OsStr::new("auth.md")).partial();
        assert_eq!(slug.as_os_str(), "auth-partial");
    }
}
