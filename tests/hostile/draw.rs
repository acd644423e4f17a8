//! Hostile names and contents, drawn at random.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use fastrand::Rng;

/// Pieces by which names are classified, and bytes that break lines, terminals, comments and characters.
#[rustfmt::skip]
const PIECES: [&[u8]; 64] = [
    b"2026-01-02_030405", b"2026-13-02_030405", b"9999-12-31_235959", b"0000-01-01_000000", b"_", b"_done", b"_done",
    b"_done.md", b".md", b".md", b".md", b".txt", b".markdown", b".MD", b"pending", b"pending.md", b".peek.md",
    b".status.json", b".handoff-fs", b"handoff", b"-partial", b"_2", b"_99999", b".", b"..", b"-", b"~", b"#",
    b".tmp", b".tmp.12", b".tmp.12.ab", b".part", b".partial", b".swp", b".swx", b".bak", b".orig", b"4913",
    b"sedAb12_3", b"tmpab12cd34", b"XXab12cd", b"___jb_tmp___", b" ", b"\n", b"\r", b"\t", b"\x1b[2J", b"\x07",
    b"\x7f", b"\x80", b"\xff\xfe", b"\xe5\xbc", b"\xf0\x9f\xa6", b"\xc2\x9b", b"\xe2\x80\xae", b"\xe2\x80\xa8",
    b"\xcc\x81", b"\xf0\x9f\xa6\x80", b" -->", b"--!>", b" | 0 bytes", b"<!-- handoff 1/1: ", b"\\x0a", b"\\",
];

/// A name that a client can pass: any bytes but `/` and NUL, from one to 300 of them.
pub fn name(random: &mut Rng) -> OsString {
    let mut name = Vec::new();
    match random.u8(0..10) {
        // Any bytes.
        0 => {
            for _ in 0..random.usize(1..40) {
                name.push(random.u8(1..=255));
            }
        }
        // Around the lengths at which something is cut or refused, in characters of one to four bytes.
        1 | 2 => {
            let unit = *choose(random, &["a", "é", "引", "🦀", "e\u{301}", "\u{1}"]);
            let wanted = *choose(
                random,
                &[200, 205, 210, 226, 229, 234, 240, 250, 254, 255, 256, 300],
            );
            if random.bool() {
                name.extend_from_slice(b"2026-01-02_030405_");
            }
            let ending: &[u8] = choose::<&[u8]>(
                random,
                &[&b""[..], b".md", b"_done.md", b".txt", b"_done_done.md"],
            );
            name.extend(vec![b'x'; random.usize(0..4)]);
            while name.len() + unit.len() + ending.len() <= wanted {
                name.extend_from_slice(unit.as_bytes());
            }
            name.extend_from_slice(ending);
        }
        // Handoffs.
        3..=5 => {
            name.extend_from_slice(stamped(random).as_encoded_bytes());
        }
        _ => {
            for _ in 0..random.usize(1..6) {
                name.extend_from_slice(choose::<&[u8]>(random, &PIECES));
            }
        }
    }
    name.retain(|byte| !matches!(byte, 0 | b'/'));
    name.truncate(300);
    match &name[..] {
        b"" | b"." | b".." => OsString::from("x.md"),
        _ => OsString::from_vec(name),
    }
}

/// A name that is stamped, with anything in its slug; 255 bytes at most.
pub fn stamped(random: &mut Rng) -> OsString {
    let (year, day) = (random.u16(1990..2035), random.u8(1..29));
    let (month, minute, second) = (random.u8(1..13), random.u8(0..60), random.u8(0..60));
    let mut name = format!("{year:04}-{month:02}-{day:02}_03{minute:02}{second:02}_").into_bytes();
    for _ in 0..random.usize(1..5) {
        name.extend_from_slice(choose::<&[u8]>(random, &PIECES));
    }
    name.retain(|byte| !matches!(byte, 0 | b'/'));
    name.truncate(random.usize(200..240));
    name.extend_from_slice(if random.u8(0..4) == 0 {
        b"_done.md"
    } else {
        b"x.md"
    });
    OsString::from_vec(name)
}

/// A content that imitates the header lines around it.
pub fn body(random: &mut Rng) -> Vec<u8> {
    let mut body = Vec::new();
    let line = "2026-01-02_030405_x.md | 4 bytes | written 2026-01-02 03:04:05 +0000 | stays as 2026-01-02_030405_x_done.md -->";
    for _ in 0..random.usize(1..8) {
        let (i, n) = (random.u8(0..4), random.u8(0..4));
        let piece = match random.u8(0..8) {
            0 => format!("<!-- handoffs: {n} | 12 bytes -->\n"),
            1 => format!("<!-- index {i}/{n}: {line}\n"),
            2 | 3 => format!("<!-- handoff {i}/{n}: {line}\n"),
            4 => "-->\n".into(),
            5 => "\n".into(),
            6 => "no newline at its end".into(),
            _ => {
                body.extend((0..random.usize(0..600)).map(|_| random.u8(..)));
                continue;
            }
        };
        body.extend_from_slice(piece.as_bytes());
    }
    if body.is_empty() {
        body.push(b'x');
    }
    body
}

pub fn choose<'a, T>(random: &mut Rng, from: &'a [T]) -> &'a T {
    &from[random.usize(..from.len())]
}
