//! Turns the arguments of the command line into checked settings.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::args::MountArgs;
use crate::failure::Failure;
use crate::fs::Options;
use crate::names::Archives;
use crate::programs::Programs;
use crate::quote::quoted;
use crate::retention::Retention;

mod options;

/// The default mountpoint, below the home directory.
const DEFAULT_MOUNTPOINT: &str = ".claude/handoffs";

/// Short enough that subtracting this time from today's date does not overflow.
const LONGEST_RETENTION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What this process does for the mount. A mount in the background has two processes: the daemon serves it, and the
/// supervisor mounts again when the daemon has died (spec 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Starts a mount in the background, and ends when the mount is usable.
    Launcher,
    /// Serves without a supervisor: a person or a service manager looks after this process.
    Foreground,
    /// Supervises. `Some`: the pid of the daemon that started this supervisor. `None`: the supervisor starts the daemon.
    Supervisor(Option<i32>),
    /// Serves, supervised by the process with this pid.
    Daemon(i32),
}

/// Whether the text files at the top of the directory become handoffs (spec 3.6b): at the first mount, or with `--adopt` at any
/// mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundFiles {
    /// `--adopt`: they become handoffs.
    Adopt,
    /// `--keep`: they stay as they are.
    Keep,
    /// They become handoffs if the mountpoint is called `handoffs`.
    ByName,
}

/// The earlier daemons of a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// How many daemons have died.
    pub restarts: u64,
    /// How the last daemon died.
    pub last_death: Option<String>,
}

/// The settings of a mount.
#[derive(Clone, Debug)]
pub struct Config {
    /// Absolute, but not resolved: the path may hold `..` and symbolic links.
    pub mountpoint: PathBuf,
    /// Absolute. None: the files are kept in the directory that is mounted over.
    pub backing: Option<PathBuf>,
    /// How the filesystem behaves. The daemon fills in the paths, and what becomes of the files found.
    pub options: Options,
    /// Whether the text files at the top of the directory become handoffs.
    pub found_files: FoundFiles,
    /// The options that changed the lists of programs and archives, each with `NAME` or `!NAME`, in the order given.
    pub amendments: Vec<(&'static str, String)>,
    /// Absolute. None: the log goes to standard error in the foreground, and to the state directory in the background.
    pub log_file: Option<PathBuf>,
    /// 0 logs at info, 1 at debug, 2 and more at trace.
    pub verbosity: u8,
    /// Whether the parent process reads `ready PID`, `waiting TEXT` or `error TEXT` from standard output.
    pub report_ready: bool,
    /// What this process does for the mount.
    pub part: Part,
    /// A supervisor and its daemon pass this on to each other.
    pub past: Past,
}

impl Config {
    /// The command line of the process that plays this part for the same mount. All settings are named and all paths are
    /// absolute, so that the process can be started anywhere, and so that `ps` shows the settings.
    #[must_use]
    pub fn arguments_as(&self, part: Part) -> Vec<OsString> {
        let options = &self.options;
        // An option and its value are one word, because a value may begin with a dash.
        let mut words = match part {
            Part::Launcher => vec![],
            Part::Foreground => vec!["--foreground".to_owned()],
            Part::Supervisor(None) => vec!["--supervise".to_owned(), "--report-ready".to_owned()],
            Part::Supervisor(Some(pid)) => vec!["--supervise".into(), format!("--daemon={pid}")],
            Part::Daemon(pid) => vec![format!("--supervised={pid}"), "--report-ready".to_owned()],
        };
        words.push(format!("--restarts={}", self.past.restarts));
        let last_death = self.past.last_death.as_ref();
        words.extend(last_death.map(|death| format!("--last-death={death}")));
        // humantime writes "1h 30m"; a command line reads better without the space.
        let retention = humantime::format_duration(options.retention).to_string();
        words.push(format!("--retention={}", retention.replace(' ', "")));
        words.extend(options.max_size.map(|size| format!("--max-size={size}")));
        let amendments = self.amendments.iter();
        words.extend(amendments.map(|(option, name)| format!("--{option}={name}")));
        let flags = [
            ("--utc", options.utc),
            ("--no-sync", !options.sync),
            ("--adopt", self.found_files == FoundFiles::Adopt),
            ("--keep", self.found_files == FoundFiles::Keep),
            ("--hide-pending", options.hide_pending),
        ];
        words.extend(
            flags
                .into_iter()
                .filter(|(_, set)| *set)
                .map(|(word, _)| word.to_owned()),
        );
        words.extend((0..self.verbosity).map(|_| "--verbose".to_owned()));

        let mut arguments = vec![OsString::from("mount")];
        arguments.extend(words.into_iter().map(OsString::from));
        if let Some(backing) = &self.backing {
            // A path need not be UTF-8.
            let mut word = OsString::from("--backing=");
            word.push(backing);
            arguments.push(word);
        }
        arguments.extend(["--".into(), self.mountpoint.clone().into_os_string()]);
        arguments
    }
}

/// Turns the arguments of `mount`, the `-o` options among them, into settings.
///
/// # Errors
/// The first argument that is unknown or has a wrong value.
pub fn resolve(arguments: &MountArgs) -> Result<Config, Failure> {
    let from_mount = !arguments.options.is_empty();
    let arguments = options::apply(arguments)?;
    let mut amendments = Vec::new();
    let mut programs = Programs::builtin();
    for (option, role, names) in arguments.program_lists() {
        for name in names {
            let amended = programs.amend(role, name);
            amended.map_err(|error| Failure::usage(format!("--{option}: {error}")))?;
            amendments.push((option, name.clone()));
        }
    }
    let mut archives = Archives::default();
    for name in arguments.archive {
        let amended = archives.amend(&name);
        amended.map_err(|error| Failure::usage(format!("--archive: {error}")))?;
        amendments.push(("archive", name));
    }
    let (source, mountpoint_word) = match arguments.paths.as_slice() {
        // Only mount(8) names a source, and mount(8) always passes -o.
        [source, mountpoint, ..] if !from_mount => {
            return Err(Failure::usage(format!(
                "{}: only one directory can be mounted at a time, and {first} was named too; run: handoff-fs mount {first} (to \
                 keep the files elsewhere, add --backing DIR)",
                quoted(mountpoint),
                first = quoted(source)
            )));
        }
        [] => (None, None),
        [mountpoint] => (None, Some(mountpoint.as_path())),
        [source, mountpoint, ..] => (Some(source), Some(mountpoint.as_path())),
    };
    // The first field of an fstab line is a path or a mere label, such as "none" or "handoff-fs".
    let source = source.filter(|source| source.as_os_str().as_bytes().contains(&b'/'));

    Ok(Config {
        mountpoint: mountpoint(mountpoint_word)?,
        backing: arguments
            .backing
            .as_ref()
            .or(source)
            .map(|backing| absolute("--backing", backing))
            .transpose()?,
        options: Options {
            retention: match &arguments.retention {
                None => Retention::default().duration(),
                Some(text) => retention(text)?,
            },
            utc: arguments.utc,
            sync: !arguments.no_sync,
            max_size: arguments.max_size.as_deref().map(size).transpose()?,
            archives,
            hide_pending: arguments.hide_pending,
            programs,
            ..Options::default()
        },
        found_files: match (arguments.adopt, arguments.keep) {
            (true, false) => FoundFiles::Adopt,
            (false, true) => FoundFiles::Keep,
            (false, false) => FoundFiles::ByName,
            (true, true) => {
                return Err(Failure::usage(
                    "--adopt and --keep: one makes handoffs of the files found, the other leaves them; give one of them",
                ));
            }
        },
        amendments,
        log_file: arguments
            .log_file
            .map(|file| absolute("--log-file", &file))
            .transpose()?,
        verbosity: arguments.verbose,
        report_ready: arguments.report_ready,
        part: match arguments.supervised {
            Some(supervisor) => Part::Daemon(supervisor),
            None if arguments.supervise => Part::Supervisor(arguments.daemon),
            None if arguments.foreground => Part::Foreground,
            None => Part::Launcher,
        },
        past: Past {
            restarts: arguments.restarts,
            last_death: arguments.last_death,
        },
    })
}

/// `$HOME`, or else the home directory in the password database; absolute.
#[must_use]
pub fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// The mountpoint that the user named, absolute; without a name, the default below the home directory.
///
/// # Errors
/// An empty word, or no home directory.
pub fn mountpoint(word: Option<&Path>) -> Result<PathBuf, Failure> {
    match word {
        Some(word) => absolute("MOUNTPOINT", word),
        None => home().map(|home| home.join(DEFAULT_MOUNTPOINT)).ok_or_else(|| {
            Failure::usage(format!(
                "~/{DEFAULT_MOUNTPOINT}: HOME is not set to an absolute path, so there is no default; name the directory: handoff-fs mount /path/to/directory"
            ))
        }),
    }
}

fn absolute(option: &str, path: &Path) -> Result<PathBuf, Failure> {
    if path.as_os_str().is_empty() {
        return Err(Failure::usage(format!(
            "{option}: is empty; name a directory"
        )));
    }
    std::path::absolute(path).map_err(|error| {
        let path = path.display();
        Failure::usage(format!(
            "{path}: cannot be made absolute ({error}); name it from the root: /…"
        ))
    })
}

fn retention(text: &str) -> Result<Duration, Failure> {
    let refuse = |cause: &str| {
        Failure::usage(format!(
            "--retention {text:?}: {cause}; give a number with its unit, from 1s to 36500d, such as 7d or 36h"
        ))
    };
    let duration = humantime::parse_duration(text.trim()).map_err(|e| refuse(&e.to_string()))?;
    if duration < Duration::from_secs(1) {
        return Err(refuse("consumed handoffs would vanish at once"));
    }
    if duration > LONGEST_RETENTION {
        return Err(refuse("longer than a hundred years"));
    }
    Ok(duration)
}

fn size(text: &str) -> Result<u64, Failure> {
    let refuse = |cause: &str| {
        Failure::usage(format!(
            "--max-size {text:?}: {cause}; give a number of bytes, or one with K, M or G, such as 512K or 10M"
        ))
    };
    let text = text.trim();
    // The parser also accepts `1.5M`, `1e3` and `1 000`.
    if !text.bytes().all(|b| b"0123456789bBiIkKmMgG".contains(&b)) {
        return Err(refuse("not a size"));
    }
    let bytes = match text.len() {
        ..=20 => parse_size::Config::new().with_binary().parse_size(text),
        // At 21 digits the arithmetic of the parser overflows.
        _ => Err(parse_size::Error::PosOverflow),
    };
    match bytes {
        Ok(0) => Err(refuse("nothing could be written")),
        Ok(bytes) if i64::try_from(bytes).is_ok() => Ok(bytes),
        Ok(_) | Err(parse_size::Error::PosOverflow) => Err(refuse("larger than any file")),
        Err(_) => Err(refuse("not a size")),
    }
}

#[cfg(test)]
mod tests;
