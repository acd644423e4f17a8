//! All queues below one.

use std::ffi::OsString;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;

impl Queues {
    /// The queue itself and every queue below it, all of them loaded.
    pub fn queues_below(&mut self, top: DirId) -> Result<Vec<DirId>> {
        // Once for all queues.
        self.take_changes();
        let found = self.walk(top);
        self.retry();
        found
    }

    /// Lists and watches all queues. Strays are not adopted before the first use: until the mount is there, any process may still
    /// open a file in the plain directory.
    pub fn watch_all(&mut self) -> Result<()> {
        self.walk(DirId::ROOT).map(drop)
    }

    fn walk(&mut self, top: DirId) -> Result<Vec<DirId>> {
        let mut found = Vec::new();
        let mut left = vec![top];
        while let Some(dir) = left.pop() {
            match self.list(dir) {
                Ok(()) => {}
                // Removed below the mount since it was listed.
                Err(Error::NotFound | Error::NotDirectory) if dir != top => continue,
                // A directory that cannot be read must not hide the others.
                Err(error) if dir != top => {
                    let path = self.path(dir).unwrap_or_default();
                    log::warn!(
                        "{}: cannot be read ({error}); its handoffs are left out",
                        path.display()
                    );
                    continue;
                }
                Err(error) => return Err(error),
            }
            if !self.is_queue(dir) {
                continue;
            }
            found.push(dir);
            let children: Vec<(OsString, u64)> = self
                .subdirectories(dir)
                .map(|(name, known)| (name.to_owned(), known.ino))
                .collect();
            for (name, ino) in children {
                match self.enter_dir(dir, &name, ino) {
                    Ok(child) if self.is_queue(child) => left.push(child),
                    Ok(_) | Err(Error::NotFound | Error::NotDirectory) => {}
                    Err(error) => {
                        let path = self.path(dir).unwrap_or_default();
                        log::warn!(
                            "{}: cannot be looked at ({error}); its handoffs are left out",
                            path.join(&name).display()
                        );
                    }
                }
            }
        }
        Ok(found)
    }
}
