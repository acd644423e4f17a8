//! The text of `pending.md` (spec 6.1, 6.2): where each byte comes from, without holding any content.
//!
//! A snapshot may cover thousands of handoffs and stays open for as long as its reader likes. So a [`Layout`] keeps offsets
//! only. Header lines are written anew whenever they are read, and the caller reads the bodies. So [`Entries`] must answer
//! the same for as long as the layout is used.

#[cfg(test)]
mod tests;

use chrono::{DateTime, FixedOffset, Timelike};
use std::ffi::OsStr;
use std::fmt::Write;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

/// One handoff of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// The path as seen from the queue that is read.
    pub path: &'a OsStr,
    /// The length of the content in bytes.
    pub size: u64,
    /// When the content was last written, in the zone to show.
    pub written: DateTime<FixedOffset>,
    /// The file name that the handoff has once it is consumed.
    pub stays_as: &'a OsStr,
    /// Is the last byte a newline? If not, a newline is put after the content.
    pub ends_with_newline: bool,
}

impl Entry<'_> {
    /// The length of the newline that is put after the content, in bytes.
    fn newline_len(&self) -> u64 {
        u64::from(!self.ends_with_newline)
    }

    /// The length of the content with that newline, in bytes.
    fn body_len(&self) -> u64 {
        self.size.saturating_add(self.newline_len())
    }

    /// The length of a line about this handoff, in bytes, without the word and without the digits of the two numbers.
    pub fn line_len(&self) -> u64 {
        let mut line = String::new();
        self.line(&mut line, "", 0, 1, false);
        (line.len() as u64).saturating_sub(2)
    }

    /// Appends the comment line about the `i`th of `count`; `word` says whether of the index or of the handoff itself.
    fn line(&self, line: &mut String, word: &str, i: usize, count: usize, pad: bool) {
        let _ = write!(line, "<!-- {word} {}/{count}: ", i + 1);
        escape(line, self.path);
        let _ = write!(line, " | {} bytes | written ", self.size);
        time(line, self.written);
        line.push_str(" | stays as ");
        escape(line, self.stays_as);
        close(line, pad);
    }
}

/// The handoffs of a snapshot, in the order in which they are delivered.
pub trait Entries {
    /// How many there are.
    fn count(&self) -> usize;
    /// The `i`th, counted from 0.
    fn entry(&self, i: usize) -> Entry<'_>;
    /// [`Entry::line_len`] of the `i`th. A caller that has kept it need not write the line again.
    fn line_len(&self, i: usize) -> u64 {
        self.entry(i).line_len()
    }
}

/// A part of the bytes that a read returns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// These bytes.
    Text(Vec<u8>),
    /// `len` bytes of the content of a handoff, from `offset` on.
    Body {
        /// Which handoff, counted from 0.
        entry: usize,
        /// Where in its content, in bytes.
        offset: u64,
        /// How many bytes; never 0.
        len: u64,
    },
}

/// Where everything stands in the merged text: sixteen bytes for each handoff.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Where each block begins. INVARIANT: ascending.
    starts: Vec<u64>,
    /// Where the last block ends.
    size: u64,
    /// How many handoffs there are, which tells the kind of each block.
    count: usize,
    /// The sum of the sizes of the handoffs, which the first line names.
    bodies: u64,
    /// Whether the first line has a space more, so that `size` is no multiple of 512.
    pad: bool,
}

/// One part of the merged text, which ends in a newline.
#[derive(Clone, Copy)]
enum Block {
    /// The first line, where two or more follow.
    Summary,
    /// The line of the index about one handoff.
    Index(usize),
    /// A handoff: its header line, its body, its missing newline.
    Handoff(usize),
}

/// The first word of the two lines about a handoff.
const INDEX: &str = "index";
const HANDOFF: &str = "handoff";

impl Layout {
    /// The layout of the merged `e`. Sizes are added saturating: sparse files can pretend to be longer than any file, and must
    /// not stop the program.
    pub fn new<E: Entries + ?Sized>(e: &E) -> Layout {
        let count = e.count();
        let sizes = (0..count).map(|i| e.entry(i).size);
        let mut layout = Layout {
            starts: Vec::with_capacity(2 * count + 1),
            size: 0,
            count,
            bodies: sizes.fold(0, u64::saturating_add),
            pad: false,
        };
        let mut summary = String::new();
        for k in 0..layout.blocks() {
            let block = layout.block(k);
            let (line, body) = match block {
                Block::Summary => {
                    layout.line(&mut summary, block, e);
                    (summary.len() as u64, 0)
                }
                Block::Index(i) => (layout.line_len(INDEX, i, e), 0),
                Block::Handoff(i) => (layout.line_len(HANDOFF, i, e), e.entry(i).body_len()),
            };
            layout.starts.push(layout.size);
            layout.size = layout.size.saturating_add(line.saturating_add(body));
        }
        if layout.size > 0 && layout.size.is_multiple_of(512) {
            layout.pad = true;
            layout.size += 1;
            for start in layout.starts.iter_mut().skip(1) {
                *start += 1;
            }
        }
        layout
    }

    /// The exact length of the merged text in bytes: 0 if there is no handoff, and otherwise never a multiple of 512, so that
    /// no reader's buffer ends by chance where the text does (spec 6.2).
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The pieces that make up `range`, clipped to the text, in order. Only lines that the range touches are written.
    pub fn pieces<E: Entries + ?Sized>(&self, e: &E, range: Range<u64>) -> Vec<Piece> {
        let end = range.end.min(self.size);
        let mut window = Window {
            range: range.start..end,
            pieces: Vec::new(),
            line: String::new(),
        };
        let first = self.starts.partition_point(|start| *start <= range.start);
        for k in first.saturating_sub(1)..self.blocks() {
            let block_start = self.starts[k];
            if block_start >= end {
                break;
            }
            let block_end = self.starts.get(k + 1).copied().unwrap_or(self.size);
            let block = self.block(k);
            let Block::Handoff(i) = block else {
                window.text(block_start..block_end, |line| self.line(line, block, e));
                continue;
            };
            // Counted from the end, so that a read within a body need not write the header line.
            let entry = e.entry(i);
            let body_end = block_end.saturating_sub(entry.newline_len());
            let body_start = body_end.saturating_sub(entry.size).max(block_start);
            window.text(block_start..body_start, |line| self.line(line, block, e));
            window.body(body_start..body_end, i);
            window.text(body_end..block_end, |line| line.push('\n'));
        }
        window.pieces
    }

    /// How many blocks there are. A single handoff needs no index.
    fn blocks(&self) -> usize {
        match self.count {
            0 | 1 => self.count,
            _ => 2 * self.count + 1,
        }
    }

    fn block(&self, k: usize) -> Block {
        match k {
            _ if self.count == 1 => Block::Handoff(k),
            0 => Block::Summary,
            _ if k <= self.count => Block::Index(k - 1),
            _ => Block::Handoff(k - self.count - 1),
        }
    }

    fn line_len<E: Entries + ?Sized>(&self, word: &str, i: usize, e: &E) -> u64 {
        let numbers = digits(i + 1) + digits(self.count);
        e.line_len(i) + word.len() as u64 + numbers
    }

    /// Appends the line that `block` is or, for a handoff, begins with.
    fn line<E: Entries + ?Sized>(&self, line: &mut String, block: Block, e: &E) {
        let n = self.count;
        match block {
            Block::Summary => {
                let _ = write!(line, "<!-- handoffs: {n} | {} bytes", self.bodies);
                close(line, self.pad);
            }
            Block::Index(i) => e.entry(i).line(line, INDEX, i, n, false),
            Block::Handoff(i) => e.entry(i).line(line, HANDOFF, i, n, self.pad && n == 1),
        }
    }
}

/// How many decimal digits a number has that is not 0.
fn digits(number: usize) -> u64 {
    u64::from(number.checked_ilog10().unwrap_or(0)) + 1
}

/// Collects the parts of blocks that lie within a range.
struct Window {
    range: Range<u64>,
    pieces: Vec<Piece>,
    /// The line that is looked at; kept so that its memory is used again.
    line: String,
}

impl Window {
    /// The part of `at` that lies within the range, counted from the start of `at`; `None` if that is nothing.
    fn wanted(&self, at: &Range<u64>) -> Option<Range<u64>> {
        let from = self.range.start.max(at.start);
        let to = self.range.end.min(at.end);
        (from < to).then(|| from - at.start..to - at.start)
    }

    /// The text that stands at `at`; made only if the range touches `at`.
    fn text(&mut self, at: Range<u64>, make: impl FnOnce(&mut String)) {
        let Some(wanted) = self.wanted(&at) else {
            return;
        };
        self.line.clear();
        make(&mut self.line);
        let text = self.line.as_bytes();
        let within = |offset: u64| offset.min(text.len() as u64) as usize;
        let part = &text[within(wanted.start)..within(wanted.end)];
        match self.pieces.last_mut() {
            Some(Piece::Text(before)) => before.extend_from_slice(part),
            Some(Piece::Body { .. }) | None => self.pieces.push(Piece::Text(part.to_vec())),
        }
    }

    /// The content of `entry`, which stands at `at`.
    fn body(&mut self, at: Range<u64>, entry: usize) {
        if let Some(wanted) = self.wanted(&at) {
            let (offset, len) = (wanted.start, wanted.end - wanted.start);
            self.pieces.push(Piece::Body { entry, offset, len });
        }
    }
}

/// Appends a time as `%Y-%m-%d %H:%M:%S %z`. A merge of ten thousand writes forty thousand of them, and the format strings of
/// chrono are slow.
fn time(line: &mut String, time: DateTime<FixedOffset>) {
    let (local, offset) = (time.naive_local(), time.offset().local_minus_utc());
    let seconds = local.time().with_nanosecond(0).unwrap_or_default();
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let _ = write!(
        line,
        "{} {seconds} {sign}{hours:02}{minutes:02}",
        local.date()
    );
}

fn close(line: &mut String, pad: bool) {
    line.push_str(if pad { "  -->\n" } else { " -->\n" });
}

/// Appends a name so that it can be read back, and can neither end the line or the comment nor look like another field. A
/// backslash becomes `\\`. Each byte of control characters, of line separators, of characters that make a terminal show the
/// fields in another order, of `|` and `>`, and of anything that is not UTF-8 becomes `\xNN`.
fn escape(line: &mut String, name: &OsStr) {
    let hex = |line: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let _ = write!(line, "\\x{byte:02x}");
        }
    };
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'|' | b'>');
    if let Some(name) = name.to_str().filter(|name| name.bytes().all(plain)) {
        line.push_str(name);
        return;
    }
    for chunk in name.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => line.push_str("\\\\"),
                _ if is_hex(c) => hex(line, c.encode_utf8(&mut [0; 4]).as_bytes()),
                _ => line.push(c),
            }
        }
        hex(line, chunk.invalid());
    }
}

/// Is this character written as `\xNN`? HTML ends a comment at `--!>` as well as at `-->`, so no `>` stays.
fn is_hex(c: char) -> bool {
    let is_separator = matches!(c, '|' | '>' | '\u{2028}' | '\u{2029}');
    // The marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm.
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_separator || reorders
}
