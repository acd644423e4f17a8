#!/usr/bin/env bash
# Measures handoff-fs against other FUSE file systems, which it installs, and bare directories. Writes the table in
# scripts/bench/README.md, its chart, and target/bench.json.
#
#   scripts/bench.sh [--quick] [--rows NAME,...] [--binary PATH] [--before PATH] [--rounds N] [--no-write]
#
# --quick shows only that everything can be measured, and writes nothing. --before measures another build in the same rounds.
# --before and --rows leave the README and the chart as they are. Without root mergerfs is left out. Takes about four minutes on
# two cores, needs 2 GiB in /dev/shm, and should be alone on the machine.
set -euo pipefail

# --quick uses the debug build, which exists after the tests. A relative PATH starts from the caller's directory.
profile=release place=release arguments=() path=
for argument; do
    [[ $argument != --quick ]] || profile=dev place=debug
    [[ -z $path || $argument == /* ]] || argument=$PWD/$argument
    path=
    [[ $argument != --binary && $argument != --before ]] || path=follows
    arguments+=("$argument")
done

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# shellcheck source=scripts/common.sh
source scripts/common.sh

need fusermount3:fuse3 bindfs:bindfs mergerfs:mergerfs cc:gcc /usr/include/stdlib.h:libc6-dev pkg-config:pkg-config \
    cat:coreutils ls:coreutils stat:coreutils mv:coreutils umount:mount timeout:coreutils
need_passthrough
need_cargo
need_fuse_device

# These variables would change the results.
unset HANDOFF_SESSION HANDOFF_LOG RUST_LOG

# A copy, because building the benchmark builds the program again, with the features that only tests need.
target=${CARGO_TARGET_DIR:-target}
cargo build --profile "$profile" --quiet --locked
mkdir -p -- "$target/bench"
cp -- "$target/$place/handoff-fs" "$target/bench/handoff-fs"
bench=$(cargo bench --profile "$profile" --quiet --locked --bench peers --no-run --message-format=json |
    sed -n 's/.*"name":"peers".*"executable":"\([^"]*\)".*/\1/p')
[[ -x $bench ]] || fail "cargo built no benchmark"

# The benchmark limits its own time, and unmounts its mounts when it is told to end.
exec "$bench" --bench --binary "$target/bench/handoff-fs" "${arguments[@]}"
