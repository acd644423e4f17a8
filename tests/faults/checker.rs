//! Checks what must hold after a case.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;

use handoff_fs::names::StampedName;

use crate::cases::{Case, Outcome, Trial};
use crate::harness::{Mount, bodies, files, list};

/// The handoffs in the backing directory.
#[derive(Debug, Default)]
pub struct OnDisk {
    pub pending: Vec<(String, String)>,
    pub consumed: Vec<(String, String)>,
}

impl OnDisk {
    fn below(mount: &Mount) -> OnDisk {
        let mut found = OnDisk::default();
        for path in files(&mount.below("")) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let is_private = path
                .components()
                .any(|part| part.as_os_str() == ".handoff-fs");
            let stamped = StampedName::parse(OsStr::new(&name)).filter(|_| !is_private);
            if let Some(stamped) = stamped {
                let body = fs::read_to_string(&path).unwrap();
                let files = match stamped.is_pending() {
                    true => &mut found.pending,
                    false => &mut found.consumed,
                };
                files.push((name, body));
            }
        }
        found
    }

    pub fn is_pending(&self, body: &str) -> bool {
        self.pending.iter().any(|(_, it)| it == body)
    }

    pub fn is_consumed(&self, body: &str) -> bool {
        self.consumed.iter().any(|(_, it)| it == body)
    }

    pub fn is_anywhere(&self, body: &str) -> bool {
        self.is_pending(body) || self.is_consumed(body)
    }

    /// Every file that has a part of this body has all of it, or is called partial.
    pub fn whole_or_partial(&self, body: &str, what: &str) {
        let mark = body.split('\n').next().unwrap();
        for (name, it) in self.pending.iter().chain(&self.consumed) {
            if it.contains(mark) && it != body {
                assert!(name.contains("-partial"), "{what}: {name} is {it:?}");
            }
        }
    }
}

/// Checks the handoffs after a fault has ended, or after there was none.
pub fn check(trial: &mut Trial<'_>, case: &Case, outcome: &Outcome, fault: Option<i32>) {
    if let Err(error) = outcome {
        let what = &trial.what;
        let errno = fault.unwrap_or_else(|| panic!("{what}: failed without a fault: {error}"));
        if let Some(told) = error.raw_os_error() {
            assert_eq!(
                told, errno,
                "{what}: another error than the disk's: {error}"
            );
        }
    }
    if case.name == "recovery" && outcome.is_err() {
        trial.mount.try_mount().unwrap();
    }
    trial.mount.settle();
    let peek = fs::read_to_string(trial.mount.at(".peek.md"));
    let peek = peek.unwrap_or_else(|error| panic!("{}: {error}", trial.what));
    let found = OnDisk::below(trial.mount);
    (case.check)(trial, &found, outcome);
    // A reader would get exactly the pending files of the backing directory.
    let pending = found.pending.iter().filter(|(_, body)| !body.is_empty());
    let pending: BTreeSet<&str> = pending.map(|(_, body)| body.trim_end()).collect();
    let shown = bodies(&peek);
    let shown: BTreeSet<&str> = shown.iter().map(|body| body.trim_end()).collect();
    assert_eq!(shown, pending, "{}", trial.what);
    let listed = list(&trial.mount.at(""));
    for (name, _) in &found.pending {
        let in_queue = list(&trial.mount.below("")).contains(name);
        assert!(!in_queue || listed.contains(name), "{}: {name}", trial.what);
    }
    // The operation again, without a fault.
    if fault.is_some() && !case.once {
        let again = (case.run)(trial);
        assert!(again.is_ok(), "{}: again: {again:?}", trial.what);
        trial.mount.settle();
        let _ = fs::read(trial.mount.at(".peek.md")).unwrap();
        (case.check)(trial, &OnDisk::below(trial.mount), &again);
    }
    if fault.is_some() {
        trial.mount.remount();
        let found = OnDisk::below(trial.mount);
        let _ = fs::read(trial.mount.at(".peek.md")).unwrap();
        if case.once {
            (case.check)(trial, &found, outcome);
        }
    }
    clear(trial.mount);
}

/// Removes all files for the next case.
fn clear(mount: &Mount) {
    for name in list(&mount.below("")) {
        let path = mount.below(&name);
        if name == ".handoff-fs" {
            continue;
        }
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    for part in [
        "drafts",
        "edits",
        "scratch",
        "sessions",
        "consuming",
        "replaced",
    ] {
        let path = mount.below(".handoff-fs").join(part);
        if path.exists() {
            fs::remove_dir_all(path).unwrap();
        }
    }
    // The filesystem notices the removals.
    let _ = fs::read(mount.at(".peek.md")).unwrap();
}
