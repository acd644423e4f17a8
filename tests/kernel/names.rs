//! Under which names handoffs lie on disk.

use std::fs;
use std::time::{Duration, SystemTime};

use handoff_fs::names::StampedName;

use crate::actors::Actor;
use crate::harness::{DAY, Mount};

/// spec 3.2b: the written name, made a slug.
#[test]
fn slugs() {
    let mount = Mount::new();
    for (written, slug) in [
        ("auth.md", "auth"),
        ("plan.markdown", "plan"),
        ("log.txt", "log"),
        ("bare", "bare"),
        ("data.json", "data.json"),
        ("Fix Auth (2nd try)!.md", "Fix-Auth-2nd-try"),
        ("übergabe 交接.md", "übergabe-交接"),
        ("v1.2_a-b.md", "v1.2_a-b"),
        ("-- odd --.md", "odd"),
        ("finished_done.md", "finished-done"),
        ("!!!.md", "handoff"),
        ("twice.md.md", "twice.md"),
        ("cafe\u{301}.md", "cafe\u{301}"),
        ("บันทึกที่แก้ไข.md", "บันทึกที่แก้ไข"),
        ("हिन्दी.md", "हिन्दी"),
    ] {
        mount.sh("a", &format!("echo x > './{written}'"));
        assert_eq!(mount.slugs(), [slug], "{written}");
        mount.sh("a", "rm 2*");
    }
}

/// spec 3.2a: the stamp is the time at which the draft was created.
#[test]
fn stamp_is_the_time_of_creation() {
    let mount = Mount::new();
    mount.clock.advance(40 * DAY);
    let now = || {
        let now: chrono::DateTime<chrono::Utc> = handoff_fs::clock::Clock::now(&mount.clock).into();
        now.format("%Y-%m-%d_%H%M%S").to_string()
    };
    let before = now();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('n.md', 'w')");
    let after = now();
    mount.clock.advance(Duration::from_secs(60));
    writer.run("f.write('x'); f.close()");
    let name = mount.stamped("n");
    let stamp = &name[.."YYYY-MM-DD_HHMMSS".len()];
    assert!(
        *before <= *stamp && *stamp <= *after,
        "{before} {stamp} {after}"
    );
}

/// spec 3.2c: the stamped name, and every later form of it, fits a directory entry, however long the written name is.
#[test]
fn longest_names() {
    let mount = Mount::new();
    let written = format!("{}.md", "ä".repeat(126));
    mount.sh("a", &format!("echo one > {written}; cat {written}"));
    mount.sh("b", &format!("echo two > {written}; cat {written}"));
    assert_eq!(mount.take("c"), ["one", "two"]);
    let names = mount.names();
    assert_eq!(names.len(), 2);
    for name in names {
        assert!(name.len() <= 255 && name.ends_with("_done.md"), "{name}");
        assert!(name.contains("ääää"), "{name}");
    }
    let longer = format!("x{written}");
    mount.fails("a", &format!("echo x > {longer}"));
}

/// spec 3.3: two handoffs never share a name.
#[test]
fn suffixes() {
    let mount = Mount::new();
    mount.sh("a", "echo 1 > 2026-01-02_030405_x.txt");
    mount.sh("b", "echo 2 > 2026-01-02_030405_x.txt");
    // Three handoffs of one second share a stamp; else none of them has a suffix.
    mount.sh("c", "for i in 1 2 3; do echo $i > n.md; done");
    let names = mount.names();
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names.contains(&"2026-01-02_030405_x.md".to_owned()));
    assert_eq!(mount.peek().len(), 5);
}

/// spec 3.3: publishing decides about the suffix, also when another program took the name below the mount.
#[test]
fn suffix_by_the_publish() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('n.md', 'w')");
    let reserved = mount.stamped("n");
    fs::write(mount.below(&reserved), "another machine's\n").unwrap();
    writer.run("f.write('mine\\n'); f.close()");
    assert_eq!(mount.slugs(), ["n", "n_2"]);
    assert_eq!(writer.run("open('n.md').read()"), "mine\n");
    assert_eq!(mount.text_below(&reserved), "another machine's\n");
}

/// spec 3.3: a pending name keeps clear of what is consumed under it.
#[test]
fn suffix_of_the_consumed() {
    let mount = Mount::new();
    mount.sh("a", "echo old > 2026-01-02_030405_x.md");
    assert_eq!(mount.take("b"), ["old"]);
    mount.sh("c", "echo new > 2026-01-02_030405_x.md");
    assert_eq!(mount.take("d"), ["new"]);
    assert_eq!(mount.slugs(), ["x_2_done", "x_done"]);
}

/// spec 3.4a: a stamped name is kept as it is written, and becomes `.md`.
#[test]
fn stamped_by_hand() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo 1 > 2026-01-02_030405_by-hand.md
         echo 2 > 2026-01-02_030406_text.txt
         echo 3 > 2026-01-02_030407_bare
         cat 2026-01-02_030406_text.txt 2026-01-02_030407_bare",
    );
    assert_eq!(
        mount.names(),
        [
            "2026-01-02_030405_by-hand.md",
            "2026-01-02_030406_text.md",
            "2026-01-02_030407_bare.md",
        ]
    );
    // The next two are one second that no calendar has, and no second at all.
    mount.sh(
        "a",
        "echo 4 > 2026-02-30_030405_x.md; echo 5 > 2026-01-02_250000_y.md",
    );
    let slugs = mount.slugs();
    assert!(slugs.contains(&"2026-02-30_030405_x".to_owned()));
    assert!(slugs.contains(&"2026-01-02_250000_y".to_owned()));
    // The old protocol goes on by hand, next to those that know nothing of it.
    mount.sh(
        "b",
        "mv 2026-01-02_030405_by-hand.md 2026-01-02_030405_by-hand_done.md",
    );
    assert_eq!(mount.peek(), ["2", "3", "4", "5"]);
}

/// spec 3.4b: stamped with another ending it is an ordinary file of that very name.
#[test]
fn stamped_with_another_ending() {
    let mut mount = Mount::new();
    let (json, done) = (
        "2026-01-02_030405_state.json",
        "2026-01-02_030405_x_done.MD",
    );
    mount.sh(
        "a",
        &format!("echo 1 > {json}; echo 2 > {done}; echo more >> {json}; cp {json} {json}.bak"),
    );
    let names = [json.to_owned(), format!("{json}.bak"), done.to_owned()];
    assert_eq!(mount.names(), names);
    assert_eq!(mount.names_below(), names);
    assert_eq!(
        mount.sh("b", &format!("cat {json}; echo 3 > {json}; cat {json}")),
        "1\nmore\n3\n"
    );
    assert_eq!(mount.take("r"), [""; 0]);
    mount.remount();
    assert_eq!(mount.names(), names);
    mount.sh(
        "b",
        &format!("echo t > s.tmp; ln s.tmp l.tmp; mv s.tmp {json}; rm {done} {json}.bak"),
    );
    assert_eq!(mount.sh("a", &format!("cat {json}")), "t\n");
    // Renamed to a name of a handoff it becomes one.
    mount.sh("b", &format!("mv {json} n.md; mv l.tmp {json}"));
    assert_eq!(mount.names_below()[0], json);
    assert_eq!(mount.take("r"), ["t"]);
}

/// spec 3.4b: a handoff that is renamed so is pending no more.
#[test]
fn renamed_to_another_ending() {
    let mount = Mount::new();
    let name = "2026-01-02_030405_x.md";
    mount.sh("a", &format!("echo 1 > {name}; mv {name} {name}.consumed"));
    assert_eq!(mount.names(), [format!("{name}.consumed")]);
    assert_eq!(mount.take("r"), [""; 0]);
    mount.sh("b", &format!("mv {name}.consumed {name}"));
    assert_eq!(mount.peek(), ["1"]);
    mount.sh(
        "a",
        &format!("echo 2 > n.md; mv n.md {name}.seen; test ! -e n.md"),
    );
    assert_eq!(mount.names(), [name.to_owned(), format!("{name}.seen")]);
    assert_eq!(mount.take("r"), ["1"]);
}

/// spec 3.5a: consuming renames, and sets the mtime to now.
#[test]
fn consumed_now() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo 1 > r.md; echo 2 > 2026-01-02_030405_m.md; touch -d '30 days ago' 2*",
    );
    let read = mount.stamped("r");
    mount.clock.advance(3 * DAY);
    let earliest = SystemTime::now() + 2 * DAY;
    mount.sh(
        "b",
        "mv 2026-01-02_030405_m.md 2026-01-02_030405_m_done.md; cat pending.md",
    );
    assert_eq!(mount.slugs(), ["m_done", "r_done"]);
    for name in mount.names_below() {
        let consumed = fs::metadata(mount.below(&name))
            .unwrap()
            .modified()
            .unwrap();
        assert!(consumed > earliest, "{name} {consumed:?}");
        assert!(StampedName::parse(name.as_ref()).is_some());
    }
    assert!(!mount.at(read).exists() || mount.slugs().len() == 2);
}
