//! Every case of writing, and with what. A script finds the name to write in `$f`; what to write in `$text`, or in the file
//! `$src` outside of the mount; for edits, the word `$new` to put in the place of `$old`; a directory outside in `$out`.

/// What a tool does, in the words of a person.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Does {
    /// Writes a whole file: a handoff each time.
    New,
    /// Writes a file unless it is there.
    Refuses,
    /// Continues what it wrote the first time.
    Appends,
    /// Changes what was there before.
    Edits,
    /// Takes its file out of the mount.
    Takes,
}

/// A task, and the tools that do it.
pub struct Case {
    pub case: &'static str,
    pub does: Does,
    pub tools: &'static [Tool],
}

/// The script of one tool for a task.
pub struct Tool {
    pub name: &'static str,
    pub script: &'static str,
}

const fn tool(name: &'static str, script: &'static str) -> Tool {
    Tool { name, script }
}

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    Case { case: "write a file", does: Does::New, tools: &[
        tool("bash `>`", r#"echo $text > $f"#),
        tool("bash heredoc", "cat > $f <<END\n$text\nEND"),
        tool("dash `>`", r#"dash -ec 'echo $text > $f'"#),
        tool("dash heredoc", "dash -ec 'cat > $f <<END\n$text\nEND'"),
        tool("busybox sh `>`", r#"busybox sh -ec 'echo $text > $f'"#),
        tool("tee", r#"tee $f < $src"#),
        tool("busybox tee", r#"busybox tee $f < $src"#),
        tool("uutils tee", r#"coreutils tee $f < $src"#),
        tool("dd", r#"dd if=$src of=$f bs=1000 status=none"#),
        tool("dd conv=fsync", r#"dd if=$src of=$f conv=fsync status=none"#),
        tool("busybox dd", r#"busybox dd if=$src of=$f 2> /dev/null"#),
        tool("uutils dd", r#"coreutils dd if=$src of=$f status=none"#),
        tool("mawk", r#"mawk '{ print > ENVIRON["f"] }' $src"#),
        tool("sed w", r#"sed -n "w $f" $src"#),
        tool("perl", r#"perl -e 'open F, ">", $ENV{f} or die $!; print F $ENV{text}; close F or die $!'"#),
        tool("python3 open", r#"$python -c 'import os; f = open(os.environ["f"], "w"); f.write(os.environ["text"]); f.close()'"#),
        tool("node writeFileSync", r#"node -e 'fs.writeFileSync(process.env.f, process.env.text)'"#),
        tool("node writeFile", r#"node -e 'fs.promises.writeFile(process.env.f, process.env.text)'"#),
        tool("node createWriteStream", r#"node -e 'const s = fs.createWriteStream(process.env.f); s.write("a"); s.end(process.env.text)'"#),
        tool("git diff --output", r#"git diff --no-index --output=$f /dev/null - < $src || test $? = 1"#),
    ]},
    Case { case: "write unless it is there", does: Does::Refuses, tools: &[
        tool("bash set -C", r#"set -C; echo $text > $f"#),
        tool("dash set -C", r#"dash -Cec 'echo $text > $f'"#),
        tool("python3 open x", r#"$python -c 'import os; open(os.environ["f"], "x").write(os.environ["text"])' 2> /dev/null"#),
        tool("node wx", r#"node -e 'fs.writeFileSync(process.env.f, process.env.text, { flag: "wx" })' 2> /dev/null"#),
    ]},
    Case { case: "append", does: Does::Appends, tools: &[
        tool("bash `>>`", r#"echo $text >> $f"#),
        tool("dash `>>`", r#"dash -ec 'echo $text >> $f'"#),
        tool("busybox sh `>>`", r#"busybox sh -ec 'echo $text >> $f'"#),
        tool("tee -a", r#"tee -a $f < $src"#),
        tool("busybox tee -a", r#"busybox tee -a $f < $src"#),
        tool("uutils tee -a", r#"coreutils tee -a $f < $src"#),
        tool("dd oflag=append", r#"dd if=$src of=$f oflag=append conv=notrunc status=none"#),
        tool("perl", r#"perl -e 'open F, ">>", $ENV{f} or die $!; print F $ENV{text}; close F or die $!'"#),
        tool("python3 open a", r#"$python -c 'import os; f = open(os.environ["f"], "a"); f.write(os.environ["text"]); f.close()'"#),
        tool("node appendFileSync", r#"node -e 'fs.appendFileSync(process.env.f, process.env.text)'"#),
    ]},
    Case { case: "copy in", does: Does::New, tools: &[
        tool("cp", r#"cp $src $f"#),
        tool("cp -p", r#"cp -p $src $f; test $(stat -c %Y $f) = $(stat -c %Y $src)"#),
        tool("cp -a", r#"cp -a $src $f"#),
        tool("cp -f", r#"cp -f $src $f"#),
        tool("cp --remove-destination", r#"cp --remove-destination $src $f"#),
        tool("busybox cp", r#"busybox cp $src $f"#),
        tool("busybox cp -p", r#"busybox cp -p $src $f"#),
        tool("uutils cp", r#"coreutils cp $src $f"#),
        tool("uutils cp -p", r#"coreutils cp -p $src $f"#),
        tool("install", r#"install $src $f"#),
        tool("install -m 640", r#"install -m 640 $src $f; test $(stat -c %a $f) = 640"#),
        tool("install -p", r#"install -pm 644 $src $f; test $(stat -c %Y $f) = $(stat -c %Y $src)"#),
        tool("uutils install", r#"coreutils install -m 640 $src $f"#),
        tool("rsync", r#"rsync $src $f"#),
        tool("rsync -a", r#"rsync -a $src $f; test $(stat -c %Y $f) = $(stat -c %Y $src)"#),
        tool("rsync --inplace", r#"rsync -a --inplace $src $f"#),
        tool("tar x", r#"mkdir -p $out/t; cp -p $src $out/t/$f; tar cf $out/t.tar -C $out/t $f; tar xf $out/t.tar"#),
        tool("busybox tar x", r#"mkdir -p $out/t; cp -p $src $out/t/$f; tar cf $out/t.tar -C $out/t $f; busybox tar xf $out/t.tar"#),
        tool("git checkout", r#"
            test -e $out/git || git init -q --bare $out/git
            g="git --git-dir=$out/git -c user.name=n -c user.email=n@localhost"
            cp $src $out/$f; $g --work-tree=$out add $f; $g --work-tree=$out commit -qm m
            $g --work-tree=. checkout -q -f HEAD -- $f"#),
        tool("python3 shutil.copyfile", r#"$python -c 'import os, shutil; shutil.copyfile(os.environ["src"], os.environ["f"])'"#),
        tool("python3 shutil.copy2", r#"$python -c 'import os, shutil; shutil.copy2(os.environ["src"], os.environ["f"])'"#),
        tool("node copyFileSync", r#"node -e 'fs.copyFileSync(process.env.src, process.env.f)'"#),
    ]},
    Case { case: "move in from another filesystem", does: Does::New, tools: &[
        tool("mv", r#"mv $src $f"#),
        tool("busybox mv", r#"busybox mv $src $f"#),
        tool("uutils mv", r#"coreutils mv $src $f"#),
        tool("python3 shutil.move", r#"$python -c 'import os, shutil; shutil.move(os.environ["src"], os.environ["f"])'"#),
    ]},
    Case { case: "write under a temporary name, then rename", does: Does::New, tools: &[
        tool("mktemp and mv", r#"t=$(mktemp -p .); cat $src > $t; mv $t $f"#),
        tool("mktemp X and mv", r#"t=$(mktemp ./$f.XXXXXX); cat $src > $t; mv $t $f"#),
        tool("busybox mktemp and mv", r#"t=$(busybox mktemp -p .); cat $src > $t; busybox mv $t $f"#),
        tool("uutils mktemp and mv", r#"t=$(coreutils mktemp -p .); cat $src > $t; coreutils mv $t $f"#),
        tool("mv", r#"cp $src $f.tmp; mv $f.tmp $f"#),
        tool("ln -f and rm", r#"cp $src $f.tmp; ln -f $f.tmp $f; rm $f.tmp"#),
        tool("perl rename", r#"cp $src $f.new; perl -e 'rename "$ENV{f}.new", $ENV{f} or die $!'"#),
        tool("python3 tempfile and os.replace", r#"$python -c '
import os, tempfile
with tempfile.NamedTemporaryFile("w", dir=".", delete=False) as t:
    t.write(os.environ["text"]); t.flush(); os.fsync(t.fileno())
os.replace(t.name, os.environ["f"])'"#),
        tool("node renameSync", r#"node -e 'const e = process.env; fs.writeFileSync(e.f + ".tmp." + process.pid, e.text); fs.renameSync(e.f + ".tmp." + process.pid, e.f)'"#),
    ]},
    Case { case: "edit", does: Does::Edits, tools: &[
        tool("sed -i", r#"sed -i s/$old/$new/ $f"#),
        tool("sed -i.bak", r#"sed -i.bak s/$old/$new/ $f"#),
        tool("busybox sed -i", r#"busybox sed -i s/$old/$new/ $f"#),
        tool("perl -i", r#"perl -i -pe s/$old/$new/ $f"#),
        tool("perl -i.bak", r#"perl -i.bak -pe s/$old/$new/ $f"#),
        tool("ed", r#"printf '%s\n' s/$old/$new/ w q | ed -s $f"#),
        tool("vim backupcopy=yes", r#"vim -u NONE --cmd 'set backupskip= backupcopy=yes' -es -c s/$old/$new/ -c wq $f"#),
        tool("vim backupcopy=no", r#"vim -u NONE --cmd 'set backupskip= backupcopy=no' -es -c s/$old/$new/ -c wq $f"#),
        tool("vim backup", r#"vim -u NONE --cmd 'set backupskip= backup' -es -c s/$old/$new/ -c wq $f"#),
        tool("vim at a terminal", r#"$python $terminal "number $old" ":s/$old/$new/\r:wq\r" -- vim -u NONE $f"#),
        tool("busybox vi", r#"$python $terminal "number $old" ":s/$old/$new/\r:wq\r" -- busybox vi $f"#),
        tool("nano", r#"$python $terminal "number $old" "\x05\x7f\x7f\x7f$new\x0f\r" Wrote "\x18" -- nano --ignorercfiles $f"#),
        tool("nano -B", r#"$python $terminal "number $old" "\x05\x7f\x7f\x7f$new\x0f\r" Wrote "\x18" -- nano --ignorercfiles -B $f"#),
        tool("emacs at a terminal", r#"$python $terminal "number $old" "\x05\x7f\x7f\x7f$new\x18\x13" Wrote "\x18\x03" -- env TERM=vt100 emacs -nw -Q $f"#),
        tool("emacs without backups", r#"$python $terminal "number $old" "\x05\x7f\x7f\x7f$new\x18\x13" Wrote "\x18\x03" -- env TERM=vt100 emacs -nw -Q --eval '(setq make-backup-files nil)' $f"#),
        tool("emacs --eval", r#"$python $terminal -- env TERM=vt100 emacs -nw -Q --eval "(progn (find-file \"$f\") (search-forward \"$old\") (replace-match \"$new\") (save-buffer) (kill-emacs))""#),
        tool("emacs --batch", r#"emacs --batch -Q --eval "(progn (find-file \"$f\") (search-forward \"$old\") (replace-match \"$new\") (save-buffer) (kill-buffer))" 2> /dev/null"#),
        tool("emacs backup-by-copying", r#"emacs --batch -Q --eval "(progn (setq backup-by-copying t) (find-file \"$f\") (search-forward \"$old\") (replace-match \"$new\") (save-buffer) (kill-buffer))" 2> /dev/null"#),
    ]},
    Case { case: "write a new file, then edit it", does: Does::Appends, tools: &[
        tool("ed", r#"printf '%s\n' '$a' $text . w q | ed -s $f 2> /dev/null"#),
        tool("vim", r#"vim -u NONE -es -c "norm Go$text" -c w -c q $f"#),
        tool("vim at a terminal", r#"$python $terminal $f "Go$text\x1b:wq\r" -- vim -u NONE $f"#),
        tool("nano", r#"$python $terminal Exit "$text\r\x0f\r" Wrote "\x18" -- nano --ignorercfiles $f"#),
        tool("emacs at a terminal", r#"$python $terminal "$f" "$text\r\x18\x13" Wrote "\x18\x03" -- env TERM=vt100 emacs -nw -Q $f"#),
        tool("emacs --batch", r#"emacs --batch -Q --eval "(progn (find-file \"$f\") (insert \"$text\n\") (save-buffer) (kill-buffer))" 2> /dev/null"#),
    ]},
    Case { case: "take away by its own name", does: Does::Takes, tools: &[
        tool("rm", "rm $f"),
        tool("mv out", "mv $f $out/taken; cat $out/taken"),
        tool("busybox mv out", "busybox mv $f $out/taken; cat $out/taken"),
        tool("uutils mv out", "coreutils mv $f $out/taken; cat $out/taken"),
        tool("rsync --remove-source-files", "rsync -I --remove-source-files $f $out/taken; cat $out/taken"),
        tool("node unlinkSync", "node -e 'fs.unlinkSync(process.env.f)'"),
    ]},
];
