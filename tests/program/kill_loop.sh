# A writer or reader of real tools, which report a close that failed. It runs until the file `stop` is there.
# Argument: which one.
me=$1
body() { # id, most lines
    local n=$((RANDOM % $2 + 1))
    printf 'begin %s %d\n' "$1" $n
    printf "line $1%.0s\n" $(seq $n)
    printf 'end %s' "$1"
}
ack() { printf '%s\n' "$1" >> "acks/$me"; }
keep() { # file, status
    if test $2 = 0; then mv "$1" "$1.whole"; else mv "$1" "$1.cut"; fi
}
n=0
while ! test -e stop; do
    n=$((n + 1)) id=$me-$$-$n
    case $me in
    echo) text=$(body $id 300); /bin/echo "$text" > m/$id.md && ack $id ;;
    append)
        text=$(body $id-a 300); /bin/echo "$text" > m/$id.md && ack $id-a
        text=$(body $id-b 5); /bin/echo "$text" >> m/$id.md && ack $id-b ;;
    stamped) text=$(body $id 300); /bin/echo "$text" > "m/$(date +%F_%H%M%S)_$id.md" && ack $id ;;
    queue)
        text=$(body $id 300); mkdir -p m/q$((n % 3))
        /bin/echo "$text" > m/q$((n % 3))/$id.md && ack $id ;;
    cp) body $id 300 > copied; echo >> copied; cp copied m/$id.md && ack $id ;;
    cat) cat m/pending.md > reads/$id; keep reads/$id $? ;;
    busybox) busybox cat m/pending.md > reads/$id; keep reads/$id $? ;;
    peek) cat m/.peek.md > /dev/null; head -c 100 m/pending.md > /dev/null; grep -q nothing m/pending.md ;;
    esac
    sleep 0.0$((RANDOM % 3 + 1))
done
