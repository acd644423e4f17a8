# Makes the system calls that it reads from its standard input, one a line, and answers each with a line.
import os, sys

# By this name it is known as an editor or an agent; `python3` itself may be a script that starts another one.
with open("/proc/self/comm", "w") as comm:
    comm.write(sys.argv[1])

files = {}


def serve(call, *args):
    if call == "open":
        files[args[0]] = [os.open(path(args[1]), int(args[2]), 0o600)]
    elif call == "dup":
        files[args[0]].append(os.dup(files[args[0]][0]))
    elif call == "close":
        os.close(files[args[0]].pop())
    elif call == "read":
        return os.read(files[args[0]][0], int(args[1])).hex()
    elif call == "write":
        return "%x" % os.write(files[args[0]][0], bytes.fromhex(args[1]))
    elif call == "rewind":
        os.lseek(files[args[0]][0], 0, os.SEEK_SET)
    elif call == "ftruncate":
        os.ftruncate(files[args[0]][0], int(args[1]))
    elif call == "fstat":
        return "%x" % os.fstat(files[args[0]][0]).st_size
    elif call == "stat":
        return "%x" % os.stat(path(args[0])).st_size
    elif call == "truncate":
        os.truncate(path(args[0]), int(args[1]))
    elif call == "rename":
        os.rename(path(args[0]), path(args[1]))
    elif call == "unlink":
        os.unlink(path(args[0]))
    elif call == "mkdir":
        os.mkdir(path(args[0]), 0o700)
    elif call == "rmdir":
        os.rmdir(path(args[0]))
    elif call == "list":
        return b"\0".join(os.listdir(path(args[0]))).hex()


def path(name):
    return bytes.fromhex(name)


for line in sys.stdin:
    try:
        answer = serve(*line.split())
        print("ok", answer or "", flush=True)
    except OSError as error:
        print("error", error.errno, flush=True)
