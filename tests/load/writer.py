"""Writes handoffs until the stop file is there, and logs which of them were acknowledged.

A record begins with a line BEGIN, ends with a line END that has the cksum(1) of all lines before it, and has a name that
tells its writer and its kind. Once the close (or rename) has succeeded, the name goes to the log; so does an error that
no writer should get.
"""

import errno
import os
import random
import sys
import threading
import time
import zlib

log_path, stop, client, kinds, pause, seed, threads = sys.argv[1:]
parent = os.getppid()
log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def cksum(data):
    """As cksum(1), whose order of bits is the reverse of that of zlib."""
    length, n = b"", len(data)
    while n:
        length += bytes([n & 255])
        n >>= 8
    crc = zlib.crc32((data + length).translate(REVERSED), 0xFFFFFFFF)
    return int(f"{crc:032b}"[::-1], 2)


class Writer:
    def __init__(self, number):
        self.random = random.Random(f"{seed} {client} {number}")
        self.name = f"{client}.{number}"
        # Threads of one process have one session: each has names of its own for what it cannot share.
        self.own = f"own{number}" if threads != "1" else "own"
        self.count = 0
        self.edited = 0

    def record(self, kind):
        self.count += 1
        self.id = f"{self.name}.{self.count}.{kind}"
        size = self.random.choice([40, 400, 4000, 4000, 20000, 150000])
        lines = [f"BEGIN {self.id}\n"]
        left = self.random.randrange(size)
        while left > 0:
            line = "x" * min(left, self.random.randrange(1, 300))
            left -= len(line)
            lines.append(line + "\n")
        data = "".join(lines).encode()
        return data + f"END {self.id} {cksum(data)}\n".encode()

    def acknowledged(self):
        os.write(log, f"ok {self.id}\n".encode())

    def write(self, path, flags, data, sync=False):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
        try:
            # In pieces, as most programs do; an append in one, as each of those must be whole.
            cut = len(data) if flags & os.O_APPEND else self.random.randrange(len(data))
            for piece in (data[:cut], data[cut:]):
                if piece:
                    os.write(fd, piece)
                    if self.random.random() < 0.1:
                        time.sleep(0.01)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        self.acknowledged()

    def shared_name(self, kind):
        """A name that all clients write."""
        return f"{kind}{self.random.randrange(3)}.md"

    def stamped(self):
        r = self.random.randrange
        return f"2026-{r(1, 13):02}-{r(1, 29):02}_{r(24):02}{r(60):02}{r(60):02}_{self.id.replace('.', '-')}.md"

    # One method a kind; its letter is in the names of its records.

    def t(self):
        self.write(self.shared_name("trunc"), os.O_TRUNC, self.record("t"))

    def s(self):
        self.write(self.shared_name("synced"), os.O_TRUNC, self.record("s"), sync=True)

    def x(self):
        data = self.record("x")
        self.write(f"x-{self.id}.md", os.O_EXCL, data)

    def n(self):
        """The temporary name is a known one; the rename publishes."""
        data = self.record("n")
        temporary = f"{self.own}.md.tmp.{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(fd, data)
        os.close(fd)
        os.rename(temporary, f"old-{self.own}.md")
        self.acknowledged()

    def u(self):
        """The temporary name is not a known one; the close publishes."""
        data = self.record("u")
        self.write(f"{self.own}.fresh", os.O_EXCL, data)
        os.rename(f"{self.own}.fresh", f"renamed-{self.own}.md")

    def a(self):
        self.write(f"log-{self.own}.md", os.O_APPEND, self.record("a"))

    def k(self):
        """The name is kept as it is."""
        data = self.record("k")
        self.write(self.stamped(), os.O_EXCL, data)

    def q(self):
        queue = f"q{self.random.randrange(3)}"
        try:
            os.mkdir(queue)
        except FileExistsError:
            pass
        self.write(f"{queue}/{self.shared_name('in')}", os.O_TRUNC, self.record("q"))

    def m(self):
        """By hand: the writer consumes, unless a reader was faster."""
        data = self.record("m")
        name = self.stamped()
        self.write(name, os.O_EXCL, data)
        try:
            os.rename(name, name.replace(".md", "_done.md"))
        except FileNotFoundError:
            pass

    def r(self):
        self.write(f"rm-{self.own}.md", os.O_TRUNC, self.record("r"))
        os.unlink(f"rm-{self.own}.md")

    def p(self):
        self.write("pending.md", os.O_TRUNC, self.record("p"))

    def e(self):
        """As an agent, which edits what it has read. Each version has all records of the last one, and one more."""
        name = f"edit-{self.own}-{self.edited}.md"
        old = b""
        if self.random.random() < 0.7:
            try:
                with open(name, "rb") as file:
                    old = file.read()
            except FileNotFoundError:
                pass
        if len(old) > 300000:
            self.edited += 1
        new = old + self.record("e")
        if self.random.random() < 0.5:
            self.write(name, os.O_TRUNC, new)
        else:
            temporary = f"{name}.tmp.{os.getpid()}.abcdef012345"
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(fd, new)
            os.fsync(fd)
            os.close(fd)
            os.rename(temporary, name)
            self.acknowledged()

    def run(self):
        # Ends with the test, also when the test is killed.
        while not os.path.exists(stop) and os.getppid() == parent:
            kind = self.random.choice(kinds)
            try:
                getattr(self, kind)()
            except OSError as error:
                os.write(log, f"error {kind} {errno.errorcode[error.errno]} {error}\n".encode())
            time.sleep(self.random.random() * 2 * int(pause) / 1000)


all_threads = [threading.Thread(target=Writer(i).run) for i in range(int(threads))]
for thread in all_threads:
    thread.start()
for thread in all_threads:
    thread.join()
