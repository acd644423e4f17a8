//! The command line: commands, help and exit codes. [`crate::config`] checks the values of the options.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::args::MountArgs;
use crate::config;
use crate::daemon;
use crate::failure::Failure;
use crate::names::Archives;
use crate::programs::Programs;
use crate::quote::quoted;

pub mod args;

/// A directory of agent handoffs that nobody overwrites.
///
/// Any file written into the mounted directory becomes a handoff of its own. Reading pending.md shows all unread
/// handoffs, merged, and marks them as read. Seven days later they are deleted.
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
    /// Unmount. Programs that still have files open can finish. The next mount ends their access
    #[command(visible_alias = "umount")]
    Unmount {
        /// The mounted directory [default: your only mount]
        mountpoint: Option<PathBuf>,
    },
    /// Show how many handoffs are unread and read, and who is writing and reading
    Status {
        /// The mounted directory [default: your only mount]
        mountpoint: Option<PathBuf>,
        /// Print one JSON object, for programs
        #[arg(long)]
        json: bool,
    },
}

/// Runs the program on these arguments (the first is the program's name). The program exits only here: 0 done, 1 failed,
/// 2 wrong usage.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    run(&arguments).unwrap_or_else(|failure| {
        // Not `eprintln!`, which panics when standard error is closed.
        let _ = writeln!(io::stderr(), "handoff-fs: {failure}");
        ExitCode::from(failure.exit_code())
    })
}

fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // In `stauts --json` the parser refuses the option, although the first word is the mistake.
            if let Some(word) = arguments.get(1).filter(|_| error.use_stderr()) {
                refuse_stray_word(word, arguments)?;
            }
            // Help and version are among these errors. Printing fails if a reader has closed the pipe (`--help | head -1`).
            let _ = error.print();
            return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)));
        }
    };
    match cli.command {
        None => {
            if let Some(word) = cli.mount.paths.first() {
                refuse_stray_word(word.as_os_str(), arguments)?;
            }
            mount(&cli.mount)?;
        }
        Some(Command::Mount(arguments)) => mount(&arguments)?,
        Some(Command::Unmount { mountpoint }) => {
            daemon::unmount(&selected(mountpoint, "unmount")?)?;
        }
        Some(Command::Status { mountpoint, json }) => {
            daemon::status(&selected(mountpoint, "status")?, json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The mountpoint that the user named, or else the user's only mount. `command` is named in the error.
fn selected(word: Option<PathBuf>, command: &str) -> Result<PathBuf, Failure> {
    match word {
        Some(word) => config::mountpoint(Some(&word)),
        None => daemon::only_mount(command),
    }
}

/// Refuses a first word that is neither a command nor a directory: a mistyped command would otherwise make a directory of
/// that name and mount it. The source that mount(8) passes with `-o` is exempt.
fn refuse_stray_word(word: &OsStr, arguments: &[OsString]) -> Result<(), Failure> {
    let command = Cli::command();
    let starts_with = |word: &OsStr, start: &[u8]| word.as_encoded_bytes().starts_with(start);
    if starts_with(word, b"-")
        || command.find_subcommand(word).is_some()
        || word == "help"
        || arguments
            .iter()
            .any(|argument| starts_with(argument, b"-o"))
        || may_be_directory(word)
    {
        return Ok(());
    }
    let cure = match nearest(&command, word) {
        Some(name) => format!("did you mean handoff-fs {name}?"),
        None => {
            let commands = command.get_subcommands();
            let names: Vec<_> = commands.map(clap::Command::get_name).collect();
            format!("the commands are {}", names.join(", "))
        }
    };
    let word = quoted(Path::new(word));
    Err(Failure::usage(format!(
        "{word}: neither a command nor a directory; {cure} (for a new directory: handoff-fs mount {word})"
    )))
}

/// Could this word name a directory? A word with a slash does, even if the directory is missing. After any error but ENOENT the
/// word counts as a directory, because a dead mount answers with other errors.
fn may_be_directory(word: &OsStr) -> bool {
    word.is_empty()
        || word.as_encoded_bytes().contains(&b'/')
        || match Path::new(word).metadata() {
            Ok(metadata) => metadata.is_dir(),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
}

/// The command whose name is nearest to a mistyped word, as clap finds it.
fn nearest(command: &clap::Command, word: &OsStr) -> Option<String> {
    let commands = clap::Command::new("handoff-fs").subcommand_required(true);
    let commands = commands.subcommands(command.get_subcommands().cloned());
    let error = commands
        .try_get_matches_from([OsStr::new("handoff-fs"), word])
        .err()?;
    match error.get(ContextKind::SuggestedSubcommand)? {
        ContextValue::Strings(names) => names.last().cloned(),
        _ => None,
    }
}

fn mount(arguments: &MountArgs) -> Result<(), Failure> {
    let config = config::resolve(arguments)?;
    if arguments.only_say_where {
        let mut path = daemon::resolve(&config.mountpoint).into_os_string();
        path.push("\n");
        let _ = io::stdout().write_all(path.as_encoded_bytes());
        return Ok(());
    }
    daemon::mount(&config)
}

fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let lists = program_lists();
    let command = Cli::command()
        .mut_subcommand("mount", |mount| mount.after_long_help(lists.clone()))
        .after_long_help(lists);
    let matches = command.try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

/// The built-in lists of programs, for `--help`: a user who adds a program to a list must see which programs it holds already.
fn program_lists() -> String {
    let programs = Programs::builtin();
    let mut text = String::from("Built-in lists of programs:\n");
    for (option, role, _) in MountArgs::default().program_lists() {
        let names = programs.names(role).join(" ");
        let _ = writeln!(text, "  --{option:<14} {names}");
    }
    let archives = Archives::default();
    let names = archives.names().map(OsStr::to_string_lossy);
    let names = names.collect::<Vec<_>>().join(" ");
    let supervision = daemon::supervision();
    let _ = write!(
        text,
        "Built-in names of archives (--archive): {names}\n\n{supervision}\n\nExit codes: 0 done, 1 failed, 2 wrong usage."
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        parse(
            &line
                .split_whitespace()
                .map(OsString::from)
                .collect::<Vec<_>>(),
        )
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

    /// spec 8.1c
    #[test]
    fn a_mistyped_command_makes_no_directory() {
        let refused = |word: &str| refuse_stray_word(OsStr::new(word), &[]);
        let message = refused("statsu").unwrap_err().to_string();
        assert!(message.contains("handoff-fs status?"), "{message}");
        assert!(refused("Cargo.toml").is_err(), "a file is no directory");
        assert!(refused("./new").is_ok() && refused("src").is_ok());
    }
}
