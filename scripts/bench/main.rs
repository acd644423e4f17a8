//! The benchmark compares handoff-fs with other FUSE file systems, bare directories and other builds of itself. `scripts/bench.sh`
//! runs it; the measurements are in `rows`.

mod chart;
mod cleanup;
mod files;
mod mounted;
mod other_load;
mod publish;
mod rows;
mod table;
mod workers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::rows::GROUPS;
use crate::table::{Row, Who};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// Measures handoff-fs against its peers, in alternating rounds.
#[derive(Parser)]
#[command(name = "bench.sh")]
struct Arguments {
    /// Measure small amounts in one round, only to show that every measurement works
    #[arg(long)]
    quick: bool,
    /// Only these groups of rows [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = names())]
    rows: Vec<String>,
    /// The handoff-fs to measure
    #[arg(
        long,
        value_name = "PATH",
        default_value = "target/bench/handoff-fs",
        overrides_with = "binary"
    )]
    binary: PathBuf,
    /// Another handoff-fs, measured in the same rounds
    #[arg(long, value_name = "PATH")]
    before: Option<PathBuf>,
    /// How many rounds; in each of them every build and every peer is measured once
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Leave scripts/bench/README.md and the chart as they are
    #[arg(long)]
    no_write: bool,
    /// Passed by cargo when it runs a benchmark, and by scripts/bench.sh
    #[arg(long, hide = true)]
    bench: bool,
}

fn names() -> clap::builder::PossibleValuesParser {
    GROUPS
        .iter()
        .map(|group| group.name)
        .collect::<Vec<_>>()
        .into()
}

/// The settings of the measurements.
#[derive(Clone)]
struct Bench {
    quick: bool,
    rounds: usize,
    ours: PathBuf,
    before: Option<PathBuf>,
    /// The peer that is built here.
    passthrough: PathBuf,
    /// On tmpfs.
    scratch: PathBuf,
    /// On the disk.
    disk: PathBuf,
}

impl Bench {
    /// The builds of handoff-fs that are measured, and the given peers.
    fn with(&self, peers: &[Who]) -> Vec<Who> {
        let mut who = vec![Who::Ours];
        who.extend(self.before.as_ref().map(|_| Who::Before));
        // mergerfs has its own mount helper, which is not setuid on Debian.
        let all = rustix::process::geteuid().is_root();
        who.extend(peers.iter().filter(|peer| all || **peer != Who::Mergerfs));
        who
    }

    fn build(&self, who: Who) -> &Path {
        match &self.before {
            Some(before) if who == Who::Before => before,
            _ => &self.ours,
        }
    }

    /// A count: the first in a full run, the second in a quick one.
    fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    fn settle(&self, time: Duration) -> Duration {
        if self.quick { time / 10 } else { time }
    }

    /// No more rounds than this.
    fn with_rounds(&self, most: usize) -> Bench {
        let rounds = self.rounds.min(most);
        Bench {
            rounds,
            ..self.clone()
        }
    }

    /// A new directory on tmpfs.
    fn directory(&self) -> Result<TempDir> {
        Ok(TempDir::new_in(&self.scratch)?)
    }
}

fn main() -> ExitCode {
    if let Some(code) = workers::started() {
        return code;
    }
    // `cargo test --all-targets` runs this program, too, with arguments for tests; then there is nothing to do.
    if !std::env::args_os().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let result = run(&Arguments::parse());
    cleanup::clean();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    cleanup::start(Duration::from_secs(if arguments.quick {
        120
    } else {
        3600
    }))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let target = std::path::absolute(target)?;
    let scratch = TempDir::with_prefix_in("handoff-fs-bench-", tmpfs(arguments.quick)?)?;
    cleanup::add_directory(scratch.path());
    let disk = TempDir::with_prefix_in("bench-disk-", &target)?;
    cleanup::add_directory(disk.path());
    let bench = Bench {
        quick: arguments.quick,
        rounds: if arguments.quick {
            1
        } else {
            arguments.rounds.into()
        },
        ours: program(&arguments.binary)?,
        before: arguments.before.as_deref().map(program).transpose()?,
        passthrough: program(&target.join("tools/bin/passthrough_ll"))?,
        scratch: scratch.path().canonicalize()?,
        disk: disk.path().canonicalize()?,
    };
    more_files()?;

    let mut rows: Vec<Row> = Vec::new();
    let mut failed = Vec::new();
    for group in GROUPS {
        if !arguments.rows.is_empty() && !arguments.rows.iter().any(|name| name == group.name) {
            continue;
        }
        eprintln!("bench: {}", group.name);
        cleanup::limit(
            group.name,
            if bench.quick {
                group.limit / 10
            } else {
                group.limit
            },
        );
        match (group.measure)(&bench) {
            Ok(measured) => rows.extend(measured),
            Err(error) => failed.push(format!("{}: {error}", group.name)),
        }
    }
    cleanup::limit("writing what was measured", Duration::from_secs(60));
    println!("{}", publish::text(&bench, &rows)?);
    if !failed.is_empty() {
        return Err(failed.join("\nbench: ").into());
    }
    if !arguments.quick {
        publish::json(&rows, &target.join("bench.json"))?;
        let whole = arguments.rows.is_empty() && arguments.before.is_none();
        if whole && !arguments.no_write {
            publish::write(&bench, &rows)?;
        }
    }
    Ok(())
}

/// The absolute path of a program, because programs are started from several directories.
fn program(path: &Path) -> Result<PathBuf> {
    Ok(path
        .canonicalize()
        .map_err(|error| format!("{}: {error}; scripts/bench.sh makes it", path.display()))?)
}

/// A directory in memory.
fn tmpfs(quick: bool) -> Result<&'static Path> {
    let place = Path::new("/dev/shm");
    let (room, megabytes) = (rustix::fs::statvfs(place)?, if quick { 50 } else { 2000 });
    if room.f_bavail * room.f_frsize < megabytes << 20 {
        return Err(format!("{} has less than {megabytes} MiB left", place.display()).into());
    }
    Ok(place)
}

/// `passthrough_ll` has a descriptor open for every file that the kernel knows.
fn more_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;
    Ok(())
}
