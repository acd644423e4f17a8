//! The names of replaced versions and removed handoffs (spec 3.9): `NAME.NANOSECONDS-SINCE-1970`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// A kept version, or a copy that may become one.
#[derive(Debug)]
pub struct Kept {
    /// The queue of the handoff.
    pub queue: PathBuf,
    /// The file's name in its area: see [`version_of`].
    pub name: OsString,
}

/// Longer names are cut to this number of bytes. A dot and 20 digits, enough until the year 5000, fit after the name.
const NAME_MAX: usize = 230;

/// The extension of a handoff is never cut, so that a user can move the file back and has a handoff again.
const EXTENSION: &[u8] = b".md";

/// A new name under which a version of `name` is kept; no other version has it.
pub(super) fn kept_name(name: &OsStr, now: SystemTime) -> OsString {
    let (stem, extension) = match name.as_bytes().strip_suffix(EXTENSION) {
        Some(stem) => (stem, EXTENSION),
        None => (name.as_bytes(), &b""[..]),
    };
    let stem = &stem[..stem.len().min(NAME_MAX - extension.len())];
    let time = format!(".{}", unique_nanos(now));
    OsString::from_vec([stem, extension, time.as_bytes()].concat())
}

/// The original name of a version, and the time when it was replaced, in nanoseconds since 1970. `None` if the name has not
/// that form.
pub fn version_of(kept: &OsStr) -> Option<(&OsStr, u64)> {
    let bytes = kept.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.')?;
    let nanos = std::str::from_utf8(&bytes[dot + 1..]).ok()?.parse().ok()?;
    Some((OsStr::from_bytes(&bytes[..dot]), nanos))
}

/// The time when a version was replaced, or a handoff removed.
pub(super) fn kept_at(kept: &OsStr) -> Option<SystemTime> {
    let (_, nanos) = version_of(kept)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
}

/// Nanoseconds since 1970. No two calls get the same number, also if the clock is set back by less than a millisecond.
pub(super) fn unique_nanos(now: SystemTime) -> u128 {
    static LAST: Mutex<u128> = Mutex::new(0);
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let mut last = LAST.lock();
    let is_close = *last >= now && *last - now < 1_000_000;
    *last = if is_close { *last + 1 } else { now };
    *last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::StampedName;

    /// spec 3.9a, 3.9b: a kept name tells the handoff and the time, however long the name is
    #[test]
    fn names_of_any_length() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_821_381);
        for length in [10, 209, 210, 234] {
            let name = format!("2026-01-02_030405_{}.md", "x".repeat(length));
            let kept = kept_name(OsStr::new(&name), now);
            assert!(kept.len() <= 255);
            let (of, _) = version_of(&kept).unwrap();
            assert_eq!(*of == *name, name.len() <= NAME_MAX, "{length}");
            assert!(StampedName::parse(of).unwrap().is_pending());
            let late = kept_at(&kept).unwrap().duration_since(now).unwrap();
            assert!(late < Duration::from_millis(1));
        }
        let other = kept_name(OsStr::new(&"x".repeat(255)), now);
        assert_eq!(version_of(&other).unwrap().0, &*"x".repeat(NAME_MAX));
    }

    /// spec 3.9a: two versions that are replaced at the same moment are both kept
    #[test]
    fn no_two_are_equal() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_821_381);
        let back = now - Duration::from_nanos(10);
        let names = [now, now, back, now].map(|now| kept_name(OsStr::new("a.md"), now));
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }

    /// spec 3.9d: files of other names are no versions
    #[test]
    fn other_names_are_no_versions() {
        for name in [
            "a",
            "a.",
            "a.md",
            "a.md.12x",
            "a.md.99999999999999999999999",
        ] {
            assert_eq!(version_of(OsStr::new(name)), None, "{name}");
        }
    }
}
