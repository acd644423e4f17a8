#!/usr/bin/env bash
# The proofs that nothing acknowledged is ever lost, at their whole size; `scripts/test.sh` runs a short fixed share of each.
# Prints their figures at the end.
#
#   scripts/torture.sh [MINUTES [PROOF...]]       PROOF: kill user power faults hostile load oracles
#
# MINUTES (default 10) is the time of all proofs together that could go on forever. The others take about half an hour on two
# cores. Random choices come from a seed, which is printed; HANDOFF_TORTURE_SEED=N repeats them. Needs root, because some of the
# proofs mount disks.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# shellcheck source=scripts/common.sh
source scripts/common.sh

minutes=${1:-10}
[[ $minutes =~ ^[1-9][0-9]*$ ]] || {
    printf 'usage: %s [MINUTES [PROOF...]]\n' "$0" >&2
    exit 2
}
shift $(($# > 0))
proofs=("$@")
[[ ${#proofs[@]} -gt 0 ]] || proofs=(kill user power faults hostile load oracles)

[[ $(id -u) -eq 0 ]] || fail "some of the proofs mount disks; run this as root"
need_tests

export HANDOFF_TORTURE_MINUTES=$minutes
export HANDOFF_TORTURE_SEED=${HANDOFF_TORTURE_SEED:-$((RANDOM * 32768 + RANDOM))}
printf 'HANDOFF_TORTURE_SEED=%s\n' "$HANDOFF_TORTURE_SEED"

cargo test --quiet --locked --no-run

log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
# No proof without MINUTES takes an hour.
limit=$((3600 + minutes * 60))
failed=()
for proof in "${proofs[@]}"; do
    filters=()
    case $proof in
    kill) what=(--test program) filters=(kill_loop hangs) ;;
    power | faults | hostile | load | oracles) what=(--test "$proof") ;;
    user)
        place=$(mktemp -d)
        chmod 0755 -- "$place"
        tests_as_user "$place" --skip _needs_root || failed+=("$proof")
        rm -rf --one-file-system -- "$place"
        continue
        ;;
    *) fail "$proof: no such proof; there are kill, user, power, faults, hostile, load and oracles" ;;
    esac
    printf '\n== %s\n' "$proof"
    timeout --kill-after=30 "$limit" \
        cargo test --quiet --locked "${what[@]}" -- --nocapture --test-threads=1 "${filters[@]}" </dev/null 2>&1 | tee -a "$log" ||
        failed+=("$proof")
done

printf '\n== figures (%s minutes, seed %s)\n' "$minutes" "$HANDOFF_TORTURE_SEED"
grep -a '^figure | ' "$log" | cut -d '|' -f 2- | sed 's/^ //' || true
[[ ${#failed[@]} -eq 0 ]] || fail "failed: ${failed[*]}; HANDOFF_TORTURE_SEED=$HANDOFF_TORTURE_SEED repeats it"
printf 'torture.sh: all held\n'
