#!/usr/bin/env bash
# Builds handoff-fs and mounts it; on a machine without FUSE installs that first.
#
#   scripts/mount.sh [MOUNTPOINT] [OPTION...]     options: handoff-fs mount --help
set -euo pipefail

# MOUNTPOINT may be relative to where the caller is; the build is not.
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

# cargo needs a linker even where no crate has C in it.
need fusermount3:fuse3 cc:gcc /usr/include/stdlib.h:libc6-dev
need_cargo
need_fuse_device

cargo build --release --quiet --locked --manifest-path "$project/Cargo.toml"
target=${CARGO_TARGET_DIR:-$project/target}
# cargo takes a relative one from where it was started.
[[ $target == /* ]] || target=$here/$target
program=$target/release/handoff-fs
[[ -x $program ]] || fail "$program: cargo built it elsewhere; set CARGO_TARGET_DIR to that directory, then run this again"

"$program" mount "$@"

mountpoint=$HOME/.claude/handoffs
[[ $# -eq 0 || $1 == -* ]] || mountpoint=$1
cat <<END
handoff-fs is mounted at $mountpoint

  echo "what the next session must know" > $mountpoint/notes.md
  cat $mountpoint/pending.md        # all that is pending, and now consumed

  $program status $mountpoint
  $program unmount $mountpoint
END
