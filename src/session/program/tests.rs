//! Programs by their `comm` and their command line.

use super::*;

/// A program without arguments.
fn named(comm: &str) -> Program {
    Program::of(comm.as_bytes(), b"", &Programs::builtin())
}

/// The name of the script that a command line runs.
fn runs(line: &str) -> Option<String> {
    let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let script = script(argv[0], argv[0], &argv[1..])?;
    Some(String::from_utf8_lossy(stem(script)).into_owned())
}

/// spec 5.2: "the script name of an interpreter".
#[test]
fn an_interpreter_is_known_by_its_script() {
    for (line, expected) in [
        ("node /usr/lib/gemini.js -p", Some("gemini")),
        (
            "node --no-warnings=X --max-old-space-size=99 /bin/gemini",
            Some("gemini"),
        ),
        ("node -r hook --import other qwen.mjs", Some("qwen")),
        (
            "node --expose-gc --disable-warning X /x/qwen.js",
            Some("qwen"),
        ),
        ("node -e claude", None),
        ("node --eval claude", None),
        ("node", None),
        ("node-MainThread x.cjs", Some("x")),
        ("python3.12 -m aider.main", Some("aider")),
        ("python3 -maider", Some("aider")),
        ("python3 -W ignore -u /opt/aider.py", Some("aider")),
        ("python3 -uc aider", None),
        ("python -- aider", Some("aider")),
        ("perl -pi -e s/a/b/ claude", None),
        ("perl -I lib -Ilib/edge -i.bake ack", Some("ack")),
        ("bun run /x/opencode.js", Some("opencode")),
        ("deno run -A run", Some("run")),
        ("bash claude", None),
        ("busybox sed -i s/a/b/", Some("sed")),
        ("toybox grep -q x", Some("grep")),
        ("coreutils wc -c", Some("wc")),
    ] {
        assert_eq!(runs(line).as_deref(), expected, "{line}");
    }
}

/// spec 5.2: "for an interpreter also by the package that its script lies in".
#[test]
fn a_script_is_known_by_its_package() {
    let programs = Programs::builtin();
    let lib = "/usr/local/lib/node_modules";
    let cases = [
        ("@qwen-code/qwen-code/cli.js", Some("qwen")),
        ("@anthropic-ai/claude-code/cli.js", Some("claude")),
        ("@openai/codex/bin/codex.js", Some("codex")),
        ("@google/gemini-cli/dist/index.js", Some("gemini")),
        ("@github/copilot/index.js", Some("copilot")),
        ("opencode-ai/bin/opencode", Some("opencode")),
        (
            ".pnpm/cline@3/node_modules/cline/dist/cli.mjs",
            Some("cline"),
        ),
        ("@openai/codex/node_modules/mcp/index.js", None),
        ("@openai/codex-sdk/index.js", None),
        ("opencode-ai-extra/index.js", None),
    ];
    for (script, agent) in cases {
        let cmdline = format!("node\0--expose-gc\0{lib}/{script}\0");
        let program = Program::of(b"MainThread", cmdline.as_bytes(), &programs);
        let plays = program.plays(&programs, Role::Agent);
        assert_eq!(plays, agent.is_some(), "{script}");
        let named = named(agent.unwrap_or("none"));
        let same = program.is_same_agent(&named, &programs);
        assert_eq!(same, agent.is_some(), "{script}");
    }
    let python: &[(&[u8], &str)] = &[
        (
            b"python3\0/home/u/.venv/lib/python3.12/site-packages/aider/main.py\0",
            "aider",
        ),
        (b"python3\0-m\0kimi_cli.app\0", "kimi"),
    ];
    for (cmdline, agent) in python {
        let program = Program::of(b"python3", cmdline, &programs);
        assert!(program.is_same_agent(&named(agent), &programs));
    }
    let cursor =
        b"agent\0--use-system-ca\0/home/u/.local/share/cursor-agent/versions/2026.05.24/index.js\0";
    assert!(Program::of(b"MainThread", cursor, &programs).plays(&programs, Role::Agent));
    let data = b"node\0/srv/app.js\0/usr/lib/node_modules/@openai/codex/package.json\0";
    assert!(!Program::of(b"node", data, &programs).plays(&programs, Role::Agent));
}

/// spec 6.7a: `sed` reads pages when it prints only what it is told to print.
#[test]
fn sed_reads_pages_with_n() {
    let programs = Programs::builtin();
    let reads_pages = |line: &str| {
        let argv = line.replace(' ', "\0") + "\0";
        let comm = line.split(' ').next().unwrap_or_default();
        let program = Program::of(comm.as_bytes(), argv.as_bytes(), &programs);
        program.plays(&programs, Role::PageReader)
    };
    for line in [
        "sed -n 1,5p f",
        "sed 1,5p f -n",
        "sed -En 1,5p",
        "sed -ne 1,5p f",
        "sed -e 1,5p -n f",
        "sed --quiet -e 1,5p",
        "sed --silent 1,5p",
        "busybox sed -n 1,5p f",
        "nl -ba f",
        "mawk NR<=250 f",
        "busybox awk 1 f",
    ] {
        assert!(reads_pages(line), "{line}");
    }
    for line in [
        "sed 1,5!d f",
        "sed -e -n f",
        "sed -i s/a/n/ f",
        "sed -f n f",
        "sed --sandbox 1p",
        "sed -- -n f",
        "cat -n f",
        "perl -ne 1 f",
        "busybox cat -n f",
    ] {
        assert!(!reads_pages(line), "{line}");
    }
}

/// spec 5.2, 6.5a: a tool carried in an agent's executable is that tool.
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
        "the name of its interpreter does not count"
    );
}

/// spec 5.2: wrapped by Nix, and cut by the kernel.
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
