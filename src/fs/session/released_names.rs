//! Aliases that a process unlinked or renamed away, in case the process creates the name again (spec 4.5).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};

use crate::fs::ids::{DirId, FileId};
use crate::names::StampedName;
use crate::session::{Caller, Process};

/// How many released names are kept; the oldest goes first.
const REMEMBERED: usize = 1024;

/// See the [module](self).
#[derive(Default)]
pub struct ReleasedNames(VecDeque<ReleasedName>);

struct ReleasedName {
    process: Process,
    dir: DirId,
    name: OsString,
    how: Release,
}

/// How a name became free.
#[derive(Clone)]
pub enum Release {
    /// The alias of this handoff was unlinked, which retracted the handoff.
    Retracted(FileId),
    /// The handoff with this stamped name was renamed to a backup.
    BackedUp(StampedName),
    /// The ordinary file of the name was unlinked, and is kept under this name (spec 3.6).
    Removed(OsString),
}

impl ReleasedNames {
    /// The caller's process has released the name.
    pub fn add(&mut self, caller: &Caller, dir: DirId, name: &OsStr, how: Release) {
        let Some(process) = caller.process else {
            return;
        };
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(ReleasedName {
            process,
            dir,
            name: name.to_owned(),
            how,
        });
    }

    /// How the caller's process has released the name, if it has. Answers that once.
    pub fn take(&mut self, caller: &Caller, dir: DirId, name: &OsStr) -> Option<Release> {
        let process = caller.process?;
        let mut names = self.0.iter();
        let at = names.rposition(|released| {
            released.process == process && released.dir == dir && released.name == name
        })?;
        self.0.remove(at).map(|released| released.how)
    }
}
