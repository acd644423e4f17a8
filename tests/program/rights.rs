//! Where mounting is not allowed: the cause and a cure that works (spec 8.1e).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::harness::sorted;
use crate::sandbox::{Sandbox, complaint};
use crate::users::User;

/// A user's sandbox with a copy of the program at `handoff-fs`.
fn users() -> (User, Sandbox) {
    let user = User::new();
    let mut sandbox = Sandbox::new();
    sandbox.become_user(user.uid);
    (user, sandbox)
}

/// Checks the complaint of `mount m` when it is started by this program.
fn refused(sandbox: &Sandbox, prefix: &[&str], parts: &[&str]) {
    let mut command = sandbox.command(prefix[0]);
    command.args(&prefix[1..]);
    let command = command.arg(sandbox.path("handoff-fs")).args(["mount", "m"]);
    let line = complaint(&command.output().unwrap(), 1);
    assert!(
        line.starts_with(sandbox.path("m").to_str().unwrap()),
        "{line}"
    );
    for part in parts {
        assert!(line.contains(part), "{prefix:?}: {part}: {line}");
    }
    assert_eq!(sandbox.mounts().len(), 0);
}

/// spec 8.1e: setuid fusermount3 has no rights under no_new_privs, nor in a user namespace; what was mounted outside is seen in
/// there.
#[test]
fn sandboxes() {
    let (_user, sandbox) = users();
    refused(
        &sandbox,
        &["setpriv", "--no-new-privs"],
        &["has set no_new_privs", "mount it outside"],
    );
    refused(&sandbox, &["unshare", "--user"], &["mount it outside"]);
    refused(
        &sandbox,
        &["unshare", "--user", "--map-current-user", "--mount"],
        &["in this user namespace", "mount it outside"],
    );
    refused(
        &sandbox,
        &["unshare", "--user", "--map-root-user"],
        &["unshare --user --map-root-user --mount"],
    );
    // The cures.
    let program = sandbox.path("handoff-fs");
    let script = format!(
        "{0} mount m && echo in > m/in.md && cat m/pending.md && {0} unmount m",
        program.display()
    );
    let mut namespace = sandbox.command("unshare");
    namespace.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let output = namespace.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    sandbox.run(["mount", "m"]);
    sandbox.sh("setpriv --no-new-privs sh -c 'echo nnp > m/nnp.md'");
    sandbox.sh("unshare --user --map-current-user --mount sh -c 'echo ns > m/ns.md'");
    assert_eq!(sorted(sandbox.take()), ["nnp", "ns"]);
    sandbox.run(["unmount", "m"]);
}

/// spec 8.1e: a helper that is not setuid, a user without a name.
#[test]
fn the_helper() {
    let (_user, sandbox) = users();
    let helper = sandbox.path("fusermount3");
    fs::copy("/usr/bin/fusermount3", &helper).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let helper = helper.to_str().unwrap();
    refused(
        &sandbox,
        &["env", &format!("FUSERMOUNT_PATH={helper}")],
        &["is not setuid root", &format!("chmod 4755 {helper}")],
    );
    drop(sandbox);
    let mut sandbox = Sandbox::new();
    sandbox.become_user(4_000_123);
    refused(&sandbox, &["env"], &["uid 4000123", "/etc/passwd"]);
}

/// spec 8.1e: root without the right to mount.
#[test]
fn root_without_rights() {
    let sandbox = Sandbox::new();
    let program = env!("CARGO_BIN_EXE_handoff-fs");
    let mut command = sandbox.command("setpriv");
    command.args([
        "--bounding-set=-sys_admin",
        "--inh-caps=-sys_admin",
        program,
        "mount",
        "m",
    ]);
    let line = complaint(&command.output().unwrap(), 1);
    assert!(line.contains("CAP_SYS_ADMIN"), "{line}");
}

/// spec 8.1e: a directory that may not be entered on the way, a read-only mountpoint with --backing elsewhere.
#[test]
fn ways_that_are_shut() {
    let (user, sandbox) = users();
    sandbox.sh("mkdir -p 'shut up/m' b");
    fs::set_permissions(sandbox.path("shut up"), fs::Permissions::from_mode(0o0)).unwrap();
    let shut = sandbox.path("shut up");
    for word in ["shut up/m", "shut up/new/er"] {
        let line = sandbox.refused(["mount", word], 1);
        let cure = format!("if that is yours: chmod u+x '{}'", shut.display());
        assert!(
            line.contains("you may not enter") && line.contains(&cure),
            "{line}"
        );
    }
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();

    fs::create_dir(sandbox.path("ro")).unwrap();
    chown(sandbox.path("ro"), Some(user.uid), None).unwrap();
    let ro = sandbox.path("ro").display().to_string();
    let script = format!("mount --bind {ro} {ro} && mount -o remount,bind,ro {ro} && exec \"$@\"");
    for (arguments, cure) in [
        (
            &["mount", "ro"][..],
            "or keep the files elsewhere with --backing DIR",
        ),
        (
            &["mount", "ro", "--backing", "b"],
            "or choose another mountpoint",
        ),
    ] {
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh", "setpriv"]);
        command
            .arg(format!("--reuid={}", user.uid))
            .args(["--clear-groups", "--"]);
        command.arg(sandbox.path("handoff-fs")).args(arguments);
        command
            .current_dir(sandbox.path(""))
            .env("HOME", sandbox.path(""));
        let line = complaint(&command.output().unwrap(), 1);
        assert!(line.contains("read-only") && line.contains(cure), "{line}");
    }
}
