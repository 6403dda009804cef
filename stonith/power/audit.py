"""Who asked for what, what was seen before and after, and how long it took: one JSON line a request, in one write.

Fencing never waits for it long and never fails by it. Lines are written by a thread of their own; a request waits for
its line only while that thread keeps up, so a disk that hangs costs one request a moment and the others nothing.
What cannot be written is said on standard error instead, with the line itself.
"""

import contextlib
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path

from stonith.power.driver import Sight
from stonith.power.switch import NOT_SEEN, Outcome
from stonith.wire import printable

REFUSED_PER_MINUTE = 60
"""Requests that prove no identity are written down this often at most: a stranger must not be able to fill the disk."""
PATIENCE_S = 0.25
"""How long a request may be held up by the disk that its line goes to."""
WAITING_MAX = 1000
"""Lines that may wait for the disk; further ones go to standard error."""


class Audit:
    """Appends to a file that is opened anew for every line, so that it can be rotated by renaming it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._minute = 0
        self._refused = 0
        self._torn = False
        self._lines: queue.Queue[tuple[str, threading.Event]] = queue.Queue(WAITING_MAX)
        self._late = threading.Event()
        threading.Thread(target=self._write_all, name="audit", daemon=True).start()

    def request(
        self, *, arrived: float, took_s: float, client: str, peer: str, action: str, plug: str, outcome: Outcome
    ) -> None:
        """`arrived`: time.time() of the request, which is the line's `t`; it was over `took_s` seconds later."""
        sight = outcome.before if outcome.before.unit else outcome.after
        line = {
            "t": round(arrived, 6),
            "client": client,
            "peer": peer,
            "action": action,
            "plug": plug,
            "instance": sight.instance,
            "before": _state(outcome.before),
            "after": _state(outcome.after),
            "ok": outcome.ok,
            "switched": outcome.switched,
            "ms": round(took_s * 1000, 3),
            "reason": printable(outcome.reason, 500),
            "evidence_before": "" if outcome.before is NOT_SEEN else printable(outcome.before.evidence),
            "evidence": printable(outcome.after.evidence),
        }
        self._put(json.dumps(line))

    def refused(self, *, arrived: float, client: str, peer: str, reason: str) -> None:
        """Somebody who did not prove to be a client; `client` is who it said it was."""
        minute = int(arrived // 60)
        if minute != self._minute:
            self._minute, self._refused = minute, 0
        self._refused += 1
        if self._refused > REFUSED_PER_MINUTE:
            return
        last = "; more of these within this minute are not written down" if self._refused == REFUSED_PER_MINUTE else ""
        self.request(
            arrived=arrived,
            took_s=time.time() - arrived,
            client=printable(client, 128),
            peer=peer,
            action="",
            plug="",
            outcome=Outcome(False, NOT_SEEN, NOT_SEEN, f"refused {peer}: {reason}{last}"),
        )

    def trouble(self) -> str:
        """Why nothing can be written to the log; empty when a line can. Writes none."""
        try:
            os.close(self._open())
        except OSError as error:
            return f"cannot write to the audit log {self._path} ({(error.strerror or 'unknown why').lower()})"
        return ""

    def close(self, within_s: float = 2.0) -> None:
        """Wait until what is to be written has been, but not for a disk that hangs."""
        done = threading.Event()
        with contextlib.suppress(queue.Full):
            self._lines.put(("", done), timeout=within_s)
            done.wait(within_s)

    def _put(self, line: str) -> None:
        done = threading.Event()
        try:
            self._lines.put_nowait((line, done))
        except queue.Full:
            _say(f"the audit log {self._path} does not keep up: {line}")
            return
        if not self._late.is_set() and not done.wait(PATIENCE_S):
            self._late.set()
            _say(f"the audit log {self._path} takes longer than {PATIENCE_S} s for a line; fencing goes on without it")

    def _write_all(self) -> None:
        while True:
            line, done = self._lines.get()
            if line:
                self._write(line)
            done.set()
            if self._lines.empty():
                self._late.clear()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        return os.open(self._path, flags, 0o640)

    def _write(self, line: str) -> None:
        data = (line + "\n").encode()
        try:
            handle = self._open()
            try:
                # what was left of a line on a disk that was full must not spoil this one too
                written = os.write(handle, b"\n" + data if self._torn else data)
                whole = len(data) + self._torn
                self._torn = 0 < written < whole or (self._torn and written == 0)
                if written != whole:
                    raise OSError(0, "not written whole")
            finally:
                os.close(handle)
        except OSError as error:
            _say(f"cannot write to the audit log {self._path} ({error.strerror}): {line}")


def _state(sight: Sight) -> str | None:
    return None if sight is NOT_SEEN else sight.state.value


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"kappa-powerd: {line}", file=sys.stderr, flush=True)
