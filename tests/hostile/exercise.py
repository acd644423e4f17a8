"""Tries every operation on every file in a mount, as its user. Ends with 1 and a line where POSIX does not allow the result."""
import errno, os, random, signal, stat, sys

what, top, seed = sys.argv[1], os.fsencode(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)
# No operation in a mount blocks; opening a fifo would.
signal.alarm(60)
USUAL = {errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL,
         errno.ENAMETOOLONG, errno.ENODATA, errno.EOPNOTSUPP}
NAMES = [b"x.md", b"x", b"y_done.md", b"pending.md", b".hidden", b"a\nb.md", b"\xff.md", b"z.tmp", b"2026-01-02_030405_s.md",
         b"2026-01-02_030405_s_done.md", b"2026-01-02_030405_s.txt", b"k.md.bak", b".handoff-fs", b"n" * 255]


def attempt(path, act, gone=False):
    try:
        return act()
    except OSError as error:
        if error.errno in USUAL or gone and error.errno == errno.ENOENT:
            return None
        sys.exit(f"{what} {path!r}: {error}")


def read(path):
    with open(path, "rb", buffering=0) as file:
        size, got = os.fstat(file.fileno()).st_size, b"".join(iter(lambda: file.read(65536), b""))
        if size != len(got):
            sys.exit(f"{path!r}: is {size} bytes long and has {len(got)}")
        return got


def walk(directory):
    for name in attempt(directory, lambda: os.listdir(directory)) or []:
        path = os.path.join(directory, name)
        info = attempt(path, lambda: os.lstat(path))
        if info is None:
            continue
        if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
            sys.exit(f"{path!r}: is shown, mode {info.st_mode:o}")
        if stat.S_ISDIR(info.st_mode):
            yield from walk(path)
        yield path, stat.S_ISDIR(info.st_mode)


for path, is_dir in list(walk(top)):
    base = os.path.basename(path)
    if what == "look":
        if not is_dir and base != b"pending.md":
            attempt(path, lambda: read(path))
        attempt(path, lambda: os.listxattr(path))
        attempt(path, lambda: os.access(path, os.R_OK))
    elif what == "change" and not is_dir:
        for flags in (os.O_WRONLY | os.O_APPEND, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            if draw.random() < 0.5:
                def write():
                    file = os.open(path, flags)
                    try:
                        os.write(file, b"changed\n")
                    finally:
                        os.close(file)
                attempt(path, write, gone=True)
        attempt(path, lambda: os.utime(path), gone=True)
        attempt(path, lambda: os.chmod(path, draw.choice([0, 0o200, 0o444, 0o600])), gone=True)
    if what == "change" and draw.random() < 0.5:
        to = os.path.join(os.path.dirname(path), draw.choice(NAMES))
        act = draw.choice([os.rename, os.link])
        attempt(path, lambda: act(path, to), gone=True)
if what == "look":
    for name in (b".peek.md", b"pending.md"):
        sys.stdout.buffer.write(attempt(name, lambda: read(os.path.join(top, name))))
if what == "change":
    for path, is_dir in list(walk(top)):
        attempt(path, lambda: os.rmdir(path) if is_dir else os.unlink(path), gone=True)
