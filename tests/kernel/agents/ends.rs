//! An agent that ends, and one that is ended.

use std::fs;

use super::director::{Agent, Background, edit, write};
use super::{AIDER, ALL, CLAUDE_CODE, CODEX, GEMINI, OLDER_CLAUDE_CODE, OPENCODE, PI};
use crate::harness::Mount;

/// spec 4.3d: the aliases of an agent end with the agent; the next agent of the same program has its own handoff.
#[test]
fn the_next_one_starts_anew() {
    for profile in ALL {
        let mount = Mount::new();
        let mut first = Agent::start(&mount, profile);
        first.write("n.md", "first\n");
        first.end();
        let mut second = Agent::start(&mount, profile);
        second.bash("test ! -e n.md");
        second.write("n.md", "second\n");
        assert_eq!(second.read("n.md"), "second\n");
        assert_eq!(mount.take("r"), ["first", "second"], "{}", profile.name);
        second.end();
    }
}

/// spec 4.3d, 5.1: a process that the agent left in the background has the aliases of the agent while the agent lives,
/// and no longer.
#[test]
fn a_command_in_the_background() {
    let mount = Mount::new();
    let mut agent = Agent::start(&mount, &CLAUDE_CODE);
    agent.write("n.md", "one\n");
    let script = "cat $mount/n.md 2> /dev/null || echo none";
    let background = Background::start(&mount, &mut agent, script);
    assert_eq!(background.step(), "one\n");
    agent.read("n.md");
    agent.edit("n.md", "one", "two");
    mount.fs().sweep();
    assert_eq!(background.step(), "two\n");
    agent.end();
    mount.fs().sweep();
    assert_eq!(background.step(), "none\n");
    assert_eq!(mount.take("r"), ["two"]);
}

/// spec 4.6a: an agent that is killed before its rename makes no handoff, and leaves nothing that disturbs others.
#[test]
fn killed_before_its_rename() {
    for profile in [&CLAUDE_CODE, &OLDER_CLAUDE_CODE] {
        for made in ["open", "write", "fsync", "fstat", "close"] {
            let mount = Mount::new();
            let mut agent = Agent::start(&mount, profile);
            let mut steps = agent.begins(&write("n.md", "lost\n"));
            // The calls before this one only look.
            steps.until("open to write");
            steps.until(made);
            steps.step();
            steps.kill();
            let names = mount.names();
            assert_eq!(names.len(), 1, "{made}");
            assert!(names[0].starts_with("n.md.tmp."), "{names:?}");
            assert_eq!(mount.take("r"), [""; 0], "{made}");
            assert!(mount.names_below().is_empty(), "{made}");
            let mut next = Agent::start(&mount, profile);
            next.write("n.md", "one\n");
            assert_eq!(mount.take("r"), ["one"], "{made}");
        }
    }
}

/// spec 4.4d, 4.6a: an edit that is killed so has changed nothing.
#[test]
fn killed_before_the_rename_of_an_edit() {
    let mount = Mount::new();
    let mut agent = Agent::start(&mount, &CLAUDE_CODE);
    agent.write("n.md", "one\n");
    agent.read("n.md");
    let mut steps = agent.begins(&edit("n.md", "one", "two"));
    steps.until("rename");
    steps.kill();
    assert_eq!(mount.take("r"), ["one"]);
}

/// spec 4.9b: killed in the middle of writing in place: a part, and called so; an edit leaves the old text as well (4.4d).
#[test]
fn killed_in_the_middle() {
    for profile in [&OPENCODE, &GEMINI, &PI, &AIDER, &CODEX] {
        let mount = Mount::new();
        let mut agent = Agent::start(&mount, profile);
        let mut steps = agent.begins(&write("n.md", "a part"));
        steps.until("write");
        steps.step();
        steps.kill();
        assert_eq!(mount.peek(), ["a part"], "{}", profile.name);
        assert_eq!(mount.slugs(), ["n-partial"], "{}", profile.name);
        fs::remove_file(mount.at(mount.stamped("n-partial"))).unwrap();

        let mut agent = Agent::start(&mount, profile);
        agent.write("n.md", "the old text\n");
        agent.read("n.md");
        let mut steps = agent.begins(&edit("n.md", "old", "new"));
        steps.until("write");
        steps.step();
        steps.kill();
        let both = ["the old text", "the new text"];
        assert_eq!(mount.peek(), both, "{}", profile.name);
        assert_eq!(mount.slugs(), ["n", "n-partial"], "{}", profile.name);
    }
}
