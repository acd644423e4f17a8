//! Real editors, on an alias and on a stamped name (spec 4.4a, 4.4b, 4.5b, 3.9a).

use std::fs;

use crate::actors::replaced;
use crate::harness::Mount;

/// Runs an edit that makes «one» of «two» in `$f`, on an alias and on a stamped name, and checks that it was one.
fn edits(script: &str, leaves: &[&str]) {
    for file in ["n.md", "2026-01-02_030405_n.md"] {
        let mount = Mount::new();
        mount.sh("a", &format!("printf 'number one\\n' > {file}"));
        let name = mount.stamped("n");
        let case = format!("{script} on {file}");
        mount.sh("a", &format!("f={file}; {script}"));
        let mut expected: Vec<String> = leaves
            .iter()
            .map(|ending| format!("{file}{ending}"))
            .collect();
        expected.push(name.clone());
        expected.sort();
        assert_eq!(mount.names(), expected, "{case}");
        assert_eq!(
            mount.sh("a", &format!("cat {file}")),
            "number two\n",
            "{case}"
        );
        assert_eq!(replaced(&mount), ["number one\n"], "{case}");
        assert_eq!(mount.take("r"), ["number two"], "{case}");
        for ending in leaves {
            let backup = mount.at(format!("{file}{ending}"));
            assert_eq!(
                fs::read_to_string(backup).unwrap(),
                "number one\n",
                "{case}"
            );
        }
        // And once more, by the same session, after it was consumed.
        if file == "n.md" {
            mount.sh(
                "a",
                &format!("printf 'number one\\n' > {file}; f={file}; {script}"),
            );
            assert_eq!(mount.take("r"), ["number two"], "{case}, again");
        }
    }
}

/// A script that runs an editor on `$f` at a terminal: when it shows the first text it is typed the second.
pub fn at_terminal(words: &str) -> String {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/terminal.py");
    format!("TERM=xterm /usr/bin/python3 {program} {words} $f")
}

/// nano, which makes «two» of the last word.
pub const NANO: &str = r"Exit '\x05\x7f\x7f\x7ftwo\x0f\r\x18' -- nano --ignorercfiles";

/// By itself vim makes no backups below /tmp, and then writes more simply.
const VIM: &str = "vim -u NONE -n --cmd 'set backupskip=' -es -c '%s/one/two/' -c 'wq' $f";

/// spec 4.4a: vim, in each of its ways to write.
#[test]
fn vim() {
    for copy in ["yes", "no", "auto"] {
        edits(
            &VIM.replace("NONE -n", &format!("NONE -n --cmd 'set backupcopy={copy}'")),
            &[],
        );
    }
}

/// spec 4.3c, 4.4a: vim that has it open while it is consumed: what it writes then is a new handoff.
#[test]
fn vim_after_consumption() {
    for copy in ["yes", "no", "auto"] {
        let mount = Mount::new();
        mount.sh("a", "printf 'number one\\n' > n.md");
        assert_eq!(mount.take("r"), ["number one"]);
        let settings = format!("NONE -n --cmd 'set backupcopy={copy}'");
        mount.sh(
            "a",
            &format!("f=n.md; {}", VIM.replace("NONE -n", &settings)),
        );
        assert_eq!(mount.sh("a", "cat n.md"), "number two\n", "{copy}");
        assert_eq!(mount.take("r"), ["number two"], "{copy}");
    }
}

/// spec 4.4a, 4.5f: vim that keeps a backup.
#[test]
fn vim_with_backup() {
    for copy in ["yes", "no"] {
        let settings = format!("NONE -n --cmd 'set backup backupcopy={copy}'");
        edits(&VIM.replace("NONE -n", &settings), &["~"]);
    }
}

/// spec 4.4a, 4.6a: vim with its swap file, which is never merged.
#[test]
fn vim_with_swap() {
    edits(&VIM.replace("-n ", ""), &[]);
}

/// spec 4.1a: vim writes a new file.
#[test]
fn vim_new() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "vim -u NONE --cmd 'set backupskip=' -es -c 'norm ihello' -c 'w' -c 'norm A again' -c 'wq' n.md",
    );
    assert_eq!(mount.slugs(), ["n"]);
    assert_eq!(mount.take("r"), ["hello again"]);
}

/// spec 4.4a: nano, at a terminal.
#[test]
fn nano() {
    edits(&at_terminal(NANO), &[]);
}

/// spec 4.4b: ed reads it and writes it in place.
#[test]
fn ed() {
    edits("printf '%s\\n' 's/one/two/' w q | ed -s $f", &[]);
}

/// spec 4.4b, 4.6b: sed -i.
#[test]
fn sed() {
    edits("sed -i s/one/two/ $f", &[]);
}

/// spec 4.4b, 4.5f: sed -i with a backup.
#[test]
fn sed_with_backup() {
    edits("sed -i.bak s/one/two/ $f", &[".bak"]);
    edits("sed -i.orig s/one/two/ $f", &[".orig"]);
    edits("sed -i~ s/one/two/ $f", &["~"]);
}

/// spec 4.4b, 4.6b: perl -i.
#[test]
fn perl() {
    edits("perl -i -pe s/one/two/ $f", &[]);
}

/// spec 4.4b, 4.5f: perl -i with a backup.
#[test]
fn perl_with_backup() {
    edits("perl -i.bak -pe s/one/two/ $f", &[".bak"]);
}

/// spec 4.4b, 4.6c: busybox sed, whose temporary name no pattern knows.
#[test]
fn busybox_sed() {
    edits("busybox sed -i s/one/two/ $f", &[]);
    edits("busybox sed -i.bak s/one/two/ $f", &[".bak"]);
}

/// spec 4.4a: busybox vi.
#[test]
fn busybox_vi() {
    edits(
        &at_terminal(r"'number one' ':s/one/two/\r:wq\r' -- busybox vi"),
        &[],
    );
}
