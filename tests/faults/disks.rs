//! Disks of the tests: full of bytes, full of files, read-only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use handoff_fs::programs::Role;

use crate::cases::{overwrite, own_name, read};
use crate::harness::{Mount, list};
use crate::tmpfs::Tmpfs;
use crate::torture;

/// A mount over a tmpfs, where this very program counts as an editor. The disk is dropped second.
fn mount(options: &str) -> (Mount, Tmpfs) {
    let mut disk = None;
    let prepare = |dir: &Path| disk = Some(Tmpfs::over(dir, options));
    let mount = Mount::over(prepare, |options| {
        options.programs.amend(Role::Editor, &own_name()).unwrap();
        options.sync = true;
    });
    (mount, disk.unwrap())
}

/// Fills the disk, but for so many bytes.
fn fill(mount: &Mount, but: usize) {
    let spare = vec![b'x'; but];
    fs::write(mount.below("spare.png"), spare).unwrap();
    let mut filler = File::create(mount.below("filler.png")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    fs::remove_file(mount.below("spare.png")).unwrap();
}

/// Uses up all inodes.
fn fill_inodes(mount: &Mount) {
    fs::create_dir(mount.below(".filler")).unwrap();
    let make = |n: u32| File::create(mount.below(format!(".filler/{n}")));
    assert!((0..).map(make).any(|made| made.is_err()));
}

fn is_full<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    match result {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{error}");
            true
        }
    }
}

fn empty(dir: &Path) -> bool {
    !dir.exists() || list(dir).is_empty()
}

/// Every operation on a full disk either succeeds or fails with ENOSPC. Handoffs that were there are whole, can be read
/// and are consumed; once there is room again, everything works. Returns how many calls failed.
fn everything_on(mount: &mut Mount, fill: impl Fn(&Mount), free: impl Fn(&Mount)) -> u64 {
    let mut told = 0;
    overwrite(&mount.at("kept.md"), "kept\n").unwrap();
    overwrite(&mount.at("edited.md"), "edited\n").unwrap();
    mount.settle();
    fill(mount);
    let big = "new\n".repeat(50_000);
    let mut edited = false;
    for name in [
        "new.md",
        "edited.md",
        "2026-01-02_030405_x.md",
        "pending.md",
        "x.tmp",
    ] {
        let full = is_full(overwrite(&mount.at(name), &big));
        edited |= name == "edited.md" && !full;
        told += u64::from(full);
    }
    told += u64::from(is_full(fs::create_dir(mount.at("q"))));
    mount.settle();
    // Reading, and consuming, needs no room.
    let given = String::from_utf8(read(&mount.at("pending.md")).unwrap()).unwrap();
    assert!(given.contains("\nkept\n"), "{given}");
    assert!(edited || given.contains("\nedited\n"), "{given}");
    assert!(!mount.slugs().contains(&"kept".to_owned()));
    assert!(mount.slugs().contains(&"kept_done".to_owned()));
    for slug in mount.slugs() {
        let whole = ["new", "pending", "x"].contains(&slug.as_str());
        let name = mount.stamped(&slug);
        let size = fs::metadata(mount.at(name)).unwrap().len();
        assert!(!whole || size == 0 || size == big.len() as u64, "{slug}");
    }
    free(mount);
    overwrite(&mount.at("after.md"), "after\n").unwrap();
    overwrite(&mount.at("after.md"), "after, edited\n").unwrap();
    fs::create_dir(mount.at("r")).unwrap();
    overwrite(&mount.at("r/x.md"), "in a queue\n").unwrap();
    mount.settle();
    let mut pending = mount.peek();
    pending.retain(|body| !body.starts_with("new"));
    assert_eq!(pending, ["after, edited", "in a queue"]);
    mount.fs().sweep();
    mount.remount();
    assert!(mount.peek().contains(&"after, edited".to_owned()));
    let private = mount.below(".handoff-fs");
    assert!(empty(&private.join("edits")), "half an edit is left");
    told
}

/// spec 4.9a, 6.3a, 3.9a: a disk without room, at every byte of it.
#[test]
fn full_of_bytes() {
    let mut told = 0;
    let rooms = torture::count(6, 64);
    for n in 0..rooms {
        let (mut mount, _disk) = mount("size=384k");
        let free = |mount: &Mount| fs::remove_file(mount.below("filler.png")).unwrap();
        let room = n * 240_000 / rooms;
        told += everything_on(&mut mount, |mount| fill(mount, room as usize), free);
    }
    torture::figure(
        "full disk",
        format_args!("{rooms} amounts of room, {told} calls told ENOSPC, 0 lost"),
    );
}

/// spec 4.9a, 6.3a: a disk without room for another file.
#[test]
fn full_of_files() {
    let mut told = 0;
    let rooms = torture::count(6, 24);
    for spare in 0..rooms {
        let (mut mount, _disk) = mount("size=64m,nr_inodes=80");
        let fill = |mount: &Mount| {
            fill_inodes(mount);
            for n in 0..spare {
                fs::remove_file(mount.below(format!(".filler/{n}"))).unwrap();
            }
        };
        let free = |mount: &Mount| fs::remove_dir_all(mount.below(".filler")).unwrap();
        told += everything_on(&mut mount, fill, free);
    }
    torture::figure(
        "no inodes",
        format_args!("{rooms} amounts of room, {told} calls told ENOSPC, 0 lost"),
    );
}

/// spec 3.9d: a version that could not be kept for want of room does not use up the room.
#[test]
fn half_a_version_is_not_kept() {
    let (mount, _disk) = mount("size=512k");
    overwrite(&mount.at("x.md"), &"old\n".repeat(30_000)).unwrap();
    mount.settle();
    fill(&mount, 60_000);
    let stamped = mount.at(mount.stamped("x"));
    // While another process has the file open, the write is no edit.
    let other = OpenOptions::new().append(true).open(&stamped).unwrap();
    let in_place = OpenOptions::new().write(true).truncate(true).open(stamped);
    assert!(is_full(in_place));
    drop(other);
    mount.settle();
    let edit = OpenOptions::new().write(true).open(mount.at("x.md"));
    assert!(is_full(edit));
    for part in ["replaced", "rewriting", "edits"] {
        assert!(empty(&mount.below(".handoff-fs").join(part)), "{part}");
    }
    assert_eq!(mount.peek()[0].len(), 4 * 30_000 - 1);
}

/// spec 4.9a: a handoff that an earlier close has published becomes partial when a later write to it fails.
#[test]
fn a_second_writer_that_fails() {
    let (mount, _disk) = mount("size=256k");
    let output = mount.run("a", "(head -c 10 /dev/zero; head -c 1M /dev/zero) > x.md");
    assert!(!output.status.success());
    assert_eq!(mount.slugs(), ["x-partial"]);
}

/// spec 4.2a: a draft that could not be published is delivered once it can be, without a restart and long before the
/// next sweep.
#[test]
fn published_when_there_is_a_place_again() {
    let (mount, _disk) = mount("size=1m");
    fs::create_dir(mount.at("q")).unwrap();
    let mut file = File::create(mount.at("q/x.md")).unwrap();
    file.write_all(b"kept\n").unwrap();
    fs::remove_dir(mount.below("q")).unwrap();
    fs::write(mount.below("q"), "in the way").unwrap();
    assert!(nix::unistd::close(file).is_err());
    mount.settle();
    fs::remove_file(mount.below("q")).unwrap();
    while mount.peek().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(mount.peek(), ["kept"]);
}
