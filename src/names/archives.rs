//! Directories that are archives by their name (spec 3.6).

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

/// The names of archives by default.
const BUILTIN: &str = "archive archived consumed done old processed read taken trash";

/// The names of directories whose files are neither delivered nor expire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Archives(BTreeSet<OsString>);

impl Default for Archives {
    fn default() -> Archives {
        Archives(BUILTIN.split(' ').map(OsString::from).collect())
    }
}

impl Archives {
    /// Changes the list: `NAME` adds a directory name, `!NAME` removes it, `!*` empties the list.
    ///
    /// # Errors
    /// A message with the cause and the cure, when `spec` cannot be the name of a shown directory.
    pub fn amend(&mut self, spec: &str) -> Result<(), String> {
        let name = spec.strip_prefix('!').unwrap_or(spec);
        if spec == "!*" {
            self.0.clear();
            return Ok(());
        }
        if name.is_empty() || name.starts_with(['.', '!']) || name.contains(['/', '*', '\0']) {
            return Err(format!(
                "{spec:?} names no directory; give NAME, !NAME to remove one, or !* to remove all (a name, not a path)"
            ));
        }
        if spec.starts_with('!') {
            self.0.remove(OsStr::new(name));
        } else {
            self.0.insert(name.into());
        }
        Ok(())
    }

    /// Is a directory of this name an archive?
    pub fn contains(&self, name: &OsStr) -> bool {
        self.0.contains(name)
    }

    /// All names, sorted; for `--help`.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.iter().map(OsString::as_os_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec 3.6h: the names are settable.
    #[test]
    fn amended() {
        let mut archives = Archives::default();
        assert!(archives.contains(OsStr::new("taken")) && !archives.contains(OsStr::new("Taken")));
        archives.amend("!taken").unwrap();
        archives.amend("attic").unwrap();
        assert!(!archives.contains(OsStr::new("taken")) && archives.contains(OsStr::new("attic")));
        for bad in ["", "!", ".x", "a/b", "a*", "!!a"] {
            assert!(archives.amend(bad).is_err(), "{bad:?}");
        }
        archives.amend("!*").unwrap();
        assert_eq!(archives.names().count(), 0);
    }
}
