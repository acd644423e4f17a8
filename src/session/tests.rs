//! Made-up process trees, and a few real ones.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use proptest::prelude::*;

use super::cache::MAX_KNOWN;
use super::*;
use crate::programs::Role;

mod kept;
mod limits;
mod real;
mod table;

use real::Waiting;
use table::*;

/// The session of a thread.
fn session_of(resolver: &Resolver, tid: u32) -> Session {
    resolver.caller(tid, 0).session
}

/// spec 5.1: a run of Claude Code is one session, with all its threads and shell commands.
#[test]
fn an_agents_threads_and_detached_commands_are_its_session() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.thread(20, 21, "HeapHelper");
    table.thread(20, 22, "ThreadPoolForegroundWorker");
    table.spawn(20, 30, &["/bin/bash", "-c", "..."]);
    table.setsid(30);
    table.spawn(30, 31, &["tee", "notes.md"]);
    let resolver = table.resolver();
    let session = table.agent(20);
    for (tid, pid) in [(31, 31), (21, 20), (20, 20), (22, 20), (30, 30)] {
        let caller = resolver.caller(tid, 1000);
        assert_eq!(caller.session, session, "{tid}");
        assert_eq!(caller.process, Some(table.process(pid)));
        assert_eq!(
            caller.program.plays(&Programs::builtin(), Role::Agent),
            pid == 20,
            "{tid}"
        );
    }
    assert!(resolver.same_process(21, 22));
    assert!(!resolver.same_process(21, 30));
    assert!(!resolver.same_process(0, 0));
    assert!(!resolver.same_process(98, 99));
}

/// spec 5.1: two agents that run side by side on one terminal are two sessions.
#[test]
fn agents_side_by_side_are_apart() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.spawn(10, 21, &["claude"]);
    table.spawn(20, 30, &["sh"]);
    table.spawn(21, 31, &["sh"]);
    let resolver = table.resolver();
    assert_eq!(session_of(&resolver, 30), table.agent(20));
    assert_eq!(session_of(&resolver, 31), table.agent(21));
}

/// spec 5.3: "Codex patches files in a child `codex`": the outermost of an unbroken line, under a script's name too.
#[test]
fn the_outermost_of_the_same_agent_counts() {
    let table = Table::new();
    table.spawn(10, 20, &["/usr/bin/node", "/usr/bin/codex"]);
    table.spawn(20, 21, &["codex"]);
    table.spawn(21, 22, &["codex", "--apply-patch"]);
    let resolver = table.resolver();
    for pid in [22, 21, 20] {
        assert_eq!(session_of(&resolver, pid), table.agent(20));
    }
    // Here the line is broken: a run of its own.
    table.spawn(21, 30, &["bash"]);
    table.spawn(30, 31, &["codex", "exec"]);
    assert_eq!(session_of(&resolver, 31), table.agent(31));
}

/// spec 5.3: sandbox helpers break no line: Codex patches files in a `codex` of a sandbox of a `codex`.
#[test]
fn sandbox_helpers_break_no_line() {
    let table = Table::new();
    table.spawn(10, 20, &["codex"]);
    let helper = ["/tmp/arg0/codex-linux-sandbox", "--sandbox-policy-cwd", "/"];
    table.spawn(20, 21, &helper);
    table.spawn(21, 22, &["bwrap", "--unshare-user", "--"]);
    table.spawn(22, 23, &["bwrap", "--unshare-user", "--"]);
    table.spawn(23, 24, &helper);
    table.spawn(24, 25, &["codex", "--codex-run-as-fs-helper"]);
    table.spawn(24, 26, &["bash", "-c", "..."]);
    table.spawn(26, 27, &["tee", "notes.md"]);
    let resolver = table.resolver();
    let session = table.agent(20);
    for pid in [25, 27, 26, 22, 21, 20] {
        assert_eq!(session_of(&resolver, pid), session, "{pid}");
    }
    // An agent that a command in the sandbox starts is a run of its own.
    table.spawn(26, 30, &["codex", "exec"]);
    // Another agent in the same sandbox is a run of its own, too.
    table.spawn(24, 31, &["claude"]);
    for pid in [30, 31] {
        let own = table.agent(pid);
        assert_eq!(session_of(&resolver, pid), own, "{pid}");
    }
}

/// spec 6.5a: a thread may have another name than its process.
#[test]
fn a_threads_own_name() {
    let table = Table::new();
    table.spawn(10, 20, &["opencode"]);
    table.thread(20, 21, "fff-scan");
    let resolver = table.resolver();
    for _ in 0..2 {
        assert_eq!(*resolver.caller(21, 0).thread, *b"fff-scan");
        assert_eq!(*resolver.caller(20, 0).thread, *b"opencode");
    }
}

/// spec 5.1: the nearest agent, when one works for another.
#[test]
fn an_agent_within_another_is_a_session_of_its_own() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.spawn(20, 21, &["gemini"]);
    table.spawn(21, 22, &["sh"]);
    table.spawn(20, 23, &["sh"]);
    let resolver = table.resolver();
    assert_eq!(session_of(&resolver, 22), table.agent(21));
    assert_eq!(session_of(&resolver, 23), table.agent(20));
}

/// spec 5.2: an agent known by its interpreter's script.
#[test]
fn a_script_is_an_agent() {
    let table = Table::new();
    table.spawn(
        10,
        20,
        &["node", "--no-warnings", "/usr/local/bin/gemini.js"],
    );
    table.spawn(20, 21, &["bash"]);
    table.setsid(21);
    let resolver = table.resolver();
    assert_eq!(session_of(&resolver, 21), table.agent(20));
    assert!(
        resolver
            .caller(20, 0)
            .program
            .plays(&Programs::builtin(), Role::Agent)
    );
}

/// spec 5.1: each terminal is a session, and a detached child belongs to that of its nearest ancestor with one.
#[test]
fn terminals_are_sessions() {
    let table = Table::new();
    table.terminal_shell(11, -2);
    table.spawn(10, 20, &["cat"]);
    table.spawn(11, 21, &["cat"]);
    table.spawn(11, 22, &["cat"]);
    table.setsid(22);
    let resolver = table.resolver();
    let first = table.terminal();
    let second = Session::Terminal {
        tty: u32::MAX - 1,
        leader: table.process(11),
    };
    assert_eq!(session_of(&resolver, 20), first);
    assert_eq!(session_of(&resolver, 21), second);
    assert_eq!(session_of(&resolver, 22), second);
}

/// spec 5.1: the kernel's session comes last; its leader may be gone already.
#[test]
fn without_a_terminal_the_kernels_session_counts() {
    let table = Table::new();
    table.spawn(1, 20, &["cron"]);
    table.setsid(20);
    table.spawn(20, 21, &["sh"]);
    table.spawn(21, 22, &["cat"]);
    let resolver = table.resolver();
    let session = Session::Kernel(table.process(20));
    assert_eq!(session_of(&resolver, 22), session);
    table.exit(20);
    assert_eq!(session_of(&resolver, 21), session, "known before");
    assert!(resolver.session_alive(&session), "two of it are left");

    let later = table.resolver();
    let leaderless = Session::Kernel(Process { pid: 20, start: 0 });
    assert_eq!(session_of(&later, 22), leaderless);
    assert_eq!(session_of(&later, 21), leaderless);
    assert!(later.session_alive(&leaderless));
    table.exit(21);
    table.exit(22);
    assert!(!later.session_alive(&leaderless));
    assert!(!resolver.session_alive(&session));
}

/// spec 5.1: `HANDOFF_SESSION` comes before every other rule, unless the variable is empty.
#[test]
fn the_environment_names_the_session() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.edit(20, |task| {
        task.environ = "A=1\0XHANDOFF_SESSION=no\0HANDOFF_SESSION=a=b\0".to_owned();
    });
    table.spawn(10, 21, &["claude"]);
    table.edit(21, |task| {
        task.environ = "HANDOFF_SESSION=\0HANDOFF_SESSIONS=x\0".to_owned();
    });
    let resolver = table.resolver();
    let named = Session::named(b"a=b");
    assert_eq!(session_of(&resolver, 20), named);
    assert!(resolver.session_alive(&named));
    assert_eq!(session_of(&resolver, 21), table.agent(21));
}

/// spec 5.4: "Pid 0, or `/proc` out of reach, is one anonymous session per uid".
#[test]
fn the_unknown_are_one_session_for_each_user() {
    let table = Table::new();
    table.hide(10, "stat");
    let resolver = table.resolver();
    for tid in [0, 10, 999] {
        let caller = resolver.caller(tid, 7);
        assert_eq!(caller.session, Session::Anonymous { uid: 7 });
        assert_eq!(caller.process, None);
        assert!(resolver.session_alive(&caller.session));
        assert!(!resolver.dying_by_signal(tid));
    }
    assert_ne!(resolver.caller(0, 7).session, resolver.caller(0, 8).session);
}

/// spec 5.1, 5.4: where a part of `/proc` is hidden, the next rule that can be decided counts.
#[test]
fn hidden_files_of_proc() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.spawn(20, 21, &["bash"]);
    table.setsid(21);
    table.spawn(21, 22, &["cat"]);
    for file in ["environ", "cmdline", "status"] {
        table.hide(22, file);
    }
    assert_eq!(session_of(&table.resolver(), 22), table.agent(20));
    table.hide(20, "stat");
    assert_eq!(
        session_of(&table.resolver(), 22),
        Session::Kernel(table.process(21))
    );
    table.hide(21, "stat");
    assert_eq!(
        session_of(&table.resolver(), 22),
        Session::Kernel(Process { pid: 21, start: 0 })
    );
    table.edit(22, |task| task.session = 0);
    assert_eq!(
        table.resolver().caller(22, 5).session,
        Session::Anonymous { uid: 5 }
    );
}

/// spec 5.5: "A session is a pid *and* its start time", for threads too.
#[test]
fn a_reused_pid_is_another_process() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.thread(20, 25, "worker");
    let resolver = table.resolver();
    let old = resolver.caller(20, 0);
    assert_eq!(session_of(&resolver, 25), old.session);
    table.exit(20);
    assert!(!resolver.session_alive(&old.session));
    table.spawn(10, 20, &["claude"]);
    table.spawn(10, 24, &["codex"]);
    table.thread(24, 25, "worker");
    assert!(!resolver.session_alive(&old.session));
    assert_eq!(session_of(&resolver, 20), table.agent(20));
    assert_ne!(session_of(&resolver, 20), old.session);
    assert_eq!(session_of(&resolver, 25), table.agent(24));
}

/// spec 5.5: a parent younger than its child is not its parent.
#[test]
fn a_reused_parent_pid_is_not_followed() {
    let table = Table::new();
    table.spawn(10, 20, &["sh"]);
    table.spawn(20, 21, &["cat"]);
    table.spawn(10, 20, &["claude"]);
    let session = session_of(&table.resolver(), 21);
    assert_eq!(session, table.terminal());
}

/// spec 5.1: `sh` executes `claude` in the same process, which counts for itself and for its later children.
#[test]
fn another_program_is_another_caller() {
    let table = Table::new();
    table.spawn(10, 20, &["sh", "/usr/bin/claude-launcher"]);
    let resolver = table.resolver();
    assert!(matches!(
        session_of(&resolver, 20),
        Session::Terminal { .. }
    ));
    table.spawn(20, 30, &["sh"]);
    assert!(matches!(
        session_of(&resolver, 30),
        Session::Terminal { .. }
    ));
    table.exec(30, &["codex"]);
    assert_eq!(session_of(&resolver, 30), table.agent(30));
    table.exec(20, &["claude"]);
    table.spawn(20, 21, &["bash"]);
    assert_eq!(session_of(&resolver, 21), table.agent(20));
    assert_eq!(session_of(&resolver, 20), table.agent(20));
}

/// spec 5.1: a command that an agent left in the background stays the agent's, also when its parent died and after execve.
#[test]
fn an_orphan_keeps_its_session() {
    let table = Table::new();
    table.spawn(10, 20, &["claude"]);
    table.spawn(20, 21, &["bash"]);
    table.setsid(21);
    table.spawn(21, 22, &["sh"]);
    let resolver = table.resolver();
    let session = table.agent(20);
    assert_eq!(session_of(&resolver, 22), session);
    table.exit(21);
    resolver.forget_dead();
    assert_eq!(session_of(&resolver, 22), session);
    table.exec(22, &["python3", "server.py"]);
    assert_eq!(session_of(&resolver, 22), session);
    table.exec(22, &["make"]);
    table.spawn(22, 23, &["cat"]);
    assert_eq!(session_of(&resolver, 23), session, "and so do its children");
}
