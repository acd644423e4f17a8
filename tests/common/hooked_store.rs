//! The real store, with something of a test's own around its calls.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use handoff_fs::error::Result;
use handoff_fs::names::StampedName;
use handoff_fs::store::dir::DirStore;
use handoff_fs::store::{Access, Changes, DraftFile, Entry, Meta, Store, Watch};

/// Hooks around the calls. By default they do nothing.
pub trait Hooks: Send + Sync {
    /// Makes one call, or fails in its place.
    fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        call()
    }
    /// After a file of the cache was opened.
    fn opened(&self, _name: &OsStr) -> Result<()> {
        Ok(())
    }
    /// Before names are made durable.
    fn before_sync(&self) {}
    /// Publishes a draft.
    fn publish(
        &self,
        store: &DirStore,
        draft: DraftFile<'_>,
        queue: &Path,
        name: &StampedName,
    ) -> Result<StampedName> {
        store.publish(draft, queue, name)
    }
}

/// See the [module](self).
pub struct HookedStore<H> {
    pub store: DirStore,
    pub hooks: H,
}

impl<H: Hooks> Store for HookedStore<H> {
    fn list(&self, queue: &Path) -> Result<Vec<Entry>> {
        self.hooks.call(|| self.store.list(queue))
    }
    fn stat(&self, queue: &Path, name: &OsStr) -> Result<Meta> {
        self.hooks.call(|| self.store.stat(queue, name))
    }
    fn open(&self, queue: &Path, name: &OsStr, access: Access) -> Result<File> {
        self.hooks.call(|| self.store.open(queue, name, access))
    }
    fn open_known(&self, queue: &Path, name: &OsStr, access: Access) -> Result<(File, Meta)> {
        let open = || self.store.open_known(queue, name, access);
        let opened = self.hooks.call(open)?;
        self.hooks.opened(name)?;
        Ok(opened)
    }
    fn publish(
        &self,
        draft: DraftFile<'_>,
        queue: &Path,
        name: &StampedName,
    ) -> Result<StampedName> {
        let publish = || self.hooks.publish(&self.store, draft, queue, name);
        self.hooks.call(publish)
    }
    fn replace(&self, draft: DraftFile<'_>, queue: &Path, name: &OsStr) -> Result<()> {
        self.hooks.call(|| self.store.replace(draft, queue, name))
    }
    fn rename(&self, from: (&Path, &OsStr), to: (&Path, &OsStr)) -> Result<()> {
        self.hooks.call(|| self.store.rename(from, to))
    }
    fn consume(
        &self,
        queue: &Path,
        name: &StampedName,
        done: &StampedName,
        now: SystemTime,
    ) -> Result<StampedName> {
        let consume = || self.store.consume(queue, name, done, now);
        self.hooks.call(consume)
    }
    fn remove(&self, queue: &Path, name: &OsStr) -> Result<()> {
        self.hooks.call(|| self.store.remove(queue, name))
    }
    fn sync(&self, queue: &Path) -> Result<()> {
        self.hooks.before_sync();
        self.hooks.call(|| self.store.sync(queue))
    }
    fn watch(&self, queue: &Path) -> Option<Watch> {
        let watch = || Ok(self.store.watch(queue));
        self.hooks.call(watch).ok().flatten()
    }
    fn changes(&self) -> Changes {
        self.store.changes()
    }
}
