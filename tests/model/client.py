# Makes the calls that stand in its standard input, one a line, and answers each with a line: errno and text, as JSON.
import json, os, sys

# The daemon knows a program by this name.
with open("/proc/self/comm", "w") as comm:
    comm.write(sys.argv[1])

files = {}


def at(name):
    return os.path.join(root, name)


def Open(fd, name, flags):
    files[fd] = os.open(at(name), flags, 0o600)


def Rest(fd):
    text = piece = os.read(files[fd], 300)
    while piece:
        piece = os.read(files[fd], 300)
        text += piece
    return text.decode()


def Text(name):
    Open(0, name, os.O_RDONLY)
    try:
        return Rest(0)
    finally:
        os.close(files[0])


# The text of each file, or its errno.
def Texts(names):
    texts = []
    for name in names:
        try:
            texts.append([0, Text(name)])
        except OSError as error:
            texts.append([error.errno, ""])
    return json.dumps(texts)


# Every file that is listed, with its text; `pending.md` is not opened.
def List(queues):
    names = [os.path.join(queue, name) for queue in queues for name in os.listdir(at(queue)) if name != "pending.md"]
    return json.dumps([(name, Text(name)) for name in names if name not in queues])


calls = {
    "Open": Open,
    "Rest": Rest,
    "Texts": Texts,
    "List": List,
    "Close": lambda fd: os.close(files[fd]),
    "Read": lambda fd, size: os.read(files[fd], size).decode(),
    "Write": lambda fd, text: os.write(files[fd], text.encode()),
    "Cut": lambda fd, size: os.ftruncate(files[fd], size),
    "Size": lambda fd: os.fstat(files[fd]).st_size,
    "Stat": lambda name: os.stat(at(name)).st_size,
    "Rename": lambda old, new: os.rename(at(old), at(new)),
    "Unlink": lambda name: os.unlink(at(name)),
}

for line in sys.stdin:
    root, call = line.split("\t")
    try:
        print(json.dumps([0, str(eval(call, calls))]), flush=True)
    except OSError as error:
        print(json.dumps([error.errno, ""]), flush=True)
