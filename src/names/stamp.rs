//! The time in a handoff's name (spec 3.2a).

use std::fmt;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};

/// A calendar time to the second, written `YYYY-MM-DD_HHMMSS`.
///
/// A stamp has no zone: it is the time of the writer's clock, local or UTC. Only the order of stamps matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stamp(NaiveDateTime);

impl Stamp {
    /// Length of the written form, in bytes.
    pub(super) const LEN: usize = 17;

    /// The stamp of `t`, cut to whole seconds. `t` may be any mtime, and every file needs a stamp. So a year outside 0 to 9999
    /// becomes the nearest time that four digits can write.
    pub fn new(t: NaiveDateTime) -> Stamp {
        let stamp = match t.year() {
            ..0 => Stamp::parse(b"0000-01-01_000000"),
            0..=9999 => t.with_nanosecond(0).map(Stamp),
            10_000.. => Stamp::parse(b"9999-12-31_235959"),
        };
        stamp.unwrap_or(Stamp(t))
    }

    /// The calendar time, in whole seconds.
    pub fn time(self) -> NaiveDateTime {
        self.0
    }

    /// The written form. Written here, because chrono's formatter is too slow for listings, which write every name of a queue.
    pub(super) fn written(self) -> [u8; Stamp::LEN] {
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

    /// Reads exactly the written form; `None` unless it is a real calendar time without a leap second. Parsed here, because
    /// chrono's parser also takes signs, spaces and missing digits.
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
