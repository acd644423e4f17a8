//! The `handoff-fs` program. All of it is in the library, so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    handoff_fs::cli::main(std::env::args_os())
}
