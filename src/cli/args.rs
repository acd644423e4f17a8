//! The options of `mount`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use crate::programs::Role;

/// The arguments of `mount`, unchecked; [`config::resolve`](crate::config::resolve) checks their values.
#[derive(Args, Clone, Debug, Default)]
pub struct MountArgs {
    /// The directory to mount over, created if missing [default: ~/.claude/handoffs]. mount(8) passes
    /// SOURCE MOUNTPOINT -o OPTIONS; a SOURCE with a slash in it is the --backing directory
    #[arg(value_name = "MOUNTPOINT", num_args = 0..=2)]
    pub paths: Vec<PathBuf>,
    /// Stay in the foreground and log to the terminal, without a supervisor that mounts again if the daemon dies
    #[arg(short, long)]
    pub foreground: bool,
    /// Keep the files in DIR [default: the directory that is mounted over]
    #[arg(long, value_name = "DIR")]
    pub backing: Option<PathBuf>,
    /// Delete read handoffs after DUR: 7d, 36h, "1day 12h" [default: 7d]
    #[arg(long, value_name = "DUR")]
    pub retention: Option<String>,
    /// Stamp names with UTC instead of local time
    #[arg(long)]
    pub utc: bool,
    /// Do not wait for the disk. A power cut can then lose handoffs that were written
    #[arg(long)]
    pub no_sync: bool,
    /// Refuse a handoff larger than SIZE: bytes, or with K, M, G
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// Make handoffs of the text files at the top of the directory, at any mount [default: at the first mount, if the
    /// directory is called handoffs]
    #[arg(long, conflicts_with = "keep")]
    pub adopt: bool,
    /// Leave the text files found at the first mount as they are
    #[arg(long)]
    pub keep: bool,
    /// Treat directories called NAME as archives: files in them are neither shown in pending.md nor deleted. !NAME
    /// removes a built-in one
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub archive: Vec<String>,
    /// Leave pending.md out of listings; it still opens by name
    #[arg(long)]
    pub hide_pending: bool,
    /// Treat NAME as an editor: saving replaces the same handoff. !NAME removes a built-in one
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub editor: Vec<String>,
    /// Treat NAME as an agent: an agent and all programs that it starts are one session, and an agent edits a
    /// handoff that it has read. !NAME removes a built-in one
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub agent: Vec<String>,
    /// Treat NAME as a stream editor, such as sed: a stream editor edits a handoff that it has read. !NAME
    /// removes a built-in one
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub stream_editor: Vec<String>,
    /// Treat NAME as a search or backup program: if it reads pending.md, nothing is marked as read. !NAME removes a
    /// built-in one
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub searcher: Vec<String>,
    /// Treat NAME as a program that shows a part of a file, such as head: if it reads pending.md, nothing is marked
    /// as read. !NAME removes a built-in one
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub part_reader: Vec<String>,
    /// Treat NAME as a program that shows a page of a file, such as awk, nl or sed -n: if an agent runs NAME on
    /// pending.md, that session's agents and page readers see the same content again for two minutes. !NAME removes
    /// a built-in one
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub page_reader: Vec<String>,
    /// Log to FILE [default in the background: a file in ~/.local/state/handoff-fs]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Log more; given twice, log everything. HANDOFF_LOG and RUST_LOG set the level of each module
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Options of an fstab line: most options above without their dashes (retention=7d,utc), and the usual
    /// ones of mount(8)
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<OsString>,
    /// Mount nothing; print the path of the mountpoint, for scripts
    #[arg(long = "where", hide = true)]
    pub only_say_where: bool,
    /// Print `ready PID` on standard output when the mount is usable, or else `error TEXT`
    #[arg(long, hide = true)]
    pub report_ready: bool,
    /// Be the supervisor (spec 8.3b)
    #[arg(long, hide = true)]
    pub supervise: bool,
    /// The pid of the daemon that started this supervisor. Without it, the supervisor starts the daemon
    #[arg(long, hide = true, value_name = "PID", requires = "supervise")]
    pub daemon: Option<i32>,
    /// Be the daemon of the supervisor with this pid
    #[arg(long, hide = true, value_name = "PID", conflicts_with = "supervise")]
    pub supervised: Option<i32>,
    /// How many daemons of this mount have died
    #[arg(long, hide = true, value_name = "N", default_value_t = 0)]
    pub restarts: u64,
    /// How the last daemon died
    #[arg(long, hide = true, value_name = "TEXT")]
    pub last_death: Option<String>,
}

impl MountArgs {
    /// The options that extend a list of programs, in the order of `--help`: the name without its dashes, the list, and the
    /// names given.
    #[must_use]
    pub fn program_lists(&self) -> [(&'static str, Role, &[String]); 6] {
        [
            ("editor", Role::Editor, &self.editor),
            ("agent", Role::Agent, &self.agent),
            ("stream-editor", Role::StreamEditor, &self.stream_editor),
            ("searcher", Role::Searcher, &self.searcher),
            ("part-reader", Role::PartReader, &self.part_reader),
            ("page-reader", Role::PageReader, &self.page_reader),
        ]
    }
}
