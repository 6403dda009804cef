"""Run a hypervisor's own program: exact arguments, no shell, a deadline, and no more output than is bearable."""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from stonith.power.driver import DriverError
from stonith.wire import printable

OUTPUT_MAX = 1 << 20
"""Bytes of output and of complaints together; a program that says more is ended, and what it said is not used."""

KEPT = ("HOME", "USER", "LOGNAME", "PATH", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "VBOX_USER_HOME")
"""What such a program may know of the broker's environment: who it is, and where its own files are."""


@dataclass(frozen=True)
class Ran:
    code: int
    """The exit code; negative: the signal that ended it."""
    out: str
    err: str

    def said(self) -> str:
        """What it said, in one line: its complaint if it had one."""
        return printable(self.err.strip() or self.out.strip() or f"exit {self.code} without a word", 200)


def run(arguments: Sequence[str], deadline: float) -> Ran:
    """Run a program until it ends, until `deadline` (time.monotonic()) at most. Raises DriverError.

    One that is out of time is ended by SIGKILL, itself alone: what it has asked its daemon for goes on there.
    """
    name, began = os.path.basename(arguments[0]), time.monotonic()  # noqa: PTH119
    if began >= deadline:
        raise DriverError(f"no time is left to run {name}")
    env = {key: os.environ[key] for key in KEPT if key in os.environ}
    env.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**env, "LC_ALL": "C", "LANGUAGE": "C"},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        why = (error.strerror or "it cannot be run").lower()
        raise DriverError(f"{arguments[0]} cannot be run ({why}); install it, or name it in [driver]") from None
    try:
        out, err = _read(process, name, deadline)
        return Ran(process.wait(), out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    finally:
        if process.returncode is None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # in a system call that does not end: reaped later
                process.wait(0.2)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _read(process: "subprocess.Popen[bytes]", name: str, deadline: float) -> tuple[bytes, bytes]:
    """Both outputs until the program itself ends: whoever else has inherited its pipes is not waited for."""
    assert process.stdout is not None
    assert process.stderr is not None
    texts = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
    watch, ended = select.poll(), _pidfd(process.pid)
    try:
        if ended >= 0:
            watch.register(ended, select.POLLIN)
        for handle in texts:
            os.set_blocking(handle, False)
            watch.register(handle, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise DriverError(f"{name} did not end in time")
            events = watch.poll(int(left * 1000) + 1 if ended >= 0 else 10)
            over = any(handle == ended for handle, _ in events) if ended >= 0 else process.poll() is not None
            for handle in texts if over else [handle for handle, _ in events]:
                with contextlib.suppress(BlockingIOError):
                    while chunk := os.read(handle, 65536):
                        texts[handle] += chunk
                        if sum(map(len, texts.values())) > OUTPUT_MAX:
                            raise DriverError(f"the output of {name} has no end")
                    if not over:
                        watch.unregister(handle)
            if over:
                return texts[process.stdout.fileno()], texts[process.stderr.fileno()]
    finally:
        if ended >= 0:
            os.close(ended)


def _pidfd(pid: int) -> int:
    """Something to wait for the end of a process with; -1 where a filter of system calls has none of it."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1
