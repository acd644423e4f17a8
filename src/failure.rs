//! The error of a command of the program.

use std::fmt;
use std::path::Path;

use crate::quote::{one_line, quoted};

/// One line for a person, with the path, the cause and the cure.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// The command failed.
    Failed(String),
}

impl Failure {
    /// A failure about this path.
    pub(crate) fn new(path: &Path, cause: impl fmt::Display, cure: impl fmt::Display) -> Failure {
        Failure::from_text(&format!("{}: {cause}; {cure}", quoted(path)))
    }

    /// A failure with this text. Several lines, as in the standard error of a helper, are joined into one.
    pub(crate) fn from_text(text: &str) -> Failure {
        let lines: Vec<_> = text.split(['\n', '\r']).map(str::trim).collect();
        Failure::Failed(lines.join(" ").trim().to_owned())
    }

    /// A wrong command line. The message may quote any words of the user, so control characters are escaped.
    pub(crate) fn usage(message: impl AsRef<str>) -> Failure {
        Failure::Usage(one_line(message.as_ref()))
    }

    /// The exit code of the program.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(line) | Failure::Failed(line)) = self;
        f.write_str(line)
    }
}

impl std::error::Error for Failure {}
