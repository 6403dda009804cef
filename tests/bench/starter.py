"""Starts programs for the bench and says what each cost. A process of its own, as small as an interpreter can be: what
a program is started from counts towards its peak memory, and a large parent would hide it.

Reads (argv, environment); answers (exit code, wall s, CPU s, peak KiB, processes started, standard error), marshalled.
"""

import marshal
import os
import sys
import time


def last_pid() -> int:
    """The pid that this pid namespace gave out last."""
    with open("/proc/loadavg", "rb") as file:  # noqa: PTH123 - pathlib is large
        return int(file.read().split()[-1])


def main() -> None:
    errors = os.memfd_create("errors")
    nothing = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, *pair) for pair in ((nothing, 0), (nothing, 1), (errors, 2))]
    while True:
        try:
            argv, environment = marshal.load(sys.stdin.buffer)
        except EOFError:
            return
        os.ftruncate(errors, 0)
        os.lseek(errors, 0, os.SEEK_SET)
        before = last_pid()
        began = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions)
        _, status, used = os.wait4(pid, 0)
        took = time.perf_counter() - began
        started = last_pid() - before
        said = os.pread(errors, 4096, 0)
        cost = (os.waitstatus_to_exitcode(status), took, used.ru_utime + used.ru_stime, used.ru_maxrss, started, said)
        marshal.dump(cost, sys.stdout.buffer)
        sys.stdout.buffer.flush()


main()
