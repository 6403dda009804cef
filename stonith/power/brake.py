"""The brake against fencing loops: nodes that shoot each other, boot, and shoot again, for ever.

Two nodes that do not see each other each shoot the other as soon as they are up. Every shot is right by itself, so the
brake does not sit on `off`: a fencing that is refused leaves a cluster that may not go on. It sits on `on`. A machine
that has been started too often within a while is left off, where it does no harm, until the while is over or somebody
starts it by hand; the rest of the cluster goes on without it.

For machines that something else than this broker starts anew, `off` can be limited as well; by default it is not.
Looking is never limited, nor is anything refused that is so already.
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TAIL_BYTES = 1 << 20
"""How much of the audit log's end is read when the broker starts."""


@dataclass(frozen=True)
class Limits:
    """At most so many of one machine within so many seconds. 0: no limit."""

    starts: int = 20
    cuts: int = 0
    within_s: int = 600

    def of(self, action: str) -> int:
        return self.starts if action == "on" else self.cuts


class Brake:
    """Remembers when each plug was switched. A shot that was asked for and did not take does not count."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._times: dict[tuple[str, str], deque[float]] = {}

    def switched(self, action: str, plug: str, at: float | None = None) -> None:
        limit = self._limits.of(action)
        if limit:
            with self._lock:
                times = self._times.setdefault((action, plug), deque(maxlen=limit))
                times.append(self._clock() if at is None else at)

    def refusal(self, action: str, plug: str) -> str:
        """Why this machine is not to be switched now; empty when it may be."""
        limit, now = self._limits.of(action), self._clock()
        with self._lock:
            times = list(self._times.get((action, plug), ()))
        # times that lie in the future, because the clock was set back, must not refuse anything for long
        recent = [at for at in times if 0 <= now - at < self._limits.within_s]
        if not limit or len(recent) < limit:
            return ""
        done = "started" if action == "on" else "switched off"
        left = self._limits.within_s - (now - min(recent))
        return (
            f"{plug} has been {done} {len(recent)} times within {self._limits.within_s} s and is not {done} again "
            f"for {left:.0f} s: see who shoots it and why, then switch it by hand at the hypervisor"
        )

    def recall(self, audit: Path) -> None:
        """Remember what the end of the audit log tells of. One that cannot be read leaves the brake off."""
        try:
            handle = os.open(audit, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                size = os.fstat(handle).st_size
                lines = os.pread(handle, TAIL_BYTES, max(0, size - TAIL_BYTES)).splitlines()
            finally:
                os.close(handle)
        except OSError:
            return
        now = self._clock()
        for line in lines:
            try:
                told = json.loads(line)
                action, plug, at = told["action"], told["plug"], float(told["t"]) + float(told["ms"]) / 1000
                if told["switched"] is True and isinstance(plug, str) and action in ("on", "off") and at <= now:
                    self.switched(action, plug, at)
            except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
                continue  # the first line may be cut in half, and any may be somebody else's
