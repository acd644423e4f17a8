//! Aliases that a process unlinked or renamed away, in case the process creates the name again (spec 4.5).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};

use crate::fs::ids::{DirId, FileId};
use crate::names::StampedName;
use crate::session::{Caller, Process};

/// How many released names are remembered.
const REMEMBERED: usize = 1024;

/// See the [module](self).
#[derive(Default)]
pub(in crate::fs) struct ReleasedNames(VecDeque<ReleasedName>);

struct ReleasedName {
    process: Process,
    dir: DirId,
    name: OsString,
    how: Release,
}

/// How an alias became free.
#[derive(Clone)]
pub(in crate::fs) enum Release {
    /// Unlinked: this handoff was retracted.
    Retracted(FileId),
    /// Renamed to a backup: the handoff that was there had this name.
    BackedUp(StampedName),
    /// Unlinked: the ordinary file that was there is kept under this name (spec 3.6).
    Removed(OsString),
}

impl ReleasedNames {
    pub(in crate::fs) fn add(&mut self, caller: &Caller, dir: DirId, name: &OsStr, how: Release) {
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

    /// Takes back the note that this process released a name, if it did.
    pub(in crate::fs) fn take(
        &mut self,
        caller: &Caller,
        dir: DirId,
        name: &OsStr,
    ) -> Option<Release> {
        let process = caller.process?;
        let at = self
            .0
            .iter()
            .rposition(|it| it.process == process && it.dir == dir && it.name == name)?;
        self.0.remove(at).map(|it| it.how)
    }
}
