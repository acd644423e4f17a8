//! The daemon is killed at random moments while programs edit: each handoff is the old one or the new one, whole.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::harness::{bodies, python, slug};
use crate::sandbox::Sandbox;
use crate::torture;

const ROUNDS: usize = 8;

/// Edits `$1` by what `$2` says, over and over; says each version once it is acknowledged, until the daemon is gone.
const AGENT: &str = "
import os, sys
name, how = sys.argv[1:]
def body(n): return f'begin {n}\\n' + f'line {n}\\n' * 600 + f'end {n}\\n'
def write(path, n):
    with open(path, 'w') as f:
        half = len(body(n)) // 2
        f.write(body(n)[:half]); f.flush(); f.write(body(n)[half:])
n = 0
try:
    while True:
        if n: assert open(name).read() == body(n - 1)
        if how == 'truncate': write(name, n)
        else:
            write(name + '.tmp.1.0123456789ab', n)
            os.rename(name + '.tmp.1.0123456789ab', name)
        print(n, flush=True)
        n += 1
except OSError as error:
    os._exit(0)
";

/// The same under a stamped name, by `sed -i`.
const SED: &str = "
{ echo begin 0; for i in $(seq 600); do echo line 0; done; echo end 0; } > \"$1\"; echo 0
for n in $(seq 100000); do sed -i \"s/[0-9]*$/$n/\" \"$1\" 2> /dev/null || exit 0; echo $n; done";

/// The version of a whole content.
fn version(content: &str) -> Option<u64> {
    let n: u64 = content
        .lines()
        .next()?
        .strip_prefix("begin ")?
        .parse()
        .ok()?;
    let whole = format!("begin {n}\n{}end {n}", format!("line {n}\n").repeat(600));
    (content.trim_end_matches('\n') == whole).then_some(n)
}

/// spec 4.4d, 3.8, 4.2a: the version that was acknowledged last is there, or the next one, and never a part of one;
/// unfinished writes are no handoffs.
#[test]
fn killed_while_programs_edit() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("m")).unwrap();
    let claude = sandbox.path("claude");
    symlink(python(), &claude).unwrap();
    let mut random = torture::random();
    for round in 0..ROUNDS {
        let daemon = sandbox.mount();
        let moment = random.u64(5..35);
        let agent = |name: &str, how: &str| {
            let mut command = sandbox.command(&claude);
            command.args(["-c", AGENT, name, how]);
            command
        };
        let mut sed = sandbox.command("bash");
        sed.args(["-c", SED, "bash", "2026-01-02_030405_s.md"]);
        let commands = [agent("t.md", "truncate"), agent("r.md", "rename"), sed];
        let (sender, acknowledgements) = mpsc::channel();
        let editors: Vec<Child> = commands
            .into_iter()
            .enumerate()
            .map(|(which, mut command)| {
                command
                    .current_dir(sandbox.path("m"))
                    .stdout(Stdio::piped());
                let mut editor = command.spawn().unwrap();
                let output = BufReader::new(editor.stdout.take().unwrap());
                let sender = sender.clone();
                thread::spawn(move || {
                    for line in output.lines() {
                        sender
                            .send((which, line.unwrap().parse::<u64>().unwrap()))
                            .unwrap();
                    }
                });
                editor
            })
            .collect();
        drop(sender);
        let mut last = [None; 3];
        let mut since_all = 0;
        let mut daemon = Some(daemon);
        for (which, n) in acknowledgements {
            last[which] = Some(n);
            since_all += u64::from(last.iter().all(Option::is_some));
            if since_all == moment {
                daemon.take().unwrap().kill();
                since_all += 1;
            }
        }
        for mut editor in editors {
            assert!(editor.wait().unwrap().success());
        }
        let _daemon = sandbox.mount();
        let merge = bodies(&sandbox.sh("cat m/.peek.md"));
        assert_eq!(merge.len(), 3, "round {round}");
        for (which, wanted) in ["t", "r", "s"].into_iter().enumerate() {
            let names = sandbox.sh("ls m");
            let name = names.lines().find(|name| slug(name) == wanted).unwrap();
            let content = fs::read_to_string(sandbox.path("m").join(name)).unwrap();
            let case = format!(
                "round {round}, {wanted}: {:?} was acknowledged; {names}",
                last[which]
            );
            let n = version(&content).unwrap_or_else(|| panic!("{case}: {content}"));
            let acknowledged = last[which].unwrap();
            assert!(n == acknowledged || n == acknowledged + 1, "{case}: {n}");
            assert!(
                merge.contains(&content.trim_end_matches('\n').to_owned()),
                "{case}"
            );
        }
        sandbox.sh("rm -f m/*.md; rm -f m/* m/.t* m/.r*");
    }
}
