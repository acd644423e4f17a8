//! Callers outside the daemon's PID namespace, of whom FUSE says nothing but the user (spec 5).

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::sandbox::Sandbox;

/// spec 5, 4.1, 4.3, 6.3: they are one session, whose writers and readers get in each other's way no more than others':
/// each write a handoff of its own, every one delivered, whole, and no error for anybody.
#[test]
fn strangers_are_one_session() {
    let sandbox = Sandbox::new();
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
