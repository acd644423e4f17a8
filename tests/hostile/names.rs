//! Every name that a client can pass, through the kernel.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use handoff_fs::names::{NameClass, StampedName, classify};
use rustix::fs::{CWD, FileType, Mode};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::harness::Mount;
use crate::merge::parse;
use crate::{draw, torture};

/// Everything that a directory of the mount lists, but `pending.md`.
fn listed(mount: &Mount) -> Vec<OsString> {
    let names = fs::read_dir(mount.at("")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name != "pending.md");
    names
}

/// Whether this is an error that an operation on a hostile name may return.
fn is_usual(error: &io::Error) -> bool {
    let usual = [
        libc::ENAMETOOLONG,
        libc::EACCES,
        libc::EEXIST,
        libc::EPERM,
        libc::EISDIR,
        libc::ENOTDIR,
        libc::ENOENT,
    ];
    error
        .raw_os_error()
        .is_some_and(|errno| usual.contains(&errno))
}

/// The result of one operation.
struct Tried {
    how: &'static str,
    result: io::Result<()>,
    /// The handoff's or file's content, where one was made.
    content: Option<Vec<u8>>,
}

fn attempt(mount: &Mount, random: &mut fastrand::Rng, name: &OsStr, content: &[u8]) -> Tried {
    let path = mount.at(name);
    let with_source = |source: PathBuf, act: &dyn Fn(&PathBuf) -> io::Result<()>| {
        fs::write(&source, content).unwrap();
        act(&source)
    };
    let written = Some(content.to_vec());
    let (how, result, content) = match random.u8(0..9) {
        0..=2 => {
            let open = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path);
            (
                "create",
                open.and_then(|mut file| file.write_all(content)),
                written,
            )
        }
        3 => {
            let act = |source: &PathBuf| fs::rename(source, &path);
            (
                "rename scratch",
                with_source(mount.at("source.tmp"), &act),
                written,
            )
        }
        4 => {
            let act = |source: &PathBuf| fs::rename(source, &path);
            let source = mount.at("2026-01-02_030405_source.md");
            ("rename stamped", with_source(source, &act), written)
        }
        5 => {
            let act = |source: &PathBuf| {
                fs::hard_link(source, &path)?;
                fs::remove_file(source)
            };
            (
                "link scratch",
                with_source(mount.at("source.tmp"), &act),
                written,
            )
        }
        6 => ("mkdir", fs::create_dir(&path), None),
        7 => {
            let fifo = rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0);
            let refused = fifo.expect_err("a fifo was made");
            ("mkfifo", Err(refused.into()), None)
        }
        _ => {
            let link = std::os::unix::fs::symlink("/etc/passwd", &path);
            ("symlink", Err(link.expect_err("a link was made")), None)
        }
    };
    Tried {
        how,
        result,
        content,
    }
}

/// spec 3.2b, 3.2c, 3.4a, 3.4b, 4.1a, 4.5a, 4.5f, 4.6a, 4.6b, 4.7a, 4.10b, 8.3c, 8.4a: every operation on every name
/// returns a result that POSIX allows; written data is found under its name, and is delivered or stored; generated
/// names are safe to print and to use; and no file appears elsewhere.
#[test]
fn every_name_every_operation() {
    let mut random = torture::random();
    let cases = torture::count(400, 40_000);
    let mut mount = Mount::new();
    mount.allow(Duration::from_secs(torture::count(120, 3600)));
    let canary = mount.outside("canary");
    fs::write(&canary, "canary").unwrap();
    let mut ended: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for case in 0..cases {
        let name = draw::name(&mut random);
        let content = format!("content {case}\n").into_bytes();
        let tried = attempt(&mount, &mut random, &name, &content);
        let said = || format!("case {case}: {} {name:?}", tried.how);
        let ending = match &tried.result {
            Ok(()) => "done".to_owned(),
            Err(error) => {
                assert!(is_usual(error), "{}: {error}", said());
                assert_eq!(
                    name.len() > 255,
                    error.raw_os_error() == Some(libc::ENAMETOOLONG),
                    "{}",
                    said()
                );
                error.kind().to_string()
            }
        };
        *ended.entry((tried.how, ending)).or_default() += 1;
        if tried.result.is_ok() {
            check_made(&mount, &name, &tried, &said());
        }
        for name in listed(&mount) {
            let path = mount.at(&name);
            let removed = match fs::symlink_metadata(&path)
                .unwrap_or_else(|e| panic!("{}: {name:?}: {e}", said()))
                .is_dir()
            {
                true => fs::remove_dir(&path),
                false => fs::remove_file(&path),
            };
            removed.unwrap_or_else(|error| panic!("{}: {name:?}: {error}", said()));
        }
        assert_eq!(mount.names_below(), [""; 0], "{}", said());
    }
    assert_eq!(fs::read_to_string(&canary).unwrap(), "canary");
    torture::figure(
        "hostile",
        format_args!("{cases} operations on hostile names: {ended:?}"),
    );
}

fn check_made(mount: &Mount, name: &OsStr, tried: &Tried, said: &str) {
    let class = classify(name);
    let names = listed(mount);
    // The mount has only the requested file, and its name can be parsed.
    assert_eq!(names.len(), 1, "{said}: {names:?}");
    let made = &names[0];
    let Some(content) = &tried.content else {
        assert_eq!(made, name, "{said}");
        assert!(fs::metadata(mount.at(name)).unwrap().is_dir(), "{said}");
        return;
    };
    match &class {
        NameClass::Unstamped | NameClass::Pending => {
            let stamped = StampedName::parse(made).unwrap_or_else(|| panic!("{said}: {made:?}"));
            let slug = stamped.slug().as_os_str().to_str().expect("UTF-8");
            let plain = |c: char| {
                let mark = c.general_category_group() == GeneralCategoryGroup::Mark;
                c.is_alphanumeric()
                    || mark
                    || matches!(c, '.' | '-' | '_' | '\u{200c}' | '\u{200d}')
            };
            assert!(slug.chars().all(plain), "{said}: {slug:?}");
            assert!(
                stamped.is_pending() && stamped.consumed().to_os_string().len() <= 255,
                "{said}"
            );
        }
        NameClass::Stamped(stamped) => assert_eq!(*made, stamped.to_os_string(), "{said}"),
        NameClass::Scratch
        | NameClass::SharedScratch
        | NameClass::Hidden
        | NameClass::Ordinary
        | NameClass::Backup => {
            let stamped = StampedName::parse(made).is_some();
            assert!(
                made == name || class == NameClass::Backup && stamped,
                "{said}: {made:?}"
            );
        }
        NameClass::Peek | NameClass::Status | NameClass::Private => panic!("{said}: was made"),
    }
    if class != NameClass::Pending {
        let read = fs::read(mount.at(name)).unwrap_or_else(|error| panic!("{said}: {error}"));
        assert_eq!(&read, content, "{said}");
    }
    assert_eq!(&fs::read(mount.at(made)).unwrap(), content, "{said}");
    File::open(mount.at(made)).unwrap().sync_all().unwrap();
    let merge = parse(&fs::read(mount.at(".peek.md")).unwrap())
        .unwrap_or_else(|error| panic!("{said}: {error}"));
    let pending = StampedName::parse(made).is_some_and(|stamped| stamped.is_pending());
    let bodies: Vec<_> = merge.iter().map(|found| &found.body).collect();
    assert_eq!(
        bodies,
        if pending { vec![content] } else { vec![] },
        "{said}"
    );
    let status = fs::read(mount.at(".status.json")).unwrap();
    let status: serde_json::Value =
        serde_json::from_slice(&status).unwrap_or_else(|error| panic!("{said}: {error}"));
    assert_eq!(status["pending"], u64::from(pending), "{said}");
    assert!(!made.as_bytes().contains(&b'/'), "{said}");
}
