"""terminal.py [WAIT KEYS]... -- PROGRAM [ARGUMENT]...

Runs a program in a pseudo-terminal and types KEYS, where \\r, \\x18 and the like are understood, as soon as WAIT is on the
screen. Ends as the program ends.
"""

import fcntl
import os
import pty
import struct
import sys
import termios

split = sys.argv.index("--")
steps, program = sys.argv[1:split], sys.argv[split + 1 :]
pid, tty = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    os.execvp(program[0], program)


def more():
    """What the program writes next; nothing when it has ended."""
    try:
        return os.read(tty, 65536)
    except OSError:
        return b""


screen = b""
for wait, keys in zip(steps[::2], steps[1::2]):
    while wait.encode() not in screen:
        some = more()
        if not some:
            sys.exit(f"{program[0]} ended before it showed {wait!r}: {screen!r}")
        screen += some
    screen = b""
    os.write(tty, keys.encode().decode("unicode_escape").encode("latin1"))
while more():
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
