//! The session of a calling process, from its environment, its agent, its terminal, or its kernel session.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use handoff_fs::fs::Options;
use handoff_fs::programs::Role;

use crate::harness::{Mount, succeeds};

/// A mount that takes no program that may run these tests for an agent, but only those of the test.
fn mount() -> Mount {
    Mount::with(|options: &mut Options| {
        options.programs.amend(Role::Agent, "!*").unwrap();
        for agent in ["claude", "codex", "gemini"] {
            options.programs.amend(Role::Agent, agent).unwrap();
        }
    })
}

impl Mount {
    /// A bash that is called like an agent.
    fn agent(&self, name: &str) -> PathBuf {
        let path = self.outside(name);
        if !path.exists() {
            symlink("/bin/bash", &path).unwrap();
        }
        path
    }

    /// A script, run by this shell in a kernel session of its own; `$claude` and `$codex` are agents.
    fn by(&self, shell: impl AsRef<OsStr>, script: &str) -> Command {
        let mut command = self.alone(shell, script);
        let (claude, codex) = (self.agent("claude"), self.agent("codex"));
        command.env("claude", claude).env("codex", codex);
        command
    }
}

/// spec 5.1: HANDOFF_SESSION comes first: it joins what is apart, and parts what is together.
#[test]
fn the_variable_comes_first() {
    let mount = mount();
    let claude = mount.agent("claude");
    succeeds(&mut mount.by(
        &claude,
        "HANDOFF_SESSION=s setsid -w sh -c 'echo one > n.md'",
    ));
    succeeds(&mut mount.by("bash", "export HANDOFF_SESSION=s; exec cat n.md"));
    let script = "HANDOFF_SESSION=t sh -c 'cat n.md || echo two > n.md'; HANDOFF_SESSION=s cat n.md; cat n.md || true";
    assert_eq!(succeeds(&mut mount.by(&claude, script)), "one\n");
    // Set but empty is not set.
    let script = "export HANDOFF_SESSION=; echo mine > m.md; unset HANDOFF_SESSION; cat m.md";
    assert_eq!(succeeds(&mut mount.by("bash", script)), "mine\n");
    assert_eq!(mount.peek(), ["one", "two", "mine"]);
}

/// spec 5.1, 5.3: of the same program in an unbroken line of parents it is the outermost: Codex patches files in a child `codex`.
/// Another agent that is started by the first is a session of its own, and so is the same one started through a shell.
#[test]
fn nested_agents() {
    let mount = mount();
    let codex = mount.agent("codex");
    let script = "echo one > n.md; $codex -c \"echo two >> n.md; $codex -c \\\"cat n.md; true\\\"; true\"; true";
    assert_eq!(succeeds(&mut mount.by(&codex, script)), "one\ntwo\n");
    let script = "echo x > inner.md; $claude -c \"cat inner.md; echo y > inner.md; true\"; cat inner.md; true";
    assert_eq!(succeeds(&mut mount.by(&codex, script)), "x\n");
    let script = "echo z > again.md; sh -c \"$codex -c \\\"cat again.md; true\\\"; true\"; true";
    assert_eq!(succeeds(&mut mount.by(&codex, script)), "");
}

/// spec 5.1: without an agent it is the terminal: two have two sessions, and what runs on one of them in a kernel session of
/// its own still belongs to it.
#[test]
fn two_terminals_are_two_sessions() {
    let mount = mount();
    let script = "tty; echo one > n.md; setsid -w cat n.md; (cat n.md); cat n.md | cat";
    let shown = succeeds(&mut mount.on_terminal(script));
    assert_eq!(shown.matches("one").count(), 3, "{shown}");
    assert!(shown.contains("/dev/pts/"), "{shown}");
    let other = succeeds(&mut mount.on_terminal("cat n.md || echo two > n.md; cat n.md"));
    assert!(other.contains("two") && !other.contains("one"), "{other}");
    assert_eq!(mount.take("r"), ["one", "two"]);
}

/// spec 5.1, 4.1c: two jobs of one terminal are one session, and write two files all the same.
#[test]
fn one_terminal_is_one_session() {
    let mount = mount();
    let script =
        "set -m; (echo one > n.md; sleep 0) & wait; cat n.md; (echo two > n.md) & wait; cat n.md";
    let shown = succeeds(&mut mount.on_terminal(script));
    assert!(shown.find("one") < shown.find("two"), "{shown}");
    assert_eq!(mount.take("r"), ["one", "two"]);
}

/// spec 5.1: without agent and terminal it is the kernel's session.
#[test]
fn a_kernel_session_comes_last() {
    let mount = mount();
    // An orphan, because the tests themselves may be run at a terminal.
    let orphan = |script: &str| {
        format!(
            "setsid bash -c 'until read -r _ _ _ parent _ < /proc/$$/stat; [ $parent != '$$' ]; do :; done; {script}' & exit"
        )
    };
    let script = "echo one > n.md; cat n.md; sh -c \"cat n.md\"; setsid -w cat n.md; true";
    assert_eq!(
        succeeds(&mut mount.by("bash", &orphan(script))),
        "one\none\n"
    );
    let other = mount.by("bash", "cat n.md").output().unwrap();
    assert!(!other.status.success());
}

/// spec 5.5: the session of a process stays the same as long as the process lives, also when its parent has ended.
#[test]
fn an_orphan_belongs_to_the_agent_that_left_it() {
    let mount = mount();
    let claude = mount.agent("claude");
    // The orphan says when it was seen once (`up`), and then waits to be one (`go`).
    let script = r#"
        mkfifo $dir/up $dir/go $dir/done
        echo one > n.md
        orphan='cat n.md; echo > $dir/up; read -r _ < $dir/go; cat n.md; echo > $dir/done'
        sh -c "setsid sh -c '$orphan' > $dir/out & read -r _ < $dir/up"
        echo > $dir/go; read -r _ < $dir/done; cat $dir/out; true"#;
    let script = script.replace("$dir", &mount.outside("").display().to_string());
    assert_eq!(succeeds(&mut mount.by(&claude, &script)), "one\none\n");
}

/// spec 4.3d, 5.1: a session that the user named does not end with a process, and no other one before it does.
#[test]
fn a_sweep_keeps_the_aliases_of_the_living() {
    let mount = mount();
    mount.sh("named", "echo one > n.md");
    let claude = mount.agent("claude");
    let script = "echo two > n.md; echo; read -r _; cat n.md; true";
    let mut command = Command::new(claude);
    command
        .args(["-c", script])
        .current_dir(mount.at(""))
        .env_remove("HANDOFF_SESSION");
    let mut agent = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0];
    agent
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    mount.fs().sweep();
    assert_eq!(mount.sh("named", "cat n.md"), "one\n");
    drop(agent.stdin.take());
    let output = agent.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "two\n");
}
