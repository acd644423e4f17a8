//! Every reader of `pending.md`, by how it reads. A script finds a directory outside of the mount in `$out`, and a plain
//! file with the same content in `$same`.

/// When a person who looks at what was shown would say that it was read.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Consumes {
    Always,
    Never,
    /// Where `pending.md` is this long at the most, in bytes.
    UpTo(u64),
}

/// Readers that ask the same of a file.
pub struct Kind {
    pub kind: &'static str,
    pub consumes: Consumes,
    pub readers: &'static [Reader],
}

pub struct Reader {
    pub name: &'static str,
    pub script: &'static str,
    /// The longest file that it can be made to read in a reasonable time, in bytes.
    pub most: u64,
}

const fn reader(name: &'static str, script: &'static str) -> Reader {
    let most = u64::MAX;
    Reader { name, script, most }
}

impl Reader {
    const fn up_to(mut self, most: u64) -> Reader {
        self.most = most;
        self
    }
}

#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    Kind { kind: "shows all, until a read answers nothing", consumes: Consumes::Always, readers: &[
        reader("cat", "cat pending.md"),
        reader("`cat <`", "cat < pending.md"),
        reader("cp", "cp pending.md $out/copy; cat $out/copy"),
        reader("cp -p", "cp -p pending.md $out/copy; cat $out/copy"),
        reader("uutils cp", "coreutils cp pending.md $out/copy; cat $out/copy"),
        reader("install", "install pending.md $out/copy; cat $out/copy"),
        reader("dd", "dd if=pending.md bs=4096 status=none"),
        reader("tee", "tee < pending.md"),
        reader("bash `$(<)`", "printf '%s\\n' \"$(< pending.md)\""),
        reader("bash while read", "while IFS= read -r line; do printf '%s\\n' \"$line\"; done < pending.md"),
        reader("bash mapfile", "mapfile -t lines < pending.md; test ${#lines[@]} = 0 || printf '%s\\n' \"${lines[@]}\""),
        reader("dash while read", "dash -ec 'while IFS= read -r line; do printf \"%s\\n\" \"$line\"; done < pending.md'").up_to(10_001),
        reader("`exec 3<` and cat twice", "exec 3< pending.md; cat <&3; cat <&3"),
        reader("mawk", "mawk 1 pending.md"),
        reader("sed", "sed '' pending.md"),
        reader("perl", "perl -pe 1 pending.md"),
        reader("python3 read", "$python -c 'import sys; sys.stdout.write(open(\"pending.md\").read())'"),
        reader("python3 for", "$python -c 'import sys\nfor line in open(\"pending.md\"): sys.stdout.write(line)'"),
        reader("python3 shutil.copyfile", "$python -c 'import shutil; shutil.copyfile(\"pending.md\", \"'$out'/copy\")'; cat $out/copy"),
        reader("node readFile", "node -e 'fs.promises.readFile(\"pending.md\").then(text => fs.writeSync(1, text))' | cat"),
        reader("node createReadStream", "node -e 'fs.createReadStream(\"pending.md\").pipe(process.stdout)' | cat"),
        reader("vim", "vim -u NONE -es -c %print -c q pending.md"),
        reader("vim at a terminal", "$python $terminal pending.md ':q\\r' -- vim -u NONE -R pending.md"),
        reader("nano", "$python $terminal Exit '\\x18' -- nano --ignorercfiles -v pending.md"),
        reader("emacs", "emacs --batch -Q --eval '(progn (find-file \"pending.md\") (princ (buffer-string)))'"),
        reader("emacs at a terminal", "$python $terminal pending.md '\\x18\\x03' -- env TERM=vt100 emacs -nw -Q pending.md"),
    ]},
    Kind { kind: "shows all, in as many bytes as fstat told", consumes: Consumes::Always, readers: &[
        reader("node readFileSync", "node -e 'process.stdout.write(fs.readFileSync(\"pending.md\"))' | cat"),
        reader("python3 os.read", "$python -c '\nimport os\nf = os.open(\"pending.md\", os.O_RDONLY)\nos.write(1, os.read(f, os.fstat(f).st_size))' | cat"),
    ]},
    Kind { kind: "shows all, through the page cache", consumes: Consumes::Always, readers: &[
        reader("busybox cat", "busybox cat pending.md"),
        reader("busybox cp", "busybox cp pending.md $out/copy; cat $out/copy"),
        reader("uutils cat", "coreutils cat pending.md"),
        reader("python3 mmap", "$python -c '\nimport mmap, os, sys\nf = open(\"pending.md\", \"rb\")\nif os.path.getsize(\"pending.md\"): sys.stdout.buffer.write(mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)[:])'"),
    ]},
    Kind { kind: "reads all, and shows something else", consumes: Consumes::Always, readers: &[
        reader("md5sum", "md5sum pending.md"),
        reader("diff", "diff pending.md $same"),
        reader("cmp", "cmp pending.md $same"),
        reader("zip", "zip -q $out/copy.zip pending.md; $python -m zipfile -e $out/copy.zip $out; cat $out/pending.md"),
    ]},
    Kind { kind: "searches, indexes or saves", consumes: Consumes::Never, readers: &[
        reader("grep", "grep -n . pending.md || test $? = 1"),
        reader("grep -q", "grep -q handoff pending.md || test $? = 1"),
        reader("grep -r", "grep -rh --include=pending.md . || test $? = 1"),
        reader("rg", "rg --no-config -n . pending.md || test $? = 1"),
        reader("rg -q", "rg --no-config -q handoff pending.md || test $? = 1"),
        reader("rg -l", "rg --no-config -l handoff pending.md || test $? = 1"),
        reader("ugrep", "ugrep -n . pending.md || test $? = 1"),
        reader("busybox grep", "busybox grep -n . pending.md || test $? = 1"),
        reader("file", "file pending.md"),
        reader("git hash-object", "git hash-object pending.md"),
        reader("git diff", "git diff --no-index --stat pending.md $same"),
        reader("rsync", "rsync pending.md $out/copy; cat $out/copy"),
        reader("tar", "tar cf $out/copy.tar pending.md; tar xOf $out/copy.tar"),
        reader("busybox tar", "busybox tar cf $out/copy.tar pending.md; tar xOf $out/copy.tar"),
    ]},
    Kind { kind: "known to show a part", consumes: Consumes::Never, readers: &[
        reader("head", "head -n1 pending.md"),
        reader("head -c", "head -c 4096 pending.md"),
        reader("tail", "tail -n1 pending.md"),
        reader("`tail <`", "tail -n1 < pending.md"),
        reader("wc", "wc pending.md"),
        reader("wc -c", "wc -c < pending.md"),
        reader("less", "less pending.md | cat"),
        reader("less at a terminal", "$python $terminal pending.md q -- less pending.md"),
        reader("more", "more pending.md | cat"),
        reader("busybox head", "busybox head -n1 pending.md"),
        reader("busybox tail", "busybox tail -n1 pending.md"),
        reader("busybox wc", "busybox wc pending.md"),
        reader("uutils head", "coreutils head -n1 pending.md"),
        reader("uutils tail", "coreutils tail -n1 pending.md"),
        reader("uutils wc", "coreutils wc pending.md"),
    ]},
    Kind { kind: "reads one buffer", consumes: Consumes::Never, readers: &[
        reader("bash read", "read -r line < pending.md || test ! -s pending.md; echo \"$line\""),
        reader("dash read", "dash -ec 'read -r line < pending.md || test ! -s pending.md; echo \"$line\"'"),
        reader("sed 1q", "sed 1q pending.md"),
        reader("perl exit", "perl -ne 'print; exit' pending.md"),
        reader("python3 readline", "$python -c 'import sys; sys.stdout.write(open(\"pending.md\").readline())'"),
        reader("dd count=1", "dd if=pending.md bs=4096 count=1 status=none"),
        reader("node readSync", "node -e 'const b = Buffer.alloc(4096); console.log(fs.readSync(fs.openSync(\"pending.md\"), b, 0, 4096, 0))'"),
    ]},
    Kind { kind: "does not open it", consumes: Consumes::Never, readers: &[
        reader("stat", "stat -c '%s %F' pending.md"),
        reader("ls -l", "ls -l pending.md | awk '{ print $5 }'"),
        reader("test -s", "test -s pending.md && echo yes || echo no"),
        reader("find -size", "find . -name pending.md -size +3k"),
        reader("du", "du -b pending.md"),
        reader("busybox stat", "busybox stat -c %s pending.md"),
        reader("uutils ls", "coreutils ls pending.md"),
    ]},
    Kind { kind: "fills a buffer of 4,096 bytes, and shows a part", consumes: Consumes::UpTo(4095), readers: &[
        reader("mawk exit", "mawk '{ print; exit }' pending.md"),
    ]},
    // A merge that fits the pipe is passed on before `head` has read its line.
    Kind { kind: "hands all to one that shows a part", consumes: Consumes::UpTo(65_536), readers: &[
        reader("`cat \\| head -n1`", "cat pending.md | head -n1"),
    ]},
];
