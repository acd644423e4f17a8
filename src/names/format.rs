//! The form and the longest lengths of the parts of a handoff's file name (spec 3.2).

use super::stamp::Stamp;

/// Longest directory entry on Linux, in bytes (`NAME_MAX`).
pub(super) const NAME_MAX: usize = 255;
/// The extension of every handoff's file name.
pub(super) const EXTENSION: &str = ".md";
/// The mark at the end of a consumed handoff's stem. Scripts of the old protocol look for `*_done.md`, so a pending name
/// must never match that pattern.
pub(super) const DONE: &str = "_done";
/// Longest slug of a pending name, in bytes.
pub(super) const SLUG_MAX: usize = NAME_MAX - Stamp::LEN - 1 - EXTENSION.len();
/// Longest slug that need not be cut when the handoff is consumed, in bytes.
pub(super) const CONSUMABLE_MAX: usize = SLUG_MAX - DONE.len();

/// `name` without a final `.md`, `.markdown` or `.txt`; `None` for any other name.
pub(super) fn without_extension(name: &[u8]) -> Option<&[u8]> {
    [EXTENSION, ".markdown", ".txt"]
        .iter()
        .find_map(|extension| name.strip_suffix(extension.as_bytes()))
}

/// The stem of a text document's name, with one of those extensions or none; `None` for any other name.
pub(super) fn document_stem(name: &[u8]) -> Option<&[u8]> {
    without_extension(name).or_else(|| (!name.contains(&b'.')).then_some(name))
}
