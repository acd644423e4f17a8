//! Processes as they come and go: in other PID namespaces, with a pid that was another's, left behind, in great numbers.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::actors::{Actor, Disguise};
use crate::daemon_process::Daemon;
use crate::harness::{Mount, bodies, sorted, succeeds};

/// Functions of the programs below.
const PRELUDE: &str = "
import os, select, signal, sys, time

def orphan():
    'Is nobody of those who started it any more, and so on no terminal of theirs.'
    parent = os.pidfd_open(os.getpid())
    if os.fork():
        # Waits for what the orphan says, and for its end.
        os.close(1)
        os._exit(0)
    select.select([parent], [], [])
    os.setsid()

def start_time(pid):
    return open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[19]

def waits(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def child(what):
    'Runs it in a child process of a kernel session of its own.'
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            what()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(repr(error) + '\\n')
            os._exit(1)
    return pid

def is_there(name):
    try:
        os.stat(name)
        return True
    except FileNotFoundError:
        return False

def write(name, text, mode='w'):
    with open(name, mode) as f: f.write(text)

def read(name):
    with open(name) as f: return f.read()
";

/// Runs a Python program, with the mount as its working directory and no session given; panics unless it succeeds.
/// Returns its output.
fn python(dir: &Path, script: &str) -> String {
    let mut python = Command::new("/usr/bin/python3");
    python
        .arg("-c")
        .arg(format!("{PRELUDE}{script}"))
        .current_dir(dir)
        .env_remove("HANDOFF_SESSION")
        .stdin(Stdio::null());
    succeeds(&mut python)
}

/// spec 5.1, 5.4: a caller in a PID namespace below the daemon's is a process like any other to it, with a `/proc` of its own or
/// without: an agent's is the agent's, and another's is not.
#[test]
fn callers_in_a_namespace_below_needs_root() {
    let mount = Mount::new();
    let claude = Disguise::bash("claude");
    for own_proc in ["--mount-proc", "--pid"] {
        let script = format!(
            "echo one > n.md
            unshare --pid --fork {own_proc} bash -c 'echo $$; cat n.md; echo two >> n.md; setsid -w cat n.md; echo in > inner.md'
            cat n.md inner.md; true"
        );
        let run = |script: &str| {
            let mut command = mount.command("", claude.path());
            command.args(["-c", script]).env_remove("HANDOFF_SESSION");
            command.output().unwrap()
        };
        let output = run(&script);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(shown, "1\none\none\ntwo\none\ntwo\nin\n", "{own_proc}");
        // Another agent, whose processes have the same pids in a namespace of their own.
        let output = run(&format!(
            "unshare --pid --fork {own_proc} bash -c 'cat n.md || echo other > n.md; cat n.md'; true"
        ));
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "other\n",
            "{own_proc}"
        );
        assert_eq!(
            sorted(mount.take("r")),
            ["in", "one\ntwo", "other"],
            "{own_proc}"
        );
    }
}

/// spec 5.1: the same without an agent: HANDOFF_SESSION counts there too, and an agent inside is an agent.
#[test]
fn sessions_in_a_namespace_below_needs_root() {
    let mount = Mount::new();
    let claude = Disguise::bash("claude");
    let inside = |session: &str, script: &str| {
        let mut command = mount.command(session, "unshare");
        command.args(["--pid", "--fork", "--mount-proc", "bash", "-c", script]);
        command.env("claude", claude.path());
        if session.is_empty() {
            command.env_remove("HANDOFF_SESSION");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    inside("blue", "echo one > n.md");
    assert_eq!(inside("blue", "setsid -w cat n.md"), "one\n");
    assert_eq!(
        inside("red", "cat n.md 2> /dev/null || echo none"),
        "none\n"
    );
    let script = "\"$claude\" -c 'echo two > n.md; setsid -w cat n.md; true'; \"$claude\" -c 'cat n.md; true' 2> /dev/null";
    assert_eq!(inside("", script), "two\n");
}

/// A daemon and all its callers in a PID namespace of their own, where a pid can be given a second time.
const SAME_PID: &str = "
# The first of a namespace starts the daemon, and ends it. No terminal is its children's.
import subprocess
os.setsid()
program, mountpoint, claude = sys.argv[1:]
daemon = subprocess.Popen([program, 'mount', '--foreground', '--report-ready', '--no-sync', '--', mountpoint], stdout=subprocess.PIPE)
assert daemon.stdout.readline().startswith(b'ready ')
os.chdir(mountpoint)
WANTED = 5000

# Whichever of its threads starts later could have that number, for good.
def has_started():
    threads = f'/proc/{daemon.pid}/task'
    def name(tid):
        try: return open(f'{threads}/{tid}/comm').read().strip()
        except OSError: return 'ended'
    names = {name(tid) for tid in os.listdir(threads)}
    return {'sweep', 'fuser-7'} <= names
began = time.monotonic()
while not has_started():
    assert time.monotonic() < began + 60, 'not all of its workers have started'
    time.sleep(0.001)

def again(what):
    'A child with the pid WANTED, which started at another time than the one before.'
    end = time.monotonic() + 60
    while True:
        assert time.monotonic() < end, f'{WANTED} is in use'
        with open('/proc/sys/kernel/ns_last_pid', 'w') as f: f.write(str(WANTED - 1))
        go, wait = os.pipe()
        def waits_for_go():
            os.close(wait)
            if os.read(go, 1) != b'!': os._exit(0)
            what()
        pid = child(waits_for_go)
        started = start_time(pid)
        os.close(go)
        right = pid == WANTED and int(started) > again.ended
        if right: os.write(wait, b'!')
        os.close(wait)
        status = waits(pid)
        if right:
            # Of its children, too, none started in the same tick as any of the next.
            again.ended = int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf('SC_CLK_TCK'))
            return status
again.ended = 0

def agent(script):
    return lambda: os.execv(claude, ['claude', '-c', script])

try:
    # The kernel's session; with an alias that was written, one that was consumed, and one that was unlinked.
    def first():
        write('n.md', 'one'); assert read('n.md') == 'one'
        write('gone.md', 'gone'); os.unlink('gone.md')
    def second():
        assert os.getsid(0) == os.getpid() == WANTED
        assert not is_there('n.md')
        write('n.md', 'two', 'a'); assert read('n.md') == 'two'
        write('gone.md', 'new'); assert read('gone.md') == 'new'
        merge = read('pending.md')
        assert 'one' in merge and 'two' in merge and 'new' in merge, merge
        # What was unlinked by another is not pending again.
        assert '/3:' in merge and 'gone\\n' not in merge, merge
        names = [name for name in os.listdir('.') if name.endswith('n_done.md')]
        assert names, os.listdir('.')
        global consumed
        consumed = names[0].replace('_done', '')
        assert is_there(consumed)
        write(claude + '.consumed', consumed)
    def third():
        consumed = read(claude + '.consumed')
        assert not is_there(consumed) and not is_there('n.md')
    assert again(first) == 0
    assert again(second) == 0
    assert again(third) == 0

    # An agent, and its child that is left behind.
    assert again(agent('echo three > a.md; cat a.md > /dev/null')) == 0
    assert again(agent('test ! -e a.md && echo four >> a.md && test \"$(cat a.md)\" = four')) == 0
    # It has not read what the one before had: it edits nothing.
    assert again(agent('echo five > b.md; read -r _ < b.md')) == 0
    assert again(agent('echo six > b.md')) == 0
    merge = read('pending.md')
    for body in ['three', 'four', 'five', 'six']:
        assert f'\\n{body}\\n' in merge, merge
finally:
    os.chdir('/')
    daemon.terminate()
    assert daemon.wait() == 0
";

/// spec 5.5, 4.3d, 4.5g, 6.6b: a session is a pid and its start time. A process that is given the pid of an ended one
/// has none of its aliases, neither of what it wrote nor of what it consumed, takes back nothing that it unlinked, and
/// edits nothing of it.
#[test]
fn a_pid_that_was_anothers_needs_root() {
    let dir = tempfile::tempdir().unwrap();
    let mountpoint = dir.path().join("m");
    fs::create_dir(&mountpoint).unwrap();
    let claude = Disguise::bash("claude");
    let status = Command::new("unshare")
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "/usr/bin/python3",
            "-c",
        ])
        .arg(format!("{PRELUDE}{SAME_PID}"))
        .arg(env!("CARGO_BIN_EXE_handoff-fs"))
        .args([&mountpoint, &claude.path()])
        .env_remove("HANDOFF_SESSION")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

/// spec 4.3d, 5.1: with the agent its aliases end; what it left behind lives on and can write. So does a child of it that
/// was never heard of before.
#[test]
fn an_agent_that_ended() {
    let mount = Mount::new();
    let at = |name: &str| mount.outside(name).display().to_string();
    for fifo in ["up", "go", "done", "silent-go", "silent-done"] {
        let (kind, mode) = (rustix::fs::FileType::Fifo, 0o600.into());
        rustix::fs::mknodat(rustix::fs::CWD, mount.outside(fifo), kind, mode, 0).unwrap();
    }
    let heard = "cat n.md > $1/seen; echo > $1/up; read -r _ < $1/go
        cat n.md > $1/then 2> /dev/null; echo left >> n.md; cat n.md > $1/after; echo > $1/done";
    let silent = "read -r _ < $1/silent-go; cat n.md > $1/silent-then 2> /dev/null
        echo silent > n.md; cat n.md > $1/silent-after; echo > $1/silent-done";
    let mut agent = Actor::agent(&mount, "claude");
    agent.run("import subprocess; open('n.md', 'w').write('one')");
    for script in [heard, silent] {
        let devnull = "stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL";
        agent.run(&format!(
            "subprocess.Popen(['setsid', 'sh', '-c', {script:?}, 'sh', {:?}], {devnull})",
            at("")
        ));
    }
    fs::read(at("up")).unwrap();
    drop(agent);
    mount.fs().sweep();
    for (go, done) in [("go", "done"), ("silent-go", "silent-done")] {
        fs::write(at(go), "\n").unwrap();
        fs::read(at(done)).unwrap();
    }
    let shown = |name: &str| fs::read_to_string(at(name)).unwrap();
    assert_eq!(["seen", "then", "after"].map(shown), ["one", "", "left\n"]);
    assert_eq!(["silent-then", "silent-after"].map(shown), ["", "silent\n"]);
    let mut next = Actor::agent(&mount, "claude");
    assert_eq!(next.fails("open('n.md')"), "ENOENT");
    assert_eq!(sorted(mount.take("r")), ["left", "one", "silent"]);
}

/// spec 5.1: a terminal within a terminal, as of tmux or script: it is the inner one that counts inside.
#[test]
fn a_terminal_within_a_terminal() {
    let mount = Mount::without_agents();
    let inner = mount.outside("inner.sh");
    fs::write(
        &inner,
        "cat n.md || echo two > n.md; cat n.md; setsid -w cat n.md",
    )
    .unwrap();
    let outer = mount.outside("outer.sh");
    let script = format!(
        "echo one > n.md; script -qec 'sh {}' /dev/null; cat n.md",
        inner.display()
    );
    fs::write(&outer, script).unwrap();
    let mut outer = mount.on_terminal(&format!("sh {}", outer.display()));
    let shown = succeeds(&mut outer).replace('\r', "");
    let (inside, after) = shown.split_once("two\n").unwrap();
    assert!(!inside.contains("one"), "{shown}");
    assert_eq!(after, "two\none\n", "{shown}");
    assert_eq!(sorted(mount.take("r")), ["one", "two"]);
}

/// Chains of short processes, each in a kernel session of its own, that write under one name, append and read it back.
const BURST: &str = "
orphan()
import subprocess

def one(body):
    def what():
        assert not is_there('x.md')
        write('x.md', body); write('x.md', '+', 'a')
        assert read('x.md') == body + '+'
    return what

def chain(number):
    for i in range(EACH):
        assert waits(child(one(f'{number}-{i}'))) == 0
        if i % 10 == 0:
            script = 'echo $$ > x.md; read -r v < x.md; test $v = $$'
            subprocess.run(['setsid', '-w', 'sh', '-c', script], check=True)
    os._exit(0)

chains = []
for number in range(CHAINS):
    pid = os.fork()
    if pid == 0: chain(number)
    chains.append(pid)
assert all(waits(pid) == 0 for pid in chains)
print('through')
";

/// spec 5.5, 4.3a, 1: two thousand processes in a few seconds: each finds what it wrote and nothing else, every handoff is
/// there, and the daemon's memory stays small.
#[test]
fn a_burst_of_processes() {
    const CHAINS: usize = 3;
    const EACH: usize = 600;
    let dir = tempfile::Builder::new()
        .prefix("handoff-fs-test-")
        .tempdir()
        .unwrap();
    let daemon = Daemon::over(dir, &[]);
    let before = daemon.peak();
    let burst = BURST
        .replace("CHAINS", &CHAINS.to_string())
        .replace("EACH", &EACH.to_string());
    assert_eq!(python(&daemon.at(""), &burst), "through\n");
    let rise = daemon.peak() - before;
    let merge = fs::read_to_string(daemon.at(".peek.md")).unwrap();
    let bodies: HashSet<String> = bodies(&merge).into_iter().collect();
    let lost: Vec<String> = (0..CHAINS)
        .flat_map(|chain| (0..EACH).map(move |i| format!("{chain}-{i}+")))
        .filter(|body| !bodies.contains(body))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    println!("{rise} KiB more for {} handoffs", bodies.len());
    assert!(rise < 16 << 10, "{rise} KiB");
}
