//! All queues below one.

use std::ffi::OsString;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::{Fs, State};

impl Fs {
    /// The queue itself and every queue below it, all of them loaded.
    pub(in crate::fs) fn queues_below(&self, state: &mut State, top: DirId) -> Result<Vec<DirId>> {
        // Once for all of them.
        self.take_changes(state);
        let found = self.walk(state, top);
        self.settle_doubts(state);
        found
    }

    /// Lists and watches all queues. Nothing is decided of what they hold before the first use: until this is mounted,
    /// anybody may still open a file in the plain directory.
    pub(in crate::fs) fn watch_all(&self) -> Result<()> {
        self.walk(&mut self.lock(), DirId::ROOT).map(drop)
    }

    fn walk(&self, state: &mut State, top: DirId) -> Result<Vec<DirId>> {
        let mut found = Vec::new();
        let mut left = vec![top];
        while let Some(dir) = left.pop() {
            match self.list_unknown(state, dir) {
                Ok(()) => {}
                // Removed from outside while we walked.
                Err(Error::NotFound | Error::NotDirectory) if dir != top => continue,
                // One that cannot be read must not shut the others.
                Err(error) if dir != top => {
                    let path = state.dirs.path(dir).unwrap_or_default();
                    log::warn!(
                        "{}: cannot be read ({error}); it is left out",
                        path.display()
                    );
                    continue;
                }
                Err(error) => return Err(error),
            }
            if !state.is_queue(dir) {
                continue;
            }
            found.push(dir);
            let children: Vec<(OsString, u64)> = state
                .index
                .dirs(dir)
                .map(|(name, known)| (name.to_owned(), known.ino))
                .collect();
            for (name, ino) in children {
                match self.enter_dir(state, dir, &name, ino) {
                    Ok(child) if state.is_queue(child) => left.push(child),
                    Ok(_) | Err(Error::NotFound | Error::NotDirectory) => {}
                    Err(error) => {
                        let path = state.dirs.path(dir).unwrap_or_default();
                        log::warn!(
                            "{}: cannot be looked at ({error}); it is left out",
                            path.join(&name).display()
                        );
                    }
                }
            }
        }
        Ok(found)
    }
}
