#!/usr/bin/env bash
# Installs the programs that the tests use, runs every test, and checks that no mount and no process is left.
#
#   scripts/test.sh [ARGUMENT OF cargo test...]
#
# Needs root, or sudo: some of the tests create users and mount disks. The built files belong to the caller all the same. Without
# arguments a part of the tests runs a second time, as an ordinary user.
set -euo pipefail

# The longest time that the tests may take, in seconds: a mount that hangs must not hang this script.
limit=${HANDOFF_TEST_LIMIT:-900}

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# shellcheck source=scripts/common.sh
source scripts/common.sh

need_tests

# All files and mounts of the tests lie below this directory. Other mounts are real ones, and are left alone.
place=$(cd -- "$(mktemp -d)" && pwd -P)
chmod 0755 -- "$place"

# The mounts below that directory, and the processes of handoff-fs that serve them, one a line.
mounts() {
    local point
    while read -r point; do
        # In the table of mounts a blank is \040, which %b decodes.
        point=$(printf '%b' "${point//\\/\\0}")
        [[ $point != "$place"/* ]] || printf 'mount %s\n' "$point"
    done < <(cut -d ' ' -f 5 /proc/self/mountinfo)
}
daemons() {
    local directory program arguments
    for directory in /proc/[0-9]*; do
        program=$(readlink "$directory/exe" 2>/dev/null) || continue
        program=${program% (deleted)}
        [[ ${program##*/} == handoff-fs ]] || continue
        arguments=$(tr '\0' ' ' 2>/dev/null <"$directory/cmdline") || continue
        [[ $arguments != *"$place"/* ]] || printf 'process %s: %s\n' "${directory#/proc/}" "$arguments"
    done
}

# Only the test programs run as root, and cargo does not.
if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || fail "the tests need root, and there is no sudo; run this as root"
    host=$(rustc -vV | sed -n 's/^host: //p')
    host=${host^^}
    export "CARGO_TARGET_${host//-/_}_RUNNER=sudo --preserve-env -- env TMPDIR=$place"
fi

# The limit does not count the build, which depends on the network and cannot hang on a mount.
cargo test --locked --workspace --all-targets --no-run

status=0
TMPDIR=$place timeout --kill-after=30 "$limit" cargo test --locked --workspace --all-targets "$@" </dev/null || status=$?
if [[ $status -eq 124 || $status -eq 137 ]]; then
    printf 'test.sh: the tests took longer than %s s and were ended; HANDOFF_TEST_LIMIT allows more\n' "$limit" >&2
fi

# The same as an ordinary user, but for tests of load and tests that need root.
if [[ $status -eq 0 && $# -eq 0 ]]; then
    export -f tests_as_user fail
    timeout --kill-after=30 "$limit" bash -euo pipefail -c 'tests_as_user "$@"' test.sh "$place" --skip _needs_root \
        --skip races --skip many_clients --skip six_terminals --skip memory --skip reading_ahead --skip turns || status=$?
fi

# A daemon that was told to end may take a moment.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    left=$(mounts && daemons)
    [[ -n $left ]] || break
    sleep 0.5
done
if [[ -n $left ]]; then
    printf 'test.sh: left behind by the tests, and ended now:\n%s\n' "$left" >&2
    while read -r kind what; do
        case $kind in
        process) as_root kill "${what%%:*}" || true ;;
        mount) as_root umount -l -- "$what" || true ;;
        esac
    done <<<"$left"
    status=1
fi
as_root rm -rf --one-file-system -- "$place"
[[ $status -eq 0 ]] || exit "$status"
printf 'test.sh: all passed; no mount and no process is left\n'
