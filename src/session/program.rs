//! The names by which the program of a process is known.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::programs::{Programs, Role};

/// The names of one running program: its `comm`, the name in its `argv[0]`, and the script of an interpreter.
///
/// The script counts because many agents are scripts: `gemini` is a process called `node`.
#[derive(Clone, Debug, Default)]
pub struct Program {
    names: Arc<[Box<[u8]>]>,
    /// The program has the option `-n`: a stream editor then prints only the lines that its script prints (spec 6.7).
    quiet: bool,
}

impl Program {
    /// The program of a process with this `comm` and this `/proc/PID/cmdline`, which may be empty.
    pub(super) fn of(comm: &[u8], cmdline: &[u8], programs: &Programs) -> Program {
        let argv = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
        let argv: Vec<&[u8]> = argv.split(|&byte| byte == 0).collect();
        let comm = unwrapped(comm);
        let called = unwrapped(base_name(argv[0]));
        let args = argv.get(1..).unwrap_or_default();
        let script = script(comm, called, args);

        // Claude Code has `ugrep` and others inside its own executable, and executes it under their names. Such a process is
        // a searcher (spec 6.5), and not a second agent with aliases of its own.
        let masked = programs.is(Role::Agent, comm) && programs.is(Role::Searcher, called);
        // The name of an interpreter, such as `perl`, does not count, only the names of its script.
        let called = Some(called).filter(|called| Syntax::of(called).is_none());
        let package = script.and_then(package_agent).map(str::as_bytes);
        let names = [(!masked).then_some(comm), called, script.map(stem), package];
        let different: BTreeSet<&[u8]> = names.into_iter().flatten().collect();
        Program {
            names: different.into_iter().map(Box::from).collect(),
            quiet: is_quiet(args),
        }
    }

    /// Does the program play `role` under any of its names?
    pub fn plays(&self, programs: &Programs, role: Role) -> bool {
        // A stream editor without `-n` prints the whole file, and not a page.
        let prints_all = !self.quiet && role == Role::PageReader;
        self.names.iter().any(|name| {
            programs.is(role, name) && !(prints_all && programs.is(Role::StreamEditor, name))
        })
    }

    /// Are both the same agent program (spec 5.3: Codex patches files in a child `codex`)?
    pub(super) fn is_same_agent(&self, other: &Program, programs: &Programs) -> bool {
        let mut common = self.names.iter().filter(|name| other.names.contains(name));
        common.any(|name| programs.is(Role::Agent, name))
    }
}

/// The name of a program that Nix has wrapped: Nix renames `claude` to `.claude-wrapped`, and the wrapper gets the old name.
/// The kernel may have cut the ending in `comm`.
fn unwrapped(name: &[u8]) -> &[u8] {
    let Some(hidden) = name.strip_prefix(b".") else {
        return name;
    };
    match hidden.iter().rposition(|&byte| byte == b'-') {
        Some(dash) if b"-wrapped".starts_with(&hidden[dash..]) => &hidden[..dash],
        _ => hidden,
    }
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// Do these arguments keep a stream editor from printing every line (`sed -n`)?
fn is_quiet(args: &[&[u8]]) -> bool {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let letters = match arg {
            [b'-', b'-'] => return false,
            // Long options may be cut short.
            [b'-', b'-', b'q', ..] | [b'-', b'-', b's', b'i', ..] => return true,
            [b'-', b'-', ..] => continue,
            [b'-', letters @ ..] => letters,
            _ => continue,
        };
        match letters.iter().find(|letter| b"nefi".contains(letter)) {
            Some(b'n') => return true,
            // The script, or its file, follows.
            Some(b'e' | b'f') if b"ef".contains(letters.last().unwrap_or(&0)) => {
                args.next();
            }
            _ => {}
        }
    }
    false
}

/// The directories of npm's and PyPI's packages, and of a user's own programs.
#[rustfmt::skip]
const PACKAGE_DIRS: &[&[u8]] = &[b"node_modules", b"site-packages", b"dist-packages", b"share"];

/// The directories of packages, and the agents in them (spec 5.2).
const AGENT_PACKAGES: &[(&str, &str)] = &[
    ("@anthropic-ai/claude-code", "claude"),
    ("@openai/codex", "codex"),
    ("@google/gemini-cli", "gemini"),
    ("@qwen-code/qwen-code", "qwen"),
    ("@github/copilot", "copilot"),
    ("opencode-ai", "opencode"),
    ("@sourcegraph/amp", "amp"),
    ("@ampcode/cli", "amp"),
    ("@augmentcode/auggie", "auggie"),
    ("@charmland/crush", "crush"),
    ("@factory/cli", "droid"),
    ("droid", "droid"),
    ("@iflow-ai/iflow-cli", "iflow"),
    ("@kilocode/cli", "kilo"),
    ("@mariozechner/pi-coding-agent", "pi"),
    ("cline", "cline"),
    ("codebuff", "codebuff"),
    ("cursor-agent", "cursor-agent"),
    ("aider", "aider"),
    ("gptme", "gptme"),
    ("kimi_cli", "kimi"),
    ("openhands", "openhands"),
    ("openhands_cli", "openhands"),
    ("trae_agent", "trae-cli"),
    ("vibe", "vibe"),
];

/// The agent whose package has this script, or is this Python module.
fn package_agent(script: &[u8]) -> Option<&'static str> {
    let path: Vec<&[u8]> = script.split(|&byte| byte == b'/').collect();
    // A package may have others inside: the innermost counts.
    let dir = path.iter().rposition(|part| PACKAGE_DIRS.contains(part));
    let inside = match dir {
        Some(dir) => path.get(dir + 1..)?,
        None if path.len() == 1 => &path,
        None => return None,
    };
    let holds = |package: &str| {
        let package: Vec<&[u8]> = package.as_bytes().split(|&byte| byte == b'/').collect();
        inside.starts_with(&package)
    };
    let agent = AGENT_PACKAGES.iter().find(|(package, _)| holds(package));
    agent.map(|(_, agent)| *agent)
}

/// The options of an interpreter before the name of its script. Single letters may stand together in one argument.
struct Syntax {
    /// The text of the program follows: there is no script.
    inline: &'static [u8],
    /// A module's name follows, instead of a script's.
    module: &'static [u8],
    /// A value follows, attached or as the next argument.
    valued: &'static [u8],
    /// The rest of the argument, if any, is the value.
    attached: &'static [u8],
    /// Long options with a value as the next argument.
    long: &'static [&'static [u8]],
    /// Long options with the text of the program as the next argument.
    long_inline: &'static [&'static [u8]],
    /// Sub-commands before the script.
    verbs: &'static [&'static [u8]],
}

const PLAIN: Syntax = Syntax {
    inline: b"",
    module: b"",
    valued: b"",
    attached: b"",
    long: &[],
    long_inline: &[],
    verbs: &[],
};

const PYTHON: Syntax = Syntax {
    inline: b"c",
    module: b"m",
    valued: b"WX",
    ..PLAIN
};
const PERL: Syntax = Syntax {
    inline: b"eE",
    valued: b"I",
    attached: b"iFMmxCDdV",
    ..PLAIN
};
const RUBY: Syntax = Syntax {
    inline: b"e",
    valued: b"rIEC",
    attached: b"iFKTWx",
    ..PLAIN
};
#[rustfmt::skip]
const NODE: Syntax = Syntax {
    inline: b"ep",
    valued: b"rC",
    long: &[
        b"--require", b"--import", b"--loader", b"--experimental-loader", b"--conditions", b"--disable-warning", b"--env-file",
        b"--icu-data-dir", b"--input-type", b"--inspect-port", b"--openssl-config", b"--redirect-warnings", b"--report-dir",
        b"--title", b"--unhandled-rejections",
    ],
    long_inline: &[b"--eval", b"--print"],
    ..PLAIN
};
const BUN: Syntax = Syntax {
    verbs: &[b"run", b"x"],
    long: &[b"--preload", b"--cwd", b"--config"],
    ..NODE
};
const DENO: Syntax = Syntax {
    long: &[b"--config", b"--import-map"],
    verbs: &[b"run", b"serve"],
    ..PLAIN
};

impl Syntax {
    fn of(interpreter: &[u8]) -> Option<&'static Syntax> {
        // `python3.12` and `perl5.36.0` have a version.
        let version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let end = interpreter.iter().rposition(|byte| !version(byte))? + 1;
        match &interpreter[..end] {
            b"python" | b"pypy" => Some(&PYTHON),
            b"perl" => Some(&PERL),
            b"ruby" => Some(&RUBY),
            // Node gives its main thread, and thereby its process, such a name.
            b"node" | b"nodejs" | b"MainThread" | b"node-MainThread" => Some(&NODE),
            b"bun" => Some(&BUN),
            b"deno" => Some(&DENO),
            // One executable with many programs: `busybox sed`.
            b"busybox" | b"toybox" | b"coreutils" => Some(&PLAIN),
            _ => None,
        }
    }
}

/// The script in an interpreter's arguments, or the first part of a Python module's name.
fn script<'a>(comm: &[u8], called: &[u8], args: &[&'a [u8]]) -> Option<&'a [u8]> {
    let syntax = Syntax::of(comm).or_else(|| Syntax::of(called))?;
    let mut verbs = syntax.verbs;
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        if verbs.contains(&arg) {
            verbs = &[];
        } else if arg == b"--" {
            return args.next();
        } else if arg.starts_with(b"--") {
            if syntax.long_inline.contains(&arg) {
                return None;
            }
            if syntax.long.contains(&arg) {
                args.next();
            }
        } else if arg.len() > 1 && arg[0] == b'-' {
            let mut letters = &arg[1..];
            while let [letter, rest @ ..] = letters {
                letters = rest;
                if syntax.inline.contains(letter) {
                    return None;
                } else if syntax.module.contains(letter) {
                    let module = if rest.is_empty() { args.next()? } else { rest };
                    return module.split(|&byte| byte == b'.').next();
                } else if syntax.valued.contains(letter) {
                    if rest.is_empty() {
                        args.next();
                    }
                    break;
                } else if syntax.attached.contains(letter) {
                    break;
                }
            }
        } else {
            return Some(arg);
        }
    }
    None
}

/// The base name without its ending.
fn stem(path: &[u8]) -> &[u8] {
    let name = base_name(path);
    let endings: [&[u8]; 4] = [b".js", b".mjs", b".cjs", b".py"];
    let stem = endings
        .into_iter()
        .find_map(|ending| name.strip_suffix(ending));
    unwrapped(stem.unwrap_or(name))
}
