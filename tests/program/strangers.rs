//! Callers outside the daemon's PID namespace, of whom FUSE says nothing but the user (spec 5.4).

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::harness::bodies;
use crate::sandbox::Sandbox;

/// A daemon in a PID namespace of its own, mounted at `m`.
fn among_strangers(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command("unshare");
    command.args(["--pid", "--fork", "--kill-child"]);
    command.arg(env!("CARGO_BIN_EXE_handoff-fs"));
    command.args(["mount", "--foreground", "--report-ready", "--no-sync", "--"]);
    command.arg(sandbox.path("m"));
    let mut daemon = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    let mut stdout = BufReader::new(daemon.stdout.take().unwrap());
    stdout.read_line(&mut ready).unwrap();
    assert_eq!(
        ready, "ready 1\n",
        "the daemon is the first of its namespace"
    );
    daemon
}

/// spec 5.4, 4.1c, 4.3a, 6.3a: callers outside are one session, whose writers and readers disturb each other no more
/// than others: each write is a handoff of its own, every handoff is delivered, whole, and no caller gets an error.
#[test]
fn strangers_are_one_session() {
    let sandbox = Sandbox::new();
    let mut daemon = among_strangers(&sandbox);

    let seen = sandbox
        .sh("cd m; echo 1 > n.md; cat n.md; echo 2 > n.md; echo 3 >> n.md; cat n.md; ls | wc -l");
    assert_eq!(seen, "1\n2\n3\n3\n");
    assert_eq!(
        sandbox.sh("cd m; cp pending.md ../taken; echo x > pending.md; cat pending.md | tail -1"),
        "x\n"
    );

    let script = "import threading\n\
        got, errors = [], []\n\
        def write(t):\n\
        \x20   for i in range(40):\n\
        \x20       try:\n\
        \x20           with open('m/h.md', 'w') as f: f.write(f'body {t} {i}\\n')\n\
        \x20       except OSError as error: errors.append(error)\n\
        def read():\n\
        \x20   try: got.append(open('m/pending.md').read())\n\
        \x20   except OSError as error: errors.append(error)\n\
        writers = [threading.Thread(target=write, args=(t,)) for t in range(5)]\n\
        for writer in writers: writer.start()\n\
        while any(writer.is_alive() for writer in writers): read()\n\
        read()\n\
        open('got', 'w').write(''.join(got))\n\
        assert not errors, errors";
    let output = sandbox
        .command("python3")
        .args(["-c", script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let got = fs::read_to_string(sandbox.path("got")).unwrap();
    for (writer, n) in (0..5).flat_map(|writer| (0..40).map(move |n| (writer, n))) {
        assert!(
            got.contains(&format!("body {writer} {n}\n")),
            "{writer} {n}"
        );
    }
    drop(sandbox);
    assert!(daemon.wait().unwrap().success());
}

/// spec 5.4, 4.3b, 4.5f, 4.5g: appending, moving, removing and editing by name, one after the other. No such caller is
/// known as an editor, so `sed -i` makes another handoff.
#[test]
fn strangers_use_names() {
    let sandbox = Sandbox::new();
    let mut daemon = among_strangers(&sandbox);
    let taken =
        |script: &str| bodies(&sandbox.sh(&format!("set -e; cd m; {script}; cat pending.md")));
    assert_eq!(
        taken("echo a > n.md; echo b >> n.md; echo c | tee -a n.md > ../out"),
        ["a\nb\nc"]
    );
    assert_eq!(
        taken("echo d >> n.md; cat n.md > ../seen"),
        ["d"],
        "it was consumed"
    );
    assert_eq!(sandbox.sh("cat seen"), "d\n");
    assert_eq!(
        taken("echo a > n.md; mv n.md m.md; test ! -e n.md; echo b >> m.md"),
        ["a\nb"]
    );
    assert_eq!(
        taken("echo a > n.md; rm n.md; test ! -e n.md"),
        [""; 0],
        "retracted"
    );
    assert_eq!(
        taken("echo old > n.md; sed -i s/old/new/ n.md; test $(cat n.md) = new"),
        ["old", "new"]
    );
    assert_eq!(
        taken("echo one > x.tmp; mv x.tmp n.md; stat n.md > ../out; chmod 600 n.md"),
        ["one"]
    );
    assert_eq!(
        taken("mkdir q; echo in > q/n.md; mv q/n.md n.md; rmdir q"),
        ["in"]
    );
    assert_eq!(
        taken(
            "echo a > n.md; f=$(ls | grep -v _done | grep _n); sed -i s/a/b/ $f; mv $f ${f%.md}_done.md"
        ),
        [""; 0]
    );
    assert_eq!(taken("rm *_done.md"), [""; 0]);
    assert_eq!(sandbox.sh("ls m"), "pending.md\n");
    drop(sandbox);
    assert!(daemon.wait().unwrap().success());
}

/// The script of one caller, with names of its own and one that both use; `$1` is the caller.
const CALLER: &str = "
    set -e; cd m
    for i in $(seq 40); do
        echo $1-$i-shared > n.md
        echo $1-$i-own > $1.md; echo $1-$i-more >> $1.md; mv $1.md $1-$i.md
        echo $1-$i-renamed > $1.tmp; mv $1.tmp n.md
        echo $1-$i-old > $1-e.md; sed -i s/old/new/ $1-e.md
        echo $1-$i-gone > $1-g.md; rm $1-g.md
        cat pending.md >> ../got-$1
    done";

/// spec 5.4, 4.1c, 6.3a: two of them at the same time: no error for either, and everything that was not retracted is delivered.
#[test]
fn two_strangers_at_once() {
    let sandbox = Sandbox::new();
    let mut daemon = among_strangers(&sandbox);
    let callers = ["a", "b"].map(|who| {
        let mut bash = sandbox.command("bash");
        bash.args(["-c", CALLER, "bash", who]).spawn().unwrap()
    });
    for mut caller in callers {
        assert!(caller.wait().unwrap().success());
    }
    let got = sandbox.sh("cat got-a got-b m/pending.md");
    let got: Vec<&str> = got.lines().collect();
    let kinds = ["shared", "own", "more", "renamed", "old", "new"];
    for (who, kind) in ["a", "b"]
        .iter()
        .flat_map(|who| kinds.map(|kind| (who, kind)))
    {
        for i in 1..=40 {
            let body = format!("{who}-{i}-{kind}");
            assert!(got.contains(&body.as_str()), "{body}");
        }
    }
    drop(sandbox);
    assert!(daemon.wait().unwrap().success());
}
