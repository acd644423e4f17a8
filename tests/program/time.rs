//! Local time and its changes, as the program sees them.

use crate::background::wait_until;
use crate::sandbox::Sandbox;

/// spec 3.2a: stamps are local time, with `--utc` UTC; headers say the zone.
#[test]
fn local_time_and_utc() {
    let sandbox = Sandbox::new();
    // A zone with an offset that nobody has by chance, and that needs no table of zones.
    let zone = "XXX-5:45";
    let stamp = |hours: &str| sandbox.sh(&format!("TZ={hours} date +%Y-%m-%d_%H%M"));
    for (option, expected) in [("--no-sync", zone), ("--utc", "UTC0")] {
        let before = stamp(expected);
        let daemon = sandbox.mount_with(|command| {
            command.env("TZ", zone).arg(option);
        });
        sandbox.sh("echo x > m/x.md");
        let after = stamp(expected);
        let name = sandbox.sh("ls m | grep _x.md");
        let minute = name.trim_end();
        assert!(
            minute.starts_with(before.trim_end()) || minute.starts_with(after.trim_end()),
            "{option}: {minute}, between {before} and {after}"
        );
        let merge = sandbox.sh("cat m/pending.md");
        let offset = if option == "--utc" {
            "+0000 |"
        } else {
            "+0545 |"
        };
        assert!(merge.contains(offset), "{merge}");
        daemon.stop();
    }
}

/// spec 7.2a: the local hour that comes twice when summer ends, and the one that never comes when it begins: the same
/// second has the same stamp, and still every handoff has its own name.
#[test]
fn the_hour_that_comes_twice() {
    let sandbox = Sandbox::new();
    let library = "/usr/$LIB/faketime/libfaketime.so.1";
    for (n, time) in [
        "2026-10-25 00:30:00",
        "2026-10-25 01:30:00",
        "2026-03-29 00:59:59",
        "2026-03-29 01:00:00",
    ]
    .into_iter()
    .enumerate()
    {
        // Standing still, so that both have one second, and the monotonic clock as it is, for waits.
        let daemon = sandbox.mount_with(|command| {
            command
                .env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
                .env("LD_PRELOAD", library)
                .env("FAKETIME", seconds(time))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("FAKETIME_FMT", "%s");
        });
        sandbox.sh(&format!("echo {n} > m/x.md"));
        daemon.stop();
    }
    let names = sandbox.sh("cd m; ls");
    assert_eq!(
        names.lines().collect::<Vec<_>>(),
        [
            "2026-03-29_015959_x.md",
            "2026-03-29_030000_x.md",
            "2026-10-25_023000_x.md",
            "2026-10-25_023000_x_2.md"
        ]
    );
    let _daemon = sandbox.mount();
    assert_eq!(sandbox.take(), ["2", "3", "0", "1"]);
}

/// spec 7.1a: handoffs that expired while nothing was mounted are deleted by the mount, without a listing.
#[test]
fn expired_ones_are_deleted_at_the_mount() {
    let sandbox = Sandbox::new();
    sandbox.sh("mkdir b");
    let backed = |command: &mut std::process::Command| {
        command.args(["--backing", "b"]);
    };
    sandbox.mount_with(backed).stop();
    sandbox.sh("cd b; for n in old young; do echo x > 2026-01-02_030405_${n}_done.md; done; touch -d '8 days ago' *_old_done.md");
    let daemon = sandbox.mount_with(backed);
    wait_until("it is deleted", || {
        sandbox.sh("ls b") == "2026-01-02_030405_young_done.md\n"
    });
    daemon.stop();
}

/// A time in UTC as seconds since 1970.
fn seconds(time: &str) -> String {
    let time = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").unwrap();
    time.and_utc().timestamp().to_string()
}
