//! A program that edits is killed at each of its system calls in turn (spec 4.4d, 4.9b).

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use crate::actors::Disguise;
use crate::harness::{Mount, list, sorted};

/// The calls that change something, or that let go of what was changed.
const CALLS: &str = "openat,write,dup2,close,ftruncate,fsync,fchmod,fchown,rename,renameat,renameat2,unlink,unlinkat";

const OLD: &str = "the old text, first half\nthe old text, second half\n";
const NEW: &str = "the new text, first half\nthe new text, second half\n";

/// What a killed program may leave besides the old content or the new one.
#[derive(Clone, Copy)]
enum Leaves {
    /// Nothing: one of these is under the name of the handoff.
    NothingElse,
    /// The backup: the program renames the old file away before it writes the new one.
    Backup,
}

/// A program that edits `n.md`.
struct Edit<'a> {
    program: &'a str,
    /// `$f` is the name that it is given.
    arguments: &'a [&'a str],
    /// Whether the program is given the stamped name instead of the alias.
    stamped: bool,
    /// The calls at which the program is killed; with `here` only those on the file itself.
    calls: &'a str,
    here: bool,
    leaves: Leaves,
}

impl<'a> Edit<'a> {
    /// Killed at any of [`CALLS`], the edit leaves nothing but the old content or the new one.
    fn by(program: &'a str, arguments: &'a [&'a str]) -> Edit<'a> {
        Edit {
            program,
            arguments,
            stamped: false,
            calls: CALLS,
            here: false,
            leaves: Leaves::NothingElse,
        }
    }

    /// Runs it on a new handoff under strace, with these options; returns how that ended, and the calls it made.
    fn run(&self, mount: &Mount, options: &[String]) -> (ExitStatus, Vec<String>) {
        mount.write("a", "n.md", OLD.as_bytes());
        mount.settle();
        let file = match self.stamped {
            true => mount.stamped("n"),
            false => "n.md".to_owned(),
        };
        let log = mount.outside("calls");
        let mut strace = mount.command("a", "strace");
        strace.args(["-qqq", "-e", &format!("trace={}", self.calls), "-o"]);
        strace.arg(&log).args(options);
        if self.here {
            strace.args(["-P", &file]);
        }
        let arguments = self.arguments.iter().map(|it| it.replace("$f", &file));
        let status = strace.arg(self.program).args(arguments).env("f", &file);
        let status = status.stderr(Stdio::null()).status().unwrap();
        let log = fs::read_to_string(log).unwrap();
        let calls = log.lines().filter_map(|line| line.split_once('('));
        (status, calls.map(|(call, _)| call.to_owned()).collect())
    }

    /// Kills it at the beginning of every call that it makes, one after the other; that call is not made any more.
    fn killed_at_every_call(&self) {
        let mount = Mount::new();
        let (status, calls) = self.run(&mount, &[]);
        assert!(status.success(), "{}: {status}", self.program);
        self.check(&mount, "not killed", false);
        assert!(calls.len() > 2, "{}: {calls:?} cannot be all", self.program);
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for call in &calls {
            let nth = counts.entry(call).or_default();
            *nth += 1;
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let (status, _) = self.run(&mount, &["-e".to_owned(), inject]);
            let case = format!("{} killed at {call} {nth}", self.program);
            assert_eq!(status.signal(), Some(9), "{case}: {status}");
            self.check(&mount, &case, true);
        }
    }

    /// Checks what readers find.
    fn check(&self, mount: &Mount, case: &str, killed: bool) {
        let case = format!("{case}: {:?}", mount.names());
        let found = |slug: &str| {
            let is = mount.slugs().iter().any(|it| it == slug);
            is.then(|| mount.text(mount.stamped(slug)))
        };
        let (whole, partial) = (found("n"), found("n-partial"));
        if let Some(partial) = &partial {
            assert!(killed && NEW.starts_with(partial), "{case}: {partial:?}");
            assert!(!partial.is_empty(), "{case}");
        }
        match (whole.as_deref(), self.leaves) {
            (Some(NEW), _) => {}
            (Some(OLD), _) => assert!(killed, "{case}"),
            (Some("") | None, Leaves::Backup) => {
                assert_eq!(mount.text("n.md~"), OLD, "{case}");
            }
            (whole, _) => panic!("{case}: {whole:?}"),
        }
        let mut expected: Vec<String> = [whole, partial].into_iter().flatten().collect();
        expected.retain(|content| !content.is_empty());
        let taken = sorted(mount.take("r"));
        expected.sort();
        let expected: Vec<_> = expected
            .iter()
            .map(|it| it.trim_end_matches('\n'))
            .collect();
        assert_eq!(taken, expected, "{case}");
        mount.sh(
            "a",
            "rm -f * .n*; test -z \"$(ls -A | grep -v pending.md)\"",
        );
        for kept in list(&mount.below(".handoff-fs/replaced")) {
            fs::remove_file(mount.below(".handoff-fs/replaced").join(kept)).unwrap();
        }
    }
}

/// spec 4.4d, 4.9b: `sed -i`, through the alias and under the stamped name.
#[test]
fn sed_in_place() {
    for stamped in [false, true] {
        let edit = Edit::by("sed", &["-i", "s/old/new/", "$f"]);
        Edit { stamped, ..edit }.killed_at_every_call();
    }
}

/// spec 4.4d, 4.9b: `perl -i`.
#[test]
fn perl_in_place() {
    Edit::by("perl", &["-pi", "-e", "s/old/new/", "$f"]).killed_at_every_call();
}

/// Reads the file, empties it and writes it in two writes.
const REWRITE: &str = r#"mapfile -t lines < "$f"; { printf '%s\n' "${lines[0]/old/new}"; printf '%s\n' "${lines[1]/old/new}"; } > "$f""#;

/// spec 4.4d, 4.9b: an agent opens with O_TRUNC a file that it has read.
#[test]
fn an_agents_rewrite() {
    let claude = Disguise::bash("claude");
    let program = claude.path();
    let edit = Edit::by(program.to_str().unwrap(), &["-c", REWRITE]);
    Edit { here: true, ..edit }.killed_at_every_call();
}

/// spec 4.5b, 4.9b: any program does the same under the stamped name.
#[test]
fn a_rewrite_of_a_stamped_name() {
    let edit = Edit {
        here: true,
        stamped: true,
        ..Edit::by("bash", &["-c", REWRITE])
    };
    edit.killed_at_every_call();
}

/// spec 4.4d, 4.9b: vim, which opens without O_TRUNC and then truncates; or renames the old file away and writes a new one.
#[test]
fn vim() {
    for (copy, leaves) in [("yes", Leaves::NothingElse), ("no", Leaves::Backup)] {
        let set = format!("set backupskip= backupcopy={copy}");
        #[rustfmt::skip]
        let arguments = ["-u", "NONE", "-n", "--cmd", &set, "-es", "-c", "%s/old/new/", "-c", "wq", "$f"];
        let edit = Edit {
            calls: "write,ftruncate,fsync,chmod,fchmod,fchown,rename,unlink",
            leaves,
            ..Edit::by("vim", &arguments)
        };
        edit.killed_at_every_call();
    }
}
