//! Agents that look twice: what they find again, and what other sessions find meanwhile.

use std::fs;
use std::time::Duration;

use super::director::{Agent, Background};
use super::{
    AIDER, ALL, CLAUDE_CODE, COPILOT, GEMINI, OPENCODE, OPENCODE_SCRIPT, Order, UNCHANGED,
};
use crate::actors::Actor;
use crate::harness::{Mount, bodies, sorted, succeeds};

const TWO_MINUTES: Duration = Duration::from_secs(121);

/// spec 6.7b: opencode sniffs up to 4,096 bytes of what it reads: of a short one the sniff meets the end, and what it shows
/// it reads after that.
#[test]
fn opencode_sniffs() {
    for profile in [&OPENCODE, &OPENCODE_SCRIPT] {
        for size in [10, 2_000, 3_900, 5_000] {
            let mount = Mount::new();
            mount.write("w", "n.md", &vec![b'x'; size]);
            let mut agent = Agent::start(&mount, profile);
            let shown = agent.read("pending.md");
            assert_eq!(bodies(&shown), ["x".repeat(size)], "{size}");
            assert_eq!(mount.slugs(), ["n_done"], "{size}");
            agent.end();
        }
    }
}

/// spec 6.7c: Copilot reads what a command names before it runs the command. What the command shows is shown once.
#[test]
fn copilot_reads_before_its_command() {
    for command in ["cat pending.md", "cat < pending.md", "sed '' pending.md"] {
        let mount = Mount::new();
        mount.sh("w", "echo one > n.md; echo two > n.md");
        let mut agent = Agent::start(&mount, &COPILOT);
        assert_eq!(bodies(&agent.bash(command)), ["one", "two"], "{command}");
        let slugs = mount.slugs();
        assert!(
            slugs.iter().all(|slug| slug.ends_with("_done")),
            "{slugs:?}"
        );
        assert_eq!(agent.bash(command), "", "{command}");
        mount.sh("w", "echo three > n.md");
        assert_eq!(bodies(&agent.bash(command)), ["three"], "{command}");
        agent.end();
    }
}

/// spec 6.7b, 6.7c: programs that show a part show a part of it, as often as they are run.
#[test]
fn copilot_shows_a_part() {
    let mount = Mount::new();
    mount.sh("w", "seq 100 > n.md");
    let mut agent = Agent::start(&mount, &COPILOT);
    for _ in 0..2 {
        assert_eq!(agent.bash("head -n 3 pending.md | tail -n 1"), "2\n");
        assert_eq!(agent.bash("tail -n 1 pending.md"), "100\n");
        assert_eq!(agent.bash("grep -c . pending.md"), "101\n");
        assert_eq!(agent.bash("sed -n 51p pending.md"), "50\n");
    }
    assert_eq!(agent.bash("cat pending.md | wc -l"), "101\n");
    assert_eq!(agent.bash("cat pending.md | wc -l"), "0\n");
}

/// spec 6.7b: aider opens a file twice, and the second time counts.
#[test]
fn aider_reads_twice() {
    let mount = Mount::new();
    mount.sh("w", "echo one > n.md");
    let mut agent = Agent::start(&mount, &AIDER);
    assert_eq!(bodies(&agent.read("pending.md")), ["one"]);
    assert_eq!(mount.slugs(), ["n_done"]);
}

/// spec 6.7b, 6.7c, 6.7e: handoffs that are written meanwhile are delivered to another session at once; to the agent
/// itself when its second look is over; to another program of the agent’s session together with what the agent was
/// shown, and then not again.
#[test]
fn what_comes_meanwhile() {
    let mount = Mount::new();
    mount.sh("w", "echo one > n.md");
    let mut agent = Agent::start(&mount, &GEMINI);
    let shown = agent.read("pending.md");
    assert_eq!(bodies(&shown), ["one"]);
    mount.sh("w", "echo two > n.md");
    assert_eq!(agent.read("pending.md"), shown);
    assert_eq!(mount.peek(), ["two"]);
    assert_eq!(agent.bash("grep -c . .peek.md"), "2\n");
    assert_eq!(mount.take("other"), ["two"]);
    mount.sh("w", "echo three > n.md");
    assert_eq!(agent.read("pending.md"), shown);
    // The size is that of what will be read.
    let both = agent.bash("stat -c %s pending.md > .size.tmp; cat pending.md");
    assert_eq!(bodies(&both), ["one", "three"]);
    assert_eq!(agent.bash("cat .size.tmp").trim(), both.len().to_string());
    assert_eq!(agent.bash("cat pending.md"), "");
    assert_eq!(agent.read("pending.md"), "");
    assert_eq!(mount.take("other"), [""; 0]);

    mount.sh("w", "echo four > n.md");
    assert_eq!(bodies(&agent.read("pending.md")), ["four"]);
    mount.sh("w", "echo five > n.md");
    mount.clock.advance(TWO_MINUTES);
    assert_eq!(bodies(&agent.read("pending.md")), ["five"]);
    assert_eq!(mount.peek(), [""; 0]);
}

/// spec 6.7b, 6.2c: the same mtime for as long as it lasts, and another one afterwards.
#[test]
fn the_mtime_stays() {
    let mount = Mount::new();
    mount.sh("w", "echo one > n.md");
    let mut agent = Agent::start(&mount, &CLAUDE_CODE);
    assert_eq!(bodies(&agent.read("pending.md")), ["one"]);
    mount.sh("w", "echo two > n.md");
    assert_eq!(agent.read("pending.md"), UNCHANGED);
    mount.clock.advance(TWO_MINUTES);
    assert_eq!(bodies(&agent.read("pending.md")), ["two"]);
}

/// spec 6.7d, 4.7b: an agent finds at once what it has written itself.
#[test]
fn what_it_wrote_itself() {
    let mount = Mount::new();
    mount.sh("w", "echo one > n.md");
    let mut agent = Agent::start(&mount, &GEMINI);
    assert_eq!(bodies(&agent.read("pending.md")), ["one"]);
    mount.clock.advance(Duration::from_secs(10));
    agent.write("pending.md", "mine\n");
    assert_eq!(bodies(&agent.read("pending.md")), ["mine"]);
    assert_eq!(mount.slugs(), ["n_done", "pending"]);
}

/// spec 6.7b: the second look ends after two minutes; setting the clock does not end it.
#[test]
fn it_ends_after_two_minutes() {
    let mount = Mount::new();
    for profile in [&GEMINI, &COPILOT] {
        mount.sh("w", "echo one > n.md");
        let mut agent = Agent::start(&mount, profile);
        let shown = agent.read("pending.md");
        mount.clock.retreat(Duration::from_secs(3600));
        mount.clock.advance(Duration::from_secs(110));
        assert_eq!(agent.read("pending.md"), shown);
        mount.clock.advance(Duration::from_secs(11));
        assert_eq!(agent.mention("pending.md"), "0");
        assert_eq!(agent.read("pending.md"), "");
        assert_eq!(agent.bash("cat pending.md"), "");
        agent.end();
    }
}

/// spec 6.7b: the second look ends with the agent, also for a process that the agent has left in the background.
#[test]
fn it_ends_with_the_agent() {
    let mount = Mount::new();
    mount.sh("w", "echo one > n.md; echo two > n.md");
    let mut agent = Agent::start(&mount, &CLAUDE_CODE);
    let background = Background::start(&mount, &mut agent, "head -n 1 $mount/pending.md");
    assert!(background.step().contains("handoffs: 2"));
    assert_eq!(bodies(&agent.read("pending.md")), ["one", "two"]);
    assert!(background.step().contains("handoffs: 2"));
    agent.end();
    assert_eq!(background.step(), "");
    let mut next = Agent::start(&mount, &CLAUDE_CODE);
    assert_eq!(next.read("pending.md"), "");
}

/// spec 6.2b, 6.7b, 6.7d: consumed handoffs may be changed, renamed, removed, or expire: the agent still finds the
/// bytes that it was shown. Other readers of its session find the handoffs as they are now.
#[test]
fn what_was_consumed_changes() {
    let mount = Mount::with(|options| options.retention = Duration::from_secs(60));
    let slugs = ["appended", "expired", "kept", "removed", "renamed"];
    for slug in slugs {
        mount.sh("w", &format!("echo {slug} > {slug}.md"));
    }
    let mut agent = Agent::start(&mount, &GEMINI);
    let shown = agent.read("pending.md");
    assert_eq!(bodies(&shown), slugs);
    let done = |slug: &str| mount.stamped(&format!("{slug}_done"));
    mount.sh("w", &format!("echo more >> {}", done("appended")));
    mount.sh("w", &format!("rm {}", done("removed")));
    let renamed = done("renamed");
    mount.sh(
        "w",
        &format!("mv {renamed} {}", renamed.replace("renamed", "other")),
    );
    mount.sh("w", &format!("touch -d '1 hour ago' {}", done("expired")));
    mount.fs().sweep();
    assert_eq!(mount.slugs(), ["appended_done", "kept_done", "other_done"]);
    assert_eq!(agent.read("pending.md"), shown);
    assert_eq!(bodies(&agent.bash("cat pending.md")), ["kept"]);
}

/// spec 6.7d, 6.6a: a handoff that was made pending again, or was changed before it was consumed, is new.
#[test]
fn what_is_new() {
    let mount = Mount::new();
    mount.sh("w", "echo one > one.md; echo two > two.md");
    let mut agent = Agent::start(&mount, &GEMINI);
    let shown = agent.read("pending.md");
    let one = mount.stamped("one_done");
    mount.sh("w", &format!("mv {one} {}", one.replace("_done", "")));
    assert_eq!(agent.read("pending.md"), shown, "and it consumes nothing");
    assert_eq!(mount.peek(), ["one"]);
    assert_eq!(
        sorted(bodies(&agent.bash("cat pending.md"))),
        ["one", "two"],
        "each of them once"
    );
    assert_eq!(mount.peek(), [""; 0]);
    assert_eq!(agent.read("pending.md"), "");

    let mut agent = Agent::start(&mount, &GEMINI);
    mount.sh("w", "echo three > three.md; echo four > four.md");
    let name = mount.stamped("four");
    let mut steps = agent.begins(&Order::Read {
        path: "pending.md".into(),
    });
    steps.until("read(");
    mount.sh("w", &format!("echo more >> {name}"));
    let shown = steps.finish();
    assert_eq!(bodies(&shown), ["three", "four"]);
    assert_eq!(agent.read("pending.md"), shown);
    assert_eq!(mount.take("other"), ["four\nmore"]);
}

/// Reads that get no second look, whichever session runs them.
fn nothing_twice(mount: &Mount, run: &mut dyn FnMut(&str) -> String) {
    mount.sh("w", "echo one > n.md; echo two > n.md");
    assert_eq!(
        bodies(&run("cat pending.md; cat pending.md")),
        ["one", "two"]
    );
    assert_eq!(run("cat pending.md"), "");
    mount.sh("w", "echo one > n.md");
    assert_eq!(bodies(&run("cat < pending.md; cat < pending.md")), ["one"]);
    mount.sh("w", "echo one > n.md");
    let script = "/usr/bin/python3 -c 'print(open(\"pending.md\").read()); print(open(\"pending.md\").read())'";
    assert_eq!(bodies(&run(script)), ["one\n\n"]);
    let write = ": > x.md; echo x > n.md; cat pending.md";
    for _ in 0..3 {
        assert_eq!(bodies(&run(write)), ["x"]);
    }
    mount.sh("w", "echo one > n.md; echo two > n.md");
    let wait = "while test -s pending.md; do cat pending.md; done";
    assert_eq!(bodies(&run(wait)), ["one", "two"]);
    mount.sh("w", "echo one > n.md");
    let wait = "while test -s pending.md; do sed -n '1,5p' pending.md; done";
    assert_eq!(bodies(&run(wait)), ["one"]);
    assert_eq!(mount.peek(), [""; 0]);
}

/// spec 6.7e: "any other program consumes at once", below an agent and without one.
#[test]
fn other_programs_consume_at_once() {
    let mount = Mount::new();
    nothing_twice(&mount, &mut |script| mount.sh("named", script));
    for profile in ALL.into_iter().filter(|it| it.name != COPILOT.name) {
        let mut agent = Agent::start(&mount, profile);
        nothing_twice(&mount, &mut |script| agent.bash(script));
        agent.end();
    }
    drop(mount);
    let mount = Mount::without_agents();
    nothing_twice(&mount, &mut |script| {
        succeeds(&mut mount.alone("bash", script))
    });
}

/// spec 6.7c: a loop that waits for the end of what there is ends, also after the agent itself has read.
#[test]
fn a_loop_ends() {
    let mount = Mount::new();
    mount.sh("w", "echo one > n.md");
    let mut agent = Agent::start(&mount, &CLAUDE_CODE);
    agent.read("pending.md");
    let wait = "while test -s pending.md; do cat pending.md; done";
    assert_eq!(bodies(&agent.bash(wait)), ["one"]);
}

/// spec 6.7b: a second look takes no turn, and does not wait for a turn.
#[test]
fn it_takes_no_turn() {
    let mount = Mount::new();
    mount.sh("w", "echo one > n.md");
    let mut agent = Agent::start(&mount, &GEMINI);
    let shown = agent.read("pending.md");
    mount.sh("w", "echo two > n.md");
    let mut other = Actor::new(&mount, "other");
    other.run("f = open('pending.md'); f.read(10)");
    let turns = || {
        let status = mount.status();
        let turns = status["turns"].as_array().unwrap();
        let pids = turns.iter().map(|turn| turn["pid"].as_u64().unwrap());
        pids.collect::<Vec<_>>()
    };
    let holder = [u64::from(other.pid())];
    assert_eq!(turns(), holder);
    let mut steps = agent.begins(&Order::Read {
        path: "pending.md".into(),
    });
    steps.until("read(");
    assert_eq!(turns(), holder);
    assert_eq!(steps.finish(), shown);
    assert_eq!(turns(), holder);
    other.run("f.read()");
    assert_eq!(turns(), [0; 0]);
}

/// spec 6.5a: opencode's own thread that indexes the files of a project consumes nothing.
#[test]
fn a_thread_that_indexes() {
    let mount = Mount::new();
    mount.sh("w", "echo one > n.md");
    let mut agent = Actor::agent(&mount, "opencode");
    let scan = "
import mmap
def scan(name, read):
    seen = []
    def run():
        with open(f'/proc/self/task/{threading.get_native_id()}/comm', 'w') as f: f.write(name)
        with open('pending.md', 'rb') as f: seen.append(read(f))
    thread = threading.Thread(target=run)
    thread.start(); thread.join()
    return len(seen[0])";
    agent.run(scan);
    let size = fs::metadata(mount.at("pending.md"))
        .unwrap()
        .len()
        .to_string();
    let mapped = "lambda f: mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)[:]";
    for read in ["lambda f: f.read()", mapped] {
        assert_eq!(agent.run(&format!("scan('fff-scan', {read})")), size);
        assert_eq!(mount.slugs(), ["n"], "{read}");
    }
    assert_eq!(agent.run("scan('Bun Pool 1', lambda f: f.read())"), size);
    assert_eq!(mount.slugs(), ["n_done"]);
}
