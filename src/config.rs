//! From the words of the command line to settings that nothing needs to check again.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::args::MountArgs;
use crate::names::Archives;
use crate::programs::{Programs, Role};
use crate::quote::quoted;
use crate::retention::Retention;

mod options;

/// Where handoffs are when nobody says otherwise, below the home directory.
const DEFAULT_MOUNTPOINT: &str = ".claude/handoffs";

/// More than anybody means, and far from where subtracting it from today's date would overflow.
const LONGEST_RETENTION: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What was asked for cannot be followed: one line with the cause and the cure. Ends the program with 2.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage(String);

impl Usage {
    fn new(message: impl Into<String>) -> Usage {
        let message: String = message.into();
        // What was asked for stands in it, whatever it was.
        let shown = |c: char| match c.is_control() {
            true => c.escape_default().to_string(),
            false => c.to_string(),
        };
        Usage(message.chars().map(shown).collect())
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl From<String> for Usage {
    fn from(message: String) -> Usage {
        Usage::new(message)
    }
}

/// A list of programs that the command line can extend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramList {
    /// `--editor`
    Editor,
    /// `--agent`
    Agent,
    /// `--stream-editor`
    StreamEditor,
    /// `--searcher`
    Searcher,
    /// `--part-reader`
    PartReader,
    /// `--page-reader`
    PageReader,
}

impl ProgramList {
    /// All of them, in the order of `--help`.
    pub const ALL: [ProgramList; 6] = [
        ProgramList::Editor,
        ProgramList::Agent,
        ProgramList::StreamEditor,
        ProgramList::Searcher,
        ProgramList::PartReader,
        ProgramList::PageReader,
    ];

    /// The option's name without its dashes.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            ProgramList::Editor => "editor",
            ProgramList::Agent => "agent",
            ProgramList::StreamEditor => "stream-editor",
            ProgramList::Searcher => "searcher",
            ProgramList::PartReader => "part-reader",
            ProgramList::PageReader => "page-reader",
        }
    }

    /// What a program on this list is to the filesystem.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            ProgramList::Editor => Role::Editor,
            ProgramList::Agent => Role::Agent,
            ProgramList::StreamEditor => Role::StreamEditor,
            ProgramList::Searcher => Role::Searcher,
            ProgramList::PartReader => Role::PartReader,
            ProgramList::PageReader => Role::PageReader,
        }
    }

    fn words(self, arguments: &mut MountArgs) -> &mut Vec<String> {
        match self {
            ProgramList::Editor => &mut arguments.editor,
            ProgramList::Agent => &mut arguments.agent,
            ProgramList::StreamEditor => &mut arguments.stream_editor,
            ProgramList::Searcher => &mut arguments.searcher,
            ProgramList::PartReader => &mut arguments.part_reader,
            ProgramList::PageReader => &mut arguments.page_reader,
        }
    }
}

/// What this process is to the mount. A mount in the background has two: the daemon serves it, and the supervisor
/// mounts again when the daemon has died (spec 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whoever runs it looks after it: a person, or a service manager.
    Alone,
    /// Of this daemon; none: of one that it starts itself.
    Supervisor(Option<i32>),
    /// The daemon of the supervisor with this pid.
    Daemon(i32),
}

/// What became of the daemons that a mount had before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// How many have died.
    pub restarts: u64,
    /// How the last of them did.
    pub last_death: Option<String>,
}

/// Everything `mount` needs, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Absolute; `..` and symbolic links are still in it, for they are the file system's to judge.
    pub mountpoint: PathBuf,
    /// Absolute; none: the mountpoint's own directory, reached below the mount.
    pub backing: Option<PathBuf>,
    /// How long consumed handoffs stay, between a second and a hundred years.
    pub retention: Duration,
    /// Stamps in UTC.
    pub utc: bool,
    /// Publishing waits for the disk.
    pub sync: bool,
    /// The largest handoff, in bytes.
    pub max_size: Option<u64>,
    /// The text files of the root that the first mount finds become handoffs.
    pub adopt: bool,
    /// They do not, whatever the directory is called.
    pub keep: bool,
    /// `NAME` or `!NAME` for the names of archives, in the order given; known to be acceptable.
    pub archives: Vec<String>,
    /// `pending.md` is not listed.
    pub hide_pending: bool,
    /// `NAME` or `!NAME` for each list, in the order given; known to be acceptable.
    pub amendments: Vec<(ProgramList, String)>,
    /// Stay in the foreground.
    pub foreground: bool,
    /// Absolute; none: standard error in the foreground, the state directory in the background.
    pub log_file: Option<PathBuf>,
    /// 0 info, 1 debug, 2 and more trace.
    pub verbosity: u8,
    /// Somebody waits on standard output for `ready PID` or `error TEXT`.
    pub report_ready: bool,
    /// What this process is to the mount.
    pub part: Part,
    /// What a supervisor and its daemon tell each other.
    pub past: Past,
}

impl Config {
    /// The built-in lists of programs with the amendments made.
    ///
    /// # Errors
    /// An amendment that the list refuses; never after [`resolve`], which tried them.
    pub fn programs(&self) -> Result<Programs, Usage> {
        amended(&self.amendments)
    }

    /// The names of archives with the amendments made.
    ///
    /// # Errors
    /// An amendment that the list refuses; never after [`resolve`], which tried them.
    pub fn archives(&self) -> Result<Archives, Usage> {
        archives(&self.archives)
    }

    /// The command line of the process that plays this part for the same mount. In full and absolute, so that it says
    /// in `ps` what it does, wherever it was started.
    #[must_use]
    pub fn arguments_as(&self, part: Part) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["mount".into()];
        match part {
            Part::Alone => {}
            Part::Supervisor(None) => {
                arguments.extend(["--supervise".into(), "--report-ready".into()]);
            }
            Part::Supervisor(Some(daemon)) => {
                arguments.extend(["--supervise".into(), format!("--daemon={daemon}").into()]);
            }
            Part::Daemon(supervisor) => {
                arguments.extend(["--foreground".into(), "--report-ready".into()]);
                arguments.push(format!("--supervised={supervisor}").into());
            }
        }
        // One argument for name and value: a value may begin with a dash.
        let mut with_value = |name: &str, value: &OsStr| {
            let mut argument = OsString::from(format!("--{name}="));
            argument.push(value);
            arguments.push(argument);
        };
        if self.past.restarts > 0 {
            with_value("restarts", self.past.restarts.to_string().as_ref());
        }
        if let Some(death) = &self.past.last_death {
            with_value("last-death", death.as_ref());
        }
        with_value("retention", self.retention_text().as_ref());
        if let Some(backing) = &self.backing {
            with_value("backing", backing.as_os_str());
        }
        if let Some(size) = self.max_size {
            with_value("max-size", size.to_string().as_ref());
        }
        for (list, name) in &self.amendments {
            with_value(list.option(), name.as_ref());
        }
        for name in &self.archives {
            with_value("archive", name.as_ref());
        }
        let flags = [
            (self.utc, "--utc"),
            (!self.sync, "--no-sync"),
            (self.adopt, "--adopt"),
            (self.keep, "--keep"),
            (self.hide_pending, "--hide-pending"),
        ];
        arguments.extend(flags.iter().filter(|flag| flag.0).map(|flag| flag.1.into()));
        arguments.extend((0..self.verbosity).map(|_| "--verbose".into()));
        arguments.push("--".into());
        arguments.push(self.mountpoint.clone().into_os_string());
        arguments
    }

    fn retention_text(&self) -> String {
        // humantime writes "7days" and "1h 30m"; a command line reads better without the blank.
        humantime::format_duration(self.retention)
            .to_string()
            .replace(' ', "")
    }
}

/// Judges the words of `mount`, the `-o` options among them.
///
/// # Errors
/// The first word that cannot be followed.
pub fn resolve(arguments: &MountArgs) -> Result<Config, Usage> {
    let mut arguments = arguments.clone();
    let from_mount = !arguments.options.is_empty();
    options::apply(&mut arguments)?;

    let amendments = ProgramList::ALL
        .into_iter()
        .flat_map(|list| {
            let names = std::mem::take(list.words(&mut arguments));
            names.into_iter().map(move |name| (list, name))
        })
        .collect::<Vec<_>>();
    let (source, mountpoint_word) = match arguments.paths.as_slice() {
        // Only mount(8) has a reason to name a source.
        [source, mountpoint, ..] if !from_mount => {
            return Err(Usage::new(format!(
                "{}: a second directory; name one: handoff-fs mount {}; to keep its files elsewhere: --backing DIR",
                quoted(mountpoint),
                quoted(source)
            )));
        }
        [] => (None, None),
        [mountpoint] => (None, Some(mountpoint.as_path())),
        [source, mountpoint, ..] => (Some(source), Some(mountpoint.as_path())),
    };
    // In fstab the first field is a label unless it is a path: "none", "handoff-fs".
    let source = source.filter(|source| source.as_os_str().as_bytes().contains(&b'/'));
    let backing = arguments.backing.as_ref().or(source);

    amended(&amendments)?;
    archives(&arguments.archive)?;
    if arguments.adopt && arguments.keep {
        return Err(Usage::new(
            "--adopt and --keep: one makes handoffs of the files found, the other leaves them; give one of them",
        ));
    }

    Ok(Config {
        mountpoint: mountpoint(mountpoint_word)?,
        backing: backing
            .map(|backing| absolute("--backing", backing))
            .transpose()?,
        retention: match &arguments.retention {
            None => Retention::default().duration(),
            Some(text) => retention(text)?,
        },
        utc: arguments.utc,
        sync: !arguments.no_sync,
        max_size: arguments.max_size.as_deref().map(size).transpose()?,
        adopt: arguments.adopt,
        keep: arguments.keep,
        archives: arguments.archive,
        hide_pending: arguments.hide_pending,
        amendments,
        foreground: arguments.foreground,
        log_file: arguments
            .log_file
            .map(|file| absolute("--log-file", &file))
            .transpose()?,
        verbosity: arguments.verbose,
        report_ready: arguments.report_ready,
        part: match (arguments.supervise, arguments.supervised) {
            (true, _) => Part::Supervisor(arguments.daemon),
            (false, Some(supervisor)) => Part::Daemon(supervisor),
            (false, None) => Part::Alone,
        },
        past: Past {
            restarts: arguments.restarts,
            last_death: arguments.last_death,
        },
    })
}

/// `$HOME`, or else what the password database says of this user; absolute.
#[must_use]
pub fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// The mountpoint that a word means, absolute; without one the default below the home directory.
///
/// # Errors
/// An empty word, or no home directory.
pub fn mountpoint(word: Option<&Path>) -> Result<PathBuf, Usage> {
    match word {
        Some(word) => absolute("MOUNTPOINT", word),
        None => home().map(|home| home.join(DEFAULT_MOUNTPOINT)).ok_or_else(|| {
            Usage::new(format!(
                "~/{DEFAULT_MOUNTPOINT}: HOME is not set to an absolute path, so there is no default; name the directory: handoff-fs mount /path/to/directory"
            ))
        }),
    }
}

/// Refuses `handoff-fs WORD` where WORD is no directory that exists and has no slash; `cure` says what may be meant.
///
/// # Errors
/// Such a word.
pub fn refuse_stray_word(word: &OsStr, cure: &str) -> Result<(), Usage> {
    if word.is_empty() || word.as_bytes().contains(&b'/') || may_be_directory(Path::new(word)) {
        return Ok(());
    }
    let word = quoted(Path::new(word));
    Err(Usage::new(format!(
        "{word}: neither a command nor a directory; {cure} (for a new directory: handoff-fs mount {word})"
    )))
}

/// Also one that answers nothing, such as a dead mount.
fn may_be_directory(path: &Path) -> bool {
    match path.metadata() {
        Ok(metadata) => metadata.is_dir(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

fn absolute(what: &str, path: &Path) -> Result<PathBuf, Usage> {
    if path.as_os_str().is_empty() {
        return Err(Usage::new(format!("{what}: is empty; name a directory")));
    }
    std::path::absolute(path).map_err(|error| {
        let path = path.display();
        Usage::new(format!(
            "{path}: cannot be made absolute ({error}); name it from the root: /…"
        ))
    })
}

fn amended(amendments: &[(ProgramList, String)]) -> Result<Programs, Usage> {
    let mut programs = Programs::builtin();
    for (list, name) in amendments {
        programs.amend(list.role(), name).map_err(|error| {
            let option = list.option();
            Usage::new(format!("--{option}: {error}"))
        })?;
    }
    Ok(programs)
}

fn archives(amendments: &[String]) -> Result<Archives, Usage> {
    let mut archives = Archives::default();
    for name in amendments {
        let amended = archives.amend(name);
        amended.map_err(|error| Usage::new(format!("--archive: {error}")))?;
    }
    Ok(archives)
}

fn retention(text: &str) -> Result<Duration, Usage> {
    let refuse = |cause: &str| {
        Usage::new(format!(
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

fn size(text: &str) -> Result<u64, Usage> {
    let refuse = |cause: &str| {
        Usage::new(format!(
            "--max-size {text:?}: {cause}; give a number of bytes, or one with K, M or G, such as 512K or 10M"
        ))
    };
    let text = text.trim();
    // The parser would also take `1.5M`, `1e3` and `1 000`.
    if !text.bytes().all(|b| b"0123456789bBiIkKmMgG".contains(&b)) {
        return Err(refuse("not a size"));
    }
    let bytes = match text.len() {
        ..=20 => parse_size::Config::new().with_binary().parse_size(text),
        // At 21 digits the parser overflows.
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
