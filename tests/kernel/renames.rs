//! Renaming and removing handoffs (spec 4.5e to 4.5h).

use std::fs;

use crate::actors::{Actor, replaced};
use crate::harness::{Mount, slug, sorted};

const NAME: &str = "2026-01-02_030405_x.md";
const DONE: &str = "2026-01-02_030405_x_done.md";

/// spec 4.5a: a stamped name is read, appended to and deleted like any file.
#[test]
fn a_stamped_name_is_a_file() {
    let mount = Mount::new();
    mount.sh("a", &format!("echo 1 > {NAME}"));
    mount.sh(
        "b",
        &format!("echo 2 >> {NAME}; cat {NAME}; grep -q 2 {NAME}"),
    );
    assert_eq!(mount.peek(), ["1\n2"]);
    assert_eq!(mount.sh("b", &format!("cat {NAME}")), "1\n2\n");
    mount.sh("b", &format!("rm {NAME}"));
    assert_eq!(mount.names(), [""; 0]);
    assert_eq!(mount.names_below(), [""; 0]);
    assert_eq!(mount.take("c"), [""; 0]);
}

/// spec 4.5e: `X.md` to `X_done.md` consumes, the other way round makes pending again.
#[test]
fn consuming_by_hand() {
    let mount = Mount::new();
    mount.sh("a", &format!("echo 1 > {NAME}"));
    mount.sh("b", &format!("mv {NAME} {DONE}"));
    assert_eq!(mount.names(), [DONE]);
    assert_eq!(mount.take("c"), [""; 0]);
    mount.sh("b", &format!("mv {DONE} {NAME}"));
    assert_eq!(mount.names(), [NAME]);
    assert_eq!(mount.take("c"), ["1"]);
}

/// spec 4.5e: consumed through an alias; the alias goes.
#[test]
fn consuming_an_alias() {
    let mount = Mount::new();
    mount.sh("a", "echo 1 > n.md");
    let name = mount.stamped("n");
    let done = name.replace(".md", "_done.md");
    mount.sh("a", &format!("mv n.md {done}; test ! -e n.md"));
    assert_eq!(mount.names(), [done.as_str()]);
    mount.sh("a", &format!("mv {done} {name}"));
    assert_eq!(mount.take("c"), ["1"]);
}

/// spec 4.5e: an own alias renamed to its stem and `_done` consumes.
#[test]
fn consuming_by_an_alias_that_is_marked() {
    let mount = Mount::new();
    for (name, done) in [
        ("auth.md", "auth_done.md"),
        ("plan", "plan_done"),
        ("log.txt", "log_done.md"),
        ("two words.md", "two words_done.md"),
    ] {
        mount.sh(
            "a",
            &format!("echo 1 > '{name}'; mv '{name}' '{done}'; test ! -e '{name}'; cat '{done}'"),
        );
        let slug = mount.slugs().remove(0);
        assert_eq!(
            slug,
            format!("{}_done", name.split('.').next().unwrap().replace(' ', "-"))
        );
        assert_eq!(mount.take("r"), [""; 0], "{name}");
        // And once more, with what is new under that name.
        mount.sh(
            "a",
            &format!("echo 2 > '{name}'; mv '{name}' '{done}'; grep -q 2 '{done}'"),
        );
        assert_eq!(mount.take("r"), [""; 0], "{name}");
        mount.sh("a", &format!("mv '{done}' '{name}'; cat '{name}'"));
        assert_eq!(mount.take("r"), ["2"], "{name}");
        // A reader was quicker.
        mount.sh("a", &format!("mv '{name}' '{done}'; cat '{done}'"));
        assert_eq!(mount.slugs().len(), 2);
        mount.sh("r", "rm 2*");
    }
    // A name that was written so is no mark.
    mount.sh("a", "echo 3 > done.md; echo 4 > x_done.md");
    assert_eq!(mount.take("r"), ["3", "4"]);
    mount.sh("a", "mv x_done.md x.md");
    assert_eq!(mount.take("r"), [""; 0]);
    assert!(mount.slugs().contains(&"x_done".to_owned()));
}

/// spec 4.5e, 4.2c: consumed so while it is written, it is not delivered at its close.
#[test]
fn marked_while_open() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('n.md', 'w'); f.write('te'); f.flush(); os.rename('n.md', 'n_done.md')");
    writer.run("f.write('xt'); f.close()");
    assert_eq!(writer.run("open('n_done.md').read()"), "text");
    assert_eq!(mount.slugs(), ["n_done"]);
    assert_eq!(mount.take("r"), [""; 0]);
}

/// spec 4.5h: a move or a copy over an own alias leaves the times of the earlier handoff unchanged.
#[test]
fn written_stays() {
    let mount = Mount::new();
    let source = mount.outside("two");
    let source = source.to_str().unwrap();
    for over in [
        "mv m.md n.md",
        "cp m.md n.md",
        "cp --remove-destination m.md n.md",
        "install m.md n.md",
        "rsync m.md n.md",
        &format!("cp m.md {source}; mv {source} n.md"),
        "mv m.md m.tmp; mv m.tmp n.md",
    ] {
        mount.sh(
            "a",
            "echo one > n.md; touch -d '2026-01-02 03:04:05.678' 2*_n.md; echo two > m.md",
        );
        let written = |slug: &str| {
            let one = mount
                .names_below()
                .into_iter()
                .find(|name| mount.text_below(name) == "one\n");
            let meta = fs::metadata(mount.below(one.expect(slug))).unwrap();
            meta.modified().unwrap()
        };
        let before = written("before");
        mount.sh("a", &format!("{over}; grep -q two n.md"));
        assert_eq!(written(over), before, "{over}");
        let peek = mount.sh("r", "cat .peek.md");
        assert!(
            peek.contains("written 2026-01-02 03:04:05"),
            "{over}: {peek}"
        );
        mount.sh("r", "rm -f 2*");
    }
}

/// spec 4.5h: the same where it was retracted before it was published.
#[test]
fn written_stays_of_what_was_open() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('n.md', 'w'); f.write('one'); f.flush()");
    writer.run("os.utime(f.fileno(), (0, 1100000000)); os.unlink('n.md'); f.close()");
    assert_eq!(mount.slugs(), ["n_done"]);
    writer.run("open('n.md', 'w').write('two')");
    let one = mount
        .names_below()
        .into_iter()
        .find(|name| mount.text_below(name) == "one");
    let written = fs::metadata(mount.below(one.unwrap()))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(
        written
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
        1_100_000_000
    );
    assert_eq!(mount.take("r"), ["one", "two"]);
}

/// spec 4.5f: to another unstamped name: the stamp stays, the slug changes.
#[test]
fn another_slug() {
    let mount = Mount::new();
    mount.sh(
        "a",
        &format!("echo 1 > {NAME}; mv {NAME} topic.md; cat topic.md"),
    );
    assert_eq!(mount.names(), ["2026-01-02_030405_topic.md"]);
    mount.sh(
        "a",
        "mv topic.md 'an other.txt'; cat 'an other.txt'; test ! -e topic.md",
    );
    assert_eq!(mount.names(), ["2026-01-02_030405_an-other.md"]);
    mount.fails("b", "cat 'an other.txt'");
    assert_eq!(mount.take("b"), ["1"]);
    // Consumed, and renamed all the same.
    mount.sh("a", "mv 'an other.txt' last.md");
    assert_eq!(mount.names(), ["2026-01-02_030405_last_done.md"]);
}

/// spec 4.5a: to another stamped name.
#[test]
fn another_stamp() {
    let mount = Mount::new();
    mount.sh("a", &format!("echo 1 > n.md; mv n.md {NAME}"));
    assert_eq!(mount.names(), [NAME]);
    mount.sh("a", &format!("mv {NAME} 2027-01-01_000000_y.md"));
    assert_eq!(mount.names(), ["2027-01-01_000000_y.md"]);
    mount.sh(
        "a",
        "mv 2027-01-01_000000_y.md 2028-01-01_000000_z.txt; cat 2028-01-01_000000_z.txt",
    );
    assert_eq!(mount.names(), ["2028-01-01_000000_z.md"]);
    assert_eq!(mount.take("b"), ["1"]);
}

/// spec 4.5f: to a backup or scratch name it stops being a handoff, and back again it is one.
#[test]
fn backups() {
    for ending in ["~", ".bak", ".orig", ".tmp", ".swp"] {
        for file in [NAME, "n.md"] {
            let mount = Mount::new();
            mount.sh("a", &format!("echo 1 > {file}; mv {file} {file}{ending}"));
            assert_eq!(mount.names(), [format!("{file}{ending}")]);
            assert_eq!(mount.take("b"), [""; 0], "{file}{ending}");
            assert_eq!(mount.sh("b", &format!("cat {file}{ending}")), "1\n");
            mount.fails("a", &format!("cat {file}"));
            mount.sh("a", &format!("mv {file}{ending} {file}; cat {file}"));
            assert_eq!(
                mount
                    .names()
                    .iter()
                    .map(|name| slug(name))
                    .collect::<Vec<_>>(),
                [if file == NAME { "x" } else { "n" }]
            );
            assert_eq!(mount.take("b"), ["1"], "{file}{ending}");
        }
    }
}

/// spec 4.5f: a backup that takes the name of an own alias takes it for good.
#[test]
fn a_backup_over_an_alias() {
    let mount = Mount::new();
    mount.sh("a", "echo one > n.md; cp n.md n.md.bak; sed -i.bak s/one/two/ n.md; cat n.md.bak; echo one | cmp - n.md.bak");
    assert_eq!(sorted(mount.take("b")), ["one", "two"]);
    mount.sh("a", "mv n.md.bak elsewhere.bak; test ! -e n.md.bak");
}

/// spec 4.5a, 3.9a: onto a stamped name that is taken: what was there is kept.
#[test]
fn over_another() {
    let mount = Mount::new();
    mount.sh(
        "a",
        &format!(
            "echo 1 > {NAME}; echo 2 > 2026-01-02_030406_y.md; mv 2026-01-02_030406_y.md {NAME}"
        ),
    );
    assert_eq!(mount.names(), [NAME]);
    assert_eq!(replaced(&mount), ["1\n"]);
    mount.fails(
        "a",
        "echo 3 > z.md; mv -n z.md 2026-01-02_030405_x.md; test ! -e z.md",
    );
    assert_eq!(mount.take("b"), ["2", "3"]);
}

/// spec 4.1b, 4.1c, 4.5f: a rename onto an own alias overwrites no handoff.
#[test]
fn over_an_alias() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo 1 > n.md; echo 2 > m.md; mv m.md n.md; cat n.md | grep -q 2; test ! -e m.md",
    );
    assert_eq!(mount.peek(), ["1", "2"]);
    assert_eq!(mount.slugs().len(), 2);
    assert!(mount.slugs().iter().all(|slug| slug.starts_with('n')));
}

/// spec 4.5g: removing an alias retracts, undelivered.
#[test]
fn retracting() {
    let mount = Mount::new();
    mount.sh("a", "echo 1 > n.md; rm n.md; test ! -e n.md");
    assert_eq!(mount.slugs(), ["n_done"]);
    assert_eq!(mount.take("b"), [""; 0]);
    // Another process that makes the name anew does not bring it back.
    mount.sh("a", "echo 2 > n.md");
    assert_eq!(mount.take("b"), ["2"]);
}

/// spec 4.5g: pending again if the same process then creates that name.
#[test]
fn retracted_and_made_anew() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    for make in [
        "open('n.md', 'w').write('two')",
        "open('n.tmp', 'w').write('two'); os.rename('n.tmp', 'n.md')",
        "open('n.tmp', 'w').write('two'); os.link('n.tmp', 'n.md'); os.unlink('n.tmp')",
        "open('n.new', 'w').write('two'); os.rename('n.new', 'n.md')",
    ] {
        writer.run("open('n.md', 'w').write('one')");
        writer.run("os.unlink('n.md')");
        assert_eq!(mount.peek(), [""; 0], "{make}");
        writer.run(make);
        assert_eq!(writer.run("open('n.md').read()"), "two", "{make}");
        assert_eq!(sorted(mount.take("b")), ["one", "two"], "{make}");
        writer.run("os.unlink('n.md')");
        mount.sh("b", "rm 2*");
    }
}

/// spec 4.5g: an alias that is removed while its handoff is still written.
#[test]
fn retracted_while_open() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    writer.run("f = open('n.md', 'w'); f.write('text'); os.unlink('n.md'); f.close()");
    assert_eq!(mount.slugs(), ["n_done"]);
    assert_eq!(mount.take("b"), [""; 0]);
    writer.run("f = open('m.md', 'w'); f.write('one'); os.unlink('m.md')");
    writer.run("g = open('m.md', 'w'); g.write('two'); f.close(); g.close()");
    assert_eq!(mount.take("b"), ["one", "two"]);
}

/// spec 4.5g: an empty one has nothing to retract.
#[test]
fn retracting_nothing() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "touch n.md; rm n.md; mktemp -u > /dev/null; : > m.md; rm m.md",
    );
    assert_eq!(mount.names(), [""; 0]);
    assert_eq!(mount.names_below(), [""; 0]);
}

/// spec 4.5a: removing one’s own handoff by its stamped name removes the alias, too.
#[test]
fn deleting_ones_own() {
    let mount = Mount::new();
    mount.sh(
        "a",
        "echo 1 > n.md; rm 2*; test ! -e n.md; echo 2 > n.md; cat n.md",
    );
    assert_eq!(mount.take("b"), ["2"]);
}

/// spec 4.5f, 4.2c: renamed while it is open, it stays the handoff that is being written.
#[test]
fn renamed_while_open() {
    let mount = Mount::new();
    let mut writer = Actor::new(&mount, "a");
    for (from, to, slug) in [
        ("n.md", "m.md", "m"),
        ("n.md", NAME, "x"),
        (NAME, "k.md", "k"),
    ] {
        writer.run(&format!(
            "f = open('{from}', 'w'); f.write('on'); f.flush(); os.rename('{from}', '{to}')"
        ));
        writer.run("f.write('e'); f.close()");
        assert_eq!(mount.slugs(), [slug]);
        assert_eq!(writer.run(&format!("open('{to}').read()")), "one");
        assert_eq!(mount.take("b"), ["one"]);
        mount.sh("b", "rm 2*");
    }
}

/// spec 4.5a, 4.10a: between queues the name is kept.
#[test]
fn between_queues() {
    let mount = Mount::new();
    mount.sh(
        "a",
        &format!(
            "mkdir q; echo 1 > n.md; echo 2 > {NAME}; mv n.md q/; mv {NAME} q/; cat q/n.md q/{NAME}"
        ),
    );
    let names = crate::harness::list(&mount.at("q"));
    assert_eq!(
        names.iter().map(|name| slug(name)).collect::<Vec<_>>(),
        ["x", "n", "pending.md"]
    );
    assert_eq!(mount.peek(), ["2", "1"]);
    assert_eq!(
        fs::read_to_string(mount.below("q").join(NAME)).unwrap(),
        "2\n"
    );
}

/// spec 4.5a: a process that has a handoff open can read it under any later name.
#[test]
fn open_files_stay() {
    let mount = Mount::new();
    mount.sh("a", &format!("echo one > {NAME}"));
    let mut reader = Actor::new(&mount, "r");
    for change in [
        format!("mv {NAME} {DONE}"),
        format!("mv {DONE} {NAME}; mv {NAME} {NAME}~"),
        format!("mv {NAME}~ {NAME}; rm {NAME}"),
    ] {
        let name = mount.names().remove(0);
        reader.run(&format!("f = os.open('{name}', os.O_RDONLY)"));
        mount.sh("b", &change);
        assert_eq!(reader.run("os.pread(f, 9, 0)"), "b'one\\n'");
        assert_eq!(reader.run("os.fstat(f).st_size"), "4");
        reader.run("os.close(f)");
    }
}
