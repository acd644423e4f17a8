//! Finds the calling program and its session (spec 5). Both come from `/proc`, which is read as seldom as the contract
//! allows.
//!
//! How often a request reads `/proc` when its process was seen before:
//!
//! | request | reads | why |
//! |---|---|---|
//! | LOOKUP of a name that is any session's alias, and CREATE of a name that becomes one | 1 | which session's alias the name is (4.3) |
//! | CREATE, OPEN for writing, RENAME and UNLINK of a session's own scratch file; LOOKUP while several sessions have one | 1 | which session's file the name means (4.6) |
//! | the further requests of the same system call for that name | 0 | the thread is the same |
//! | LOOKUP of `pending.md` during any session's second look | 1, or 2 with the agent | which content the caller sees (6.7) |
//! | FLUSH of a handoff that was written | 1 | whether its writer is being killed (4.9) |
//! | OPEN of `pending.md` when it is not empty | 1 | which process holds the turn (6.4) |
//! | the READ that would consume | 1 | whether the program searches or shows a part (6.3, 6.5) |
//! | every other request | 0 | |
//!
//! OPEN and READ must both ask. A shell opens `pending.md` for `cat <&3` and for `grep x <&3` with the same requests from the
//! same thread; only `/proc` tells which program runs there when the READ comes.

use std::ffi::OsStr;

use crate::fs::ctx::Ctx;
use crate::fs::handoff::state::RegularFile;
use crate::fs::ids::{DirId, NodeId};
use crate::fs::inode::types::Request;
use crate::fs::state::{Fs, State};
use crate::names;
use crate::programs::Role;
use crate::session::Caller;

impl Fs {
    /// The caller of a request for this name, which the same thread may just have looked up.
    pub(in crate::fs) fn caller_of(&self, request: Request, dir: DirId, name: &OsStr) -> Caller {
        let known = self.lock().looked_up.take(request.tid, dir, name);
        known.unwrap_or_else(|| self.caller(request))
    }

    /// The caller of a request for these names, if `needed` says that the caller matters.
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

    /// The caller of a request for this name, if the name means different things to different sessions: if the name is any
    /// session's alias, `pending.md` during a second look, or a scratch name of which several sessions have a file.
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
                    || state.queues.scratch.are_many(dir, name)
            })
        })
    }
}

impl State {
    /// May this caller edit a handoff in place of writing a new one (spec 4.4)?
    pub fn edits(&self, caller: &Caller, file: &RegularFile) -> bool {
        let Some(process) = caller.process else {
            return false;
        };
        let edits_what_was_read = [Role::Agent, Role::StreamEditor];
        self.ctx.plays(caller, Role::Editor)
            || self.ctx.plays_any(caller, &edits_what_was_read)
                && file.handoff.read_by.contains(&process)
    }
}

impl Ctx {
    /// Is the calling program known for any of these?
    pub fn plays_any(&self, caller: &Caller, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.plays(caller, *role))
    }
}
