//! Records: what a writer writes, and what says whether it is whole.

/// The records in a text.
#[derive(Default)]
pub struct Records {
    /// The names of whole records, in their order.
    pub whole: Vec<String>,
    /// Names of records of which a part is missing or wrong; bytes that belong to none are called `?`.
    pub torn: Vec<String>,
}

/// Looks for records.
pub fn records(document: &[u8]) -> Records {
    let mut found = Records::default();
    // The open record's name and where it begins.
    let mut open: Option<(String, usize)> = None;
    let mut at = 0;
    for line in document.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_ascii_whitespace();
        let first = words.next();
        if first == Some("BEGIN") {
            found.torn.extend(open.take().map(|(name, _)| name));
            open = Some((words.next().unwrap_or("?").to_owned(), at));
        } else if let Some((name, begin)) = open.take() {
            if first != Some("END") {
                open = Some((name, begin));
            } else if words.next() == Some(&name)
                && words.next() == Some(&cksum(&document[begin..at]).to_string())
            {
                found.whole.push(name);
            } else {
                found.torn.push(name);
            }
        } else if !line.trim_ascii().is_empty() {
            found.torn.push("?".to_owned());
        }
        at += line.len();
    }
    found.torn.extend(open.map(|(name, _)| name));
    found
}

/// The documents of what `pending.md` gave, each with its name; of anything else, one without a name.
pub fn documents(read: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut documents: Vec<(String, Vec<u8>)> = Vec::new();
    for line in read.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"<!-- handoffs: ") || line.starts_with(b"<!-- index ") {
            continue;
        }
        if line.starts_with(b"<!-- handoff ") {
            let text = String::from_utf8_lossy(line);
            let name = text
                .split(": ")
                .nth(1)
                .and_then(|it| it.split(" | ").next());
            documents.push((name.unwrap_or("?").to_owned(), Vec::new()));
            continue;
        }
        if documents.is_empty() {
            documents.push((String::new(), Vec::new()));
        }
        let (_, body) = documents.last_mut().unwrap();
        body.extend_from_slice(line);
    }
    documents
}

/// As cksum(1).
fn cksum(data: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|i| {
        let top = u32::try_from(i).unwrap() << 24;
        (0..8).fold(top, |crc, _| {
            (crc << 1) ^ (if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        })
    });
    let step = |crc: u32, byte: u8| (crc << 8) ^ table[usize::from((crc >> 24) as u8 ^ byte)];
    let mut crc = data.iter().copied().fold(0, step);
    let mut length = data.len();
    while length > 0 {
        crc = step(crc, (length & 255) as u8);
        length >>= 8;
    }
    !crc
}

/// The writer of a record: its name without thread, count and kind.
pub fn client(record: &str) -> &str {
    record.split('.').next().unwrap_or_default()
}

/// The way in which a record was written: the last letter of its name.
pub fn kind(record: &str) -> &str {
    record.rsplit('.').next().unwrap_or_default()
}

#[test]
fn a_record_is_whole_or_torn() {
    // printf 'BEGIN a.0.1.t\nx\n' | cksum
    let output = std::process::Command::new("sh")
        .args(["-c", r"printf 'BEGIN a.0.1.t\nx\n' | cksum"])
        .output()
        .unwrap();
    let crc = String::from_utf8(output.stdout).unwrap();
    let crc = crc.split(' ').next().unwrap();
    let whole = format!("BEGIN a.0.1.t\nx\nEND a.0.1.t {crc}\n");
    assert_eq!(records(whole.as_bytes()).whole, ["a.0.1.t"]);
    assert!(records(whole.as_bytes()).torn.is_empty());
    for torn in [
        &whole[..whole.len() - 3],
        &whole[..16],
        &whole[14..],
        &whole.replace('x', "y"),
    ] {
        assert!(!records(torn.as_bytes()).torn.is_empty(), "{torn:?}");
    }
    let merge = format!("<!-- handoffs: 1 -->\n<!-- handoff 1/1: q/n.md | 40 bytes -->\n{whole}");
    assert_eq!(
        documents(merge.as_bytes()),
        [("q/n.md".to_owned(), whole.clone().into_bytes())]
    );
}
