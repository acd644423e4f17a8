//! On the kernel's own `/proc`.

use super::*;

/// A real process that prints its pids, and then waits until it is dropped.
pub(super) struct Waiting(pub(super) Child, pub(super) Vec<u32>);

impl Waiting {
    pub(super) fn start(command: &mut Command) -> Waiting {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let pids = line
            .split_whitespace()
            .map(|pid| pid.parse().expect("a pid"))
            .collect();
        Waiting(child, pids)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // All its processes wait for the end of this pipe.
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

fn system() -> Resolver {
    Resolver::new(Box::<SystemProc>::default(), Arc::default())
}

/// spec 5.1, on the kernel's `/proc`: a detached child of an agent.
#[test]
fn a_real_agents_detached_child_is_its_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let agent = dir.path().join("claude");
    symlink("/bin/sh", &agent).expect("symlink");
    let inner = r#"echo "$0 $$"; read -r _; :"#;
    let outer = format!(r#"setsid sh -c '{inner}' "$$"; :"#);
    let waiting = Waiting::start(
        Command::new(agent)
            .args(["-c", &outer])
            .env_remove("HANDOFF_SESSION"),
    );
    let [agent, child] = waiting.1[..] else {
        panic!("two pids, not {:?}", waiting.1)
    };
    let resolver = system();
    let caller = resolver.caller(child, 0);
    assert_eq!(caller.process.map(|process| process.pid), Some(child));
    let Session::Agent(process) = caller.session else {
        panic!("{caller:?}")
    };
    assert_eq!(process.pid, agent);
    assert!(resolver.is_alive(process));
    drop(waiting);
    assert!(!resolver.is_alive(process));
}

/// spec 5.1, on the kernel's `/proc`: the environment.
#[test]
fn a_real_environment_names_the_session() {
    let mut command = Command::new("setsid");
    command
        .args(["sh", "-c", "echo $$; read -r _; :"])
        .env("HANDOFF_SESSION", "blue");
    let waiting = Waiting::start(&mut command);
    let caller = system().caller(waiting.1[0], 0);
    assert_eq!(caller.session, Session::named(b"blue"));
}

/// spec 5.4, on the kernel's `/proc`: the threads of this process, one of them ended.
#[test]
fn real_threads_are_one_process() {
    let tid = || -> u32 {
        let link = std::fs::read_link("/proc/thread-self").expect("/proc");
        link.file_name()
            .and_then(|name| name.to_str()?.parse().ok())
            .expect("a thread id")
    };
    let resolver = system();
    let here = tid();
    let caller = resolver.caller(here, 0);
    assert_eq!(
        caller.process.map(|process| process.pid),
        Some(std::process::id())
    );
    let there = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            assert!(resolver.same_process(tid(), here));
            tid()
        });
        thread.join().expect("the thread")
    });
    assert!(resolver.same_process(here, there));
    assert!(resolver.session_alive(&caller.session));
    assert!(!resolver.dying_by_signal(here));
}
