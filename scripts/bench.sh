#!/usr/bin/env bash
# Measures handoff-fs against other FUSE file systems and bare directories, after installing those; writes the table in
# scripts/bench/README.md, its chart, and target/bench.json.
#
#   scripts/bench.sh [--quick] [--rows NAME,...] [--binary PATH] [--before PATH] [--rounds N] [--no-write]
#
# --quick shows only that everything can be measured, and writes nothing. --before measures another build in the same rounds, and
# leaves the README and the chart as they are, as --rows does. Who is not root does without mergerfs. Takes about four minutes on
# two cores, and 2 GiB in /dev/shm, and wants the machine for itself.
set -euo pipefail

# What is merely shown to work needs no build of its own. PATH may be relative to where the caller is.
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

# What would change what is measured.
unset HANDOFF_SESSION HANDOFF_LOG RUST_LOG

# A copy, for building the benchmark builds the program again, with what only the tests need.
target=${CARGO_TARGET_DIR:-target}
cargo build --profile "$profile" --quiet --locked
mkdir -p -- "$target/bench"
cp -- "$target/$place/handoff-fs" "$target/bench/handoff-fs"
bench=$(cargo bench --profile "$profile" --quiet --locked --bench peers --no-run --message-format=json |
    sed -n 's/.*"name":"peers".*"executable":"\([^"]*\)".*/\1/p')
[[ -x $bench ]] || fail "cargo built no benchmark"

# It watches its time by itself, and unmounts what it mounted when it is told to end.
exec "$bench" --bench --binary "$target/bench/handoff-fs" "${arguments[@]}"
