# Evaluates each line of its standard input, a system call, and answers with a line: errno and result, as JSON.
import json, os, sys

# The daemon knows a program by this name.
with open("/proc/self/comm", "w") as comm:
    comm.write(sys.argv[1])

# Open files, by the test's own numbers; 0 is free for use here.
files = {}


def open_as(number, path, flags):
    files[number] = os.open(path, flags, 0o600)


def read_to_end(number):
    text = b"".join(iter(lambda: os.read(files[number], 300), b""))
    return text.decode()


def text(path):
    open_as(0, path, os.O_RDONLY)
    try:
        return read_to_end(0)
    finally:
        os.close(files[0])


def answer(function, argument):
    try:
        return [0, str(function(argument))]
    except OSError as error:
        return [error.errno, ""]


for line in sys.stdin:
    print(json.dumps(answer(eval, line)), flush=True)
