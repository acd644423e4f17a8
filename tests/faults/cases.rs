//! Operations, each with what must hold when something failed in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::harness::{Mount, list};
use crate::judge::Found;

/// A case that runs.
pub struct World<'a> {
    pub mount: &'a mut Mount,
    /// Unlike all others.
    pub id: String,
    /// For messages.
    pub what: String,
}

/// What a call answered.
pub type Outcome = io::Result<Vec<u8>>;

/// One operation.
pub struct Case {
    pub name: &'static str,
    /// Without a fault.
    pub prepare: fn(&mut World<'_>),
    /// With one, or without.
    pub run: fn(&mut World<'_>) -> Outcome,
    /// Without one any more. `None` is said of what had a fault, and was told of it or not; `Some` is the answer of one
    /// that must have succeeded.
    pub check: fn(&World<'_>, &Found, &Outcome),
    /// Whether it may be that it was done although it failed, so that it cannot be done again.
    pub once: bool,
}

impl World<'_> {
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

    fn stray(&self) -> PathBuf {
        self.mount.below(format!("stray-{}.md", self.id))
    }

    /// Until every close has arrived.
    pub fn settle(&self) {
        while self.mount.fs().handles() > 0 {
            thread::yield_now();
        }
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

fn over() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options
}

fn appending() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    options
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

fn nothing(_: &mut World<'_>) {}

fn old_one(world: &mut World<'_>) {
    write(&world.file(), &over(), &world.old()).unwrap();
    world.settle();
}

fn unit(result: io::Result<()>) -> Outcome {
    result.map(|()| Vec::new())
}

/// What was written new is there if that was said, and nothing else is ever taken for it.
fn new_is_there(world: &World<'_>, found: &Found, outcome: &Outcome) {
    let new = world.new_body();
    if outcome.is_ok() {
        assert!(found.is_pending(&new), "{}: {found:?}", world.what);
    }
    found.whole_or_partial(&new, &world.what);
}

/// What was to be published from a scratch file is there still, or pending.
fn scratch_or_new_is_there(world: &World<'_>, found: &Found) {
    let scratch = fs::read_to_string(world.scratch()).unwrap_or_default();
    let new = world.new_body();
    assert!(
        scratch == new || found.is_pending(&new),
        "{}: {found:?}",
        world.what
    );
}

/// The new content if that was said, else the old one or the new one.
fn new_or_old(world: &World<'_>, found: &Found, outcome: &Outcome) {
    let (old, new) = (world.old(), world.new_body());
    new_is_there(world, found, outcome);
    assert!(
        found.is_pending(&new) || found.is_pending(&old),
        "{}: {found:?}",
        world.what
    );
    found.whole_or_partial(&old, &world.what);
}

fn old_is_pending(world: &World<'_>, found: &Found, _: &Outcome) {
    assert!(found.is_pending(&world.old()), "{}: {found:?}", world.what);
}

pub const CASES: &[Case] = &[
    Case {
        name: "write",
        prepare: nothing,
        run: |world| write(&world.file(), &over(), &world.new_body()),
        check: new_is_there,
        once: false,
    },
    Case {
        name: "write a stamped name",
        prepare: nothing,
        run: |world| {
            let name = format!("2026-01-02_030405_{}.md", world.id);
            write(&world.mount.at(name), &over(), &world.new_body())
        },
        check: new_is_there,
        once: false,
    },
    Case {
        name: "write to pending.md",
        prepare: nothing,
        run: |world| write(&world.mount.at("pending.md"), &over(), &world.new_body()),
        check: new_is_there,
        once: false,
    },
    Case {
        name: "append",
        prepare: old_one,
        run: |world| write(&world.file(), &appending(), "appended\n"),
        check: |world, found, outcome| {
            let (old, both) = (world.old(), world.old() + "appended\n");
            let starts = |(_, it): &(String, String)| it.starts_with(&old);
            assert!(found.pending.iter().any(starts), "{}", world.what);
            if outcome.is_ok() {
                let apart = found.is_pending(&old) && found.is_pending("appended\n");
                assert!(found.is_pending(&both) || apart, "{}", world.what);
            }
        },
        once: true,
    },
    Case {
        name: "edit",
        prepare: old_one,
        run: |world| write(&world.file(), &over(), &world.new_body()),
        check: new_or_old,
        once: false,
    },
    Case {
        name: "edit a copy",
        prepare: old_one,
        run: |world| {
            let mut options = OpenOptions::new();
            options.write(true);
            // As long as the old one.
            write(&world.file(), &options, &world.new_body())
        },
        check: new_or_old,
        once: false,
    },
    Case {
        name: "write over a stamped name",
        prepare: old_one,
        run: |world| write(&world.stamped(), &over(), &world.new_body()),
        // In place: a crash or an error in the middle has the old one among the replaced ones.
        check: new_is_there,
        once: false,
    },
    Case {
        name: "rename a scratch file",
        prepare: |world| {
            write(&world.scratch(), &over(), &world.new_body()).unwrap();
            world.settle();
        },
        run: |world| unit(fs::rename(world.scratch(), world.file())),
        check: |world, found, outcome| {
            new_is_there(world, found, outcome);
            scratch_or_new_is_there(world, found);
        },
        once: true,
    },
    Case {
        name: "rename a scratch file onto its own",
        prepare: |world| {
            old_one(world);
            write(&world.scratch(), &over(), &world.new_body()).unwrap();
            world.settle();
        },
        run: |world| unit(fs::rename(world.scratch(), world.file())),
        check: |world, found, outcome| {
            new_or_old(world, found, outcome);
            scratch_or_new_is_there(world, found);
        },
        once: true,
    },
    Case {
        name: "link a scratch file",
        prepare: |world| {
            write(&world.scratch(), &over(), &world.new_body()).unwrap();
            world.settle();
        },
        run: |world| unit(fs::hard_link(world.scratch(), world.file())),
        check: new_is_there,
        once: true,
    },
    Case {
        name: "rename to another slug",
        prepare: old_one,
        run: |world| {
            let to = world.mount.at(format!("{}-other.md", world.id));
            unit(fs::rename(world.stamped(), to))
        },
        check: old_is_pending,
        once: true,
    },
    Case {
        name: "rename X to X_done",
        prepare: old_one,
        run: |world| {
            let name = world.stamped();
            unit(fs::rename(&name, done(&name)))
        },
        check: |world, found, outcome| {
            let old = world.old();
            assert!(found.is_anywhere(&old), "{}", world.what);
            assert!(
                outcome.is_err() || found.is_consumed(&old),
                "{}",
                world.what
            );
        },
        once: true,
    },
    Case {
        name: "rename X_done to X",
        prepare: |world| {
            old_one(world);
            let name = world.stamped();
            fs::rename(&name, done(&name)).unwrap();
        },
        run: |world| {
            let name = format!("_{}_done.md", world.id);
            let names = list(&world.mount.below(""));
            let name = names.iter().find(|it| it.ends_with(&name)).unwrap();
            let to = name.replace("_done", "");
            unit(fs::rename(world.mount.at(name), world.mount.at(to)))
        },
        check: |world, found, outcome| {
            let old = world.old();
            assert!(found.is_anywhere(&old), "{}", world.what);
            assert!(outcome.is_err() || found.is_pending(&old), "{}", world.what);
        },
        once: true,
    },
    Case {
        name: "read to the end",
        prepare: |world| {
            old_one(world);
            let another = world.mount.at(format!("{}-2.md", world.id));
            write(&another, &over(), &world.new_body()).unwrap();
            world.settle();
        },
        run: |world| read(&world.mount.at("pending.md")),
        check: |world, found, outcome| {
            let given = outcome.as_ref().map_or(&[][..], |bytes| bytes);
            let given = String::from_utf8_lossy(given);
            for body in [world.old(), world.new_body()] {
                assert!(found.is_anywhere(&body), "{}: {found:?}", world.what);
                assert!(
                    given.contains(&body) || found.is_pending(&body),
                    "{}: consumed and not read: {found:?} {given}",
                    world.what
                );
            }
        },
        once: true,
    },
    Case {
        name: "remove",
        prepare: |world| {
            old_one(world);
            let another = world.mount.at(format!("{}-2.md", world.id));
            write(&another, &over(), &world.new_body()).unwrap();
            world.settle();
        },
        run: |world| unit(fs::remove_file(world.stamped())),
        check: |world, found, outcome| {
            assert!(found.is_pending(&world.new_body()), "{}", world.what);
            assert!(
                outcome.is_err() || !found.is_anywhere(&world.old()),
                "{}",
                world.what
            );
        },
        once: true,
    },
    Case {
        name: "retract",
        prepare: old_one,
        run: |world| unit(fs::remove_file(world.file())),
        check: |world, found, outcome| {
            let old = world.old();
            assert!(found.is_anywhere(&old), "{}", world.what);
            assert!(
                outcome.is_err() || found.is_consumed(&old),
                "{}",
                world.what
            );
        },
        once: true,
    },
    Case {
        name: "mkdir and write in it",
        prepare: old_one,
        run: |world| {
            let queue = world.mount.at(format!("q-{}", world.id));
            fs::create_dir(&queue)?;
            write(&queue.join("x.md"), &over(), &world.new_body())
        },
        check: |world, found, outcome| {
            new_is_there(world, found, outcome);
            assert!(found.is_pending(&world.old()), "{}", world.what);
        },
        once: true,
    },
    Case {
        name: "list",
        prepare: old_one,
        run: |world| {
            for entry in fs::read_dir(world.mount.at(""))? {
                entry?.metadata()?;
            }
            File::open(world.file())?.metadata()?;
            Ok(Vec::new())
        },
        check: old_is_pending,
        once: false,
    },
    Case {
        name: "expiry",
        prepare: |world| {
            old_one(world);
            let expired = format!("2020-01-01_000000_{}-2_done.md", world.id);
            fs::write(world.mount.below(&expired), "expired\n").unwrap();
            let long_ago = SystemTime::now() - Duration::from_secs(8 * 24 * 3600);
            let file = File::options()
                .write(true)
                .open(world.mount.below(&expired));
            file.unwrap().set_modified(long_ago).unwrap();
        },
        run: |world| {
            world.mount.fs().sweep();
            Ok(Vec::new())
        },
        check: |world, found, outcome| {
            old_is_pending(world, found, outcome);
            world.mount.fs().sweep();
            let expired = format!("2020-01-01_000000_{}-2_done.md", world.id);
            assert!(!world.mount.below(expired).exists(), "{}", world.what);
        },
        once: false,
    },
    Case {
        name: "adoption",
        prepare: old_one,
        run: |world| {
            fs::write(world.stray(), world.new_body()).unwrap();
            for entry in fs::read_dir(world.mount.at(""))? {
                entry?;
            }
            Ok(Vec::new())
        },
        // That nobody can use it yet is no loss: it is adopted at the next look.
        check: |world, found, outcome| {
            old_is_pending(world, found, outcome);
            assert!(
                found.is_pending(&world.new_body()),
                "{}: {found:?}",
                world.what
            );
        },
        once: false,
    },
    Case {
        name: "recovery",
        prepare: |world| {
            old_one(world);
            world.mount.unmount();
            let drafts = world.mount.below(".handoff-fs/drafts");
            fs::create_dir_all(&drafts).unwrap();
            let name = format!("2026-01-02_030405_{}-2.md", world.id);
            fs::write(drafts.join(name), world.new_body()).unwrap();
        },
        run: |world| match world.mount.try_mount() {
            Ok(()) => Ok(Vec::new()),
            Err(error) => Err(io::Error::other(error.to_string())),
        },
        check: |world, found, outcome| {
            old_is_pending(world, found, outcome);
            let drafts = list(&world.mount.below(".handoff-fs/drafts"));
            let left = drafts.iter().any(|name| name.contains(&world.id));
            assert!(
                left || found.is_pending(&world.new_body()),
                "{}: {found:?}",
                world.what
            );
        },
        once: true,
    },
];
