//! Several agents at once, on one path: each finds its own handoff there.

use std::thread;
use std::time::{Duration, Instant};

use super::director::{Agent, edit, in_step, write};
use super::{ALL, CLAUDE_CODE, CODEX, GEMINI, OPENCODE, Order, Profile};
use crate::harness::{Mount, bodies, sorted};

/// spec 4.1c, 4.3a, 5.1: two of each agent, and each beside each other one, call by call in turns: two handoffs, each with what
/// its agent wrote last.
#[test]
fn two_in_step() {
    let others: [&'static Profile; 4] = [&CLAUDE_CODE, &CODEX, &OPENCODE, &GEMINI];
    for (i, one) in others.into_iter().enumerate() {
        for two in &others[i..] {
            let mount = Mount::new();
            let both = format!("{} and {}", one.name, two.name);
            let (mut a, mut b) = (Agent::start(&mount, one), Agent::start(&mount, two));
            let writing = [
                a.begins(&write("n.md", "a one\n")),
                b.begins(&write("n.md", "b one\n")),
            ];
            in_step(writing.into());
            assert_eq!(mount.peek().len(), 2, "{both}");
            assert_eq!(a.read("n.md"), "a one\n", "{both}");
            assert_eq!(b.read("n.md"), "b one\n", "{both}");
            in_step(vec![
                a.begins(&edit("n.md", "one", "two")),
                b.begins(&edit("n.md", "one", "two")),
            ]);
            assert_eq!(sorted(mount.take("r")), ["a two", "b two"], "{both}");
            assert_eq!(mount.names().len(), 2, "{both}");
            a.end();
            b.end();
        }
    }
}

/// spec 4.1c, 4.3a: at whichever call of the one the other writes from its first to its last.
#[test]
fn one_within_each_step_of_another() {
    let mount = Mount::new();
    let mut a = Agent::start(&mount, &CLAUDE_CODE);
    let mut b = Agent::start(&mount, &CLAUDE_CODE);
    let mut expected = Vec::new();
    for i in 0.. {
        let (path, a_text, b_text) = (format!("n{i}.md"), format!("a{i}"), format!("b{i}"));
        let mut steps = a.begins(&write(&path, &a_text));
        let more = (0..i).all(|_| steps.step());
        b.write(&path, &b_text);
        steps.finish();
        assert_eq!(a.read(&path), a_text);
        assert_eq!(b.read(&path), b_text);
        expected.extend([a_text, b_text]);
        if !more {
            break;
        }
    }
    let all = sorted(mount.take("r"));
    expected.sort();
    assert_eq!(all, expected);
}

/// spec 5.1, 5.3: a child process of the same program is the same session, and so are the shells of both; a second agent with
/// children of its own is another one.
#[test]
fn children_of_two_agents() {
    for profile in ALL {
        let mount = Mount::new();
        let mut a = Agent::start(&mount, profile);
        let mut b = Agent::start(&mount, profile);
        a.write("n.md", "a\n");
        let child = |path: &str, text: &str| Order::Child(Box::new(write(path, text)));
        in_step(vec![
            a.begins(&child("m.md", "a's child\n")),
            b.begins(&child("m.md", "b's child\n")),
        ]);
        b.bash("test ! -e n.md; echo b >> n.md");
        a.bash("echo a, too >> n.md; setsid -w bash -c 'cat m.md >> n.md'");
        b.bash("sh -c 'cat m.md >> n.md'");
        let a_edit = Order::Child(Box::new(edit("n.md", "too", "three")));
        match profile.comm {
            // Claude Code only edits what the same process has read.
            "claude" => drop(a.does(&Order::Child(Box::new(Order::Read {
                path: "n.md".into(),
            })))),
            _ => drop(a.does(&a_edit)),
        }
        let all = sorted(mount.take("r"));
        let three = if profile.comm == "claude" {
            "too"
        } else {
            "three"
        };
        let a_all = format!("a\na, {three}\na's child");
        let expected = [a_all.as_str(), "a's child", "b\nb's child", "b's child"];
        assert_eq!(all, expected, "{}", profile.name);
        a.end();
        b.end();
    }
}

/// spec 1, 4.1c: six at once, of four programs, write one path over and over: each has one handoff with its last text.
#[test]
fn six_at_once() {
    let mount = Mount::new();
    let profiles: [&'static Profile; 6] = [
        &CLAUDE_CODE,
        &CODEX,
        &OPENCODE,
        &GEMINI,
        &CLAUDE_CODE,
        &CODEX,
    ];
    thread::scope(|scope| {
        for (i, profile) in profiles.into_iter().enumerate() {
            let mount = &mount;
            scope.spawn(move || {
                let mut agent = Agent::start(mount, profile);
                agent.write("n.md", &format!("{i}: 0\n"));
                for round in 0..5 {
                    agent.bash("cat n.md");
                    agent.read("n.md");
                    agent.edit("n.md", &format!(": {round}"), &format!(": {}", round + 1));
                    agent.bash("cat .peek.md");
                }
                agent.end();
            });
        }
    });
    assert_eq!(
        sorted(mount.take("r")),
        ["0: 5", "1: 5", "2: 5", "3: 5", "4: 5", "5: 5"]
    );
    assert_eq!(mount.names().len(), 6);
}

/// spec 6.3a: the first command of a session consumes what it shows to its agent; the first command of the next session
/// gets what was written since.
#[test]
fn a_hook_takes_all() {
    let mount = Mount::new();
    mount.sh("w", "echo one > n.md; echo two > n.md");
    for profile in ALL {
        let mut first = Agent::start(&mount, profile);
        let mut second = Agent::start(&mount, profile);
        let taken = bodies(&first.hook("cat pending.md"));
        assert_eq!(taken, ["one", "two"], "{}", profile.name);
        first.write("n.md", "one\n");
        mount.sh("w", "echo two > n.md");
        let rest = bodies(&second.hook("cat pending.md"));
        assert_eq!(rest, ["one", "two"], "{}", profile.name);
        assert_eq!(second.hook("cat pending.md"), "");
        mount.sh("w", "rm *_done.md; echo one > n.md; echo two > n.md");
        first.end();
        second.end();
    }
}

/// spec 6.4a: six that start at once get disjoint sets, and together all of it.
#[test]
fn six_hooks_at_once() {
    let mount = Mount::new();
    let expected: Vec<String> = (10..50).map(|i| format!("text {i}")).collect();
    mount.sh("w", "for i in {10..49}; do echo text $i > n$i.md; done");
    let mut agents: Vec<Agent> = (0..6).map(|i| Agent::start(&mount, ALL[i])).collect();
    // All are up and wait.
    for agent in &mut agents {
        agent.hook("true");
    }
    let since = Instant::now();
    let mut taken: Vec<String> = thread::scope(|scope| {
        let hooks: Vec<_> = agents
            .iter_mut()
            .map(|agent| scope.spawn(|| bodies(&agent.hook("cat pending.md"))))
            .collect();
        hooks
            .into_iter()
            .flat_map(|hook| hook.join().unwrap())
            .collect()
    });
    taken.sort();
    // After two seconds a reader no longer waits for its turn, and may get what another reader has not finished.
    if since.elapsed() >= Duration::from_secs(2) {
        taken.dedup();
    }
    assert_eq!(taken, expected);
    assert_eq!(mount.peek(), [""; 0]);
}
