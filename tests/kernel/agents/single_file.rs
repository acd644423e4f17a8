//! Agents that know one single file for both, `pending.md`: they read it and write it anew.

use super::director::{Agent, write};
use super::{AIDER, ALL, CLAUDE_CODE, CODEX, GEMINI, OPENCODE, PI, UNCHANGED};
use crate::harness::{Mount, bodies, sorted};

/// spec 4.7a, 4.7b: Claude Code reads what is there, writes, finds it, and reads what it wrote: for itself it consumes nothing of
/// that, neither do what it read for its write, so that the next agent gets all of it.
#[test]
fn claude_code() {
    let mount = Mount::new();
    mount.sh("w", "echo old > old.md");
    let mut agent = Agent::start(&mount, &CLAUDE_CODE);
    // Claude Code refuses to write over a file that it has not read.
    let why = agent.begins(&write("pending.md", "mine\n")).refused();
    assert!(why.contains("not been read"), "{why}");
    assert_eq!(bodies(&agent.read("pending.md")), ["old"]);
    // Claude Code refuses to write over a file that was modified since. It finds what it read, with the same mtime
    // (6.7).
    assert_eq!(agent.read("pending.md"), UNCHANGED);
    agent.write("pending.md", "mine\n");
    assert_eq!(mount.slugs(), ["old", "pending"]);

    let all = ["mine", "old"];
    assert_eq!(sorted(bodies(&agent.read("pending.md"))), all);
    assert_eq!(agent.read("pending.md"), UNCHANGED);
    agent.mention("pending.md");
    agent.write("pending.md", "mine, again\n");
    assert_eq!(sorted(mount.peek()), ["mine", "mine, again", "old"]);

    let mut next = Agent::start(&mount, &CLAUDE_CODE);
    let taken = bodies(&next.read("pending.md"));
    assert_eq!(sorted(taken), ["mine", "mine, again", "old"]);
    assert_eq!(mount.peek(), [""; 0]);
}

/// spec 4.7a, 4.7b: the same of those that write in place; opencode's watcher reads it at once.
#[test]
fn in_place() {
    for profile in [&OPENCODE, &GEMINI, &PI, &AIDER] {
        let mount = Mount::new();
        mount.sh("w", "echo old > old.md");
        let mut agent = Agent::start(&mount, profile);
        assert_eq!(bodies(&agent.read("pending.md")), ["old"]);
        agent.write("pending.md", "mine\n");
        assert_eq!(mount.slugs(), ["old", "pending"], "{}", profile.name);
        let all = ["mine", "old"];
        assert_eq!(sorted(bodies(&agent.read("pending.md"))), all);
        assert_eq!(sorted(bodies(&agent.read("pending.md"))), all);
        agent.write("pending.md", "mine, again\n");
        let mut next = Agent::start(&mount, profile);
        let taken = sorted(bodies(&next.read("pending.md")));
        assert_eq!(taken, ["mine", "mine, again", "old"], "{}", profile.name);
        assert_eq!(mount.peek(), [""; 0], "{}", profile.name);
        agent.end();
        next.end();
    }
}

/// spec 4.7a, 4.7b: Codex reads by its shell, which is no agent program: what it has seen so is taken. What the child that
/// patches the file reads of it is not.
#[test]
fn codex() {
    let mount = Mount::new();
    mount.sh("w", "echo old > old.md");
    let mut agent = Agent::start(&mount, &CODEX);
    assert_eq!(bodies(&agent.read("pending.md")), ["old"]);
    agent.write("pending.md", "mine\n");
    assert_eq!(mount.slugs(), ["old_done", "pending"]);
    agent.edit("pending.md", "mine", "edited");
    let seen = mount.peek();
    assert_eq!(seen[0], "mine");
    assert!(mount.sh("r", "cat .peek.md").contains("edited"));
    // The second one has a suffix if both are of one second.
    let slugs = mount.slugs();
    assert_eq!(slugs[..2], ["old_done", "pending"]);
    assert!(
        slugs.len() == 3 && slugs[2].starts_with("pending"),
        "{slugs:?}"
    );
    let mut next = Agent::start(&mount, &CODEX);
    assert!(next.read("pending.md").contains("edited"));
    assert_eq!(mount.peek(), [""; 0]);
}

/// spec 4.7a: two at once with one single file lose nothing of each other's.
#[test]
fn two_with_one_file() {
    for profile in ALL {
        let mount = Mount::new();
        let mut a = Agent::start(&mount, profile);
        let mut b = Agent::start(&mount, profile);
        if profile.comm == "claude" {
            a.read("pending.md");
            b.read("pending.md");
        }
        let mut steps = a.begins(&write("pending.md", "a\n"));
        let before = ["rename", "close"][usize::from(profile.comm != "claude")];
        steps.until(before);
        b.write("pending.md", "b\n");
        steps.finish();
        assert_eq!(sorted(mount.peek()), ["a", "b"], "{}", profile.name);
        assert_eq!(sorted(mount.take("r")), ["a", "b"], "{}", profile.name);
        a.end();
        b.end();
    }
}
