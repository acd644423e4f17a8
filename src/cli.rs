//! The command line as it is written, and the one place where the program ends.
//!
//! What the words mean is decided in [`crate::config`]; this file only says which words there are.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, ProgramList, Usage};
use crate::daemon::{self, Failed};
use crate::names::Archives;
use crate::programs::Programs;

/// A directory of agent handoffs that nobody overwrites.
///
/// Write any file into the mounted directory and it becomes a handoff of its own; read pending.md and all
/// that are pending come merged and are consumed; seven days later they are gone.
#[derive(Debug, Parser)]
#[command(name = "handoff-fs", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    mount: MountArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mount, and stay in the background [the same as naming only the directory]
    Mount(Box<MountArgs>),
    /// Unmount; with open files, as soon as they are closed
    #[command(visible_alias = "umount")]
    Unmount {
        /// The mounted directory [default: ~/.claude/handoffs]
        mountpoint: Option<PathBuf>,
    },
    /// Say what is pending, consumed and being written
    Status {
        /// The mounted directory [default: ~/.claude/handoffs]
        mountpoint: Option<PathBuf>,
        /// For programs: one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// The words of `mount`, unjudged; [`config::resolve`] judges them.
#[derive(Args, Clone, Debug, Default)]
pub struct MountArgs {
    /// The directory to mount over, made if missing [default: ~/.claude/handoffs]. With two, as mount(8)
    /// calls it: SOURCE MOUNTPOINT, where a SOURCE with a slash is --backing
    #[arg(value_name = "MOUNTPOINT", num_args = 0..=2)]
    pub paths: Vec<PathBuf>,
    /// Stay in the foreground, log to the terminal, without a supervisor: for a service manager, which restarts it
    #[arg(short, long)]
    pub foreground: bool,
    /// Keep the files in DIR [default: in the directory that is mounted over]
    #[arg(long, value_name = "DIR")]
    pub backing: Option<PathBuf>,
    /// How long consumed handoffs stay: 7d, 36h, "1day 12h" [default: 7d]
    #[arg(long, value_name = "DUR")]
    pub retention: Option<String>,
    /// Stamp names with UTC instead of local time
    #[arg(long)]
    pub utc: bool,
    /// Do not wait for the disk: faster, but a power cut can lose what was acknowledged
    #[arg(long)]
    pub no_sync: bool,
    /// Refuse a handoff larger than SIZE: bytes, or with K, M, G
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// Make handoffs of the text files found in the directory at the first mount [default: where it is called handoffs]
    #[arg(long, conflicts_with = "keep")]
    pub adopt: bool,
    /// Leave the text files found at the first mount as they are
    #[arg(long)]
    pub keep: bool,
    /// Directories called NAME are archives: what is moved there is neither delivered nor expires; !NAME is none
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub archive: Vec<String>,
    /// Leave pending.md out of listings; it still opens by name
    #[arg(long)]
    pub hide_pending: bool,
    /// NAME is an editor: what it saves replaces the same handoff; !NAME is none
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub editor: Vec<String>,
    /// NAME is an agent: it and what it starts are one session, and it edits what it has read
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub agent: Vec<String>,
    /// NAME rewrites files in place, as sed -i does
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub stream_editor: Vec<String>,
    /// NAME searches or copies: its reading of pending.md consumes nothing
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub searcher: Vec<String>,
    /// NAME shows only a part of a file: its reading of pending.md consumes nothing
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub part_reader: Vec<String>,
    /// Log to FILE [default: in the background, under ~/.local/state/handoff-fs]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Log more; twice, all. HANDOFF_LOG or RUST_LOG say it in detail
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// The options of an fstab line: any option above without its dashes (retention=7d,utc), and the usual
    /// ones of mount(8)
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<OsString>,
    /// On standard output, one line: `ready PID` when the mount is usable, or `error TEXT`
    #[arg(long, hide = true)]
    pub report_ready: bool,
    /// Be the supervisor (spec 8.3) ...
    #[arg(long, hide = true)]
    pub supervise: bool,
    /// ... of this daemon, which started it; without, of one that it starts itself
    #[arg(long, hide = true, value_name = "PID", requires = "supervise")]
    pub daemon: Option<i32>,
    /// Be the daemon of this supervisor
    #[arg(
        long,
        hide = true,
        value_name = "PID",
        conflicts_with = "supervise",
        requires = "foreground"
    )]
    pub supervised: Option<i32>,
    /// How many daemons of this mount have died before
    #[arg(long, hide = true, value_name = "N", default_value_t = 0)]
    pub restarts: u64,
    /// How the last of them died
    #[arg(long, hide = true, value_name = "TEXT")]
    pub last_death: Option<String>,
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
    let _ = writeln!(std::io::stderr(), "handoff-fs: {message}");
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let cli = parse(arguments).map_err(Failure::Clap)?;
    match cli.command {
        None => {
            config::refuse_stray_word(&cli.mount.paths)?;
            mount(&cli.mount)
        }
        Some(Command::Mount(arguments)) => mount(&arguments),
        Some(Command::Unmount { mountpoint }) => Ok(daemon::unmount(&config::mountpoint(
            mountpoint.as_deref(),
        )?)?),
        Some(Command::Status { mountpoint, json }) => Ok(daemon::status(
            &config::mountpoint(mountpoint.as_deref())?,
            json,
        )?),
    }
}

fn mount(arguments: &MountArgs) -> Result<(), Failure> {
    let config = config::resolve(arguments)?;
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

    /// spec 8.1
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

    #[test]
    fn mount_8_passes_a_source_a_directory_and_options() {
        let cli = parsed("handoff-fs none /m -o rw,nosuid,retention=3d").unwrap();
        assert_eq!(cli.mount.paths.len(), 2);
        assert_eq!(cli.mount.options, ["rw,nosuid,retention=3d"]);
    }

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

    /// spec 4.4
    #[test]
    fn help_shows_the_built_in_lists() {
        let help = parsed("handoff-fs --help").unwrap_err().to_string();
        assert!(help.contains("claude") && help.contains("grep"), "{help}");
    }
}
