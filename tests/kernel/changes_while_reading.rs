//! Changes between the write of a handoff and its reading. What is delivered, and so consumed, is the content of the
//! files.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Mount, slug, succeeds};

/// Two endings of the same size.
const CONTENTS: [(&[u8], &[u8]); 2] = [
    (b"first text\n", b"other text."),
    (b"first text.", b"other text\n"),
];

/// Changes by a program that has written a new handoff, `$f`: Python, with `f` the open file and `new` what it is to hold.
const WRITER: &[&str] = &[
    "f.close()",
    "os.close(os.dup(f.fileno())); os.pwrite(f.fileno(), new, 0); f.close()",
    "os.close(os.dup(f.fileno())); os.pwrite(f.fileno(), new[-1:], len(new) - 1); f.close()",
    "os.close(os.dup(f.fileno())); f.truncate(0); os.pwrite(f.fileno(), new, 0); f.close()",
    "os.close(os.dup(f.fileno())); f.truncate(4); f.close()",
    "os.close(os.dup(f.fileno())); f.truncate(4); f.truncate(11); f.close()",
    "os.close(os.dup(f.fileno())); os.posix_fallocate(f.fileno(), 0, 20); f.close()",
    "os.close(os.dup(f.fileno())); m = mmap.mmap(f.fileno(), 11); m[:] = new; m.flush(); m.close(); f.close()",
    "os.pwrite(f.fileno(), new[:4], 0); f.close()",
    "os.pwrite(f.fileno(), new, 0); f.truncate(4); f.close()",
    "os.pwrite(f.fileno(), new, 0); f.truncate(4); f.truncate(11); f.close()",
    "f.truncate(5); os.posix_fallocate(f.fileno(), 0, 11); f.close()",
    "f.close(); open(name, 'ab').write(b'more')",
    "f.close(); g = open(name, 'r+b'); g.seek(10); g.write(new[-1:]); g.close()",
    "f.close(); open(name, 'wb').write(new)",
    "f.close(); os.truncate(name, 4)",
    "f.close(); os.chmod(name, 0o600)",
    "f.close(); os.utime(name, (1, 1))",
    "f.close(); open('.x.tmp', 'wb').write(new); os.rename('.x.tmp', name)",
    "f.close(); subprocess.run(['sed', '-i', 's/text/TEXT/', name], check=True)",
    "f.close(); g = open(name, 'ab'); os.close(os.dup(g.fileno())); g.close()",
];

/// The bodies of a merge, each with the newline that ends it.
fn split(merge: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for line in merge.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"<!-- handoff ") {
            bodies.push(Vec::new());
        } else if let Some(body) = bodies.last_mut() {
            body.extend_from_slice(line);
        }
    }
    bodies.sort();
    bodies
}

/// The contents that must be delivered of the files with these names.
fn held(mount: &Mount, is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let mut held = Vec::new();
    for name in mount.names_below() {
        let content = fs::read(mount.below(&name)).unwrap();
        if is_wanted(&slug(&name)) && !content.is_empty() {
            let newline: &[u8] = if content.ends_with(b"\n") { b"" } else { b"\n" };
            held.push([&content, newline].concat());
        }
    }
    held.sort();
    held
}

fn pending(mount: &Mount) -> Vec<Vec<u8>> {
    held(mount, |slug| !slug.ends_with("_done"))
}

/// Reads everything; what is consumed by that must be what was delivered. Removes it.
fn read(mount: &Mount, what: &str) {
    let expected = pending(mount);
    let merge = fs::read(mount.at("pending.md")).unwrap();
    let shown = String::from_utf8_lossy(&merge);
    assert_eq!(split(&merge), expected, "{what}: {shown}");
    assert_eq!(
        held(mount, |slug| slug.ends_with("_done")),
        expected,
        "{what}: {shown}"
    );
    assert_eq!(pending(mount), [[0u8; 0]; 0], "{what}");
    for name in mount.names_below() {
        fs::remove_file(mount.below(name)).unwrap();
    }
}

fn write_two(mount: &Mount, content: &[u8]) -> PathBuf {
    fs::write(mount.at("a.md"), content).unwrap();
    fs::write(mount.at("b.md"), b"the other one\n").unwrap();
    mount.below(mount.stamped("a"))
}

fn overwrite(file: &Path, new: &[u8]) {
    let file = OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(new, 0).unwrap();
}

/// spec 3.1, 6.1a, 6.4c: a writer may change a handoff that it has written, or has published and still has open, in any
/// way, in the same moment and without changing the size: the file is delivered as it is.
#[test]
fn through_the_mount() {
    let mount = Mount::new();
    for (old, new) in CONTENTS {
        for change in WRITER {
            let of = |bytes: &[u8]| format!("b'{}'", bytes.escape_ascii());
            let program = format!(
                "import mmap, os, subprocess\nname = 'a.md'; new = {}\nf = open(name, 'w+b', 0); f.write({})\n{change}",
                of(new),
                of(old)
            );
            mount.write("other", "b.md", b"the other one\n");
            mount.python("writer", &program);
            read(&mount, change);
        }
    }
}

/// spec 3.1, 6.1a, 6.4c: a process may change a handoff below the mount in any way, in the same moment, without
/// changing the size or the mtime: the file is delivered as it is.
#[test]
fn below_the_mount() {
    let mount = Mount::new();
    type Change = fn(&Path, &[u8]);
    let changes: [(&str, Change); 5] = [
        ("overwritten", overwrite),
        ("overwritten, mtime as before", |file, new| {
            let mtime = fs::metadata(file).unwrap().modified().unwrap();
            overwrite(file, new);
            File::open(file).unwrap().set_modified(mtime).unwrap();
        }),
        ("another file, mtime as before", |file, new| {
            let mtime = fs::metadata(file).unwrap().modified().unwrap();
            let other = file.with_file_name(".handoff-fs/x.tmp");
            fs::write(&other, new).unwrap();
            File::open(&other).unwrap().set_modified(mtime).unwrap();
            fs::rename(&other, file).unwrap();
        }),
        ("truncated and written", |file, new| {
            fs::write(file, new).unwrap();
        }),
        ("mapped", |file, new| {
            mapped(file, new, "");
        }),
    ];
    for (old, new) in CONTENTS {
        for (what, change) in changes {
            let file = write_two(&mount, old);
            change(&file, new);
            read(&mount, what);
            // The same after a look.
            let file = write_two(&mount, old);
            assert_eq!(
                split(&fs::read(mount.at(".peek.md")).unwrap()),
                pending(&mount)
            );
            change(&file, new);
            read(&mount, what);
        }
    }
}

/// Writes through a mapping, and then runs `last` before anything is closed.
fn mapped(file: &Path, new: &[u8], last: &str) {
    let path = file.display().to_string();
    let path = path.replacen("/proc/self/", &format!("/proc/{}/", std::process::id()), 1);
    let program = format!(
        "import mmap\nf = open('{path}', 'r+b')\nm = mmap.mmap(f.fileno(), 11)\nm[:] = b'{}'\n{last}",
        new.escape_ascii()
    );
    succeeds(Command::new("/usr/bin/python3").args(["-c", &program]));
}

/// spec 6.4c: of a change under another name, or through a mapping, nothing tells before the file is looked at. Then the
/// handoff is not consumed, and is delivered once more as it is.
#[test]
fn where_nothing_tells() {
    let mount = Mount::new();
    let link = mount.outside("link");
    for (old, new) in CONTENTS {
        for is_mapped in [false, true] {
            let file = write_two(&mount, old);
            let out = mount.outside("read");
            if is_mapped {
                let (from, to) = (mount.at("pending.md"), out.display());
                let last = format!(
                    "open('{to}', 'wb').write(open('{}', 'rb').read())",
                    from.display()
                );
                mapped(&file, new, &last);
            } else {
                fs::hard_link(&file, &link).unwrap();
                overwrite(&link, new);
                fs::write(&out, fs::read(mount.at("pending.md")).unwrap()).unwrap();
                fs::remove_file(&link).unwrap();
            }
            let merge = fs::read(&out).unwrap();
            let text = |bytes: &[u8]| merge.windows(10).any(|it| it == &bytes[..10]);
            assert!(
                text(new) && !text(old),
                "{}",
                String::from_utf8_lossy(&merge)
            );
            assert_eq!(mount.slugs(), ["a", "b_done"], "mapped: {is_mapped}");
            fs::remove_file(mount.below(mount.stamped("b_done"))).unwrap();
            read(&mount, "again");
        }
    }
}

/// spec 6.2b, 6.3a, 6.4c: of hundreds, which are consumed by several threads, just those stay pending that were changed while
/// they were read.
#[test]
fn among_hundreds() {
    const COUNT: usize = 1500;
    let mount = Mount::new();
    for i in 0..COUNT {
        fs::write(mount.at(format!("h{i}.md")), format!("the text {i}\n")).unwrap();
    }
    let mut file = File::open(mount.at("pending.md")).unwrap();
    let mut merge = vec![0; 1000];
    file.read_exact(&mut merge).unwrap();

    let below = |i: usize| mount.below(mount.stamped(&format!("h{i}")));
    let through = |i: usize| mount.at(mount.stamped(&format!("h{i}")));
    overwrite(&below(1), b"TEXT");
    overwrite(&through(300), b"TEXT");
    fs::rename(below(700), below(700).with_file_name("other.md")).unwrap();
    fs::remove_file(below(701)).unwrap();
    fs::remove_file(through(702)).unwrap();
    fs::write(below(1100), "short").unwrap();
    mapped(&below(1499), b"other text\n", "");
    // Another one has the name that it would get.
    let taken = below(1300).to_string_lossy().replace(".md", "_done.md");
    fs::write(&taken, "in the way\n").unwrap();

    file.read_to_end(&mut merge).unwrap();
    let delivered = split(&merge);
    let changed = [1, 300, 700, 701, 702, 1100, 1499];
    for i in (0..COUNT).filter(|i| !changed.contains(i)) {
        let text = format!("the text {i}\n").into_bytes();
        assert!(delivered.binary_search(&text).is_ok(), "{i}");
    }
    let left = mount.slugs();
    let pending: Vec<_> = left
        .iter()
        .filter(|slug| !slug.ends_with("_done"))
        .collect();
    assert_eq!(pending, ["h1", "h1100", "h1499", "h300", "other"]);
    // Two were removed, and one was in the way.
    assert_eq!(left.len(), COUNT - 2 + 1);
    assert_eq!(fs::read(&taken).unwrap(), b"in the way\n");
}
