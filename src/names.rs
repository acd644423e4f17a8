//! Names: the only place that knows how a handoff is called on disk (spec 3.2 to 3.5).
//!
//! Everything here is a pure function of time, written name and suffix. A [`StampedName`] can be built
//! only by stamping or by parsing, and each value that can be built fits a directory entry and survives
//! `parse(format(x)) == x`; so no other module ever cuts, joins or compares pieces of file names.

mod archives;
mod classify;
mod slug;
#[cfg(test)]
mod tests;

pub use archives::{Archives, BadArchive};
pub use classify::{
    NameClass, PEEK, PENDING, PRIVATE, STATUS, adopted, classify, is_adoptable, is_lock_dir,
    is_rsync_temporary,
};
pub use slug::Slug;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Longest directory entry Linux knows, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;
/// What every handoff's file name ends in.
const EXTENSION: &str = ".md";
/// What a consumed handoff's stem ends in. The protocol's readers test for it with `*_done.md`, so a
/// pending name must never match that.
const DONE: &str = "_done";
/// Longest slug of a pending name, in bytes: what stamp, `_` and extension leave.
const SLUG_MAX: usize = NAME_MAX - Stamp::LEN - 1 - EXTENSION.len();
/// Longest slug that can be consumed without being cut, in bytes.
const CONSUMABLE_MAX: usize = SLUG_MAX - DONE.len();

/// A calendar time to the second, written `YYYY-MM-DD_HHMMSS`.
///
/// It carries no zone: it is whatever local time (or UTC) the writer's clock showed, and only its order
/// matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stamp(NaiveDateTime);

impl Stamp {
    /// Length of the written form, in bytes.
    const LEN: usize = 17;

    /// The stamp of `t`, truncated below the second. Years that four digits cannot write are moved to the
    /// nearest that can be: an mtime may hold anything, and a strange one must not lose the file.
    pub fn new(t: NaiveDateTime) -> Stamp {
        let written = match t.year() {
            ..0 => NaiveDate::from_ymd_opt(0, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0)),
            0..=9999 => t.with_nanosecond(0),
            10_000.. => {
                NaiveDate::from_ymd_opt(9999, 12, 31).and_then(|day| day.and_hms_opt(23, 59, 59))
            }
        };
        Stamp(written.unwrap_or(t))
    }

    /// The calendar time, in whole seconds.
    pub fn time(self) -> NaiveDateTime {
        self.0
    }

    /// The written form. Every name of a queue is written again and again, so not by way of a formatter.
    fn written(self) -> [u8; Stamp::LEN] {
        let t = self.0;
        let mut written = *b"0000-00-00_000000";
        let mut put = |at: usize, digits: usize, mut number: u32| {
            for digit in written[at..at + digits].iter_mut().rev() {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
                number /= 10;
            }
        };
        put(0, 4, t.year().unsigned_abs());
        put(5, 2, t.month());
        put(8, 2, t.day());
        put(11, 2, t.hour());
        put(13, 2, t.minute());
        put(15, 2, t.second());
        written
    }

    /// Reads exactly the written form. `None` unless it is a real calendar time; leap seconds, which no
    /// Unix clock shows, are not.
    pub fn parse(text: &[u8]) -> Option<Stamp> {
        const SHAPE: &[u8; Stamp::LEN] = b"dddd-dd-dd_dddddd";
        let fits = |(&shape, &byte): (&u8, &u8)| match shape {
            b'd' => byte.is_ascii_digit(),
            separator => byte == separator,
        };
        if text.len() != Stamp::LEN || !SHAPE.iter().zip(text).all(fits) {
            return None;
        }
        let number = |digits: std::ops::Range<usize>| {
            text[digits]
                .iter()
                .fold(0u32, |n, digit| n * 10 + u32::from(digit - b'0'))
        };
        let year = i32::try_from(number(0..4)).ok()?;
        NaiveDate::from_ymd_opt(year, number(5..7), number(8..10))?
            .and_hms_opt(number(11..13), number(13..15), number(15..17))
            .map(Stamp)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.written()))
    }
}

/// Whether a handoff still waits for its reader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Nobody has read it yet.
    Pending,
    /// It was read to the end; its name says `_done`.
    Consumed,
}

/// The name of a handoff, `STAMP_slug.md` or `STAMP_slug_done.md`. Orders by stamp, slug, state.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StampedName {
    stamp: Stamp,
    /// INVARIANT: short enough that the whole name fits [`NAME_MAX`].
    slug: Slug,
    /// How often the name says done: 0 is pending, 1 is what is written here. More are found where a
    /// script renamed `X_done.md` once again; such a name is as consumed, and must format back to itself.
    marks: u8,
}

impl StampedName {
    /// The pending handoff of that time and slug.
    pub fn new(stamp: Stamp, slug: Slug) -> StampedName {
        let marks = 0;
        StampedName { stamp, slug, marks }
    }

    /// Reads a name of exactly the on-disk form; it formats back to the same bytes.
    pub fn parse(name: &OsStr) -> Option<StampedName> {
        let name = name.as_bytes();
        let stem = name.strip_suffix(EXTENSION.as_bytes())?;
        // Neither is in a name that is one component of a path; what reads names out of a file relies on it.
        let one_name = !name.contains(&b'/') && !name.contains(&0);
        if name.len() > NAME_MAX || !one_name {
            return None;
        }
        StampedName::from_stem(stem)
    }

    /// Reads a name as an agent wrote it (spec 3.4): what [`parse`](Self::parse) reads, and the same with
    /// `.txt`, `.markdown` or no extension. Scratch names, stamped or not, are no handoffs.
    pub fn from_written(name: &OsStr) -> Option<StampedName> {
        StampedName::parse(name).or_else(|| {
            let name = name.as_bytes();
            if name.len() > NAME_MAX || classify::is_scratch(name) {
                return None;
            }
            let read = StampedName::from_stem(document_stem(name)?)?;
            Some(read.with_slug(read.slug.clone()))
        })
    }

    /// When it was begun.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// What it is about.
    pub fn slug(&self) -> &Slug {
        &self.slug
    }

    /// Whether it still waits for its reader.
    pub fn state(&self) -> State {
        match self.marks {
            0 => State::Pending,
            1.. => State::Consumed,
        }
    }

    /// Whether it still waits for its reader.
    pub fn is_pending(&self) -> bool {
        self.state() == State::Pending
    }

    /// The same handoff in `state`. The slug of a name found with no room for the ending is cut.
    #[must_use]
    pub fn with_state(&self, state: State) -> StampedName {
        let marks = match state {
            State::Pending => 0,
            State::Consumed => self.marks.max(1),
        };
        self.rebuilt(self.slug.clone(), marks)
    }

    /// The name after it was read (spec 3.5).
    #[must_use]
    pub fn consumed(&self) -> StampedName {
        self.with_state(State::Consumed)
    }

    /// The name after it was taken back (spec 6.6).
    #[must_use]
    pub fn pending(&self) -> StampedName {
        self.with_state(State::Pending)
    }

    /// Same stamp and state, other slug (spec 4.5).
    #[must_use]
    pub fn with_slug(&self, slug: Slug) -> StampedName {
        self.rebuilt(slug, self.marks.min(1))
    }

    /// The `n`th choice of name where earlier ones are taken (spec 3.3): `n <= 1` is the name itself,
    /// after that the slug ends in `_n`. Whatever has to be cut, the number is not, so that the choices
    /// stay different, also once consumed.
    #[must_use]
    pub fn with_suffix(&self, n: u32) -> StampedName {
        if n <= 1 {
            return self.clone();
        }
        let slug = self.slug.with_ending(&format!("_{n}"), CONSUMABLE_MAX);
        self.rebuilt(slug, self.marks.min(1))
    }

    /// The file name, at most 255 bytes.
    pub fn to_os_string(&self) -> OsString {
        let slug = self.slug.as_os_str().as_bytes();
        let marks = usize::from(self.marks) * DONE.len();
        let mut name = Vec::with_capacity(Stamp::LEN + 1 + slug.len() + marks + EXTENSION.len());
        name.extend_from_slice(&self.stamp.written());
        name.push(b'_');
        name.extend_from_slice(slug);
        for _ in 0..self.marks {
            name.extend_from_slice(DONE.as_bytes());
        }
        name.extend_from_slice(EXTENSION.as_bytes());
        OsString::from_vec(name)
    }

    /// The name for messages; what is not UTF-8 shows as `�`.
    pub fn display(&self) -> impl fmt::Display + '_ {
        self
    }

    fn rebuilt(&self, slug: Slug, marks: u8) -> StampedName {
        StampedName {
            stamp: self.stamp,
            slug: slug.cut(SLUG_MAX - usize::from(marks) * DONE.len()),
            marks,
        }
    }

    /// Reads `STAMP_slug` and the marks of consumption. The marks are looked for from the `_` after the
    /// stamp on, since `*_done.md` matches `STAMP_done.md` too: that is a mark without a slug, and no
    /// stamped name.
    fn from_stem(stem: &[u8]) -> Option<StampedName> {
        let (stamp, tail) = stem.split_at_checked(Stamp::LEN)?;
        let stamp = Stamp::parse(stamp)?;
        let (tail, marks) = split_marks(tail);
        let slug = Slug::found(tail.strip_prefix(b"_")?)?;
        let marks = u8::try_from(marks).ok()?;
        Some(StampedName { stamp, slug, marks })
    }
}

impl fmt::Display for StampedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_os_string().display().fmt(f)
    }
}

/// `stem` less every `_done` at its end, and how many those were.
fn split_marks(stem: &[u8]) -> (&[u8], usize) {
    let mut rest = stem;
    while let Some(shorter) = rest.strip_suffix(DONE.as_bytes()) {
        rest = shorter;
    }
    (rest, (stem.len() - rest.len()) / DONE.len())
}

/// Whether `done` is what `name` is called once somebody renamed it as consumed: its stem and `_done` (spec 4.5).
pub fn is_done_form(name: &OsStr, done: &OsStr) -> bool {
    let stem = |name| without_extension(name).unwrap_or(name);
    let (name, done) = (stem(name.as_bytes()), stem(done.as_bytes()));
    done.strip_suffix(DONE.as_bytes()) == Some(name)
}

/// `name` less a final `.md`, `.markdown` or `.txt`; `None` if it has none of these.
fn without_extension(name: &[u8]) -> Option<&[u8]> {
    [EXTENSION, ".markdown", ".txt"]
        .iter()
        .find_map(|extension| name.strip_suffix(extension.as_bytes()))
}

/// The stem of a name that may be a document's: with a known extension, or with none at all.
fn document_stem(name: &[u8]) -> Option<&[u8]> {
    without_extension(name).or_else(|| (!name.contains(&b'.')).then_some(name))
}
