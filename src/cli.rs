//! The command line as it is written, and the one place where the program ends.
//!
//! What the words mean is decided in [`crate::config`]; this file only says which words there are.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::args::MountArgs;
use crate::config::{self, ProgramList, Usage};
use crate::daemon::{self, Failed, NoMount};
use crate::names::Archives;
use crate::programs::Programs;

pub mod args;

/// A directory of agent handoffs that nobody overwrites.
///
/// Write any file into the mounted directory and it becomes a handoff of its own; read pending.md and all
/// that are pending come merged and are consumed; seven days later they are gone.
#[derive(Debug, Parser)]
#[command(
    name = "handoff-fs",
    version,
    override_usage = "handoff-fs COMMAND\n       handoff-fs [OPTIONS] MOUNTPOINT",
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    mount: MountArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mount a directory, and serve it in the background. `handoff-fs MOUNTPOINT` is the same
    #[command(override_usage = "handoff-fs mount [OPTIONS] [MOUNTPOINT]")]
    Mount(Box<MountArgs>),
    /// Unmount. Programs that still use the mount may finish, until it is mounted again
    #[command(visible_alias = "umount")]
    Unmount {
        /// The mounted directory [default: your only mount]
        mountpoint: Option<PathBuf>,
    },
    /// Show what is pending, consumed and being written
    Status {
        /// The mounted directory [default: your only mount]
        mountpoint: Option<PathBuf>,
        /// Print one JSON object, for programs
        #[arg(long)]
        json: bool,
    },
}

/// Why the program did not do what it was asked, by exit code.
#[derive(Debug)]
enum Failure {
    /// Clap's own answer: help and version are among them, and end with 0.
    Clap(clap::Error),
    /// Words that cannot be followed: 2.
    Usage(Usage),
    /// Words that could not be carried out: 1. `report` also goes to whoever waits for a `ready` line.
    Failed { error: Failed, report: bool },
}

impl From<Usage> for Failure {
    fn from(usage: Usage) -> Self {
        Failure::Usage(usage)
    }
}

impl From<Failed> for Failure {
    fn from(error: Failed) -> Self {
        Failure::Failed {
            error,
            report: false,
        }
    }
}

/// Runs the program on these arguments (the first is its own name). Every exit goes through here: 0 done,
/// 1 failed, 2 wrong usage.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Clap(error)) => {
            // To a closed pipe (`--help | head -1`) nothing can be said, and nothing is wrong.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        Err(Failure::Usage(usage)) => {
            complain(&usage.to_string());
            ExitCode::from(2)
        }
        Err(Failure::Failed { error, report }) => {
            if report {
                let _ = daemon::report(&format!("error {error}"));
            }
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// One line on standard error. Not `eprintln!`, which panics when that is closed.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "handoff-fs: {message}");
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let arguments: Vec<OsString> = arguments.collect();
    let cli = match parse(arguments.iter().cloned()) {
        Ok(cli) => cli,
        Err(error) => {
            // `stauts --json`: the first word is what is wrong.
            if let Some(word) = arguments.get(1).filter(|_| error.use_stderr()) {
                refuse_stray_word(word, &arguments)?;
            }
            return Err(Failure::Clap(error));
        }
    };
    match cli.command {
        None => {
            if let Some(word) = cli.mount.paths.first() {
                refuse_stray_word(word.as_os_str(), &arguments)?;
            }
            mount(&cli.mount)
        }
        Some(Command::Mount(arguments)) => mount(&arguments),
        Some(Command::Unmount { mountpoint }) => {
            Ok(daemon::unmount(&mounted(mountpoint, "unmount")?)?)
        }
        Some(Command::Status { mountpoint, json }) => {
            Ok(daemon::status(&mounted(mountpoint, "status")?, json)?)
        }
    }
}

/// The mountpoint that `command` is given, or else the user's only one.
fn mounted(word: Option<PathBuf>, command: &str) -> Result<PathBuf, Failure> {
    match word {
        Some(word) => Ok(config::mountpoint(Some(&word))?),
        None => daemon::only_mount(command).map_err(|error| match error {
            NoMount::Several(failed) => Failure::Usage(Usage::from(failed.to_string())),
            NoMount::None(failed) => failed.into(),
        }),
    }
}

/// Refuses a first word that is neither a command nor a directory: a mistyped command would otherwise make a directory of
/// that name and mount it. The source that mount(8) passes with `-o` is another thing.
fn refuse_stray_word(word: &OsStr, arguments: &[OsString]) -> Result<(), Usage> {
    let command = Cli::command();
    let is_option =
        |word: &OsStr, option: &str| word.as_encoded_bytes().starts_with(option.as_bytes());
    if is_option(word, "-")
        || command.find_subcommand(word).is_some()
        || word == "help"
        || arguments.iter().any(|argument| is_option(argument, "-o"))
    {
        return Ok(());
    }
    let cure = match nearest(&command, word) {
        Some(name) => format!("did you mean handoff-fs {name}?"),
        None => {
            let names: Vec<_> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            format!("the commands are {}", names.join(", "))
        }
    };
    config::refuse_stray_word(word, &cure)
}

/// The command that a mistyped one is most like, as clap finds it.
fn nearest(command: &clap::Command, word: &OsStr) -> Option<String> {
    let commands = clap::Command::new("handoff-fs").subcommand_required(true);
    let commands = commands.subcommands(command.get_subcommands().cloned());
    let error = commands
        .try_get_matches_from([OsStr::new("handoff-fs"), word])
        .err()?;
    match error.get(ContextKind::SuggestedSubcommand)? {
        ContextValue::String(name) => Some(name.clone()),
        ContextValue::Strings(names) => names.last().cloned(),
        _ => None,
    }
}

fn mount(arguments: &MountArgs) -> Result<(), Failure> {
    let config = config::resolve(arguments)?;
    if arguments.only_say_where {
        let mut path = daemon::resolved(&config.mountpoint).into_os_string();
        path.push("\n");
        let _ = io::stdout().write_all(path.as_encoded_bytes());
        return Ok(());
    }
    let report = config.report_ready;
    daemon::mount(&config).map_err(|error| Failure::Failed { error, report })
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let lists = program_lists();
    let command = Cli::command()
        .mut_subcommand("mount", |mount| mount.after_long_help(lists.clone()))
        .after_long_help(lists);
    let matches = command.try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

/// The built-in lists of programs, for `--help`: whoever extends one should see what is there already.
fn program_lists() -> String {
    let programs = Programs::builtin();
    let mut text = String::from("Built-in lists of programs:\n");
    for list in ProgramList::ALL {
        let names = programs.names(list.role()).join(" ");
        let _ = writeln!(text, "  --{:<14} {names}", list.option());
    }
    let archives = Archives::default();
    let archives: Vec<_> = archives
        .names()
        .map(|name| name.to_string_lossy())
        .collect();
    let _ = writeln!(
        text,
        "Built-in names of archives (--archive): {}",
        archives.join(" ")
    );
    text.push('\n');
    text.push_str(&daemon::supervision());
    text.push_str("\n\nExit codes: 0 done, 1 failed, 2 wrong usage.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn clap_finds_no_fault_in_the_definition() {
        Cli::command().debug_assert();
    }

    /// spec 8.1a
    #[test]
    fn mount_is_the_default_command() {
        let bare = parsed("handoff-fs /m --utc").unwrap();
        assert!(bare.command.is_none() && bare.mount.utc);
        assert_eq!(bare.mount.paths, [PathBuf::from("/m")]);
        let full = parsed("handoff-fs mount -f /m --agent !claude").unwrap();
        let Some(Command::Mount(arguments)) = full.command else {
            panic!("not a mount: {full:?}");
        };
        assert!(arguments.foreground);
        assert_eq!(arguments.agent, ["!claude"]);
    }

    /// spec 8.1a, 8.1c
    #[test]
    fn mount_8_passes_a_source_a_directory_and_options() {
        let cli = parsed("handoff-fs none /m -o rw,nosuid,retention=3d").unwrap();
        assert_eq!(cli.mount.paths.len(), 2);
        assert_eq!(cli.mount.options, ["rw,nosuid,retention=3d"]);
    }

    /// spec 8.1b, 8.1d
    #[test]
    fn status_and_unmount_take_one_directory() {
        assert!(matches!(
            parsed("handoff-fs status --json /m").unwrap().command,
            Some(Command::Status { json: true, .. })
        ));
        assert!(parsed("handoff-fs unmount /m /n").is_err());
        assert!(parsed("handoff-fs /a /b /c").is_err());
        assert_eq!(parsed("handoff-fs --nonsense").unwrap_err().exit_code(), 2);
    }

    /// spec 4.4c
    #[test]
    fn help_shows_the_built_in_lists() {
        let help = parsed("handoff-fs --help").unwrap_err().to_string();
        assert!(help.contains("claude") && help.contains("grep"), "{help}");
    }
}
