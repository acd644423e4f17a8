//! Why the program did not do what it was asked.

use std::fmt;
use std::path::Path;

use crate::quote::{one_line, quoted};

/// One line for a person, with the path, the cause and the cure.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line cannot be followed.
    Usage(String),
    /// The command could not be carried out.
    Failed(String),
}

impl Failure {
    /// Something about this path prevented what was asked.
    pub(crate) fn new(path: &Path, cause: impl fmt::Display, cure: impl fmt::Display) -> Failure {
        Failure::from_text(&format!("{}: {cause}; {cure}", quoted(path)))
    }

    /// A text from elsewhere, such as a helper's standard error, is brought onto one line.
    pub(crate) fn from_text(text: &str) -> Failure {
        let lines: Vec<_> = text.split(['\n', '\r']).map(str::trim).collect();
        Failure::Failed(lines.join(" ").trim().to_owned())
    }

    /// The words that the user wrote stand in the message, whatever they hold.
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
