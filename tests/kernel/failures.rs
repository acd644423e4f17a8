//! Writes that fail and writers that die.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use handoff_fs::programs::Role;

use crate::harness::{Mount, errno, list, sorted};
use crate::tmpfs::Tmpfs;

/// A mount over a small disk. The disk is dropped second, because the mount is over it.
pub fn small(size: &str) -> (Mount, Tmpfs) {
    let mut disk = None;
    let options = format!("size={size}");
    let mount = Mount::filled(|dir| disk = Some(Tmpfs::over(dir, &options)));
    (mount, disk.unwrap())
}

/// spec 4.9a: a full disk is the writer's ENOSPC; what did get written is a partial one, never whole; and what was
/// there before can still be read and consumed.
#[test]
fn a_full_disk_needs_root() {
    let (mount, _disk) = small("128k");
    mount.sh("a", "echo before > before.md");
    let output = mount.run("a", "head -c 1M /dev/zero | tr '\\0' x > big.md");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && errors.contains("No space left"),
        "{errors}"
    );
    assert_eq!(mount.slugs(), ["before", "big-partial"]);
    assert_eq!(mount.take("b")[0], "before");
    mount.sh("b", &format!("rm {}", mount.stamped("big-partial_done")));
    mount.sh("a", "echo after > after.md");
    assert_eq!(mount.take("b"), ["after"]);
}

/// spec 4.9a: when not a byte could be written there is nothing to deliver, and nothing is left that looks whole.
#[test]
fn a_disk_that_is_full_already_needs_root() {
    let (mount, _disk) = small("64k");
    while fs::write(mount.below("filler.png"), vec![0; 1 << 20]).is_ok() {}
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(mount.at("x.md"))
    {
        Ok(file) => file,
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
            return;
        }
    };
    assert_eq!(errno(file.write_all(b"x")), libc::ENOSPC);
    drop(file);
    assert_eq!(mount.peek(), [""; 0]);
    assert!(!mount.slugs().contains(&"x".to_owned()));
    fs::remove_file(mount.below("filler.png")).unwrap();
    mount.sh("a", "echo x > x.md");
    assert_eq!(mount.peek(), ["x"]);
}

/// spec 4.9a: a failed edit leaves the old content, whole; the same writer's second attempt is a whole handoff.
#[test]
fn a_failed_edit_and_a_second_attempt() {
    let mount = Mount::with(|options| {
        options.max_size = Some(1000);
        options.programs.amend(Role::Editor, "python3").unwrap();
    });
    mount.sh("a", "echo old > x.md");
    let script = "import os\nfd = os.open('x.md', os.O_WRONLY | os.O_TRUNC)\ntry: os.write(fd, b'x' * 3000)\nexcept OSError as e: print(e.errno)";
    assert_eq!(mount.python("a", script), "27\n");
    assert_eq!(mount.peek(), ["old"]);
    // A file that was truncated and written again is whole.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(mount.at("z.md"))
        .unwrap();
    assert_eq!(errno(file.write_all(&[b'z'; 2000])), libc::EFBIG);
    file.set_len(0).unwrap();
    file.write_all(b"small\n").unwrap();
    drop(file);
    assert!(mount.slugs().iter().any(|slug| slug.starts_with('z')));
}

/// spec 4.9a: past `--max-size` is EFBIG, by write, append and truncate, and at the limit it is not.
#[test]
fn too_large() {
    let mount = Mount::with(|options| options.max_size = Some(10));
    fs::write(mount.at("ten.md"), "123456789\n").unwrap();
    assert_eq!(
        errno(fs::write(mount.at("more.md"), "1234567890\n")),
        libc::EFBIG
    );
    let name = mount.stamped("ten");
    let mut append = OpenOptions::new()
        .append(true)
        .open(mount.at(&name))
        .unwrap();
    assert_eq!(errno(append.write_all(b"x")), libc::EFBIG);
    drop(append);
    let file = OpenOptions::new()
        .write(true)
        .open(mount.at(&name))
        .unwrap();
    assert_eq!(errno(file.set_len(11)), libc::EFBIG);
    let far = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 11);
    assert_eq!(far, Err(rustix::io::Errno::FBIG));
    drop(file);
    assert_eq!(mount.peek(), ["123456789"]);
    assert_eq!(mount.slugs(), ["ten"], "nothing of the other was written");
    let output = mount.run(
        "a",
        "printf 12345678 > part.md; (printf 1234; printf 1234567) > two.md",
    );
    assert!(!output.status.success());
    assert_eq!(mount.slugs(), ["part", "ten", "two-partial"]);
    mount.sh("a", "mkdir q; head -c 10 /dev/zero > s.tmp");
    mount.fails("a", "head -c 11 /dev/zero > t.tmp");
}

/// A process of session `a` that writes to `x.md` and dies by a signal with it open, or without one just exits.
fn die(signal: &str, mount: &Mount) -> ExitStatus {
    let end = match signal {
        "" => "os._exit(0)".to_owned(),
        signal => format!("os.kill(os.getpid(), signal.SIG{signal})"),
    };
    let script = format!(
        "import os, signal\nfd = os.open('x.md', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)\nos.write(fd, b'half\\n')\n{end}"
    );
    let mut python = mount.command("a", "python3");
    python.args(["-c", &script]).status().unwrap()
}

/// spec 4.9b: a process that dies by a signal with what it wrote still open has not finished it; one that exits without
/// closing has.
#[test]
fn a_writer_that_is_killed() {
    for (signal, slug) in [("KILL", "x-partial"), ("TERM", "x-partial"), ("", "x")] {
        let mount = Mount::new();
        let status = die(signal, &mount);
        assert_eq!(status.signal().is_some(), !signal.is_empty());
        assert_eq!(mount.take("b"), ["half"], "{signal}");
        assert_eq!(mount.slugs(), [format!("{slug}_done")], "{signal}");
    }
}

/// spec 4.9b: a process that is killed without having written, while others write on, makes nothing partial.
#[test]
fn a_bystander_that_is_killed() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "(echo one; bash -c 'kill -9 $$'; echo two) > x.md; sleep 60 3> y.md & kill -9 $!; wait $! ; true",
    );
    assert_eq!(mount.take("b"), ["one\ntwo"]);
    assert!(!mount.slugs().iter().any(|slug| slug.contains("partial")));
}

/// spec 4.9b: a killed edit leaves the old content in place, and what it wrote as a partial one.
#[test]
fn an_edit_that_is_killed() {
    let mount = Mount::with(|options| {
        options.programs.amend(Role::Editor, "python3").unwrap();
    });
    mount.sh("a", "echo old > x.md");
    assert!(die("KILL", &mount).signal().is_some());
    assert_eq!(mount.sh("a", "cat x.md"), "old\n");
    assert_eq!(mount.slugs(), ["x", "x-partial"]);
    assert_eq!(sorted(mount.peek()), ["half", "old"]);
}

/// spec 4.9a, 4.2a: a disk that can no longer take the name is the error of the close, and what was written is not lost.
#[test]
fn errors_of_publishing_are_the_closes() {
    let mount = Mount::new();
    mount.sh("a", "mkdir q");
    let mut file = fs::File::create(mount.at("q/x.md")).unwrap();
    file.write_all(b"kept\n").unwrap();
    // A file where the queue was: it cannot be published there.
    fs::remove_dir(mount.below("q")).unwrap();
    fs::write(mount.below("q"), "in the way").unwrap();
    assert!(nix::unistd::close(file).is_err());
    assert_eq!(list(&mount.below(".handoff-fs/drafts/q")).len(), 1);
    // The RELEASE, which comes when it comes, tries again and fails as well.
    mount.settle();
    fs::remove_file(mount.below("q")).unwrap();
    mount.fs().sweep();
    assert_eq!(mount.peek(), ["kept"]);
}

/// spec 4.2c: a reader that comes right after a close without a write waits for it too: nothing is missed because it was
/// touched just now.
#[test]
fn touched_just_now() {
    let mount = Mount::new();
    for n in 0..40 {
        mount.sh("a", &format!("echo {n} > x.md"));
        let touched = fs::OpenOptions::new()
            .append(true)
            .open(mount.at(mount.stamped("x")));
        nix::unistd::close(touched.unwrap()).unwrap();
        assert_eq!(mount.peek(), [n.to_string()]);
        mount.sh("b", "cat pending.md; rm *_x_done.md");
    }
}

/// spec 4.2a, 8.3d: a program that is executed while what its process wrote is still open closes it in the middle of
/// exec(2): nobody waits for ever, and what was written is whole.
#[test]
fn closed_by_exec() {
    let mount = Mount::new();
    let script = "import os, subprocess\nf = open('child.md', 'w'); f.write('one\\n'); f.flush()\n\
        subprocess.run(['true'])\ng = open('self.md', 'w'); g.write('two\\n'); g.flush()\nos.execvp('true', ['true'])";
    mount.python("a", script);
    assert_eq!(sorted(mount.take("b")), ["one", "two"]);
}

/// spec 3.9d, 4.9a: where the disk is full, replaced versions go, the oldest first, before a writer hears of it.
#[test]
fn replaced_versions_make_room_needs_root() {
    let (mount, _disk) = small("400k");
    mount.sh("a", "echo removed > r.md; rm *_r.md");
    let names = [1, 2, 3, 4].map(|i| format!("2026-01-02_03040{i}_n.md"));
    for name in &names {
        let script =
            format!("head -c 40000 /dev/zero | tr '\\0' {name:.1} > {name}; echo new > {name}");
        mount.sh("a", &script);
    }
    let kept = || list(&mount.below(".handoff-fs/replaced")).len();
    assert_eq!(kept(), 4);
    mount.sh("a", "head -c 300000 /dev/zero | tr '\\0' x > big.md");
    assert!(kept() < 4, "{}", kept());
    assert_eq!(
        fs::metadata(mount.at(mount.stamped("big"))).unwrap().len(),
        300_000
    );
    let output = mount.run("a", "head -c 300000 /dev/zero | tr '\\0' x > more.md");
    assert!(!output.status.success());
    assert_eq!(kept(), 0);
    let removed = list(&mount.below(".handoff-fs/removed"));
    assert_eq!(removed.len(), 1, "what was removed is never dropped");
    assert_eq!(mount.slugs()[..2], ["big", "more-partial"]);
    // Nor for what is not a write.
    mount.sh(
        "a",
        // Removing a pending one would keep it.
        "for f in *more-partial* *big*; do mv $f ${f%.md}_done.md; done; rm *_done.md; \
         echo old > o.md; s=$(ls | grep _o); echo new > $s",
    );
    assert_eq!(kept(), 1);
}
