# Reads until the stop file is there. Arguments: directory for the merges, stop file, kind of reader, pause in milliseconds,
# seed.
#
# Each merge is in a file of its own, whose name has the beginning and the end of the read; until the end it is called *.part.
out=$1 stop=$2 kind=$3 pause=$4 RANDOM=$5
count=0
exec {nothing}<> <(:)

# keep COMMAND...: keeps its output.
keep() {
    local began=$EPOCHREALTIME
    count=$((count + 1))
    "$@" >"$out/$count.part" || {
        echo "error $kind: $*: status $?" >>"$out/errors"
        return 1
    }
    mv "$out/$count.part" "$out/$count.$began.$EPOCHREALTIME.whole"
}

exactly() {
    python3 -c '
import os
fd = os.open("pending.md", os.O_RDONLY)
left = os.fstat(fd).st_size
while left:
    data = os.read(fd, min(left, 50000))
    assert data, f"{left} bytes less than its size"
    left -= len(data)
    while data:
        data = data[os.write(1, data):]
os.close(fd)'
}

# The old protocol: read all pending files, then rename each.
by_hand() {
    local name
    for name in [0-9]*_old-*.md; do
        [[ $name != *_done.md && -e $name ]] || continue
        count=$((count + 1))
        began=$EPOCHREALTIME
        # Another reader may have renamed the file.
        cat "$name" >"$out/$count.part" 2>"$out/stderr" || { missing; continue; }
        mv "$name" "${name%.md}_done.md" 2>"$out/stderr" || { missing; continue; }
        mv "$out/$count.part" "$out/$count.$began.$EPOCHREALTIME.whole"
    done
}

missing() {
    grep -qF 'No such file or directory' "$out/stderr" || cat "$out/stderr" >>"$out/errors"
}

# Ends with the test, also when the test is killed.
while [[ ! -e $stop ]] && kill -0 $PPID; do
    case $kind in
    cat) keep cat pending.md ;;
    busybox) keep busybox cat pending.md ;;
    exactly) keep exactly ;;
    queue) [[ ! -d q1 ]] || keep cat q1/pending.md ;;
    by-hand) by_hand ;;
    part)
        head -n 3 pending.md >/dev/null
        read -r _ <pending.md
        dd if=pending.md bs=100 count=1 status=none of=/dev/null
        ;;
    peek) cat .peek.md >/dev/null && grep -c . pending.md >/dev/null ;;
    list)
        # A listed file may be gone at its lstat.
        ls -lR . 2>&1 >/dev/null | grep -v 'No such file or directory' >>"$out/errors"
        [[ $(stat -c %s pending.md) -ge 0 ]] && find . -name '*.md' -newer pending.md 2>&1 >/dev/null |
            grep -v 'No such file or directory' >>"$out/errors"
        ;;
    esac
    # A pause without a process.
    printf -v time '%d.%03d' $((RANDOM % (2 * pause + 1) / 1000)) $((RANDOM % (2 * pause + 1) % 1000))
    read -rt "$time" -u "$nothing"
done 2>>"$out/errors"
