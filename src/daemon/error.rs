//! What the program says when something could not be done, and how the one who started it is told.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use crate::quote::quoted;

/// What was asked for could not be done: one line with the path, the cause and the cure. Ends the program
/// with 1.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    pub(super) fn new(path: &Path, cause: impl fmt::Display, cure: impl fmt::Display) -> Failed {
        Failed::from_text(&format!("{}: {cause}; {cure}", shown(path)))
    }

    /// A text from elsewhere, such as a helper's standard error, is brought onto one line.
    pub(super) fn from_text(text: &str) -> Failed {
        let words: Vec<_> = text.split(['\n', '\r']).map(str::trim).collect();
        Failed(words.join(" ").trim().to_owned())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// A path as it can be put into a line, and pasted from there into a shell.
pub(super) fn shown(path: &Path) -> String {
    quoted(path)
}

/// Writes one line for whoever started this program with `--report-ready`.
///
/// # Errors
/// Nobody reads any more.
pub fn report(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes())?;
    stdout.flush()
}
