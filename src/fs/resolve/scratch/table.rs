//! Which sessions have a scratch file of which name.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use crate::fs::ids::DirId;
use crate::store::local::Area;

/// The areas that have a file of each name, the latest last.
pub(super) type Names = HashMap<OsString, Vec<Area>>;

/// Which areas have a file of a name, the latest last. A queue is read once; nobody else changes the private directory.
#[derive(Default)]
pub struct Scratch {
    queues: HashMap<DirId, Names>,
}

impl Scratch {
    /// Was the queue read?
    pub(super) fn is_read(&self, dir: DirId) -> bool {
        self.queues.contains_key(&dir)
    }

    /// A queue was read.
    pub(super) fn set(&mut self, dir: DirId, names: Names) {
        self.queues.insert(dir, names);
    }

    pub(super) fn areas(&self, dir: DirId, name: &OsStr) -> &[Area] {
        let names = self.queues.get(&dir);
        names
            .and_then(|names| names.get(name))
            .map_or(&[], Vec::as_slice)
    }

    /// Has more than one session a file of this name? Only then does a look-up depend on who asks.
    pub fn are_many(&self, dir: DirId, name: &OsStr) -> bool {
        self.areas(dir, name).len() > 1
    }

    /// Every name in a queue, with one of the areas that have it.
    pub fn names(&self, dir: DirId) -> impl Iterator<Item = (&OsStr, Area)> {
        let names = self.queues.get(&dir).into_iter().flatten();
        names.filter_map(|(name, areas)| Some((name.as_os_str(), *areas.last()?)))
    }

    /// A file has this name now. Only sessions' own files are kept here.
    pub fn add(&mut self, area: Area, dir: DirId, name: &OsStr) {
        if let (Area::Own(_), Some(names)) = (area, self.queues.get_mut(&dir)) {
            let areas = names.entry(name.to_owned()).or_default();
            areas.retain(|it| *it != area);
            areas.push(area);
        }
    }

    /// A file has this name no longer.
    pub fn remove(&mut self, area: Area, dir: DirId, name: &OsStr) {
        if let Some(names) = self.queues.get_mut(&dir)
            && let Some(areas) = names.get_mut(name)
        {
            areas.retain(|it| *it != area);
            if areas.is_empty() {
                names.remove(name);
            }
        }
    }

    /// The directory is gone, or has to be read anew.
    pub fn forget(&mut self, dir: DirId) {
        self.queues.remove(&dir);
    }

    pub fn forget_all(&mut self) {
        self.queues.clear();
    }
}
