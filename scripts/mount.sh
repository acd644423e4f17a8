#!/usr/bin/env bash
# Builds handoff-fs and mounts it; on a machine without FUSE installs that first.
#
#   scripts/mount.sh [MOUNTPOINT] [OPTION...]     options: handoff-fs mount --help
set -euo pipefail

# A relative MOUNTPOINT starts from the caller's directory, so this script does not change its directory.
here=$PWD
project=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

case ${1-} in
-h | --help)
    sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

# shellcheck source=scripts/common.sh
source "$project/scripts/common.sh"

# cargo needs a linker even if no crate has C in it.
need fusermount3:fuse3 cc:gcc /usr/include/stdlib.h:libc6-dev
need_cargo
need_fuse_device

target=${CARGO_TARGET_DIR:-$project/target}
# cargo resolves a relative directory from the caller's directory.
[[ $target == /* ]] || target=$here/$target
program=$target/release/handoff-fs
[[ -x $program ]] || printf 'building handoff-fs, which takes about a minute\n' >&2
cargo build --release --locked --manifest-path "$project/Cargo.toml"
[[ -x $program ]] || fail "$program: cargo built it elsewhere; set CARGO_TARGET_DIR to that directory, then run this again"

# Only the program knows which of the words is the mountpoint.
mountpoint=$("$program" mount --where "$@")
if "$program" status "$mountpoint" >/dev/null 2>&1; then
    printf 'handoff-fs is mounted already, and all is well: %q\n' "$mountpoint"
    for word in "$@"; do
        [[ $word == -* ]] || continue
        printf 'It keeps its options; for other ones unmount it first.\n'
        break
    done
else
    "$program" mount "$@"
fi

printf '\n  echo "what the next session must know" > %q\n' "$mountpoint/notes.md"
printf '  cat %q        # everything unread, which is read from now on\n' "$mountpoint/pending.md"
printf '\n  %q status %q\n' "$program" "$mountpoint"
printf '  %q unmount %q\n' "$program" "$mountpoint"
