//! Who calls, asked of `/proc` as seldom as the rules allow (spec 5).
//!
//! What a request costs when its process was seen before, in reads of `/proc`:
//!
//! | request | reads | why |
//! |---|---|---|
//! | look-up of an alias of anybody's, or the first thing done to a name that becomes one | 1 | whose it is (4.3) |
//! | a scratch file of a session's own is made, opened for writing, renamed or removed, or looked up while several sessions have one | 1 | whose it is (4.6) |
//! | what the same system call does to that name then | 0 | it is the same thread |
//! | look-up of `pending.md` while anybody looks at it twice | 1, or 2 with the agent | what it shows (6.7) |
//! | FLUSH of a document that was written | 1 | whether its writer is being killed (4.9) |
//! | OPEN of `pending.md` when there is anything in it | 1 | who holds the turn (6.4) |
//! | the READ that would consume it | 1 | whether the program searches or shows a part (6.3, 6.5) |
//! | everything else | 0 | |
//!
//! The last two cannot be had for less. A shell opens `pending.md` for `cat <&3` as it does for `grep x <&3`, with the same
//! requests from the same thread; what runs there by then is told by `/proc` alone.

use std::ffi::OsStr;

use crate::fs::handoff::state::RegularFile;
use crate::fs::ids::{DirId, NodeId};
use crate::fs::inode::types::Request;
use crate::fs::state::{Fs, State};
use crate::names;
use crate::programs::Role;
use crate::session::Caller;

impl Fs {
    /// The caller of what follows the look-up of this name.
    pub(in crate::fs) fn caller_of(&self, request: Request, dir: DirId, name: &OsStr) -> Caller {
        let known = self.lock().looked_up.take(request.tid, dir, name);
        known.unwrap_or_else(|| self.caller(request))
    }

    /// The caller of what follows the look-up of one of these names, if `needed` says so of the state.
    pub(in crate::fs) fn caller_if(
        &self,
        request: Request,
        names: &[(NodeId, &OsStr)],
        needed: impl FnOnce(&State) -> bool,
    ) -> Option<Caller> {
        let known = {
            let mut state = self.lock();
            if !needed(&state) {
                return None;
            }
            names.iter().find_map(|(parent, name)| {
                let dir = state.dir(*parent).ok()?;
                state.looked_up.take(request.tid, dir, name)
            })
        };
        Some(known.unwrap_or_else(|| self.caller(request)))
    }

    /// The caller of what follows the look-up of this name, if anybody has an alias of it or looks at it twice, or several
    /// sessions have a scratch file of that name: only then does it matter who asks.
    pub(in crate::fs) fn caller_of_alias(
        &self,
        request: Request,
        parent: NodeId,
        name: &OsStr,
    ) -> Option<Caller> {
        self.caller_if(request, &[(parent, name)], |state| {
            let dir = state.dir(parent);
            dir.is_ok_and(|dir| {
                state.aliases.any(dir, name)
                    || (name == names::PENDING && state.readers.second_looks.any(dir))
                    || state.scratch.are_many(dir, name)
            })
        })
    }

    /// May this caller edit a handoff in place of writing a new one (spec 4.4)?
    pub(in crate::fs) fn edits(&self, caller: &Caller, file: &RegularFile) -> bool {
        let Some(process) = caller.process else {
            return false;
        };
        let has_read = || file.handoff.read_by.contains(&process);
        self.ctx.plays(caller, Role::Editor)
            || ((self.ctx.plays(caller, Role::Agent) || self.ctx.plays(caller, Role::StreamEditor))
                && has_read())
    }
}
