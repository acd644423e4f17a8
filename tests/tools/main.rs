//! Real tools, unmodified and as a distribution packages them, on a mount: each case of each tool, beside the same case in
//! a plain directory. What was seen makes two tables, which must be those that the README shows.

#![allow(unreachable_pub, reason = "nothing of a test is reachable")]

#[path = "../kernel/harness.rs"]
#[allow(dead_code, reason = "made for more than these tests")]
mod harness;

mod installed;
mod place;
mod readers;
mod reading;
mod table;
mod writers;
mod writing;

/// spec 1, 4.1a, 4.1b, 4.2c, 4.3a, 4.4a, 4.4b, 4.5f, 4.6b: each tool makes as many handoffs as a person would count,
/// byte for byte, leaves nothing behind, and finds its file again under the written name.
#[test]
fn writers() {
    installed::check();
    let mut table = table::Table::new(&[
        "what is done",
        "with",
        "once",
        "twice",
        "consumed",
        "bytes equal",
    ]);
    let mut faults = Vec::new();
    for case in writers::CASES {
        for tool in case.tools {
            let seen = writing::run(case, tool, &mut faults);
            table.add(case.case, tool.name, seen);
        }
    }
    table.check("writers", &faults);
}

/// spec 6.2a, 6.3a, 6.5a: every reader gets the bytes it would get of a plain file, whatever the size, and consumes if it
/// was shown all of it.
#[test]
fn readers() {
    installed::check();
    let mut head = vec!["how it reads".to_owned(), "with".to_owned()];
    head.extend(
        reading::sizes()
            .iter()
            .map(|size| format!("{} B", table::digits(*size))),
    );
    head.push("bytes equal".to_owned());
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = table::Table::new(&head);
    let mut faults = Vec::new();
    for kind in readers::KINDS {
        for reader in kind.readers {
            let seen = reading::run(kind, reader, &mut faults);
            table.add(kind.kind, reader.name, seen);
        }
    }
    table.check("readers", &faults);
}
