//! All queues below one.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::fs::ids::DirId;
use crate::fs::queue::cache::Queues;

impl Queues {
    /// The queue itself and every queue below it, all of them loaded.
    pub fn queues_below(&mut self, top: DirId) -> Result<Vec<DirId>> {
        // Once for all queues, and not at the listing of each.
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
                Ok(()) if self.is_queue(dir) => found.push(dir),
                Ok(()) => continue,
                Err(error) if dir == top => return Err(error),
                Err(error) => {
                    self.leave_out(self.path(dir), error);
                    continue;
                }
            }
            let children = self.queue(dir).dirs();
            let children: Vec<_> = children
                .map(|(name, entry)| (name.to_owned(), entry.ino))
                .collect();
            for (name, ino) in children {
                match self.enter_dir(dir, &name, ino) {
                    Ok(child) if self.is_queue(child) => left.push(child),
                    Ok(_) => {}
                    Err(error) => self.leave_out(self.join(dir, &name), error),
                }
            }
        }
        Ok(found)
    }

    /// A directory that cannot be read must not hide the others. One that was removed below the mount is not worth a word.
    fn leave_out(&self, path: Result<PathBuf>, error: Error) {
        if !error.is_absence() {
            log::warn!(
                "{}: cannot be read ({error}); its handoffs are left out",
                path.unwrap_or_default().display()
            );
        }
    }
}
