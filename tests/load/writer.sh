# As writer.py, with the means of a shell. Arguments: log, stop file, name of the client, pause in milliseconds, seed.
log=$1 stop=$2 client=$3 pause=$4 RANDOM=$5
count=0
exec {nothing}<> <(:)

record() {
    local lines='' i
    count=$((count + 1))
    id=$client.0.$count.$1
    for ((i = RANDOM % 40; i > 0; i--)); do lines+="$i $RANDOM $RANDOM $RANDOM $RANDOM"$'\n'; done
    data="BEGIN $id"$'\n'$lines
    data+="END $id $(printf '%s' "$data" | cksum | cut -d ' ' -f 1)"
}

# Ends with the test, also when the test is killed.
while [[ ! -e $stop ]] && kill -0 $PPID; do
    case $((RANDOM % 8)) in
    0) record t && echo "$data" >trunc0.md ;;
    1) record t && { echo "${data%$'\n'*}"; echo "${data##*$'\n'}"; } >trunc1.md ;;
    2) record a && echo "$data" | dd of=log.md oflag=append conv=notrunc bs=1M iflag=fullblock status=none ;;
    3) record n && cat <<<"$data" >"n-$client.tmp" && mv "n-$client.tmp" old-n.md ;;
    4) record q && mkdir -p q1 && echo "$data" >q1/in.md ;;
    5) record r && echo "$data" >rm.md && echo "ok $id" >>"$log" && rm rm.md ;;
    6) record p && tee pending.md <<<"$data" >/dev/null ;;
    7) record x && (echo "$data") >"x-$id.md" ;;
    esac || {
        echo "error shell $id: status $?" >>"$log"
        continue
    }
    echo "ok $id" >>"$log"
    # A pause without a process.
    printf -v time '%d.%03d' $((RANDOM % (2 * pause + 1) / 1000)) $((RANDOM % (2 * pause + 1) % 1000))
    read -rt "$time" -u "$nothing"
done 2>>"$log"
