#!/usr/bin/env bash
# Builds handoff-fs and mounts it; on a machine without FUSE installs that first.
#
#   scripts/mount.sh [MOUNTPOINT] [OPTION...]     options: handoff-fs mount --help
set -euo pipefail

fail() {
    printf 'mount.sh: %s\n' "$1" >&2
    exit 1
}

# MOUNTPOINT may be relative to where the caller is; the build is not.
here=$PWD
project=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

case ${1-} in
-h | --help)
    sed -n '2,4s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "'$*' needs root, and there is no sudo; run it as root, then run this again"
    fi
}

# Packages are installed only for what is missing, so a second run asks for no rights at all.
install_packages() {
    command -v apt-get >/dev/null ||
        fail "missing: $*, and there is no apt-get; install them with this system's package manager, then run this again"
    printf 'installing %s\n' "$*" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 ||
        fail "apt-get update failed; see above, then run this again"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 ||
        fail "apt-get could not install $*; see above, then run this again"
}

packages=()
command -v fusermount3 >/dev/null || [[ -x /bin/fusermount3 ]] || packages+=(fuse3)
# cargo needs a linker even where no crate has C in it.
command -v cc >/dev/null || packages+=(gcc libc6-dev)
[[ ${#packages[@]} -eq 0 ]] || install_packages "${packages[@]}"

if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
fi
command -v cargo >/dev/null ||
    fail "cargo: not found; install Rust 1.88 or later (https://rustup.rs), then run this again"

if [[ ! -e /dev/fuse ]]; then
    as_root modprobe fuse || true
fi
[[ -e /dev/fuse ]] ||
    fail "/dev/fuse: missing; as root run 'modprobe fuse', or start the container with --device /dev/fuse --cap-add SYS_ADMIN"
# Everybody may open it: that is what Debian's udev rule says, but in a container there is no udev.
if [[ ! -r /dev/fuse || ! -w /dev/fuse ]]; then
    as_root chmod 0666 /dev/fuse
fi

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
