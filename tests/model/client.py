# Evaluates each line of its standard input, and answers with the result, or the errno of the system call that failed.
import json, os, sys

# The daemon knows a program by this name.
with open("/proc/self/comm", "w") as comm:
    comm.write(sys.argv[1])

# Open files, by the test's own numbers; 0 is free for use here.
files = {}


def open_as(number, path, flags):
    files[number] = os.open(path, flags, 0o600)


def read_to_end(number):
    return b"".join(iter(lambda: os.read(files[number], 300), b"")).decode()


def text(path):
    open_as(0, path, os.O_RDONLY)
    try:
        return read_to_end(0)
    finally:
        os.close(files[0])


def answer(function, argument):
    try:
        return {"Ok": str(function(argument))}
    except OSError as error:
        return {"Err": error.errno}


for line in sys.stdin:
    print(json.dumps(answer(eval, line)), flush=True)
