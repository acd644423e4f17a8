//! What a process runs: the names by which its program is known.

use std::sync::Arc;

use crate::programs::{Programs, Role};

/// The names by which one running program is known: its `comm`, the name it was called by (`argv[0]`), and what an
/// interpreter runs.
///
/// The last is needed because many agents are scripts: `gemini` is a process called `node`.
#[derive(Clone, Debug, Default)]
pub struct Program {
    names: Arc<[Box<[u8]>]>,
}

impl Program {
    /// A program known by one name.
    pub fn named(name: impl AsRef<[u8]>) -> Program {
        Program {
            names: [Box::from(name.as_ref())].into(),
        }
    }

    /// The program of a process with this `comm` and this `/proc/PID/cmdline`, which may be empty.
    pub(super) fn of(comm: &[u8], cmdline: &[u8], programs: &Programs) -> Program {
        let argv = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
        let argv: Vec<&[u8]> = argv.split(|&byte| byte == 0).collect();
        let comm = unwrapped(comm);
        let called = unwrapped(base_name(argv[0]));
        let script = script(comm, called, argv.get(1..).unwrap_or_default());

        // Claude Code carries `ugrep` and others inside its own executable and runs that under their names. Such a
        // process is a search (6.5), not an agent inside the agent, which would have aliases of its own.
        let masked = programs.is(Role::Agent, comm) && programs.is(Role::Searcher, called);
        // A script that names its interpreter in its first line is called by its own name, not `perl`.
        let called = Some(called).filter(|called| Syntax::of(called).is_none());
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for name in [(!masked).then_some(comm), called, script]
            .into_iter()
            .flatten()
        {
            if !name.is_empty() && !names.iter().any(|known| **known == *name) {
                names.push(name.into());
            }
        }
        Program {
            names: names.into(),
        }
    }

    /// Whether any of its names plays `role`.
    pub fn plays(&self, programs: &Programs, role: Role) -> bool {
        self.names.iter().any(|name| programs.is(role, name))
    }

    /// Whether both are the same agent program (spec 5: Codex patches files in a child `codex`).
    pub(super) fn is_same_agent(&self, other: &Program, programs: &Programs) -> bool {
        let mut agents = self
            .names
            .iter()
            .filter(|name| programs.is(Role::Agent, name));
        agents.any(|name| other.names.contains(name))
    }
}

/// What `.claude-wrapped` wraps: Nix renames a program so and leaves a wrapper under its name. `comm` may have cut
/// the ending.
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

/// How an interpreter's command line leads to the script. Single letters are options that may stand in a cluster.
struct Syntax {
    /// The program itself follows: there is no script.
    inline: &'static [u8],
    /// A module's name follows, in place of a script's.
    module: &'static [u8],
    /// A value follows, attached or as the next argument.
    valued: &'static [u8],
    /// The rest of the argument, if any, is the value.
    attached: &'static [u8],
    /// Long options with a value as the next argument.
    long: &'static [&'static [u8]],
    /// Long options with the program itself as the next argument.
    long_inline: &'static [&'static [u8]],
    /// Sub-commands that stand before the script.
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
const NODE: Syntax = Syntax {
    inline: b"ep",
    valued: b"rC",
    long: &[
        b"--require",
        b"--import",
        b"--loader",
        b"--experimental-loader",
        b"--conditions",
        b"--env-file",
        b"--title",
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
        // `python3.12` and `perl5.36.0` are what they are without the version.
        let version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let end = interpreter.iter().rposition(|byte| !version(byte))? + 1;
        match &interpreter[..end] {
            b"python" | b"pypy" => Some(&PYTHON),
            b"perl" => Some(&PERL),
            b"ruby" => Some(&RUBY),
            // Node names its main thread, and with it the process.
            b"node" | b"nodejs" | b"MainThread" | b"node-MainThread" => Some(&NODE),
            b"bun" => Some(&BUN),
            b"deno" => Some(&DENO),
            // One executable of many programs: `busybox sed`.
            b"busybox" | b"toybox" | b"coreutils" => Some(&PLAIN),
            _ => None,
        }
    }
}

/// The base name, without its ending, of the script that an interpreter was told to run.
fn script<'a>(comm: &[u8], called: &[u8], args: &[&'a [u8]]) -> Option<&'a [u8]> {
    let syntax = Syntax::of(comm).or_else(|| Syntax::of(called))?;
    let mut verbs = syntax.verbs;
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        if verbs.contains(&arg) {
            verbs = &[];
        } else if arg == b"--" {
            return args.next().map(stem);
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
            return Some(stem(arg));
        }
    }
    None
}

fn stem(path: &[u8]) -> &[u8] {
    let name = base_name(path);
    let endings: [&[u8]; 4] = [b".js", b".mjs", b".cjs", b".py"];
    let stem = endings
        .into_iter()
        .find_map(|ending| name.strip_suffix(ending));
    unwrapped(stem.unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(argv: &[&str]) -> Option<String> {
        let argv: Vec<&[u8]> = argv.iter().map(|arg| arg.as_bytes()).collect();
        let script = script(argv[0], argv[0], &argv[1..])?;
        Some(String::from_utf8_lossy(script).into_owned())
    }

    /// spec 5: "the script name of an interpreter".
    #[test]
    fn an_interpreter_is_known_by_its_script() {
        let cases: &[(&[&str], Option<&str>)] = &[
            (&["node", "/usr/lib/gemini.js", "-p"], Some("gemini")),
            (
                &[
                    "node",
                    "--no-warnings=X",
                    "--max-old-space-size=99",
                    "/bin/gemini",
                ],
                Some("gemini"),
            ),
            (
                &["node", "-r", "hook", "--import", "other", "qwen.mjs"],
                Some("qwen"),
            ),
            (&["node", "-e", "claude"], None),
            (&["node", "--eval", "claude"], None),
            (&["node"], None),
            (&["node-MainThread", "x.cjs"], Some("x")),
            (&["python3.12", "-m", "aider.main"], Some("aider")),
            (&["python3", "-maider"], Some("aider")),
            (
                &["python3", "-W", "ignore", "-u", "/opt/aider.py"],
                Some("aider"),
            ),
            (&["python3", "-uc", "aider"], None),
            (&["python", "--", "aider"], Some("aider")),
            (&["perl", "-pi", "-e", "s/a/b/", "claude"], None),
            (
                &["perl", "-I", "lib", "-Ilib/edge", "-i.bake", "ack"],
                Some("ack"),
            ),
            (&["bun", "run", "/x/opencode.js"], Some("opencode")),
            (&["deno", "run", "-A", "run"], Some("run")),
            (&["bash", "claude"], None),
            (&["busybox", "sed", "-i", "s/a/b/"], Some("sed")),
            (&["toybox", "grep", "-q", "x"], Some("grep")),
            (&["coreutils", "wc", "-c"], Some("wc")),
        ];
        for (argv, expected) in cases {
            assert_eq!(runs(argv).as_deref(), *expected, "{argv:?}");
        }
    }

    /// spec 5, 6.5: a tool carried in an agent's executable is that tool.
    #[test]
    fn an_agent_called_by_a_searchers_name_searches() {
        let programs = Programs::builtin();
        let grep = Program::of(b"claude", b"ugrep\0--hidden\0x\0", &programs);
        assert!(grep.plays(&programs, Role::Searcher));
        assert!(!grep.plays(&programs, Role::Agent));
        let agent = Program::of(b"claude", b"/usr/bin/claude\0", &programs);
        assert!(agent.plays(&programs, Role::Agent));
        let script = Program::of(b"ack", b"/usr/bin/perl\0/usr/bin/ack\0", &programs);
        assert!(script.plays(&programs, Role::Searcher));
        assert!(
            !script.plays(&programs, Role::StreamEditor),
            "its interpreter is nobody's business"
        );
    }

    /// spec 5: wrapped by Nix, and cut by the kernel.
    #[test]
    fn a_wrapped_program_is_known_by_its_own_name() {
        for (comm, expected) in [
            (".claude-wrapped", "claude"),
            (".opencode-wrapp", "opencode"),
            (".cursor-agent-w", "cursor-agent"),
            (".opencode", "opencode"),
            ("claude-wrapped", "claude-wrapped"),
        ] {
            assert_eq!(unwrapped(comm.as_bytes()), expected.as_bytes());
        }
    }
}
