//! Agents that read a long `pending.md` page by page: each page is read from the whole file.

use std::time::Duration;

use super::director::Agent;
use super::{ALL, CLAUDE_CODE, CODEX, GEMINI, Order};
use crate::harness::{Mount, sorted, succeeds};

/// A mount with 600 lines pending, and the text of `pending.md`.
fn long() -> (Mount, String) {
    let mount = Mount::new();
    mount.sh("w", "seq -f 'line %g' 600 > long.md");
    let all = mount.sh("w", "cat .peek.md");
    (mount, all)
}

/// spec 6.7a, 6.7b: Codex pages with `sed -n`: every page is there, after a pause too, each from another process.
#[test]
fn with_sed() {
    for profile in ALL {
        let (mount, all) = long();
        let mut agent = Agent::start(&mount, profile);
        let mut shown = String::new();
        for (first, last) in [(1, 250), (251, 500), (501, 750)] {
            shown += &agent.bash(format!("sed -n '{first},{last}p' pending.md"));
            mount.clock.advance(Duration::from_secs(50));
        }
        assert_eq!(shown, all, "{}", profile.name);
        assert_eq!(mount.slugs(), ["long_done"], "{}", profile.name);
        agent.end();
    }
}

/// spec 6.7a, 6.7b: the other programs that show pages.
#[test]
fn with_other_programs() {
    let pages = [
        "awk 'NR<=250' pending.md",
        "awk 'NR>250 && NR<=500' pending.md",
        "mawk 'NR>500' pending.md",
        "nl -ba pending.md | sed -n '1,250p' | cut -f2-",
        "nl -ba pending.md | sed -n '251,500p' | cut -f2-",
        "busybox sed -n '501,$p' pending.md",
        "sed -n -e '1,250p' pending.md",
        "sed -nE '251,500p' pending.md",
        "busybox awk 'NR>500' pending.md",
    ];
    let (mount, all) = long();
    let mut agent = Agent::start(&mount, &CODEX);
    for three in pages.chunks(3) {
        let shown: String = three.iter().map(|page| agent.bash(*page)).collect();
        assert_eq!(shown, all, "{three:?}");
    }
}

/// spec 6.7c: between two pages another program finds nothing, and its end does not end the second look.
#[test]
fn another_program_between_two_pages() {
    let (mount, all) = long();
    let mut agent = Agent::start(&mount, &CODEX);
    let first = agent.bash("sed -n '1,250p' pending.md");
    assert_eq!(agent.bash("cat pending.md"), "");
    mount.sh("w", "echo new > new.md");
    assert!(agent.bash("cat pending.md").ends_with("new\n"));
    assert_eq!(first + &agent.bash("sed -n '251,$p' pending.md"), all);
    agent.end();
}

/// spec 6.7a, 6.7e, 5.1: a session that the user has named pages likewise; one that is a terminal's or the kernel's does not, and
/// neither does a program that is not known for it.
#[test]
fn in_other_sessions() {
    let first = "sed -n '1,250p' pending.md";
    let rest = "sed -n '251,$p' pending.md";
    let (mount, all) = long();
    let shown = mount.sh("named", first) + &mount.sh("named", rest);
    assert_eq!(shown, all);
    assert_eq!(mount.sh("other", rest), "", "it has been read");

    drop(mount);
    let mount = Mount::without_agents();
    mount.sh("w", "seq 600 > long.md");
    let shown = succeeds(&mut mount.alone("bash", &format!("{first}; {rest}")));
    assert_eq!(shown.lines().count(), 250);
}

/// spec 6.7a: which programs read pages is settable.
#[test]
fn with_a_program_of_ones_own() {
    let mount = Mount::with(|options| {
        let pages = handoff_fs::programs::Role::PageReader;
        options.programs.amend(pages, "fold").unwrap();
        options.programs.amend(pages, "!awk").unwrap();
    });
    let mut agent = Agent::start(&mount, &CODEX);
    mount.sh("w", "echo one > n.md");
    let shown = agent.bash("fold pending.md");
    assert!(shown.ends_with("one\n"), "{shown}");
    assert_eq!(agent.bash("fold pending.md"), shown);
    mount.clock.advance(Duration::from_secs(121));
    mount.sh("w", "echo two > n.md");
    assert!(agent.bash("awk 1 pending.md").ends_with("two\n"));
    assert_eq!(agent.bash("awk 1 pending.md"), "");
}

/// spec 6.7b, 6.2c: the agents' own tools read the whole for every page: the same bytes and the same size, after a pause and
/// from another process of the agent. A look at it tells that size, and an mtime that does not move.
#[test]
fn with_ones_own_tools() {
    for profile in ALL.into_iter().filter(|it| it.comm != "codex") {
        let (mount, all) = long();
        let mut agent = Agent::start(&mount, profile);
        let read = Order::Read {
            path: "pending.md".into(),
        };
        assert_eq!(agent.read("pending.md"), all, "{}", profile.name);
        mount.clock.advance(Duration::from_secs(100));
        assert_eq!(
            agent.mention("pending.md"),
            all.len().to_string(),
            "{}",
            profile.name
        );
        let child = Order::Child(Box::new(read.clone()));
        assert_eq!(agent.does(&child), all, "{}", profile.name);
        // Claude Code does not even open it.
        if profile.comm != "claude" {
            assert_eq!(agent.does(&read), all, "{}", profile.name);
        }
        assert_eq!(mount.peek(), [""; 0]);
        agent.end();
    }
}

/// spec 6.7b: two agents that are started together, and read by themselves, share out what there is.
#[test]
fn two_agents_share_out() {
    let mount = Mount::new();
    for round in 0..5 {
        mount.sh("w", "for i in 1 2 3 4 5 6; do echo text $i > n$i.md; done");
        let (one, two) = [(&CLAUDE_CODE, &GEMINI), (&GEMINI, &GEMINI)][round % 2];
        let mut agents = [Agent::start(&mount, one), Agent::start(&mount, two)];
        for agent in &mut agents {
            agent.hook("true");
        }
        let shown: Vec<String> = std::thread::scope(|scope| {
            let reads: Vec<_> = agents
                .iter_mut()
                .map(|agent| scope.spawn(|| agent.read("pending.md")))
                .collect();
            reads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let all = sorted(shown.iter().flat_map(|it| crate::harness::bodies(it)));
        let expected: Vec<String> = (1..=6).map(|i| format!("text {i}")).collect();
        assert_eq!(all, expected);
        // Each finds again what it was given, and nothing of the other's.
        for (agent, shown) in agents.iter_mut().zip(&shown) {
            let again = agent.bash("sed -n '1,$p' pending.md");
            assert_eq!(again, *shown);
        }
    }
}
