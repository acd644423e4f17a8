#!/usr/bin/env bash
# Runs every test, after installing what the tests use; then checks that nothing of them is left.
#
#   scripts/test.sh [ARGUMENT OF cargo test...]
#
# Needs root, or sudo: some of the tests have users and disks of their own. What is built is the caller's all the same.
set -euo pipefail

# The longest that the tests may take, in seconds. A hanging mount must not hang whoever waits for this.
limit=${HANDOFF_TEST_LIMIT:-900}

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# shellcheck source=scripts/common.sh
source scripts/common.sh

need_tests

# Every mount and every daemon of handoff-fs, one a line, as it looks now.
mounts() {
    awk '{ for (i = 7; i < NF; i++) if ($i == "-") break
           if ($(i + 1) == "fuse.handoff-fs" || ($(i + 1) == "fuse" && $(i + 2) == "handoff-fs")) print "mount " $5 }' \
        /proc/self/mountinfo
}
daemons() {
    local directory program
    for directory in /proc/[0-9]*; do
        program=$(readlink "$directory/exe" 2>/dev/null) || continue
        program=${program% (deleted)}
        if [[ ${program##*/} == handoff-fs ]]; then
            printf 'process %s: %s\n' "${directory#/proc/}" "$(tr '\0' ' ' 2>/dev/null <"$directory/cmdline")"
        fi
    done
}
everything() {
    {
        mounts
        daemons
    } | sort
}

# cargo runs the test programs, not itself, as root.
if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || fail "the tests need root, and there is no sudo; run this as root"
    host=$(rustc -vV | sed -n 's/^host: //p')
    host=${host^^}
    export "CARGO_TARGET_${host//-/_}_RUNNER=sudo --preserve-env --"
fi

# Building is outside the limit: it depends on the network, and cannot hang on a mount.
cargo test --locked --workspace --all-targets --no-run

# What somebody mounted before, for real use, is not the tests'.
before=$(everything)
status=0
timeout --kill-after=30 "$limit" cargo test --locked --workspace --all-targets "$@" </dev/null || status=$?
if [[ $status -eq 124 || $status -eq 137 ]]; then
    printf 'test.sh: the tests took longer than %s s and were ended; HANDOFF_TEST_LIMIT allows more\n' "$limit" >&2
fi

# A daemon that was told to end may take a moment.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    left=$(comm -13 <(printf '%s\n' "$before") <(everything))
    [[ -n $left ]] || break
    sleep 0.5
done
if [[ -n $left ]]; then
    printf 'test.sh: left behind by the tests, and ended now:\n%s\n' "$left" >&2
    while read -r kind what _; do
        case $kind in
        process) as_root kill "${what%:}" || true ;;
        # The table writes a blank as \040, which %b undoes.
        mount) as_root umount -l -- "$(printf '%b' "${what//\\/\\0}")" || true ;;
        esac
    done <<<"$left"
    exit 1
fi
[[ $status -eq 0 ]] || exit "$status"
printf 'test.sh: all passed; no mount and no process is left\n'
