//! spec 6.1a, 6.1b, 6.1c and 6.2a, checked against a merge that builds the whole text.

use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// One handoff, with its content.
#[derive(Clone, Debug)]
struct Doc {
    path: OsString,
    stays_as: OsString,
    body: Vec<u8>,
    written: DateTime<FixedOffset>,
}

fn doc(path: &str, body: &str) -> Doc {
    Doc {
        path: path.into(),
        stays_as: path.replace(".md", "_done.md").into(),
        body: body.into(),
        written: DateTime::parse_from_rfc3339("2026-11-22T14:23:01+01:00").unwrap(),
    }
}

impl Doc {
    fn ends(&self) -> bool {
        self.body.ends_with(b"\n")
    }

    /// The header or index line, up to its end.
    fn line(&self, word: &str, i: usize, n: usize) -> Vec<u8> {
        let mut line = format!("<!-- {word} {i}/{n}: ");
        escape(&mut line, &self.path);
        let zone = self.written.format("%F %T %z");
        line += &format!(" | {} bytes | written {zone} | stays as ", self.body.len());
        escape(&mut line, &self.stays_as);
        line.into_bytes()
    }
}

impl Entries for [Doc] {
    fn count(&self) -> usize {
        self.len()
    }

    fn entry(&self, i: usize) -> Entry<'_> {
        Entry {
            path: &self[i].path,
            size: self[i].body.len() as u64,
            written: self[i].written,
            stays_as: &self[i].stays_as,
            ends_with_newline: self[i].ends(),
        }
    }
}

/// The merged text, in one go.
fn merged(docs: &[Doc]) -> Vec<u8> {
    let n = docs.len();
    let mut lines: Vec<Vec<u8>> = Vec::new();
    if n > 1 {
        let sum: usize = docs.iter().map(|d| d.body.len()).sum();
        lines.push(format!("<!-- handoffs: {n} | {sum} bytes").into_bytes());
        lines.extend(
            docs.iter()
                .enumerate()
                .map(|(i, d)| d.line("index", i + 1, n)),
        );
    }
    let with_first_end = |first_end: &[u8]| {
        let mut text = Vec::new();
        let mut end = first_end;
        for line in &lines {
            text.extend([line, end].concat());
            end = b" -->\n";
        }
        for (i, d) in docs.iter().enumerate() {
            let newline: &[u8] = if d.ends() { b"" } else { b"\n" };
            text.extend([&d.line("handoff", i + 1, n), end, &d.body, newline].concat());
            end = b" -->\n";
        }
        text
    };
    match with_first_end(b" -->\n") {
        text if text.len().is_multiple_of(512) && n > 0 => with_first_end(b"  -->\n"),
        text => text,
    }
}

/// The bytes that a read of that range returns.
fn read(docs: &[Doc], layout: &Layout, offset: u64, len: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in layout.pieces(docs, offset..offset.saturating_add(len)) {
        match piece {
            Piece::Text(text) => bytes.extend(text),
            Piece::Body { entry, offset, len } => {
                let from = usize::try_from(offset).unwrap();
                let to = usize::try_from(offset + len).unwrap();
                bytes.extend_from_slice(&docs[entry].body[from..to]);
            }
        }
    }
    bytes
}

fn read_all(docs: &[Doc]) -> String {
    let layout = Layout::new(docs);
    let bytes = read(docs, &layout, 0, u64::MAX);
    assert_eq!(bytes.len() as u64, layout.size());
    String::from_utf8(bytes).unwrap()
}

/// spec 6.1d: no handoff, no byte
#[test]
fn nothing_pending_is_empty() {
    let layout = Layout::new(&[][..] as &[Doc]);
    assert_eq!(layout.size(), 0);
    assert_eq!(layout.pieces(&[][..] as &[Doc], 0..4096), []);
}

/// spec 6.1a, 6.1b, 6.1c: one handoff has no index
#[test]
fn one_handoff() {
    let text = "<!-- handoff 1/1: proj/2026-11-22_142301_auth.md | 5 bytes | \
        written 2026-11-22 14:23:01 +0100 | stays as proj/2026-11-22_142301_auth_done.md -->\n";
    let path = "proj/2026-11-22_142301_auth.md";
    assert_eq!(read_all(&[doc(path, "done\n")]), format!("{text}done\n"));
    assert_eq!(
        read_all(&[doc(path, "done!")]),
        format!("{text}done!\n"),
        "a missing newline is put after it, and not counted"
    );
}

/// spec 6.1b, 6.1c: with two or more, the first lines are an index of the same
#[test]
fn several_handoffs() {
    let docs = [doc("a.md", "first"), doc("b.md", "second\n")];
    let written = "written 2026-11-22 14:23:01 +0100";
    assert_eq!(
        read_all(&docs),
        format!(
            "<!-- handoffs: 2 | 12 bytes -->\n\
             <!-- index 1/2: a.md | 5 bytes | {written} | stays as a_done.md -->\n\
             <!-- index 2/2: b.md | 7 bytes | {written} | stays as b_done.md -->\n\
             <!-- handoff 1/2: a.md | 5 bytes | {written} | stays as a_done.md -->\n\
             first\n\
             <!-- handoff 2/2: b.md | 7 bytes | {written} | stays as b_done.md -->\n\
             second\n"
        )
    );
}

/// spec 6.2a: never a multiple of 512, whatever the length; the space goes into the first line
#[test]
fn sizes_are_padded() {
    for others in [&[][..], &[doc("a.md", "x\n")][..]] {
        let mut padded = 0;
        for len in 0..1100 {
            let docs = [&[doc("b.md", &"y".repeat(len))][..], others].concat();
            let layout = Layout::new(docs.as_slice());
            assert_ne!(layout.size() % 512, 0, "body of {len}");
            let text = read_all(&docs);
            assert_eq!(text.as_bytes(), merged(&docs));
            let spaces = text.matches("  -->").count();
            assert!(spaces == 0 || text.lines().next().unwrap().ends_with("  -->"));
            padded += spaces;
        }
        assert_eq!(padded, 2, "1100 lengths hold two multiples");
    }
}

/// spec 6.1b: names in the lines
#[test]
fn names_are_escaped() {
    for (name, shown) in [
        (&b"plain/name.md"[..], "plain/name.md"),
        ("größe 引き継ぎ 🦀".as_bytes(), "größe 引き継ぎ 🦀"),
        (b"a\nb\r\t\x00\x1b\x7f", r"a\x0ab\x0d\x09\x00\x1b\x7f"),
        (b"\xff\xe6\xbc", r"\xff\xe6\xbc"),
        (b"a\\x0a", r"a\\x0a"),
        (b"x --> y --!> z", r"x --\x3e y --!\x3e z"),
        (b"a | b", r"a \x7c b"),
        (
            "\u{85}\u{2028}\u{2029}".as_bytes(),
            r"\xc2\x85\xe2\x80\xa8\xe2\x80\xa9",
        ),
        // Shown from right to left it would end in another size.
        (
            "a\u{202e}b\u{200f}".as_bytes(),
            r"a\xe2\x80\xaeb\xe2\x80\x8f",
        ),
        ("\u{2067}".as_bytes(), r"\xe2\x81\xa7"),
    ] {
        let mut line = String::new();
        escape(&mut line, OsStr::from_bytes(name));
        assert_eq!(line, shown);
    }
}

/// Counts how often it is asked.
struct Counted<'a>(&'a [Doc], Cell<usize>);

impl Entries for Counted<'_> {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn entry(&self, i: usize) -> Entry<'_> {
        self.1.set(self.1.get() + 1);
        self.0.entry(i)
    }
}

/// spec 6.2b: a read of many handoffs looks at no more of them than it returns
#[test]
fn a_read_costs_what_it_covers() {
    let docs: Vec<Doc> = (0..10_000)
        .map(|i| doc(&format!("2026-11-22_142301_{i:05}.md"), &"z".repeat(900)))
        .collect();
    let layout = Layout::new(docs.as_slice());
    assert!(layout.starts.len() <= 2 * docs.len() + 1);
    for offset in [0, 500_000, layout.size() / 2, layout.size() - 131_072] {
        let counted = Counted(&docs, Cell::new(0));
        let pieces = layout.pieces(&counted, offset..offset + 131_072);
        assert!(!pieces.is_empty());
        assert!(counted.1.get() < 1200, "{} at {offset}", counted.1.get());
    }
    let (middle, counted) = (layout.starts[15_000] + 400, Counted(&docs, Cell::new(0)));
    assert_eq!(layout.pieces(&counted, middle..middle + 16).len(), 1);
    assert_eq!(counted.1.get(), 1, "a read within one body writes no line");
}

/// An entry of any size, without content.
struct Sparse(Vec<u64>);

impl Entries for Sparse {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn entry(&self, i: usize) -> Entry<'_> {
        Entry {
            path: OsStr::new("x.md"),
            size: self.0[i],
            written: DateTime::UNIX_EPOCH.fixed_offset(),
            stays_as: OsStr::new("x_done.md"),
            ends_with_newline: false,
        }
    }
}

proptest! {
    /// spec 8.3c: no sizes and no range can stop the program
    #[test]
    fn absurd_sizes_are_harmless(
        sizes in prop::collection::vec(prop_oneof![any::<u64>(), Just(u64::MAX), Just(1 << 63)], 0..5),
        offset in any::<u64>(),
        len in any::<u64>(),
    ) {
        let sparse = Sparse(sizes);
        let layout = Layout::new(&sparse);
        for offset in [0, 1, offset, layout.size().saturating_sub(1), u64::MAX] {
            layout.pieces(&sparse, offset..offset.saturating_add(len));
            layout.pieces(&sparse, offset..u64::MAX);
        }
    }
}

/// Reads an escaped name back.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, next) = match (first, after) {
            (b'\\', [b'x', a, b, next @ ..]) => {
                let hex = [*a, *b];
                let hex = str::from_utf8(&hex).unwrap();
                (u8::from_str_radix(hex, 16).unwrap(), next)
            }
            (b'\\', [b'\\', next @ ..]) => (b'\\', next),
            (b'\\', _) => panic!("no escape: {text}"),
            (plain, next) => (plain, next),
        };
        bytes.push(byte);
        rest = next;
    }
    bytes
}

fn any_name() -> impl Strategy<Value = OsString> {
    let parts = [
        "-->",
        "--!>",
        "<!-- handoff 1/1: ",
        " | ",
        "\n",
        "\\",
        "\\x0a",
        "-",
        "é",
        "漢",
    ];
    let part = prop_oneof![
        3 => prop::sample::select(parts.to_vec()).prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| OsString::from_vec(parts.concat()))
}

fn any_docs() -> impl Strategy<Value = Vec<Doc>> {
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'x')], 0..700),
    ];
    let any_doc = (
        any_name(),
        any_name(),
        body,
        0..4_000_000_000i64,
        -720..840i32,
    );
    let doc = any_doc.prop_map(|(path, stays_as, body, seconds, minutes)| {
        let zone = FixedOffset::east_opt(minutes * 60).unwrap();
        let written = DateTime::from_timestamp(seconds, 0)
            .unwrap()
            .with_timezone(&zone);
        Doc {
            path,
            stays_as,
            body,
            written,
        }
    });
    prop::collection::vec(doc, 0..6)
}

proptest! {
    /// spec 6.1a, 6.2a: each whole and byte for byte, the size exact
    #[test]
    fn a_whole_read_is_the_merge(docs in any_docs()) {
        let layout = Layout::new(docs.as_slice());
        let text = merged(&docs);
        prop_assert_eq!(layout.size(), text.len() as u64);
        prop_assert!(text.is_empty() || !text.len().is_multiple_of(512));
        prop_assert_eq!(read(&docs, &layout, 0, layout.size()), text);
    }

    /// spec 6.2b: any read is that part of the whole
    #[test]
    fn any_read_is_a_part_of_the_whole(docs in any_docs(), offset in 0..3000u64, len in 0..3000u64) {
        let layout = Layout::new(docs.as_slice());
        let whole = merged(&docs);
        let clipped = |at: u64| usize::try_from(at.min(layout.size())).unwrap();
        let part = &whole[clipped(offset)..clipped(offset + len)];
        prop_assert_eq!(read(&docs, &layout, offset, len), part);
    }

    /// spec 6.2b: whatever the buffer, reading on until the end gives the whole
    #[test]
    fn reads_in_a_row_give_the_whole(docs in any_docs(), buffer in 1..600u64) {
        let layout = Layout::new(docs.as_slice());
        let mut text = Vec::new();
        while (text.len() as u64) < layout.size() {
            text.extend(read(&docs, &layout, text.len() as u64, buffer));
        }
        prop_assert_eq!(text, merged(&docs));
    }

    /// spec 6.1b: no name forges a line, a field or the end of the comment, and each can be read back
    #[test]
    fn names_cannot_forge(path in any_name(), stays_as in any_name()) {
        let written = DateTime::UNIX_EPOCH.fixed_offset();
        let entry = Entry { path: &path, size: 1, written, stays_as: &stays_as, ends_with_newline: true };
        let mut line = String::new();
        entry.line(&mut line, "handoff", 0, 1, false);
        let inner = line.strip_prefix("<!-- handoff 1/1: ").and_then(|l| l.strip_suffix(" -->\n"));
        let inner = inner.expect("one comment");
        prop_assert!(!inner.contains('>') && !inner.contains(char::is_control), "{inner}");
        let fields: Vec<&str> = inner.split(" | ").collect();
        prop_assert_eq!(fields.len(), 4);
        prop_assert_eq!(unescaped(fields[0]), path.as_bytes());
        let stays = fields[3].strip_prefix("stays as ").unwrap();
        prop_assert_eq!(unescaped(stays), stays_as.as_bytes());
    }
}
