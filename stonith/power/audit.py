"""Who asked for what, what was seen before and after, and how long it took: one JSON line a request, in one write."""

import json
import os
import sys
import time
from pathlib import Path

from stonith.power.driver import Sight
from stonith.power.switch import NOT_SEEN, Outcome
from stonith.wire import printable

REFUSED_PER_MINUTE = 60
"""Requests that prove no identity are written down this often at most: a stranger must not be able to fill the disk."""


class Audit:
    """Appends to a file that is opened anew for every line, so that it can be rotated by renaming it.

    Fencing does not depend on it: when a line cannot be written it goes to standard error instead.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._minute = 0
        self._refused = 0

    def request(self, *, arrived: float, took_s: float, client: str, action: str, plug: str, outcome: Outcome) -> None:
        """`arrived`: time.time() of the request, which is the line's `t`; it was over `took_s` seconds later."""
        sight = outcome.before if outcome.before.unit else outcome.after
        line = {
            "t": round(arrived, 6),
            "client": client,
            "action": action,
            "plug": plug,
            "instance": sight.instance,
            "before": _state(outcome.before),
            "after": _state(outcome.after),
            "ok": outcome.ok,
            "ms": round(took_s * 1000, 3),
            "reason": printable(outcome.reason, 500),
            "evidence": printable(outcome.after.evidence),
        }
        self._write(json.dumps(line))

    def refused(self, *, arrived: float, client: str, peer: str, reason: str) -> None:
        """Somebody who did not prove to be a client; `client` is who it said it was."""
        minute = int(arrived // 60)
        if minute != self._minute:
            self._minute, self._refused = minute, 0
        self._refused += 1
        if self._refused > REFUSED_PER_MINUTE:
            return
        last = "; more of these within this minute are not written down" if self._refused == REFUSED_PER_MINUTE else ""
        outcome = Outcome(False, NOT_SEEN, NOT_SEEN, f"refused {peer}: {reason}{last}")
        self.request(
            arrived=arrived,
            took_s=time.time() - arrived,
            client=printable(client, 128),
            action="",
            plug="",
            outcome=outcome,
        )

    def _write(self, line: str) -> None:
        data = (line + "\n").encode()
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                if os.write(handle, data) != len(data):
                    raise OSError(0, "not written whole")
            finally:
                os.close(handle)
        except OSError as error:
            print(
                f"kappa-powerd: cannot write to the audit log {self._path} ({error.strerror}): {line}", file=sys.stderr
            )


def _state(sight: Sight) -> str | None:
    return None if sight is NOT_SEEN else sight.state.value
