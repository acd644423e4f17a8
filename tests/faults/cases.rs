//! Operations, each with what must hold when something failed in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::checker::OnDisk;
use crate::harness::{DAY, Mount, list};

/// One run of a case.
pub struct Trial<'a> {
    pub mount: &'a mut Mount,
    /// The id of the run, which no other run has.
    pub id: String,
    /// For messages.
    pub what: String,
}

/// The result of a call.
pub type Outcome = io::Result<Vec<u8>>;

/// One operation.
pub struct Case {
    pub name: &'static str,
    /// Runs before the fault begins.
    pub prepare: fn(&mut Trial<'_>),
    /// Runs while the fault may happen.
    pub run: fn(&mut Trial<'_>) -> Outcome,
    /// Checks the result after the fault has ended; the outcome is that of `run`.
    pub check: fn(&Trial<'_>, &OnDisk, &Outcome),
    /// Whether the operation may have been done although it failed, so that it cannot be repeated.
    pub once: bool,
}

impl Trial<'_> {
    fn old(&self) -> String {
        format!("old {}\nand more\n", self.id)
    }

    fn new_body(&self) -> String {
        format!("new {}\nand more\n", self.id)
    }

    /// The file of this case in the mount.
    fn file(&self) -> PathBuf {
        self.mount.at(format!("{}.md", self.id))
    }

    fn scratch(&self) -> PathBuf {
        self.mount.at(format!("{}.tmp", self.id))
    }

    /// The stamped name of the handoff of this case.
    fn stamped(&self) -> PathBuf {
        let names = list(&self.mount.below(""));
        let ending = format!("_{}.md", self.id);
        let mut names = names.into_iter().filter(|name| name.ends_with(&ending));
        let name = names.next().unwrap_or_else(|| panic!("{}", self.what));
        self.mount.at(name)
    }

    /// Panics unless this holds; says what was found.
    #[track_caller]
    fn expect(&self, holds: bool, found: &OnDisk) {
        assert!(holds, "{}: {found:?}", self.what);
    }

    fn stray(&self) -> PathBuf {
        self.mount.below(format!("stray-{}.md", self.id))
    }
}

/// Opens, writes in two pieces and closes; the first error is the answer.
pub fn write(path: &Path, options: &OpenOptions, content: &str) -> Outcome {
    let mut file = options.open(path)?;
    let (first, rest) = content.split_at(content.len() / 2);
    let written = file
        .write_all(first.as_bytes())
        .and_then(|()| file.write_all(rest.as_bytes()));
    let closed = nix::unistd::close(file).map_err(io::Error::from);
    written.and(closed).map(|()| Vec::new())
}

/// Writes a whole file, as a shell's `>` does.
pub fn overwrite(path: &Path, content: &str) -> Outcome {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    write(path, &options, content)
}

/// The name of this very program, which a test makes an editor.
pub fn own_name() -> String {
    let own = std::env::current_exe().unwrap();
    own.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Reads to the end, as cat does.
pub fn read(path: &Path) -> Outcome {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn done(path: &Path) -> PathBuf {
    let name = path.to_str().unwrap();
    format!("{}_done.md", name.strip_suffix(".md").unwrap()).into()
}

fn nothing(_: &mut Trial<'_>) {}

fn old_one(trial: &mut Trial<'_>) {
    overwrite(&trial.file(), &trial.old()).unwrap();
    trial.mount.settle();
}

fn unit(result: io::Result<()>) -> Outcome {
    result.map(|()| Vec::new())
}

/// If the write succeeded, the new content is pending; any part of it is called partial.
fn new_is_there(trial: &Trial<'_>, found: &OnDisk, outcome: &Outcome) {
    let new = trial.new_body();
    if outcome.is_ok() {
        trial.expect(found.is_pending(&new), found);
    }
    found.whole_or_partial(&new, &trial.what);
}

/// The content is still in the scratch file, or pending.
fn scratch_or_new_is_there(trial: &Trial<'_>, found: &OnDisk) {
    let scratch = fs::read_to_string(trial.scratch()).unwrap_or_default();
    let new = trial.new_body();
    trial.expect(scratch == new || found.is_pending(&new), found);
}

/// If the edit succeeded, the new content is pending; else the old or the new one.
fn new_or_old(trial: &Trial<'_>, found: &OnDisk, outcome: &Outcome) {
    let (old, new) = (trial.old(), trial.new_body());
    new_is_there(trial, found, outcome);
    trial.expect(found.is_pending(&new) || found.is_pending(&old), found);
    found.whole_or_partial(&old, &trial.what);
}

fn old_is_pending(trial: &Trial<'_>, found: &OnDisk, _: &Outcome) {
    trial.expect(found.is_pending(&trial.old()), found);
}

pub const CASES: &[Case] = &[
    Case {
        name: "write",
        prepare: nothing,
        run: |trial| overwrite(&trial.file(), &trial.new_body()),
        check: new_is_there,
        once: false,
    },
    Case {
        name: "write a stamped name",
        prepare: nothing,
        run: |trial| {
            let name = format!("2026-01-02_030405_{}.md", trial.id);
            overwrite(&trial.mount.at(name), &trial.new_body())
        },
        check: new_is_there,
        once: false,
    },
    Case {
        name: "write to pending.md",
        prepare: nothing,
        run: |trial| overwrite(&trial.mount.at("pending.md"), &trial.new_body()),
        check: new_is_there,
        once: false,
    },
    Case {
        name: "append",
        prepare: old_one,
        run: |trial| {
            write(
                &trial.file(),
                OpenOptions::new().append(true).create(true),
                "appended\n",
            )
        },
        check: |trial, found, outcome| {
            let (old, both) = (trial.old(), trial.old() + "appended\n");
            let starts = |(_, it): &(String, String)| it.starts_with(&old);
            trial.expect(found.pending.iter().any(starts), found);
            if outcome.is_ok() {
                let apart = found.is_pending(&old) && found.is_pending("appended\n");
                trial.expect(found.is_pending(&both) || apart, found);
            }
        },
        once: true,
    },
    Case {
        name: "edit",
        prepare: old_one,
        run: |trial| overwrite(&trial.file(), &trial.new_body()),
        check: new_or_old,
        once: false,
    },
    Case {
        name: "edit a copy",
        prepare: old_one,
        run: |trial| {
            // As long as the old one.
            write(
                &trial.file(),
                OpenOptions::new().write(true),
                &trial.new_body(),
            )
        },
        check: new_or_old,
        once: false,
    },
    Case {
        name: "write over a stamped name",
        prepare: old_one,
        run: |trial| overwrite(&trial.stamped(), &trial.new_body()),
        // A write in place: after an error in the middle, the old content is among the kept versions.
        check: new_is_there,
        once: false,
    },
    Case {
        name: "rename a scratch file",
        prepare: |trial| {
            overwrite(&trial.scratch(), &trial.new_body()).unwrap();
            trial.mount.settle();
        },
        run: |trial| unit(fs::rename(trial.scratch(), trial.file())),
        check: |trial, found, outcome| {
            new_is_there(trial, found, outcome);
            scratch_or_new_is_there(trial, found);
        },
        once: true,
    },
    Case {
        name: "rename a scratch file onto its own",
        prepare: |trial| {
            old_one(trial);
            overwrite(&trial.scratch(), &trial.new_body()).unwrap();
            trial.mount.settle();
        },
        run: |trial| unit(fs::rename(trial.scratch(), trial.file())),
        check: |trial, found, outcome| {
            new_or_old(trial, found, outcome);
            scratch_or_new_is_there(trial, found);
        },
        once: true,
    },
    Case {
        name: "link a scratch file",
        prepare: |trial| {
            overwrite(&trial.scratch(), &trial.new_body()).unwrap();
            trial.mount.settle();
        },
        run: |trial| unit(fs::hard_link(trial.scratch(), trial.file())),
        check: new_is_there,
        once: true,
    },
    Case {
        name: "rename to another slug",
        prepare: old_one,
        run: |trial| {
            let to = trial.mount.at(format!("{}-other.md", trial.id));
            unit(fs::rename(trial.stamped(), to))
        },
        check: old_is_pending,
        once: true,
    },
    Case {
        name: "rename X to X_done",
        prepare: old_one,
        run: |trial| {
            let name = trial.stamped();
            unit(fs::rename(&name, done(&name)))
        },
        check: |trial, found, outcome| {
            let old = trial.old();
            trial.expect(found.is_anywhere(&old), found);
            trial.expect(outcome.is_err() || found.is_consumed(&old), found);
        },
        once: true,
    },
    Case {
        name: "rename X_done to X",
        prepare: |trial| {
            old_one(trial);
            let name = trial.stamped();
            fs::rename(&name, done(&name)).unwrap();
        },
        run: |trial| {
            let name = format!("_{}_done.md", trial.id);
            let names = list(&trial.mount.below(""));
            let name = names.iter().find(|it| it.ends_with(&name)).unwrap();
            let to = name.replace("_done", "");
            unit(fs::rename(trial.mount.at(name), trial.mount.at(to)))
        },
        check: |trial, found, outcome| {
            let old = trial.old();
            trial.expect(found.is_anywhere(&old), found);
            trial.expect(outcome.is_err() || found.is_pending(&old), found);
        },
        once: true,
    },
    Case {
        name: "read to the end",
        prepare: |trial| {
            old_one(trial);
            let another = trial.mount.at(format!("{}-2.md", trial.id));
            overwrite(&another, &trial.new_body()).unwrap();
            trial.mount.settle();
        },
        run: |trial| read(&trial.mount.at("pending.md")),
        check: |trial, found, outcome| {
            let given = outcome.as_ref().map_or(&[][..], |bytes| bytes);
            let given = String::from_utf8_lossy(given);
            for body in [trial.old(), trial.new_body()] {
                trial.expect(found.is_anywhere(&body), found);
                assert!(
                    given.contains(&body) || found.is_pending(&body),
                    "{}: consumed and not read: {found:?} {given}",
                    trial.what
                );
            }
        },
        once: true,
    },
    Case {
        name: "remove",
        prepare: |trial| {
            old_one(trial);
            let another = trial.mount.at(format!("{}-2.md", trial.id));
            overwrite(&another, &trial.new_body()).unwrap();
            trial.mount.settle();
        },
        run: |trial| unit(fs::remove_file(trial.stamped())),
        check: |trial, found, outcome| {
            trial.expect(found.is_pending(&trial.new_body()), found);
            trial.expect(outcome.is_err() || !found.is_anywhere(&trial.old()), found);
        },
        once: true,
    },
    Case {
        name: "retract",
        prepare: old_one,
        run: |trial| unit(fs::remove_file(trial.file())),
        check: |trial, found, outcome| {
            let old = trial.old();
            trial.expect(found.is_anywhere(&old), found);
            trial.expect(outcome.is_err() || found.is_consumed(&old), found);
        },
        once: true,
    },
    Case {
        name: "mkdir and write in it",
        prepare: old_one,
        run: |trial| {
            let queue = trial.mount.at(format!("q-{}", trial.id));
            fs::create_dir(&queue)?;
            overwrite(&queue.join("x.md"), &trial.new_body())
        },
        check: |trial, found, outcome| {
            new_is_there(trial, found, outcome);
            trial.expect(found.is_pending(&trial.old()), found);
        },
        once: true,
    },
    Case {
        name: "list",
        prepare: old_one,
        run: |trial| {
            for entry in fs::read_dir(trial.mount.at(""))? {
                entry?.metadata()?;
            }
            File::open(trial.file())?.metadata()?;
            Ok(Vec::new())
        },
        check: old_is_pending,
        once: false,
    },
    Case {
        name: "expiry",
        prepare: |trial| {
            old_one(trial);
            let expired = format!("2020-01-01_000000_{}-2_done.md", trial.id);
            fs::write(trial.mount.below(&expired), "expired\n").unwrap();
            let long_ago = SystemTime::now() - 8 * DAY;
            let file = File::options()
                .write(true)
                .open(trial.mount.below(&expired));
            file.unwrap().set_modified(long_ago).unwrap();
        },
        run: |trial| {
            trial.mount.fs().sweep();
            Ok(Vec::new())
        },
        check: |trial, found, outcome| {
            old_is_pending(trial, found, outcome);
            trial.mount.fs().sweep();
            let expired = format!("2020-01-01_000000_{}-2_done.md", trial.id);
            trial.expect(!trial.mount.below(expired).exists(), found);
        },
        once: false,
    },
    Case {
        name: "adoption",
        prepare: old_one,
        run: |trial| {
            fs::write(trial.stray(), trial.new_body()).unwrap();
            for entry in fs::read_dir(trial.mount.at(""))? {
                entry?;
            }
            Ok(Vec::new())
        },
        // Until the next look the stray is not adopted, which loses nothing.
        check: |trial, found, outcome| {
            old_is_pending(trial, found, outcome);
            trial.expect(found.is_pending(&trial.new_body()), found);
        },
        once: false,
    },
    Case {
        name: "recovery",
        prepare: |trial| {
            old_one(trial);
            trial.mount.unmount();
            let drafts = trial.mount.below(".handoff-fs/drafts");
            fs::create_dir_all(&drafts).unwrap();
            let name = format!("2026-01-02_030405_{}-2.md", trial.id);
            fs::write(drafts.join(name), trial.new_body()).unwrap();
        },
        run: |trial| match trial.mount.try_mount() {
            Ok(()) => Ok(Vec::new()),
            Err(error) => Err(io::Error::other(error.to_string())),
        },
        check: |trial, found, outcome| {
            old_is_pending(trial, found, outcome);
            let drafts = list(&trial.mount.below(".handoff-fs/drafts"));
            let left = drafts.iter().any(|name| name.contains(&trial.id));
            trial.expect(left || found.is_pending(&trial.new_body()), found);
        },
        once: true,
    },
];
