#!/usr/bin/env bash
# Runs every test, after installing what the tests use; then checks that nothing of them is left.
#
#   scripts/test.sh [ARGUMENT OF cargo test...]
#
# As root everything is tested. As another user the tests that need a second user are the ones that fail.
set -euo pipefail

# The longest that the tests may take, in seconds. A hanging mount must not hang whoever waits for this.
limit=${HANDOFF_TEST_LIMIT:-900}

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'test.sh: %s\n' "$1" >&2
    exit 1
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "'$*' needs root, and there is no sudo; run it as root, then run this again"
    fi
}

# A program that the tests call, and the package that has it.
needs=(
    fusermount3:fuse3 cc:gcc busybox:busybox setpriv:util-linux script:bsdutils flock:util-linux
    setsid:util-linux unshare:util-linux useradd:passwd /usr/bin/python3:python3 rsync:rsync
    git:git faketime:faketime vim:vim nano:nano ed:ed perl:perl less:less file:file tar:tar
    cmp:diffutils chattr:e2fsprogs strace:strace timeout:coreutils awk:mawk
)
packages=()
for need in "${needs[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" >/dev/null || packages+=("${need#*:}")
done
if [[ ${#packages[@]} -gt 0 ]]; then
    command -v apt-get >/dev/null ||
        fail "missing: ${packages[*]}, and there is no apt-get; install them with this system's package manager, then run this again"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2 ||
        fail "apt-get could not install ${packages[*]}; see above, then run this again"
fi
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
# Everybody may open it: that is what Debian's udev rule says, but where there is no udev nobody made it so.
if [[ $(stat -c %a /dev/fuse) != 666 ]]; then
    as_root chmod 0666 /dev/fuse
fi

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
        process) kill "${what%:}" || true ;;
        # The table writes a blank as \040, which %b undoes.
        mount) fusermount3 -u -z -- "$(printf '%b' "${what//\\/\\0}")" || true ;;
        esac
    done <<<"$left"
    exit 1
fi
[[ $status -eq 0 ]] || exit "$status"
printf 'test.sh: all passed; no mount and no process is left\n'
