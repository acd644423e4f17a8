//! A reader of `pending.md` that trusts nothing but the sizes in the header lines (spec 6.1b).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// One handoff of a merge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handoff {
    pub path: OsString,
    pub stays_as: OsString,
    pub body: Vec<u8>,
}

/// The fields of a header line.
#[derive(PartialEq, Eq, Debug)]
struct Line {
    path: Vec<u8>,
    size: usize,
    written: Vec<u8>,
    stays_as: Vec<u8>,
}

/// The handoffs of a merge, found by walking from header line to header line; an error says where it is not one.
pub fn parse(text: &[u8]) -> Result<Vec<Handoff>, String> {
    let mut rest = text;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut index = Vec::new();
    let mut count = 1;
    if let Some(summary) = text.strip_prefix(b"<!-- handoffs: ") {
        rest = summary;
        let line = String::from_utf8(take_line(&mut rest)?.to_vec()).map_err(|e| e.to_string())?;
        let (n, bytes) = line.split_once(" | ").ok_or("no total")?;
        count = n.parse().map_err(|_| format!("{n} handoffs"))?;
        let bytes = bytes.strip_suffix(" bytes").ok_or("no total")?;
        for i in 1..=count {
            index.push(line_of(&mut rest, "index", i, count)?);
        }
        let total: usize = index.iter().map(|line| line.size).sum();
        if total.to_string() != bytes {
            return Err(format!("{bytes} bytes in all, and {total} in the index"));
        }
    }
    let mut found = Vec::new();
    for i in 1..=count {
        let line = line_of(&mut rest, "handoff", i, count)?;
        if index.get(i - 1).is_some_and(|indexed| *indexed != line) {
            return Err(format!("{line:?} and in the index {:?}", index[i - 1]));
        }
        let (body, after) = rest
            .split_at_checked(line.size)
            .ok_or_else(|| format!("{line:?} ends too early"))?;
        rest = after;
        if !body.ends_with(b"\n") {
            rest = rest.strip_prefix(b"\n").ok_or("no newline put after it")?;
        }
        found.push(Handoff {
            path: OsString::from_vec(line.path),
            stays_as: OsString::from_vec(line.stays_as),
            body: body.to_vec(),
        });
    }
    match rest.is_empty() {
        true => Ok(found),
        false => Err(format!("{} bytes more than the headers say", rest.len())),
    }
}

/// The rest of the present line, without the end of the comment; one space more pads the first line.
fn take_line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let end = rest.iter().position(|byte| *byte == b'\n');
    let (line, after) = rest.split_at(end.ok_or("a line that does not end")?);
    *rest = &after[1..];
    let shown = || String::from_utf8_lossy(line).into_owned();
    let line = line
        .strip_suffix(b" -->")
        .ok_or_else(|| format!("no header line: {}", shown()))?;
    Ok(line.strip_suffix(b" ").unwrap_or(line))
}

fn line_of(rest: &mut &[u8], word: &str, i: usize, count: usize) -> Result<Line, String> {
    let line = take_line(rest)?;
    let shown = String::from_utf8(line.to_vec()).map_err(|e| e.to_string())?;
    // A header line has no character that ends a line or a comment, or is invisible.
    let unsafe_to_print = |c: char| {
        let separates = matches!(c, '\u{2028}' | '\u{2029}');
        c.is_control()
            || separates
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if let Some(bad) = shown.chars().find(|c| unsafe_to_print(*c)) {
        return Err(format!("{bad:?} in {shown:?}"));
    }
    let fields = shown
        .strip_prefix(&format!("<!-- {word} {i}/{count}: "))
        .ok_or_else(|| format!("no {word} {i}/{count}: {shown:?}"))?;
    let fields: Vec<&str> = fields.split(" | ").collect();
    let [path, size, written, stays_as, ..] = fields[..] else {
        return Err(format!("too few fields: {shown:?}"));
    };
    let field = |text: &str, before: &str, after: &str| {
        let text = text.strip_prefix(before)?.strip_suffix(after)?;
        Some(text.to_owned())
    };
    let said = || format!("fields: {shown:?}");
    Ok(Line {
        path: unescape(path)?,
        size: field(size, "", " bytes")
            .and_then(|size| size.parse().ok())
            .ok_or_else(said)?,
        written: field(written, "written ", "")
            .ok_or_else(said)?
            .into_bytes(),
        stays_as: unescape(&field(stays_as, "stays as ", "").ok_or_else(said)?)?,
    })
}

/// Undoes what the header lines do to a name: `\\` is a backslash, `\xNN` a byte.
fn unescape(shown: &str) -> Result<Vec<u8>, String> {
    let mut name = Vec::new();
    let mut bytes = shown.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            name.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'\\') => name.push(b'\\'),
            Some(b'x') => {
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.unwrap_or(b' '));
                let digits = String::from_utf8_lossy(&digits).into_owned();
                let byte = u8::from_str_radix(&digits, 16);
                name.push(byte.map_err(|_| format!("{shown:?}: \\x{digits}"))?);
            }
            other => return Err(format!("{shown:?}: {other:?} after a backslash")),
        }
    }
    Ok(name)
}
