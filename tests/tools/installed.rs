//! The programs that these tests need.

use std::env;
use std::fs;
use std::path::Path;

/// Every program that a case runs. `scripts/common.sh` installs them.
#[rustfmt::skip]
const PROGRAMS: &[&str] = &[
    "awk", "bash", "busybox", "cat", "cmp", "coreutils", "cp", "dash", "dd", "diff", "du", "ed", "emacs", "file", "find",
    "git", "grep", "head", "install", "less", "ln", "ls", "mawk", "md5sum", "mktemp", "more", "mv", "nano", "node", "perl", "rg",
    "rsync", "sed", "stat", "tail", "tar", "tee", "timeout", "ugrep", "vim", "wc", "zip",
];

/// The one Python that the distribution has, not a wrapper that chooses one.
pub const PYTHON: &str = "/usr/bin/python3";

/// Panics, naming what is missing, unless everything is there.
pub fn check() {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let mut missing: Vec<&str> = PROGRAMS.iter().copied().filter(|it| !found(it)).collect();
    if !Path::new(PYTHON).is_file() {
        missing.push(PYTHON);
    }
    assert!(
        missing.is_empty(),
        "not installed: {missing:?}; scripts/test.sh installs what the tests use"
    );
}

/// `scripts/common.sh` installs every program that the tests run.
#[test]
fn the_script_installs_them() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/common.sh");
    let script = fs::read_to_string(script).unwrap();
    let needs = |program: &str| {
        let words = script.split_whitespace();
        words
            .filter_map(|word| word.split_once(':'))
            .any(|(needed, _)| needed == program)
    };
    let missing: Vec<_> = PROGRAMS
        .iter()
        .chain(&[PYTHON])
        .filter(|program| !needs(program))
        .collect();
    assert!(missing.is_empty(), "not in scripts/common.sh: {missing:?}");
}
