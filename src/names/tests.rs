//! Names, by example and by property.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use chrono::{NaiveDateTime, Timelike};
use proptest::prelude::*;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::format::NAME_MAX;
use super::*;

fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

fn parsed(name: &str) -> StampedName {
    StampedName::parse(OsStr::new(name)).unwrap_or_else(|| panic!("{name} is stamped"))
}

fn stamp() -> Stamp {
    Stamp::parse(b"2026-11-22_142301").unwrap()
}

// --- stamps ---

/// spec 3.4a: a real calendar time, and written no other way
#[test]
fn only_real_times_are_stamps() {
    let real = "2026-11-22_142301 0000-01-01_000000 9999-12-31_235959 2024-02-29_120000";
    for real in real.split(' ') {
        assert_eq!(Stamp::parse(real.as_bytes()).unwrap().to_string(), real);
    }
    let unreal = "2026-02-29_120000 2026-13-01_120000 2026-11-31_120000 2026-11-22_240000 2026-11-22_235960 \
                  2026-11-22_14230 2026-11-22_1423011 2026-11-22-142301 2026-11-22_14:301 +026-11-22_142301";
    for unreal in unreal.split(' ').chain([""]) {
        assert_eq!(Stamp::parse(unreal.as_bytes()), None, "{unreal}");
    }
}

/// spec 3.2a: seconds are all a name holds, four digits all a year has
#[test]
fn any_time_has_a_stamp() {
    let time = stamp().time().with_nanosecond(999_999_999).unwrap();
    assert_eq!(Stamp::new(time), stamp());
    let limits = [NaiveDateTime::MIN, NaiveDateTime::MAX];
    let stamps = limits.map(|time| Stamp::new(time).to_string());
    assert_eq!(stamps, ["0000-01-01_000000", "9999-12-31_235959"]);
}

// --- stamped names ---

/// spec 2: the two forms of a stamped name
#[test]
fn stamped_names_say_their_state() {
    let name = parsed("2026-11-22_142301_auth.md");
    assert_eq!(name.stamp(), stamp());
    assert_eq!(name.slug().as_os_str(), "auth");
    assert!(name.is_pending());
    let done = parsed("2026-11-22_142301_auth_done.md");
    assert!(!done.is_pending());
    assert_eq!(name.consumed(), done);
    assert_eq!(done.pending(), name);
    assert_eq!(done.to_string(), "2026-11-22_142301_auth_done.md");
}

/// spec 2: nearly stamped names are not stamped; `STAMP_done.md` matches `*_done.md` and has no slug
#[test]
fn names_that_are_not_stamped() {
    let names = "2026-11-22_142301_.md 2026-11-22_142301.md 2026-11-22_142301__done.md 2026-11-22_142301_done.md \
                 2026-11-22_142301_done_done.md 2026-11-22_142301-auth.md 2026-11-22_142301_auth.MD \
                 2026-11-22_142301_auth.txt 2026-11-22_142301_auth 2026-02-30_142301_auth.md \
                 x2026-11-22_142301_auth.md pending.md";
    for name in names.split(' ').chain([""]) {
        assert_eq!(StampedName::parse(OsStr::new(name)), None, "{name}");
    }
    for bytes in [b"2026-11-22_142301_a/b.md", b"2026-11-22_142301_a\0b.md"] {
        assert_eq!(StampedName::parse(os(bytes)), None);
    }
    let long = format!("2026-11-22_142301_{}.md", "a".repeat(235));
    assert_eq!(StampedName::parse(OsStr::new(&long)), None);
}

/// spec 2: a script that marks all `*.md` marks consumed ones twice
#[test]
fn marked_twice_is_consumed() {
    let twice = parsed("2026-11-22_142301_x_done_done.md");
    assert!(!twice.is_pending());
    assert_eq!(twice.slug().as_os_str(), "x");
    assert_eq!(twice.consumed(), twice);
    assert_eq!(twice.pending().to_string(), "2026-11-22_142301_x.md");
    let renamed = twice.with_slug(Slug::pending());
    assert_eq!(renamed.to_string(), "2026-11-22_142301_pending_done.md");
}

/// spec 3.3: `_2`, `_3`, …, before the state
#[test]
fn suffixes() {
    let name = parsed("2026-11-22_142301_auth.md");
    assert_eq!(name.with_suffix(0), name);
    assert_eq!(name.with_suffix(1), name);
    let second = name.with_suffix(2);
    assert_eq!(second.to_string(), "2026-11-22_142301_auth_2.md");
    let done = name.consumed().with_suffix(3);
    assert_eq!(done.to_string(), "2026-11-22_142301_auth_3_done.md");
}

/// spec 3.4a: `.txt` or no extension counts too and becomes `.md`
#[test]
fn names_written_already_stamped_are_kept() {
    for ending in ["", ".txt", ".md", ".markdown"] {
        for slug in ["auth", "v1.2", "x_done"] {
            let written = format!("2026-11-22_142301_{slug}{ending}");
            let name = StampedName::from_written(OsStr::new(&written));
            let expected = format!("2026-11-22_142301_{slug}.md");
            match (slug, ending) {
                ("v1.2", "") => assert_eq!(name, None, "{written} has an extension"),
                _ => assert_eq!(name.unwrap().to_string(), expected),
            }
        }
    }
    for other in ["_notes.json", "_done", "_done.txt", "", ".txt", "_x~", "_"] {
        let written = format!("2026-11-22_142301{other}");
        assert_eq!(StampedName::from_written(OsStr::new(&written)), None);
    }
    let long = format!("2026-11-22_142301_{}", "a".repeat(237));
    let kept = StampedName::from_written(OsStr::new(&long)).unwrap();
    assert_eq!(kept.to_os_string().len(), 255);
}

/// spec 3.5a: a name without room for `_done` can be consumed, too
#[test]
fn the_longest_names_can_be_consumed() {
    for len in 226..=234 {
        for unit in ["a", "é", "漢", "x_done"] {
            let slug: String = unit.chars().cycle().take(len).collect();
            let slug = &slug[..slug.floor_char_boundary(len)];
            let slug = slug.trim_end_matches("_done");
            let name = parsed(&format!("2026-11-22_142301_{slug}.md"));
            let done = name.consumed();
            assert!(done.to_os_string().len() <= 255);
            assert_eq!(parsed(done.to_os_string().to_str().unwrap()), done);
            assert!(!done.is_pending());
        }
    }
}

/// spec 3.2c, 3.5a: cutting must not bring to light an ending that reads as `_done`
#[test]
fn a_cut_never_marks_a_name() {
    let head = "a".repeat(224);
    let name = parsed(&format!("2026-11-22_142301_{head}_donexxxxx.md"));
    let done = name.consumed();
    let expected = format!("2026-11-22_142301_{head}-done_done.md");
    assert_eq!(done.to_string(), expected);
    assert_eq!(parsed(&expected), done);
}

/// spec 6.1a: oldest first
#[test]
fn names_order_by_time() {
    let names = [
        "2026-11-22_142301_zeta.md",
        "2026-11-22_142302_auth.md",
        "2026-11-22_142302_auth_done.md",
        "2026-11-22_142302_beta.md",
        "2027-01-01_000000_auth.md",
    ];
    assert!(names.map(parsed).is_sorted());
}

/// spec 4.5e: the name that consumes, whatever extension either of them has
#[test]
fn the_done_form_of_a_name() {
    for (name, done, expected) in [
        ("notes.md", "notes_done.md", true),
        ("notes.txt", "notes_done", true),
        (
            "2026-11-22_142301_x.md",
            "2026-11-22_142301_x_done.md",
            true,
        ),
        ("notes.md", "notes.md", false),
        ("notes.md", "other_done.md", false),
        ("notes.md", "notes_done.json", false),
    ] {
        let is_done = is_done_form(OsStr::new(name), OsStr::new(done));
        assert_eq!(is_done, expected, "{name} {done}");
    }
}

/// spec 4.1a, 4.5f, 4.6a: every name gives a stamp, keeps a name, is scratch, ordinary or reserved
#[test]
fn questions_about_a_class() {
    let count = |name: &str| {
        let class = classify(OsStr::new(name));
        (class.is_scratch(), class.is_ordinary(), class.is_reserved())
    };
    for name in ["x.tmp", "x.lock"] {
        assert_eq!(count(name), (true, false, false), "{name}");
    }
    for name in [".gitignore", "2026-11-22_142301_x.json"] {
        assert_eq!(count(name), (false, true, false), "{name}");
    }
    for name in [".peek.md", ".status.json", ".handoff-fs"] {
        assert_eq!(count(name), (false, false, true), "{name}");
    }
    for (name, gets_stamp, keeps_handoff) in [
        ("notes.md", true, true),
        ("notes.md.bak", true, false),
        ("pending.md", false, true),
        ("2026-11-22_142301_x.md", false, true),
        ("x.tmp", false, false),
    ] {
        let class = classify(OsStr::new(name));
        assert!(!count(name).1, "{name}");
        assert_eq!(class.gets_stamp(), gets_stamp, "{name}");
        assert_eq!(class.keeps_handoff(), keeps_handoff, "{name}");
    }
}

/// spec 3.7a: a `pending.md` that was written while nothing was mounted is a stray
#[test]
fn a_real_pending_md_is_a_stray() {
    for (name, stray) in [
        ("pending.md", true),
        ("x.md", true),
        ("x.json", false),
        (".x", false),
    ] {
        assert_eq!(is_stray(OsStr::new(name)), stray, "{name}");
    }
}

// --- properties ---

/// Names of common parts, so that rare forms are drawn often; and any bytes at all.
fn written_name() -> impl Strategy<Value = Vec<u8>> {
    let text = "2026-11-22_142301 0000-02-29_235959 2026-02-30_000000 _ - . _done done .md .markdown .txt .tmp .12 .ab ~ \
                # é 漢字 🦀 auth .bak _2";
    let mut parts: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    parts.extend([&b" "[..], b"\n", b"\xff", b"\xe6\xbc"]);
    let long = (
        prop::sample::select(vec!["a", "é", "漢", "🦀", "_done", "\u{80}"]),
        0..256usize,
    )
        .prop_map(|(unit, len)| unit.repeat(len).into_bytes());
    let marked = (200..230usize).prop_map(|len| [&vec![b'a'; len], &b"_donexxxxxxxx"[..]].concat());
    let part = prop_oneof![
        1 => marked,
        12 => prop::sample::select(parts).prop_map(<[u8]>::to_vec),
        2 => prop::collection::vec(any::<u8>(), 0..8),
        1 => long,
    ];
    let stamped = prop_oneof![Just(&b""[..]), Just(&b"2026-11-22_142301_"[..])];
    let md = prop_oneof![Just(&b""[..]), Just(&b".md"[..]), Just(&b"_done.md"[..])];
    (stamped, prop::collection::vec(part, 0..6), md).prop_map(|(stamp, parts, md)| {
        let mut name = [stamp, &parts.concat()].concat();
        name.truncate(NAME_MAX - md.len());
        name.extend_from_slice(md);
        name
    })
}

fn any_stamp() -> impl Strategy<Value = Stamp> {
    (-70_000_000_000..260_000_000_000i64, 0..1_000_000_000u32).prop_map(|(seconds, nanos)| {
        let time = chrono::DateTime::from_timestamp(seconds, nanos).unwrap();
        Stamp::new(time.naive_utc())
    })
}

/// A name by any way there is to one, and then changed in any way there is.
fn any_stamped() -> impl Strategy<Value = StampedName> {
    let found =
        written_name().prop_filter_map("stamped", |name| StampedName::from_written(os(&name)));
    let made = (any_stamp(), written_name())
        .prop_map(|(stamp, name)| StampedName::new(stamp, Slug::from_written(os(&name))));
    let changes = prop::collection::vec((0..6u8, any::<u32>(), written_name()), 0..5);
    (prop_oneof![found, made], changes).prop_map(|(mut name, changes)| {
        for (change, n, written) in changes {
            name = match change {
                0 => name.consumed(),
                1 => name.pending(),
                2 => name.with_suffix(n),
                3 => name.with_slug(Slug::from_written(os(&written))),
                4 => name.with_slug(name.slug().partial()),
                _ => StampedName::new(name.stamp(), name.slug().clone()),
            };
        }
        name
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// spec 3.2a: every time that can be built reads back, and orders as its text does
    #[test]
    fn stamps_read_back(a in any_stamp(), b in any_stamp()) {
        prop_assert_eq!(Stamp::parse(a.to_string().as_bytes()), Some(a));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    /// spec 3.1: the name of a handoff found on disk formats to the same bytes
    #[test]
    fn found_names_format_to_themselves(name in written_name()) {
        if let Some(found) = StampedName::parse(os(&name)) {
            prop_assert_eq!(found.to_os_string(), os(&name));
        }
    }

    /// spec 3.2c, 3.3: after any change a name fits and reads back, and matches the old protocol's `*_done.md` exactly if
    /// the handoff is consumed
    #[test]
    fn every_name_reads_back(name in any_stamped()) {
        let text = name.to_os_string();
        prop_assert!(text.len() <= NAME_MAX);
        prop_assert_eq!(StampedName::parse(&text), Some(name.clone()));
        prop_assert_eq!(text.as_bytes().ends_with(b"_done.md"), !name.is_pending());
        prop_assert_eq!(classify(&text), NameClass::Stamped(name));
    }

    /// spec 3.5a, 6.6a: both states of every name exist, with its stamp, and cutting keeps UTF-8 whole
    #[test]
    fn every_name_has_both_states(name in any_stamped()) {
        let (done, pending) = (name.consumed(), name.pending());
        prop_assert!(!done.is_pending() && pending.is_pending());
        prop_assert_eq!(done.stamp(), name.stamp());
        prop_assert_eq!(done.pending().consumed(), done.pending().consumed().consumed());
        let whole = name.to_os_string().to_str().is_some();
        prop_assert!(!whole || done.to_os_string().to_str().is_some());
    }

    /// spec 3.3: no two choices of a name are the same, nor are they once consumed
    #[test]
    fn suffixes_differ(name in any_stamped(), n in 2..u32::MAX, m in 2..u32::MAX) {
        let (a, b) = (name.with_suffix(n), name.with_suffix(m));
        prop_assert_eq!(a == b, n == m);
        prop_assert_eq!(a.consumed() == b.consumed(), n == m);
        let number = format!("_{n}");
        prop_assert!(a.slug().as_os_str().as_bytes().ends_with(number.as_bytes()));
    }

    /// spec 3.2b: a slug has only letters, digits, `.`, `-` and `_`, and begins and ends as promised
    #[test]
    fn slugs_hold_what_stays(name in written_name()) {
        let slug = Slug::from_written(os(&name));
        let text = slug.as_os_str().to_str().expect("UTF-8");
        prop_assert!(!text.is_empty());
        let continues = |c: char| {
            let mark = c.general_category_group() == GeneralCategoryGroup::Mark;
            mark || matches!(c, '\u{200c}' | '\u{200d}')
        };
        let stays = |c: char| c.is_alphanumeric() || continues(c) || ".-_".contains(c);
        prop_assert!(text.chars().all(stays), "{text}");
        prop_assert!(!text.ends_with(['-', '.']) && !text.ends_with("_done"), "{text}");
        prop_assert!(!text.starts_with(['-', '.']) || text == "-done", "{text}");
        let loose = |pair: &[char]| continues(pair[1]) && ".-_".contains(pair[0]);
        let chars: Vec<char> = text.chars().collect();
        prop_assert!(!chars.windows(2).any(|pair| loose(pair) && !pair[1].is_alphanumeric()), "{text}");
        prop_assert_eq!(Slug::from_stem(text.as_bytes()), slug);
    }

    /// spec 3.2c: the whole name with every suffix fits 255 bytes, nothing cut
    #[test]
    fn written_slugs_leave_room(name in written_name()) {
        let slug = Slug::from_written(os(&name));
        let text = slug.as_os_str().to_str().unwrap();
        let all = StampedName::new(stamp(), slug.partial()).with_suffix(u32::MAX).consumed();
        let expected = format!("2026-11-22_142301_{text}-partial_4294967295_done.md");
        prop_assert_eq!(all.to_string(), expected);
    }

    /// spec 3.7a: a stray's new name is a pending handoff's, with the time it had
    #[test]
    fn strays_become_handoffs(name in written_name(), stamp in any_stamp()) {
        let becomes = adopted(os(&name), stamp);
        prop_assert_eq!(StampedName::parse(&becomes.to_os_string()), Some(becomes.clone()));
        prop_assert!(!is_adoptable(&becomes.to_os_string()));
        if classify(os(&name)) == NameClass::Unstamped {
            prop_assert_eq!(becomes.stamp(), stamp);
        }
        prop_assert!(becomes.is_pending());
    }
}
