"""The parent of everything an agent starts: it knows every process that came of it, and reaps like init.

Processes that a service leaves behind come to the nearest subreaper. Were they left as zombies, an agent that asks
`kill -0` would take them for alive.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time

import psutil  # type: ignore[import-untyped]

from resource_agents.commands.running import Ended, Running

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class Supervisor:
    """For a process of its own: it takes every child's end for its own business."""

    def __init__(self) -> None:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        # Should the command be killed, what was started is put away as at an interrupt.
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "cannot become the parent of what agents leave behind")
        self._codes: dict[int, tuple[int, float]] = {}
        self._reading, writing = os.pipe()
        for end in (self._reading, writing):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reading, 4096)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._codes[pid] = (os.waitstatus_to_exitcode(status), time.monotonic())

    def pause(self, until: float) -> None:
        """Wait for the next end of a process, or until that moment."""
        self._reap()
        select.select([self._reading], [], [], max(0.0, min(until - time.monotonic(), 1.0)))
        self._reap()

    def alive(self, running: Running) -> bool:
        self._reap()
        return running.process.pid not in self._codes

    def finish(self, running: Running, kill_after_s: float | None = None) -> Ended:
        """Wait for its end; kill it at its time-out, or on purpose after `kill_after_s`."""
        timeout = running.began + running.timeout_s
        end = timeout if kill_after_s is None else running.began + kill_after_s
        while self.alive(running) and time.monotonic() < end:
            self.pause(end)
        late = self.alive(running)
        if late:
            running.kill()
        while self.alive(running):
            self.pause(time.monotonic() + 1.0)
        code, at = self._codes.pop(running.process.pid)
        running.process.returncode = code
        on_purpose = late and kill_after_s is not None
        return running.ended(code, at, timed_out=late and not on_purpose, killed=on_purpose)

    def offspring(self, grace_s: float = 0.0) -> list[psutil.Process]:
        """Every process that still runs; with a grace, the list once it is empty or the grace is over."""
        end = time.monotonic() + grace_s
        while True:
            self._reap()
            found = [one for one in psutil.Process().children(recursive=True) if _lives(one)]
            if not found or time.monotonic() >= end:
                return found
            self.pause(min(end, time.monotonic() + 0.02))

    def settle(self, for_s: float) -> None:
        """Reap for that long, or until nothing runs."""
        end = time.monotonic() + for_s
        while time.monotonic() < end and self.offspring():
            self.pause(min(end, time.monotonic() + 0.1))

    def main_processes(self) -> list[psutil.Process]:
        """Those that nobody but us is the parent of."""
        return [one for one in psutil.Process().children() if _lives(one)]

    def kill(self, processes: list[psutil.Process]) -> None:
        """And wait until they are gone."""
        for one in processes:
            with contextlib.suppress(psutil.Error):
                one.kill()
        end = time.monotonic() + 5
        while any(_lives(one) for one in processes) and time.monotonic() < end:
            self.pause(min(end, time.monotonic() + 0.02))

    def kill_offspring(self) -> None:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = self.offspring()
            if not found:
                return
            for one in found:
                with contextlib.suppress(psutil.Error):
                    one.kill()
            self.pause(time.monotonic() + 0.02)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except psutil.Error:
        return False


def named(processes: list[psutil.Process]) -> str:
    """`1234 sleep, 1240 nginx`, at most five."""
    words = []
    for one in processes[:5]:
        with contextlib.suppress(psutil.Error):
            words.append(f"{one.pid} {one.name()}")
    return ", ".join(words) + (" ..." if len(processes) > 5 else "")
