//! Opening what is no handoff: ordinary, hidden and scratch files.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::ids::{NodeId, PlainId};
use crate::fs::inode::handles::Open;
use crate::fs::inode::types::Opened;
use crate::fs::resolve::flags::Flags;
use crate::fs::state::{Fs, State};

impl Fs {
    pub(in crate::fs) fn open_plain(
        &self,
        state: &mut State,
        node: NodeId,
        id: PlainId,
        flags: Flags,
    ) -> Result<Opened> {
        let plain = state.docs.plain(id).ok_or(Error::Stale)?;
        let edited = plain.edit.as_ref().map(|edit| edit.file.clone());
        let file = match state.nodes.get(node).and_then(|node| node.file()) {
            _ if let Some(file) = edited => file,
            Some(file) if plain.gone => file.clone(),
            _ if plain.gone => return Err(Error::Stale),
            _ => {
                let path = state.queues.path(plain.dir)?;
                let (area, name) = (plain.area, &plain.name);
                let file = self
                    .ctx
                    .local
                    .open_file(area, &path, name, flags.access())?;
                self.ctx.admit(&file)?;
                Arc::new(file)
            }
        };
        if flags.truncate {
            file.set_len(0)?;
        }
        if let Some(edit) = state.docs.edit_mut(id) {
            edit.writers += u32::from(flags.write);
            edit.modified |= flags.truncate;
        }
        Ok(open_as_plain(state, node, id, file, flags))
    }
}

pub(in crate::fs) fn open_as_plain(
    state: &mut State,
    node: NodeId,
    plain: PlainId,
    file: Arc<File>,
    flags: Flags,
) -> Opened {
    state.nodes.opened(node, Some(&file));
    let open = Open::Plain {
        plain,
        file,
        write: flags.write,
        flushed: false,
    };
    let handle = state.handles.insert(node, open);
    Opened {
        handle,
        // It may be renamed and so be a handoff by the time it is closed.
        flush: flags.write,
    }
}
