"""Writers and readers that go on until the file `stop` is there. Argument: which one. Each runs in a process of its own."""

import errno, os, random, sys, time

me = sys.argv[1]
random.seed(me)
acknowledged = open(f'acks/{me}', 'a')
DIR = 'm'


def body(id, most=400):
    n = random.randrange(1, most)
    return f'begin {id} {n}\n' + f'line {id}\n' * n + f'end {id}\n'


def ack(id):
    acknowledged.write(id + '\n')
    acknowledged.flush()


def write(path, text, flags=os.O_CREAT | os.O_TRUNC, fsynced=None):
    f = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        text = text.encode()
        for part in (text[:len(text) // 2], text[len(text) // 2:]):
            while part:
                part = part[os.write(f, part):]
        if fsynced:
            os.fsync(f)
            fsynced()
            time.sleep(0.005)
    except BaseException:
        try: os.close(f)
        except OSError: pass
        raise
    os.close(f)


def rename(id):
    temporary = f'{DIR}/{id}.md.tmp.{os.getpid()}.0123456789ab'
    write(temporary, body(id), os.O_CREAT | os.O_EXCL)
    os.rename(temporary, f'{DIR}/{id}.md')
    ack(id)


def fsync(id):
    write(f'{DIR}/{id}.md', body(id), fsynced=lambda: ack(id))


def agent(id):
    """Writes a handoff and edits it, each time after reading it, as agents do."""
    name = f'{DIR}/{id}.md'
    for version in range(4):
        if version:
            open(name).read()
        if version % 2:
            temporary = f'{name}.tmp.{os.getpid()}.0123456789ab'
            write(temporary, body(f'{id}.{version}'), os.O_CREAT | os.O_EXCL)
            os.rename(temporary, name)
        else:
            write(name, body(f'{id}.{version}'))
        ack(f'{id}.{version}')


def exact(f):
    size = os.fstat(f).st_size
    text = b''
    while len(text) < size:
        part = os.read(f, size - len(text))
        if not part:
            raise OSError(errno.EIO, 'it ended early')
        text += part
        keep(text)


def part(f):
    os.read(f, 512)


text = b''


def keep(more):
    global text
    text = more


def read(how, n):
    """Keeps the bytes that were read, and whether the end was read."""
    keep(b'')
    ended = 'cut'
    try:
        f = os.open(f'{DIR}/pending.md', os.O_RDONLY)
        try:
            how(f)
            ended = 'whole'
        finally:
            try: os.close(f)
            except OSError: pass
    finally:
        if text and how is not part:
            with open(f'reads/{me}-{os.getpid()}-{n}.{ended}', 'wb') as out:
                out.write(text)


WRITERS = {'rename': rename, 'fsync': fsync, 'agent': agent}
READERS = {'exact': exact, 'part': part}
n = 0
while not os.path.exists('stop'):
    n += 1
    try:
        if me in WRITERS:
            WRITERS[me](f'{me}-{os.getpid()}-{n}')
        else:
            read(READERS[me], n)
    except OSError:
        # The last write was not acknowledged.
        pass
    time.sleep(random.random() * 0.03)
