//! Many writers and readers at once: nothing is lost, and nothing is torn.

use std::collections::BTreeSet;
use std::thread;

use crate::actors::Actor;
use crate::harness::Mount;

/// Every way to write that tools have, over and over again under one name.
const WRITER: &str = "
def write_in_every_way(who, rounds):
    texts = []
    def text(what, i):
        texts.append(f'{who} {what} {i} ' + 'x' * (i * 37 % 5000) + ' end')
        return texts[-1]
    for i in range(rounds):
        with open('n.md', 'w') as f: f.write(text('truncated', i))
        with open('n.md.tmp.1', 'w') as f: f.write(text('renamed', i))
        os.rename('n.md.tmp.1', 'n.md')
        with open('n.md.fresh', 'w') as f: f.write(text('unknown', i))
        os.rename('n.md.fresh', 'n.md')
        os.unlink('n.md')
        with open('n.md', 'x') as f: f.write(text('exclusive', i))
        assert open('n.md').read() == texts[-1]
        os.rename('n.md', f'n{i}.md')
        fd = os.open(f'log{i % 3}.md', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(fd, (text('appended', i) + '\\n').encode()); os.close(fd)
    return '\\n'.join(texts)
";

/// spec 4.1c, 4.2c, 4.3b, 4.5f, 4.5g, 4.6b, 4.6c: every handoff is delivered, whole, while others read.
#[test]
fn nothing_is_lost() {
    let mount = Mount::new();
    let written = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|i| {
                let mount = &mount;
                scope.spawn(move || {
                    let name = ["python3", "claude"][i % 2];
                    let mut writer = Actor::called(mount, &format!("writer{}", i / 2), name);
                    // Two in each session: each has names of its own for what it cannot share.
                    let source = WRITER.replace("n.md", &format!("n{i}-.md"));
                    writer.run(&source.replace("log", &format!("log{i}-")));
                    writer.run(&format!("write_in_every_way('writer {i}', 40)"))
                })
            })
            .collect();
        let readers: Vec<_> = (0..2)
            .map(|i| {
                let mount = &mount;
                scope.spawn(move || -> Vec<String> {
                    (0..40)
                        .flat_map(|_| mount.take(&format!("reader{i}")))
                        .collect()
                })
            })
            .collect();
        let written: Vec<String> = writers
            .into_iter()
            .flat_map(|writer| {
                let texts = writer.join().unwrap();
                texts.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        let mut read: Vec<String> = readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap())
            .collect();
        read.extend(mount.take("last"));
        let read: BTreeSet<String> = read
            .iter()
            .flat_map(|body| body.lines().map(str::to_owned))
            .collect();
        let torn: Vec<&String> = read.iter().filter(|line| !line.ends_with(" end")).collect();
        assert!(torn.is_empty(), "{torn:?}");
        let lost: Vec<&String> = written
            .iter()
            .filter(|text| !read.contains(*text))
            .collect();
        assert!(lost.is_empty(), "{lost:?}");
        written.len()
    });
    assert_eq!(written, 4 * 40 * 5);
    assert_eq!(mount.peek(), [""; 0]);
}
