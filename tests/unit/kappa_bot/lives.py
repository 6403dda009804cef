"""Lives of the bot, many a second: loaded once, a fork for each, through the bot's own command line.

    lives.py HITS

Reads marshalled requests and answers each:

    ("start", life, words, log, step, nth, signal)    the pid of a bot; see steps.Plan for what becomes of it
    ("wait", pid, limit_s)                            how it ended, as subprocess has it; None if it has not by then

At the end of its input it ends every bot that is left.
"""

import ctypes
import gc
import marshal
import os
import select
import signal
import sys
from typing import NoReturn

from kappa_bot import cli, service
from tests.unit.kappa_bot import steps

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)
running: set[int] = set()
hits = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def become(life: int, words: list[str], log: str, step: str, nth: int, number: int) -> NoReturn:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    err = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for handle, target in ((os.open("/dev/null", os.O_RDWR), 0), (0, 1), (err, 2)):
        os.dup2(handle, target)
    steps.install(steps.Plan(life, hits, step, nth, number))
    sys.argv = ["kappa-bot", *words]
    cli.main()


def start(*plan: object) -> int:
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            become(*plan)  # type: ignore[arg-type]
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 98
        finally:
            os._exit(code)
    running.add(pid)
    return pid


def wait(pid: int, limit_s: float) -> int | None:
    watch = os.pidfd_open(pid)
    try:
        if not select.select([watch], [], [], limit_s)[0]:
            return None
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(watch)


def main() -> None:
    assert service
    gc.collect()
    gc.freeze()
    try:
        while True:
            do, *rest = marshal.load(sys.stdin.buffer)
            answer = start(*rest) if do == "start" else wait(*rest)
            if do == "wait" and answer is not None:
                running.discard(rest[0])
            marshal.dump(answer, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    except EOFError:
        pass
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
