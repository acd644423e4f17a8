"""Tries every system call on the mount of another user. Ends with 1 and a line if one does not fail with EACCES or EPERM."""
import ctypes, errno, os, shutil, signal, socket, stat, subprocess, sys

top, pid = sys.argv[1], int(sys.argv[2])
known = sys.argv[3:]
signal.alarm(60)
libc = ctypes.CDLL(None, use_errno=True)
events = libc.inotify_init()
tried = 0


def denied(what, act, also=()):
    global tried
    tried += 1
    try:
        answer = act()
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, *also}:
            sys.exit(f"{what}: {error}")
        return
    sys.exit(f"{what}: was answered {answer!r}")


def call(name, *arguments):
    ctypes.set_errno(0)
    answer = getattr(libc, name)(*arguments)
    if answer < 0:
        raise OSError(ctypes.get_errno(), name)
    return answer


roots = [top, f"/proc/{pid}/root{top}", f"/proc/{pid}/cwd", f"/proc/{pid}/root"]
roots += [f"/proc/{pid}/fd/{fd}" for fd in range(16)]
for root in roots:
    names = [root] + [os.path.join(root, name) for name in known]
    # Some calls find out from the mountpoint alone that it is a directory.
    also = (errno.EISDIR,) if root == top else ()
    for path in names:
        raw = os.fsencode(path)
        for what, act in {
            "stat": lambda: os.stat(path), "listdir": lambda: os.listdir(path),
            "open": lambda: os.open(path, os.O_RDONLY), "write": lambda: os.open(path, os.O_WRONLY),
            "truncate": lambda: os.truncate(path, 0), "append": lambda: os.open(path, os.O_WRONLY | os.O_APPEND),
            "O_PATH": lambda: os.open(os.path.join(path, "x"), os.O_PATH), "access": lambda: call("access", raw, 4),
            "create": lambda: os.open(os.path.join(path, "new.md"), os.O_CREAT | os.O_WRONLY, 0o600),
            "tmpfile": lambda: os.open(path, os.O_TMPFILE | os.O_WRONLY),
            "mkdir": lambda: os.mkdir(os.path.join(path, "q")), "rmdir": lambda: os.rmdir(os.path.join(path, "q")),
            "mkfifo": lambda: os.mkfifo(os.path.join(path, "f")), "unlink": lambda: os.unlink(os.path.join(path, "x")),
            "symlink": lambda: os.symlink("/etc/passwd", os.path.join(path, "l")),
            "link in": lambda: os.link("mine", os.path.join(path, "l.md")), "link out": lambda: os.link(os.path.join(path, "x"), "out"),
            "rename in": lambda: os.rename("mine", os.path.join(path, "r.md")),
            "rename out": lambda: os.rename(os.path.join(path, "x"), "out"), "readlink": lambda: os.readlink(os.path.join(path, "x")),
            "chmod": lambda: os.chmod(os.path.join(path, "x"), 0o777), "chown": lambda: os.chown(os.path.join(path, "x"), os.getuid(), -1),
            "utime": lambda: os.utime(os.path.join(path, "x")), "setxattr": lambda: os.setxattr(path, "user.x", b"x"),
            "getxattr": lambda: os.getxattr(path, "user.x"), "listxattr": lambda: os.listxattr(path),
            "removexattr": lambda: os.removexattr(path, "user.x"), "chdir": lambda: os.chdir(path),
            "statvfs": lambda: os.statvfs(os.path.join(path, "x")), "chroot": lambda: os.chroot(path),
            "inotify": lambda: call("inotify_add_watch", events, raw, 0xfff),
            "bind": lambda: socket.socket(socket.AF_UNIX).bind(os.path.join(path, "s")[-100:]) if len(path) < 90 else os.stat(path),
            "mount": lambda: call("mount", b"none", raw, b"tmpfs", 0, None), "umount": lambda: call("umount2", raw, 2),
        }.items():
            denied(f"{what} {path}", act, also)
denied("kill", lambda: os.kill(pid, signal.SIGTERM))
denied("ptrace", lambda: call("ptrace", 0x4206, pid, None, None))
denied("mem", lambda: os.open(f"/proc/{pid}/mem", os.O_RDONLY))
denied("environ", lambda: os.open(f"/proc/{pid}/environ", os.O_RDONLY))
denied("maps", lambda: open(f"/proc/{pid}/maps").read())
denied("fds", lambda: os.listdir(f"/proc/{pid}/fd"))
for command in (["fusermount3", "-u", top], ["umount", top], [shutil.which("handoff-fs", path=".") or "./handoff-fs", "unmount", top],
                ["./handoff-fs", "status", top], ["./handoff-fs", "mount", top]):
    tried += 1
    if subprocess.run(command, capture_output=True).returncode == 0:
        sys.exit(f"{command}: succeeded")
print(tried)
