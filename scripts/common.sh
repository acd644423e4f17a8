# shellcheck shell=bash
# Functions of the scripts beside this one, which source this file.

fail() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
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

# Installs the packages of missing programs and files, given as PROGRAM:PACKAGE or /FILE:PACKAGE. Needs no root if nothing is
# missing.
need() {
    local pair packages=()
    for pair in "$@"; do
        case $pair in
        /*) [[ -e ${pair%%:*} ]] ;;
        *) PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null ;;
        esac || packages+=("${pair#*:}")
    done
    [[ ${#packages[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null ||
        fail "missing: ${packages[*]}, and there is no apt-get; install them with this system's package manager, then run this again"
    printf 'installing %s\n' "${packages[*]}" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 ||
        fail "apt-get update failed; see above, then run this again"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2 ||
        fail "apt-get could not install ${packages[*]}; see above, then run this again"
}

need_cargo() {
    if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    command -v cargo >/dev/null ||
        fail "cargo: not found; install Rust 1.88 or later (https://rustup.rs), then run this again"
}

need_fuse_device() {
    [[ -e /dev/fuse ]] || as_root modprobe fuse || true
    [[ -e /dev/fuse ]] ||
        fail "/dev/fuse: missing; as root run 'modprobe fuse', or start the container with --device /dev/fuse --cap-add SYS_ADMIN"
    # Mode 666, as Debian's udev rule sets it; without udev the mode may be another one.
    [[ $(stat -c %a /dev/fuse) == 666 ]] || as_root chmod 0666 /dev/fuse
}

# Builds fsx, the file system exerciser, once, below cargo's target directory. Call this in the project's directory.
need_fsx() {
    local tools=${CARGO_TARGET_DIR:-target}/tools version=0.3.2
    [[ $("$tools/bin/fsx" --version 2>/dev/null) == "fsx $version" ]] ||
        cargo install --quiet --locked --force --version "$version" --root "$tools" --target-dir "$tools/build" fsx ||
        fail "fsx $version could not be built; see above, then run this again"
}

# Builds passthrough_ll, libfuse's example of a file system that adds nothing, for the benchmark. Call this in the project's
# directory.
need_passthrough() {
    local tools=${CARGO_TARGET_DIR:-target}/tools examples=/usr/share/doc/libfuse3-dev/examples source flags
    need cc:gcc /usr/include/stdlib.h:libc6-dev pkg-config:pkg-config /usr/include/fuse3/fuse_lowlevel.h:libfuse3-dev
    [[ ! -x $tools/bin/passthrough_ll ]] || return 0
    source=$(mktemp -d)
    # Packages may compress documentation; containers may leave it out.
    (
        cd -- "$examples" && for file in passthrough_ll.c passthrough_helpers.h; do
            if [[ -e $file.gz ]]; then gzip -dc -- "$file.gz"; else cat -- "$file"; fi >"$source/$file"
        done
    ) || fail "$examples: no passthrough_ll.c; this system leaves documentation out, so reinstall libfuse3-dev with it"
    # shellcheck disable=SC2207 # splitting into words is intended
    flags=($(pkg-config --cflags --libs fuse3))
    mkdir -p -- "$tools/bin"
    cc -O2 -Wno-unused-result -o "$tools/bin/passthrough_ll" "$source/passthrough_ll.c" "${flags[@]}" ||
        fail "passthrough_ll could not be built; see above, then run this again"
    rm -r -- "$source"
}

# The programs that the tests call, each with its package.
need_tests() {
    need fusermount3:fuse3 cc:gcc /usr/include/stdlib.h:libc6-dev busybox:busybox setpriv:util-linux script:bsdutils flock:util-linux \
        setsid:util-linux unshare:util-linux useradd:passwd /usr/bin/python3:python3 rsync:rsync git:git \
        faketime:faketime vim:vim nano:nano ed:ed perl:perl less:less file:file tar:tar cmp:diffutils \
        bindfs:bindfs encfs:encfs chattr:e2fsprogs strace:strace timeout:coreutils awk:mawk \
        bash:bash dash:dash emacs:emacs-nox node:nodejs coreutils:rust-coreutils rg:ripgrep ugrep:ugrep zip:zip mawk:mawk \
        grep:grep sed:sed find:findutils diff:diffutils more:util-linux cat:coreutils cp:coreutils dd:coreutils du:coreutils \
        head:coreutils install:coreutils ln:coreutils ls:coreutils md5sum:coreutils mktemp:coreutils mv:coreutils \
        stat:coreutils tail:coreutils tee:coreutils wc:coreutils stress-ng:stress-ng cksum:coreutils
    need_cargo
    need_fsx
    need_fuse_device
}

# Runs the test programs `kernel` and `tools` as an ordinary user, with their files below DIRECTORY, which that user must be able
# to enter. Call this in the project's directory, after the tests were built.
#
#   tests_as_user DIRECTORY [FILTER OF kernel...]
tests_as_user() {
    local place=$1 project=$PWD user=handoff-fs-$$ blocked='' directory name program status=0 as=()
    shift
    mkdir -p -- "$place/user/home"
    if [[ $(id -u) -eq 0 ]]; then
        # fusermount3 needs a user with a name.
        useradd --no-create-home --user-group "$user"
        chown -R "$user:" -- "$place/user"
        as=(setpriv "--reuid=$user" "--regid=$user" --clear-groups)
        # The programs contain the project's path. If the user may not enter that (/root), a mount namespace of its own covers the
        # forbidden directory, and binds the project there again.
        directory=$project
        while [[ $directory != / ]]; do
            "${as[@]}" test -x "$directory" || blocked=$directory
            directory=$(dirname -- "$directory")
        done
        if [[ -n $blocked ]]; then
            mkdir -p -- "$place/project"
            # shellcheck disable=SC2016 # the inner shell expands these
            as=(unshare --mount sh -ec 'place=$1 project=$2 blocked=$3; shift 3
                mount --bind "$project" "$place/project"
                mount -t tmpfs -o mode=755 tmpfs "$blocked"
                mkdir -p "$project"
                mount --bind "$place/project" "$project"
                cd "$project"
                exec "$@"' sh "$place" "$project" "$blocked" "${as[@]}")
        fi
    fi
    for name in kernel tools; do
        program=$(cargo test --quiet --locked --test "$name" --no-run --message-format=json |
            sed -n 's/.*"name":"'"$name"'".*"executable":"\([^"]*\)".*/\1/p')
        [[ -x $program ]] || fail "cargo built no test program $name"
        [[ $name == kernel ]] || set --
        printf '\n== %s as an ordinary user\n' "$name"
        "${as[@]}" env -u HANDOFF_SESSION HOME="$place/user/home" TMPDIR="$place/user" PATH=/usr/local/bin:/usr/bin:/bin \
            "$program" "$@" </dev/null || status=$?
    done
    [[ $(id -u) -ne 0 ]] || userdel --force "$user" 2>/dev/null || true
    return "$status"
}
