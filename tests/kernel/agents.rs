//! The agents exactly as they are: each call that their tools make, in its order, from the process tree that makes it, and
//! what each of these calls must see.
//!
//! No agent is needed for that. This test program is executed anew under an agent's name (`play`), through a symbolic link
//! for `comm` and with the agent's own `argv`: to the mount it is `claude`, or a `node` that runs `/usr/bin/gemini`. It then
//! does what the test tells it, over its stdin, which is a socket. It waits before each system call until the test says
//! "go on", so that a test can stop it in between, kill it there, or lead two agents through each other's steps. No two
//! calls in a row come from the same thread, as with Node, Bun and Tokio. A helper program in a file of its own would need
//! a place among what is installed; a script could not tell at which call it failed as plainly.
//!
//! What the tools do was measured; it stands in `claude_code`, `codex`, `opencode` and `in_place`, one function for
//! each of their tools.

mod calls;
mod claude_code;
mod codex;
mod copilot;
mod director;
mod in_place;
mod opencode;
mod play;

mod as_they_are;
mod ends;
mod pages;
mod second_look;
mod side_by_side;
mod single_file;

use serde::{Deserialize, Serialize};

/// An agent as the mount sees it.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub name: &'static str,
    /// The name of the process, as in `/proc/PID/comm`.
    comm: &'static str,
    /// `argv[0]`, and the script if that is an interpreter.
    argv: &'static [&'static str],
    /// The name of the threads of its pool.
    threads: &'static str,
    /// The environment of its shell children; it has none of it itself.
    shell: &'static [(&'static str, &'static str)],
    tools: Tools,
}

/// Whose tools, in which version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tools {
    ClaudeCode,
    /// `f.tmp.<pid>.<ms>` where it is `f.tmp.<pid>.<12 hex>` today.
    OlderClaudeCode,
    Codex,
    /// Codex with its sandbox, in which it patches files.
    SandboxedCodex,
    Opencode,
    InPlace,
    /// The same, but it reads every file twice.
    Aider,
    Copilot,
}

const SHELL_OF_CLAUDE: &[(&str, &str)] = &[
    ("CLAUDECODE", "1"),
    (
        "CLAUDE_CODE_SESSION_ID",
        "0d9a1e9e-5c37-4a54-8d53-6a2f3b1c7a10",
    ),
];

pub const CLAUDE_CODE: Profile = Profile {
    name: "Claude Code",
    comm: "claude",
    argv: &["claude"],
    threads: "Bun Pool",
    shell: SHELL_OF_CLAUDE,
    tools: Tools::ClaudeCode,
};

pub const OLDER_CLAUDE_CODE: Profile = Profile {
    name: "Claude Code on Node",
    // The agent sets its title, and thereby `comm` and `argv`.
    argv: &["claude"],
    threads: "libuv-worker",
    tools: Tools::OlderClaudeCode,
    ..CLAUDE_CODE
};

pub const CODEX: Profile = Profile {
    name: "Codex",
    comm: "codex",
    argv: &["/usr/lib/node_modules/@openai/codex/bin/codex"],
    threads: "tokio-runtime-w",
    shell: &[("CODEX_THREAD_ID", "019a2f3e-6f0c-7d02-9a53-0c3f5a2c1b77")],
    tools: Tools::Codex,
};

pub const OPENCODE: Profile = Profile {
    name: "opencode",
    comm: "opencode",
    argv: &["opencode"],
    threads: "Bun Pool",
    shell: &[("OPENCODE", "1"), ("OPENCODE_PID", "$PID")],
    tools: Tools::Opencode,
};

/// With its sandbox, as it is unless its user says otherwise.
pub const SANDBOXED_CODEX: Profile = Profile {
    name: "Codex in its sandbox",
    tools: Tools::SandboxedCodex,
    ..CODEX
};

/// The same under Node, whose main thread has a name of its own.
pub const OPENCODE_SCRIPT: Profile = Profile {
    name: "opencode, a script",
    comm: "MainThread",
    argv: &["node", "/usr/local/bin/opencode"],
    threads: "libuv-worker",
    ..OPENCODE
};

pub const GEMINI: Profile = Profile {
    name: "Gemini CLI",
    comm: "node",
    argv: &["node", "/usr/local/bin/gemini"],
    threads: "libuv-worker",
    shell: &[("GEMINI_CLI", "1")],
    tools: Tools::InPlace,
};

pub const PI: Profile = Profile {
    name: "pi",
    comm: "node-MainThread",
    argv: &["node", "/home/user/.npm-global/bin/pi"],
    shell: &[],
    ..GEMINI
};

pub const AIDER: Profile = Profile {
    name: "aider",
    comm: "python3.12",
    argv: &["/usr/bin/python3.12", "/home/user/.local/bin/aider"],
    threads: "python3.12",
    shell: &[],
    tools: Tools::Aider,
};

pub const QWEN: Profile = Profile {
    name: "qwen-code",
    argv: &[
        "node",
        // The real option is `--expose-gc`. This test program must know the option, too.
        "--show-output",
        "/usr/local/lib/node_modules/@qwen-code/qwen-code/cli.js",
    ],
    shell: &[],
    ..GEMINI
};

pub const COPILOT: Profile = Profile {
    name: "Copilot CLI",
    comm: "MainThread",
    argv: &[
        "node",
        "/usr/local/lib/node_modules/@github/copilot/index.js",
    ],
    shell: &[],
    tools: Tools::Copilot,
    ..GEMINI
};

pub const ALL: [&Profile; 11] = [
    &CLAUDE_CODE,
    &OLDER_CLAUDE_CODE,
    &CODEX,
    &OPENCODE,
    &OPENCODE_SCRIPT,
    &GEMINI,
    &PI,
    &AIDER,
    &SANDBOXED_CODEX,
    &QWEN,
    &COPILOT,
];

/// An order to an agent: what to do with one of its tools.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub enum Order {
    Write {
        path: String,
        text: String,
    },
    /// Returns the text, or [`UNCHANGED`].
    Read {
        path: String,
    },
    Edit {
        path: String,
        old: String,
        new: String,
    },
    /// Codex alone has a tool for it.
    Delete {
        path: String,
    },
    /// The user mentions a path. Returns its size.
    Mention {
        path: String,
    },
    /// A command in a kernel session of its own, without a terminal. Returns its output.
    Bash {
        command: String,
    },
    /// The same, left in the background.
    Background {
        command: String,
    },
    /// A command that the settings of the user run when a session starts. Returns its output.
    Hook {
        command: String,
    },
    Umask {
        mask: u32,
    },
    /// A child process of the same program does it.
    Child(Box<Order>),
}

/// The answer of Claude Code's Read for a file whose mtime and size it knows, which it does not open.
pub const UNCHANGED: &str = "(unchanged)";

/// A message of an agent to the test.
#[derive(Serialize, Deserialize, Debug)]
enum Event {
    /// The next call, which this process waits to make.
    Next { pid: u32, call: String },
    /// The order is carried out, or a call saw what it must not see.
    Done(Result<String, String>),
}
