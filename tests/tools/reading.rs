//! Runs one reader on `pending.md` of each size, and looks whether it was consumed.

use std::fs;

use crate::harness::Mount;
use crate::place::{Place, Ran, Running};
use crate::readers::{Consumes, Kind, Reader};

/// The sizes that `pending.md` is given: that of a handoff of ten bytes; one more than the buffers that tools read
/// with, because it is never a multiple of 512 bytes long; what an agent shows whole at the most, and one more than that;
/// longer than any one read.
const SIZES: [u64; 6] = [10 + HEADER, 4097, 8193, 10_001, 131_073, 200_001];

/// The length of the header line of a handoff of ten bytes.
const HEADER: u64 = 131;

const NAME: &str = "2026-01-02_030405_n.md";
const DONE: &str = "2026-01-02_030405_n_done.md";

/// The sizes of `pending.md` that the table has columns for, in bytes.
pub fn sizes() -> [u64; 6] {
    SIZES
}

/// Runs one reader, on a mount and in a plain directory. Returns what the table shows of it; what went wrong is told to
/// `faults`.
pub fn run(kind: &Kind, reader: &Reader, faults: &mut Vec<String>) -> Vec<String> {
    let mount = Mount::new();
    let plain = Place::plain(&mount);
    let copy = plain.at("pending.md");
    let (mut row, mut equal) = (Vec::new(), true);
    // And with nothing there, which the table does not show.
    for (i, size) in SIZES.into_iter().chain([0]).enumerate() {
        let mut fault = |what: String| {
            faults.push(format!(
                "{}, {}, {size} bytes: {what}",
                reader.name, kind.kind
            ));
        };
        if size > reader.most {
            row.push("–".to_owned());
            continue;
        }
        fill(&mount, size);
        let peek = fs::read(mount.at(".peek.md")).unwrap();
        fs::write(&copy, &peek).unwrap();

        let mounted = Place::mounted(&mount, &format!("reader {i}"));
        let variables = [("same", copy.as_path())];
        let ran = [&mounted, &plain].map(|place| place.start(reader.script, &variables));
        let ran = ran.map(Running::end);
        if ran.iter().any(Ran::hung) {
            fault("hangs".to_owned());
            return vec!["hangs".to_owned(); SIZES.len() + 1];
        }
        if size > 0
            && let Err(how) = ran[0].ended(false)
        {
            fault(how);
        }
        if let Some(what) = ran[0].differs(&ran[1]) {
            equal = false;
            fault(what);
        }
        if size == 0 {
            continue;
        }
        let consumed = match mount.names().as_slice() {
            [name] if name == NAME => false,
            [name] if name == DONE => true,
            names => {
                fault(format!("leaves {names:?}"));
                names.iter().any(|name| name == DONE)
            }
        };
        if consumed != kind.consumes.of(size) {
            fault(format!("consumed: {consumed}"));
        }
        if !consumed && fs::read(mount.at(".peek.md")).unwrap() != peek {
            fault("not consumed, but changed".to_owned());
        }
        row.push(if consumed { "yes" } else { "no" }.to_owned());
        fs::remove_file(mount.at(if consumed { DONE } else { NAME })).unwrap();
    }
    row.push(if equal { "yes" } else { "NO" }.to_owned());
    row
}

impl Consumes {
    /// Whether a `pending.md` of `size` bytes should be.
    fn of(self, size: u64) -> bool {
        match self {
            Consumes::Always => true,
            Consumes::Never => false,
            Consumes::UpTo(most) => size <= most,
        }
    }
}

/// Leaves one handoff that makes `pending.md` as long as that.
fn fill(mount: &Mount, size: u64) {
    if size == 0 {
        return;
    }
    // The header line grows with the number that it has of the length.
    let mut header = HEADER;
    for _ in 0..2 {
        let body = usize::try_from(size - header).unwrap();
        let line = format!("{}\n", "handoff – ".repeat(8));
        let mut text = line.repeat((body - 1) / line.len());
        text.push_str(&".".repeat(body - 1 - text.len()));
        text.push('\n');
        fs::write(mount.at(NAME), text).unwrap();
        let seen = fs::metadata(mount.at(".peek.md")).unwrap().len();
        if seen == size {
            return;
        }
        header = seen - u64::try_from(body).unwrap();
    }
    panic!("{size} bytes cannot be made");
}
