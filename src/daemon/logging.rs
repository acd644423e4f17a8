//! Where the log goes.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use env_logger::{Builder, Target};

use super::error::{Failed, shown};
use crate::config::{self, Config};

/// A log larger than this at a start is moved aside, to the same name with `.old`, so that two of this size
/// are the most there can be from many starts. In between little is written at the default level.
// By hand: file-rotate panics at a file that another process (the supervisor, an ending daemon) has rotated,
// and where the new file cannot be made; a panic within a log call makes every later log call panic too.
const LARGEST_LOG: u64 = 1 << 20;

/// Room for `.log` and `.old` within the 255 bytes of a file's name.
const LONGEST_STEM: usize = 200;

/// Where the daemon's standard error goes in the background.
pub(super) struct BackgroundLog {
    /// None when there is no place for a log.
    pub(super) path: Option<PathBuf>,
    pub(super) output: Stdio,
}

/// Opens the log of the daemon for `mountpoint`. Without a place for one (no home, a read-only home) the mount
/// goes on without, with a warning: handoffs matter more than their log. A `--log-file` that does not open is
/// an error.
pub(super) fn for_background(config: &Config, mountpoint: &Path) -> Result<BackgroundLog, Failed> {
    if let Some(path) = &config.log_file {
        return Ok(BackgroundLog {
            output: Stdio::from(open_asked_for(path)?),
            path: Some(path.clone()),
        });
    }
    let opened = state_directory()
        .map(|directory| directory.join(log_name(mountpoint)))
        .ok_or_else(|| "neither XDG_STATE_HOME nor HOME is an absolute path".to_owned())
        .and_then(|path| match open(&path) {
            Ok(file) => Ok((path, file)),
            Err(error) => Err(format!("{}: {error}", shown(&path))),
        });
    match opened {
        Ok((path, file)) => Ok(BackgroundLog {
            path: Some(path),
            output: Stdio::from(file),
        }),
        Err(cause) => {
            let _ = writeln!(
                io::stderr(),
                "handoff-fs: warning: no log is kept ({cause}); --log-file FILE names one"
            );
            Ok(BackgroundLog {
                path: None,
                output: Stdio::null(),
            })
        }
    }
}

/// Starts the logger of a process in the foreground form: to `--log-file`, else to standard error, which
/// in the background is the log file already.
pub(super) fn init(config: &Config) -> Result<(), Failed> {
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
        builder.target(Target::Pipe(Box::new(open_asked_for(path)?)));
    }
    builder.format(|out, record| {
        if is_late_answer(record.target(), record.args()) {
            return Ok(());
        }
        let (time, level, target) = (out.timestamp(), record.level(), record.target());
        let message = one_line(&record.args().to_string());
        writeln!(out, "[{time} {level:<5} {target}] {message}")
    });
    // A second logger in one process is a test's, and stays.
    let _ = builder.try_init();
    Ok(())
}

/// fuser answers the kernel when a caller is interrupted, and reports as an error that the kernel did not expect that (ENOENT).
fn is_late_answer(target: &str, message: &std::fmt::Arguments<'_>) -> bool {
    target == "fuser::reply" && message.to_string().ends_with("(os error 2)")
}

/// A message with nothing in it that could pass for another line, or that a terminal would obey: the names in it are
/// whatever somebody called a file.
fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        match c {
            _ if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') =>
            {
                line.extend(c.escape_default());
            }
            _ => line.push(c),
        }
    }
    line
}

fn open_asked_for(path: &Path) -> Result<File, Failed> {
    open(path).map_err(|error| {
        let cause = format_args!("the log file cannot be opened ({error})");
        Failed::new(path, cause, "name one that can be written with --log-file")
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
    // Names of handoffs stand in the log, so it is the owner's alone.
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

/// `/home/u/.claude/handoffs` → `home-u-.claude-handoffs.log`. Whatever else is not plain becomes `%XX`, so
/// that two mountpoints never share a log; of a very long path the end is kept, with a number for the rest.
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
        // FNV-1a, for it must be the same number in every version of the program.
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
    fn a_message_is_one_line() {
        let name = "a\n[2026-01-02T03:04:05Z ERROR handoff_fs] forged\x1b[2J\u{9b}\u{202e}é";
        assert_eq!(
            one_line(name),
            r"a\n[2026-01-02T03:04:05Z ERROR handoff_fs] forged\u{1b}[2J\u{9b}\u{202e}é"
        );
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_no_error() {
        let reply = |errno| std::io::Error::from_raw_os_error(errno);
        let failed = |target, errno| {
            let error = reply(errno);
            is_late_answer(target, &format_args!("Failed to send FUSE reply: {error}"))
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
