//! The `handoff-fs` program. All of its code is in the library, so that tests can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    handoff_fs::cli::main(std::env::args_os())
}
