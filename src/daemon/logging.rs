//! The log file, and the format of its lines.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use env_logger::{Builder, Target};

use crate::config::{self, Config};
use crate::failure::Failure;
use crate::quote::{one_line, quoted};

/// At a start, a log larger than this many bytes is renamed to the same name with `.old`. At the default level little is logged
/// between two starts.
// Written here, because the crate file-rotate panics if another process (the supervisor, an ending daemon) has rotated the
// file, or if the new file cannot be created. After a panic in a log call, every later log call panics too.
const LARGEST_LOG: u64 = 1 << 20;

/// Leaves room for `.log.old` within the 255 bytes of a file name.
const LONGEST_STEM: usize = 200;

/// Opens the log of the daemon for `mountpoint`, and returns it with its path. If the default log cannot be opened (no home, a
/// read-only home), the mount goes on with a warning: handoffs matter more than their log.
///
/// # Errors
/// The file of `--log-file` cannot be opened.
pub(super) fn for_background(
    config: &Config,
    mountpoint: &Path,
) -> Result<Option<(PathBuf, File)>, Failure> {
    if let Some(path) = &config.log_file {
        return Ok(Some((path.clone(), open_log_file(path)?)));
    }
    let cause = match state_directory().map(|directory| directory.join(log_name(mountpoint))) {
        None => "neither XDG_STATE_HOME nor HOME is an absolute path".to_owned(),
        Some(path) => match open(&path) {
            Ok(file) => return Ok(Some((path, file))),
            Err(error) => format!("{}: {error}", quoted(&path)),
        },
    };
    let _ = writeln!(
        io::stderr(),
        "handoff-fs: warning: no log is kept ({cause}); choose a file with --log-file FILE"
    );
    Ok(None)
}

/// Starts the logger of a daemon or supervisor: to `--log-file`, or else to standard error, which is the log file in the
/// background.
pub(super) fn init(config: &Config) -> Result<(), Failure> {
    let mut builder = Builder::new();
    builder.parse_filters(match config.verbosity {
        0 => "warn,handoff_fs=info",
        1 => "info,handoff_fs=debug",
        _ => "debug,handoff_fs=trace",
    });
    for variable in ["RUST_LOG", "HANDOFF_LOG"] {
        if let Ok(filters) = std::env::var(variable) {
            builder.parse_filters(&filters);
        }
    }
    if let Some(path) = &config.log_file {
        builder.target(Target::Pipe(Box::new(open_log_file(path)?)));
    }
    builder.format(|out, record| {
        if is_late_answer(record.target(), record.args()) {
            return Ok(());
        }
        let (time, level, target) = (out.timestamp(), record.level(), record.target());
        let message = one_line(&record.args().to_string());
        writeln!(out, "[{time} {level:<5} {target}] {message}")
    });
    // In a test a logger may be running already; that logger stays.
    let _ = builder.try_init();
    Ok(())
}

/// Is this fuser's error about an answer that came too late? The kernel refuses the answer to an interrupted caller (ENOENT).
fn is_late_answer(target: &str, message: &std::fmt::Arguments<'_>) -> bool {
    target == "fuser::reply" && message.to_string().ends_with("(os error 2)")
}

fn open_log_file(path: &Path) -> Result<File, Failure> {
    open(path).map_err(|error| {
        let cause = format_args!("the log file cannot be opened ({error})");
        Failure::new(
            path,
            cause,
            "choose a file that can be written: --log-file FILE",
        )
    })
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    if let Ok(metadata) = path.symlink_metadata()
        && metadata.is_file()
        && metadata.len() > LARGEST_LOG
    {
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        std::fs::rename(path, old)?;
    }
    // The log holds names of handoffs, so only its owner may read it.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

fn state_directory() -> Option<PathBuf> {
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(config::home()?.join(".local/state")))
        .map(|directory| directory.join("handoff-fs"))
}

/// `/home/u/.claude/handoffs` → `home-u-.claude-handoffs.log`. Other bytes become `%XX`, so that no two mountpoints share a log.
/// A very long path is shortened to a hash of the whole path and the end of the path.
fn log_name(mountpoint: &Path) -> String {
    let bytes = mountpoint.as_os_str().as_bytes();
    let mut stem = String::new();
    for &byte in bytes.strip_prefix(b"/").unwrap_or(bytes) {
        match byte {
            b'/' => stem.push('-'),
            b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => stem.push(char::from(byte)),
            _ => stem.push_str(&format!("%{byte:02X}")),
        }
    }
    if stem.len() > LONGEST_STEM {
        // FNV-1a: unlike the hash of std, the same in every version of the program.
        let number = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        stem = format!("{number:016x}{}", &stem[stem.len() - (LONGEST_STEM - 16)..]);
    }
    stem + ".log"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_named_after_its_mountpoint() {
        let name = |path: &str| log_name(Path::new(path));
        assert_eq!(
            name("/home/u/.claude/handoffs"),
            "home-u-.claude-handoffs.log"
        );
        assert_eq!(name("/a-b/c d"), "a%2Db-c%20d.log");
        assert_ne!(name("/a/b"), name("/a-b"));
        let long = |first| name(&format!("/{first}/{}", "x".repeat(4000)));
        assert_eq!(long("a").len(), LONGEST_STEM + 4);
        assert_ne!(long("a"), long("b"));
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_no_error() {
        let reply = |errno| std::io::Error::from_raw_os_error(errno);
        let failed = |target, errno| {
            let error = reply(errno);
            is_late_answer(target, &format_args!("Failure to send FUSE reply: {error}"))
        };
        assert!(failed("fuser::reply", libc::ENOENT));
        assert!(!failed("fuser::reply", libc::EINVAL) && !failed("handoff_fs", libc::ENOENT));
    }

    #[test]
    fn a_large_log_is_moved_aside_and_a_small_one_continued() {
        let directory = std::env::temp_dir().join(format!("handoff-log-{}", std::process::id()));
        let path = directory.join("deep/x.log");
        open(&path).unwrap().write_all(b"one\n").unwrap();
        open(&path).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        open(&path).unwrap().set_len(LARGEST_LOG + 1).unwrap();
        open(&path).unwrap().write_all(b"new\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new\n");
        assert!(directory.join("deep/x.log.old").exists());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
