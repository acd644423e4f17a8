//! The daemon, its supervisor, or both are killed at random moments, again and again, while writers and readers of every kind
//! run as processes of their own; every acknowledged handoff is accounted for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use handoff_fs::names::StampedName;
use rustix::process::Signal;

use crate::background::{Mounted, until};
use crate::crash::announced;
use crate::harness::{KillOnDrop, list, python};
use crate::sandbox::Sandbox;
use crate::torture;

/// Between two looks at everything, for which the clients stop.
const KILLS_A_ROUND: u64 = 10;

const TOOLS: &[&str] = &[
    "echo", "append", "stamped", "queue", "cp", "cat", "busybox", "peek",
];
const PYTHON: &[&str] = &["rename", "fsync", "exact", "part"];

/// Where a body was found.
#[derive(Default)]
struct Places {
    pending: bool,
    consumed: bool,
}

/// The results of all rounds.
#[derive(Default)]
struct Seen {
    acknowledged: usize,
    kills: [u64; 3],
    recovered: Vec<Duration>,
    /// Everything acknowledged that was not seen consumed and taken away.
    open: HashSet<String>,
    /// How often each body was delivered: to readers that were told of the end, and to readers that were not.
    delivered: HashMap<String, (u32, u32)>,
    lost: Vec<String>,
    torn: Vec<String>,
    unread: Vec<String>,
    /// Delivered twice, and why: it changed; its first reader was cut off at the end; or else.
    twice_changed: usize,
    twice_cut: usize,
    twice_other: usize,
}

/// The ids of the whole bodies in a text; and of those that are not whole.
fn bodies(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut whole, mut torn) = (Vec::new(), Vec::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((id, n)) = line
            .strip_prefix("begin ")
            .and_then(|it| it.split_once(' '))
        else {
            if line.starts_with("line ") || line.starts_with("end ") {
                torn.push(line.to_owned());
            }
            continue;
        };
        let (expected, mut left) = (format!("line {id}"), n.parse().unwrap_or(usize::MAX));
        while lines.next_if(|line| *line == expected).is_some() {
            left = left.wrapping_sub(1);
        }
        let end = format!("end {id}");
        if lines.next_if(|line| *line == end).is_some() && left == 0 {
            whole.push(id.to_owned());
        } else {
            torn.push(id.to_owned());
        }
    }
    (whole, torn)
}

/// An agent's versions of one handoff: `agent-PID-N.VERSION`; the later ones stand for the earlier ones (spec 4.4b).
fn version(id: &str) -> Option<(&str, u32)> {
    let (chain, version) = id.split_once('.')?;
    Some((chain, version.parse().ok()?))
}

struct Clients(Vec<KillOnDrop>);

impl Clients {
    fn start(sandbox: &Sandbox) -> Clients {
        let _ = fs::remove_file(sandbox.path("stop"));
        let errors = || {
            let file = fs::File::options()
                .create(true)
                .append(true)
                .open(sandbox.path("errors"));
            Stdio::from(file.unwrap())
        };
        let tools = TOOLS.iter().map(|which| {
            let mut command = sandbox.command("bash");
            command.arg("kill_loop.sh").arg(which);
            command
        });
        let python = PYTHON.iter().map(|which| {
            let mut command = sandbox.command("/usr/bin/python3");
            command.arg("kill_loop.py").arg(which);
            command
        });
        let mut agent = sandbox.command(sandbox.path("claude"));
        agent.args(["kill_loop.py", "agent"]);
        let commands = tools.chain(python).chain([agent]);
        Clients(
            commands
                .map(|mut command| KillOnDrop(command.stderr(errors()).spawn().unwrap()))
                .collect(),
        )
    }

    /// Lets each end what it is doing.
    fn stop(mut self, sandbox: &Sandbox) {
        fs::write(sandbox.path("stop"), "").unwrap();
        for client in &mut self.0 {
            client.0.wait().unwrap();
        }
    }
}

/// The mount answers again: `pending.md` is nowhere but in a live one.
fn usable(mounted: &Mounted<'_>) {
    until("the mount is usable again", || {
        fs::metadata(mounted.at("pending.md")).ok()
    });
}

fn kill(mounted: &Mounted<'_>, which: usize, seen: &mut Seen) {
    let (daemon, supervisor) = mounted.processes();
    seen.kills[which] += 1;
    match which {
        0 => {
            daemon.kill();
            let start = Instant::now();
            usable(mounted);
            seen.recovered.push(start.elapsed());
            mounted.comes_back(&daemon);
        }
        1 => {
            supervisor.kill();
            mounted.awaits(|status| {
                let pid = &status["supervisor"]["pid"];
                pid.is_u64() && *pid != supervisor.pid
            });
        }
        _ => {
            // Neither is to see the other's end.
            daemon.signal(Signal::STOP);
            supervisor.kill();
            daemon.kill();
            let start = Instant::now();
            mounted.mount();
            usable(mounted);
            seen.recovered.push(start.elapsed());
        }
    }
}

/// Every queue's files: directory, name, content.
fn files(below: &Path) -> Vec<(PathBuf, String, String)> {
    let mut found = Vec::new();
    for queue in ["", "q0", "q1", "q2"] {
        let dir = below.join(queue);
        if !dir.exists() {
            continue;
        }
        for name in list(&dir) {
            if let Ok(content) = fs::read(dir.join(&name)) {
                found.push((
                    dir.clone(),
                    name,
                    String::from_utf8_lossy(&content).into_owned(),
                ));
            }
        }
    }
    found
}

/// While all clients are stopped: checks that every handoff is there, whole, and is consumed only if it was read.
fn account(sandbox: &Sandbox, mounted: &Mounted<'_>, seen: &mut Seen) {
    for log in list(&sandbox.path("acks")) {
        let path = sandbox.path("acks").join(log);
        let ids = fs::read_to_string(&path).unwrap();
        seen.acknowledged += ids.lines().count();
        seen.open.extend(ids.lines().map(str::to_owned));
        fs::remove_file(path).unwrap();
    }
    for read in list(&sandbox.path("reads")) {
        let path = sandbox.path("reads").join(&read);
        let merge = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let (whole, torn) = bodies(&merge);
        let heard = read.ends_with(".whole");
        // The read may have consumed although its answer did not arrive: a merge that was received in full counts.
        let announced = announced(&merge);
        let headers = merge
            .lines()
            .filter(|line| line.starts_with("<!-- handoff "))
            .count();
        if heard && !torn.is_empty() {
            // A partial handoff may have a part of a body.
            let partial = merge
                .lines()
                .filter(|line| line.starts_with("<!-- handoff "));
            if !partial.into_iter().any(|line| line.contains("-partial")) {
                seen.torn.push(format!("read {read}: {torn:?}"));
            }
        }
        if heard || announced == Some(headers) && torn.is_empty() {
            for id in whole {
                let count = seen.delivered.entry(id).or_default();
                match heard {
                    true => count.0 += 1,
                    false => count.1 += 1,
                }
            }
        }
        fs::remove_file(path).unwrap();
    }
    // Adopts what was written in between.
    sandbox.sh("cat m/.peek.md > peeked");
    let mut found: BTreeMap<String, Places> = BTreeMap::new();
    let mut consumed = Vec::new();
    for (dir, name, content) in files(&mounted.below) {
        let stamped = StampedName::parse(name.as_ref());
        let is_partial = stamped.is_some() && name.contains("-partial");
        let is_consumed = stamped.as_ref().is_some_and(|it| !it.is_pending());
        let (whole, torn) = bodies(&content);
        if !is_partial && !torn.is_empty() && stamped.is_some() {
            seen.torn.push(format!("{name}: {torn:?}"));
        }
        if is_consumed {
            consumed.push(dir.join(&name));
        }
        for id in whole {
            if is_consumed && !seen.delivered.contains_key(&id) {
                seen.unread.push(format!("{name}: {id}"));
            }
            let found = found.entry(id).or_default();
            match is_consumed {
                true => found.consumed = true,
                false => found.pending = true,
            }
        }
    }
    let mut newest: HashMap<&str, u32> = HashMap::new();
    for (chain, n) in found.keys().filter_map(|id| version(id)) {
        let newest = newest.entry(chain).or_default();
        *newest = n.max(*newest);
    }
    for id in &seen.open {
        let superseded = version(id)
            .is_some_and(|(chain, n)| newest.get(chain).is_some_and(|newest| *newest >= n));
        if !found.contains_key(id) && !superseded {
            seen.lost.push(id.clone());
        }
    }
    for (id, (heard, cut)) in &seen.delivered {
        if heard + cut < 2 {
        } else if id.starts_with("append-") && id.ends_with("-a") {
            // Added to after a reader's snapshot (spec 6.4c).
            seen.twice_changed += 1;
        } else if *cut > 0 && *heard <= 1 {
            seen.twice_cut += 1;
        } else {
            seen.twice_other += 1;
            println!("delivered twice: {id}");
        }
    }
    let wrong = [&seen.lost, &seen.torn, &seen.unread];
    assert!(
        wrong.iter().all(|it| it.is_empty()),
        "lost: {:?}\ntorn: {:?}\nconsumed unread: {:?}\n{}",
        seen.lost,
        seen.torn,
        seen.unread,
        sandbox.sh("ls -lR m; ls -lR acks; find m/.. -maxdepth 1; tail -300 .local/state/handoff-fs/*.log; tail -40 errors")
    );
    // Consumed handoffs are removed, so that the directory stays small.
    seen.delivered
        .retain(|id, _| found.get(id).is_some_and(|it| it.pending));
    for count in seen.delivered.values_mut() {
        // Counted.
        *count = (u32::from(count.0 > 0), u32::from(count.0 == 0));
    }
    let pending = |id: &String| found.get(id).is_some_and(|it| it.pending);
    seen.open.retain(|id| pending(id));
    for path in consumed {
        fs::remove_file(path).unwrap();
    }
}

/// spec 8.3b, 4.2a, 3.7a, 3.8, 6.3a: the daemon, its supervisor, or both may be killed at any moment: acknowledged
/// handoffs, also those that were written while nothing was mounted, are pending or consumed, whole; consumed handoffs
/// were read to their end; and the mount is usable again.
///
/// Each file has a name of its own: while nothing is mounted, who writes to a name that is there replaces what is there.
#[test]
fn killed_again_and_again() {
    let kills = torture::count(30, 1000);
    let mut random = torture::random();
    let mut sandbox = Sandbox::new();
    sandbox.allow(Duration::from_secs(120 + 10 * kills));
    for directory in ["acks", "reads"] {
        fs::create_dir(sandbox.path(directory)).unwrap();
    }
    fs::write(sandbox.path("kill_loop.py"), include_str!("kill_loop.py")).unwrap();
    fs::write(sandbox.path("kill_loop.sh"), include_str!("kill_loop.sh")).unwrap();
    symlink(python(), sandbox.path("claude")).unwrap();
    let mounted = Mounted::new(&sandbox);
    let mut seen = Seen::default();
    for _ in 0..kills.div_ceil(KILLS_A_ROUND) {
        let clients = Clients::start(&sandbox);
        for _ in 0..KILLS_A_ROUND {
            // Often at once, sometimes so late that the last death is no early one.
            let pause = match random.u32(0..5) {
                0 => random.u64(1000..1100),
                _ => random.u64(0..300),
            };
            thread::sleep(Duration::from_millis(pause));
            let which = [0, 0, 0, 1, 2][random.usize(0..5)];
            kill(&mounted, which, &mut seen);
        }
        clients.stop(&sandbox);
        account(&sandbox, &mounted, &mut seen);
    }
    let again = sandbox
        .sh("cat .local/state/handoff-fs/*")
        .matches("it is delivered again")
        .count();
    seen.recovered.sort();
    let median = seen.recovered[seen.recovered.len() / 2];
    let longest = *seen.recovered.last().unwrap();
    let late = seen
        .recovered
        .iter()
        .filter(|it| **it > Duration::from_secs(1))
        .count();
    let [daemon, supervisor, two] = seen.kills;
    torture::figure(
        "kills",
        format_args!("daemon {daemon}, supervisor {supervisor}, both {two}"),
    );
    torture::figure(
        "kills",
        format_args!(
            "{} acknowledged, {} lost, {} torn, {} consumed unread",
            seen.acknowledged,
            seen.lost.len(),
            seen.torn.len(),
            seen.unread.len()
        ),
    );
    torture::figure(
        "kills",
        format_args!(
            "delivered twice: {} added to after the snapshot, {} first to a reader that did not hear of the end, {} else; \
             {again} made pending again because a kill came between consuming and answering",
            seen.twice_changed, seen.twice_cut, seen.twice_other
        ),
    );
    torture::figure(
        "kills",
        format_args!(
            "usable again after {} ms (median), {} ms (longest), {late} after more than a second",
            median.as_millis(),
            longest.as_millis()
        ),
    );
    assert!(seen.acknowledged > 0 && daemon > 0);
    mounted.unmount();
}
