//! Which sessions have a scratch file of which name.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use crate::fs::ids::DirId;
use crate::store::local::Area;

/// The areas that have a file of each name, the latest last.
pub type Names = HashMap<OsString, Vec<Area>>;

/// Which areas have a file of a name. A queue is read once, because only this daemon changes the private directory.
#[derive(Default)]
pub struct Scratch {
    queues: HashMap<DirId, Names>,
}

impl Scratch {
    /// Were the names of this queue read?
    pub fn is_read(&self, dir: DirId) -> bool {
        self.queues.contains_key(&dir)
    }

    /// Notes the names that were read of a queue.
    pub fn set(&mut self, dir: DirId, names: Names) {
        self.queues.insert(dir, names);
    }

    /// The areas that have a file of this name, the latest last.
    pub fn areas(&self, dir: DirId, name: &OsStr) -> &[Area] {
        let names = self.queues.get(&dir);
        names
            .and_then(|names| names.get(name))
            .map_or(&[], Vec::as_slice)
    }

    /// Does more than one session have a file of this name? Only then does a look-up depend on its caller.
    pub fn are_many(&self, dir: DirId, name: &OsStr) -> bool {
        self.areas(dir, name).len() > 1
    }

    /// Every name in a queue, with one of the areas that have it.
    pub fn names(&self, dir: DirId) -> impl Iterator<Item = (&OsStr, Area)> {
        let names = self.queues.get(&dir).into_iter().flatten();
        names.filter_map(|(name, areas)| Some((name.as_os_str(), *areas.last()?)))
    }

    /// Notes a new file. Files in other areas than a session's own are not noted.
    pub fn add(&mut self, area: Area, dir: DirId, name: &OsStr) {
        if let (Area::Own(_), Some(names)) = (area, self.queues.get_mut(&dir)) {
            let areas = names.entry(name.to_owned()).or_default();
            areas.retain(|other| *other != area);
            areas.push(area);
        }
    }

    /// Notes that a file of this name is gone.
    pub fn remove(&mut self, area: Area, dir: DirId, name: &OsStr) {
        if let Some(names) = self.queues.get_mut(&dir)
            && let Some(areas) = names.get_mut(name)
        {
            areas.retain(|other| *other != area);
            if areas.is_empty() {
                names.remove(name);
            }
        }
    }

    /// Forgets a queue, which is gone.
    pub fn forget(&mut self, dir: DirId) {
        self.queues.remove(&dir);
    }

    /// Forgets every queue, so that each is read anew.
    pub fn forget_all(&mut self) {
        self.queues.clear();
    }
}
