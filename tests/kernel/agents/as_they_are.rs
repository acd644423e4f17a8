//! One agent with its own tools. Every tool works, and a path that is written again is one handoff with the last text.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use super::director::{Agent, edit};
use super::{
    AIDER, ALL, CLAUDE_CODE, CODEX, GEMINI, OLDER_CLAUDE_CODE, OPENCODE, Order, PI, UNCHANGED,
};
use crate::actors::replaced;
use crate::harness::{Mount, list, sorted};

/// spec 4.1a, 4.3a, 4.4b, 4.6b: every agent writes, reads, edits and writes again one path: one handoff with the last text, and
/// what it replaced is kept (3.9a).
#[test]
fn one_path_is_one_handoff() {
    for profile in ALL {
        let mount = Mount::new();
        let mut agent = Agent::start(&mount, profile);
        agent.write("n.md", "the first text\n");
        let name = mount.stamped("n");
        assert_eq!(agent.read("n.md"), "the first text\n");
        agent.edit("n.md", "first", "second");
        assert_eq!(mount.peek(), ["the second text"], "{}", profile.name);
        agent.edit("n.md", "second", "third and longer");
        assert_eq!(agent.read("n.md"), "the third and longer text\n");
        if profile.comm != "codex" {
            agent.write("n.md", "the last\n");
        } else {
            agent.edit("n.md", "the third and longer text", "the last");
        }
        assert_eq!(agent.mention("n.md"), "9");
        assert_eq!(mount.names(), [name.as_str()], "{}", profile.name);
        assert_eq!(replaced(&mount).len(), 3, "{}", profile.name);
        assert_eq!(mount.take("r"), ["the last"], "{}", profile.name);
        agent.end();
    }
}

/// spec 4.1a, 4.3a: by an absolute path, and with directories that it makes first (4.10a): the same handoff, in their queue.
#[test]
fn nested_and_absolute_paths() {
    for profile in [&CLAUDE_CODE, &OLDER_CLAUDE_CODE, &GEMINI, &PI, &AIDER] {
        let mount = Mount::new();
        let mut agent = Agent::start(&mount, profile);
        let absolute = mount.at("proj/api/n.md").display().to_string();
        agent.write(&absolute, "one\n");
        assert_eq!(agent.read(&absolute), "one\n");
        agent.edit(&absolute, "one", "two");
        agent.read("proj/api/n.md");
        agent.write("proj/api/n.md", "three\n");
        assert_eq!(list(&mount.below("proj/api")).len(), 1, "{}", profile.name);
        assert_eq!(mount.take("r"), ["three"]);
        agent.end();
    }
}

/// spec 4.4b: the agents that look at nothing before they write: what they have not read since they wrote it is not edited.
#[test]
fn written_again_without_a_look() {
    for profile in [&GEMINI, &PI, &AIDER, &OPENCODE] {
        let mount = Mount::new();
        let mut agent = Agent::start(&mount, profile);
        agent.write("n.md", "one\n");
        agent.write("n.md", "two\n");
        // The watcher of opencode has read the file, in the process of the agent.
        let expected: &[&str] = match profile.comm {
            "opencode" => &["two"],
            _ => &["one", "two"],
        };
        assert_eq!(mount.take("r"), expected, "{}", profile.name);
        agent.end();
    }
}

/// spec 6.2c: Claude Code does not read again what has the mtime and size that it knows; they stay as they are until the
/// content changes.
#[test]
fn an_unchanged_mtime() {
    let mount = Mount::new();
    let mut agent = Agent::start(&mount, &CLAUDE_CODE);
    agent.write("n.md", "one\n");
    assert_eq!(agent.read("n.md"), "one\n");
    assert_eq!(agent.read("n.md"), UNCHANGED);
    // The actions of other sessions do not change the file.
    mount.sh(
        "other",
        "echo other > n.md; cat .peek.md; ls -l; chmod 600 n.md",
    );
    mount.fs().sweep();
    assert_eq!(agent.read("n.md"), UNCHANGED);
    agent.edit("n.md", "one", "two");
    agent.bash("echo three >> n.md");
    assert_eq!(agent.read("n.md"), "two\nthree\n");
    // Without an extension Claude Code looks at the content.
    agent.write("notes", "four\n");
    assert_eq!(agent.read("notes"), "four\n");
    assert_eq!(sorted(mount.take("r")), ["four", "other", "two\nthree"]);
}

/// spec 4.3c: consumed between a write and the edit after it: it is still found, Claude Code notices that it has changed
/// (3.5a), reads it again, and its edit is a new handoff.
#[test]
fn consumed_before_its_edit() {
    let mount = Mount::new();
    let mut agent = Agent::start(&mount, &CLAUDE_CODE);
    agent.write("n.md", "one\n");
    mount.clock.advance(Duration::from_secs(60));
    assert_eq!(mount.take("r"), ["one"]);
    assert_eq!(agent.mention("n.md"), "4");
    let why = agent.begins(&edit("n.md", "one", "two")).refused();
    assert!(why.contains("modified since read"), "{why}");
    assert_eq!(agent.read("n.md"), "one\n");
    agent.edit("n.md", "one", "two");
    assert_eq!(mount.take("r"), ["two"]);
}

/// spec 8.4c: the permissions that the umask of the writer leaves, also by way of a temporary name, and after an edit.
#[test]
fn permissions() {
    for profile in ALL {
        for (mask, expected) in [(0o022, 0o644), (0o077, 0o600)] {
            let mount = Mount::new();
            let mut agent = Agent::start(&mount, profile);
            agent.does(&Order::Umask { mask });
            agent.write("n.md", "one\n");
            agent.read("n.md");
            agent.edit("n.md", "one", "two");
            let name = mount.stamped("n");
            for path in [mount.at(&name), mount.below(&name)] {
                let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
                assert_eq!(mode, expected, "{}: {mode:o}", profile.name);
            }
            agent.end();
        }
    }
}

/// spec 4.5g: a file that Codex deletes is retracted.
#[test]
fn codex_deletes() {
    let mount = Mount::new();
    let mut agent = Agent::start(&mount, &CODEX);
    agent.write("n.md", "one\n");
    agent.does(&Order::Delete {
        path: "n.md".into(),
    });
    assert_eq!(mount.slugs(), ["n_done"]);
    assert_eq!(mount.take("r"), [""; 0]);
    // Another patch, in another process: not a file that is put in place of the one just unlinked.
    agent.write("n.md", "two\n");
    assert_eq!(mount.take("r"), ["two"]);
}

/// spec 4.3b, 5.1: each command has a kernel session of its own and no terminal; they are the agent's all the same: what the
/// agent wrote they find, and what they append is one handoff.
#[test]
fn shell_commands_append() {
    for profile in ALL {
        let mount = Mount::new();
        let mut agent = Agent::start(&mount, profile);
        for word in ["one", "two", "three"] {
            agent.bash(format!("echo {word} >> n.md"));
        }
        assert_eq!(agent.bash("cat n.md"), "one\ntwo\nthree\n");
        assert_eq!(agent.read("n.md"), "one\ntwo\nthree\n");
        agent.edit("n.md", "two", "2");
        assert_eq!(agent.bash("sed -n 2p n.md"), "2\n");
        assert_eq!(mount.take("r"), ["one\n2\nthree"], "{}", profile.name);
        assert_eq!(mount.names().len(), 1, "{}", profile.name);
        agent.end();
    }
}

/// spec 4.1b, 4.4b: a shell is no editor, also when an agent runs it: each `>` is a handoff.
#[test]
fn shell_commands_write() {
    for profile in ALL {
        let mount = Mount::new();
        let mut agent = Agent::start(&mount, profile);
        agent.bash("echo one > n.md");
        agent.bash("cat n.md; echo two > n.md");
        agent.bash("printf 'three\\n' | tee n.md; cat > n.md <<< four");
        assert_eq!(agent.bash("cat n.md"), "four\n");
        let all = ["one", "two", "three", "four"];
        assert_eq!(mount.take("r"), all, "{}", profile.name);
        agent.end();
    }
}

/// spec 6.5a: Claude Code's `grep` is its own executable, called `ugrep`: it searches, and consumes nothing.
#[test]
fn the_search_that_claude_code_brings() {
    let mount = Mount::new();
    mount.sh(
        "w",
        "mkdir -p q/r; echo token > n.md; echo token > q/r/n.md",
    );
    // An executable of the agent's name that searches when it is called so.
    fs::create_dir(mount.outside("bin")).unwrap();
    symlink("/usr/bin/grep", mount.outside("bin/claude")).unwrap();
    let mut agent = Agent::start(&mount, &CLAUDE_CODE);
    agent.write("mine.md", "token\n");
    let grep = format!(
        "grep() {{ (exec -a ugrep '{}' \"$@\"); }}; grep",
        mount.outside("bin/claude").display()
    );
    let found = agent.bash(format!("{grep} -rc token ."));
    let found: Vec<&str> = found.lines().collect();
    assert!(found.contains(&"./pending.md:3"), "{found:?}");
    assert!(found.contains(&"./q/r/pending.md:1"), "{found:?}");
    assert_eq!(agent.bash(format!("{grep} -c token pending.md")), "3\n");
    // The search belongs to the session of the agent; it is not a second agent.
    assert_eq!(agent.bash(format!("{grep} token mine.md")), "token\n");
    assert_eq!(mount.take("r"), ["token", "token", "token"]);
}
