"""Into the background, as MongoDB's servers go there: the parent waits, and ends well only when the child listens."""

import contextlib
import os
import sys

from kappa_lab.mongodb.log import Log


class Background:
    """The child's side: say when the router listens."""

    def __init__(self, pipe: int = -1) -> None:
        self._pipe = pipe

    def ready(self) -> None:
        if self._pipe >= 0:
            os.write(self._pipe, b"1")
            os.close(self._pipe)
            self._pipe = -1


def fork() -> Background:
    """Go on in a child of its own session. The parent never returns: it ends with 0 once the child is ready(), or with
    the child's own exit code when that ends before.
    """
    print("about to fork child process, waiting until server is ready for connections.", flush=True)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        os.chdir("/")
        return Background(writer)
    os.close(writer)
    print(f"forked process: {child}", flush=True)
    try:
        ready = os.read(reader, 1)
    except KeyboardInterrupt:
        ready = b""
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, 15)
    if ready:
        print("child process started successfully, parent exiting", flush=True)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(f"ERROR: child process failed, exited with {code}", file=sys.stderr, flush=True)
    print(
        'To see additional information in this output, start without the "--fork" option.', file=sys.stderr, flush=True
    )
    sys.stderr.flush()
    os._exit(code if code > 0 else 1)


def leave_the_terminal(log: Log) -> None:
    """Read nothing, and let whatever else is printed land in the log."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)


def write_pidfile(path: str) -> None:
    """Raises OSError. MongoDB's servers leave theirs behind when they end, and so does this one."""
    with open(path, "w") as file:  # noqa: PTH123 (start-up time)
        file.write(f"{os.getpid()}\n")


def call_the_process(name: str) -> None:
    """Let `ps` and whoever looks a process up by its name find this one."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:  # noqa: PTH123
        file.write(name)
