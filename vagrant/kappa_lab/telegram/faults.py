"""Misbehaviour on demand: errors, flood limits, slowness, hanging, resets.

A fault applies to the requests it is aimed at (`methods`, `nodes`; empty: all) until `count` of them were hit or it is
cleared. `when` is "before" the method acts or "after": a reset after a sendMessage leaves the message sent and the bot
not knowing, which is the case that a bot must survive.
"""

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

KINDS = ("error", "hang", "reset", "slow", "flood")

DESCRIPTIONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class FaultError(ValueError):
    """The request to the control API asks for a fault that there is not; the message says what is wrong."""


@dataclass
class Fault:
    """One fault. `status` and `retry_after` (s) are an error's, `seconds` is how long a slow or hanging one lasts
    (None: until it is cleared), `per_s` a flood limit's messages a second. `count`: hits left, None for no end."""

    kind: str
    status: int = 500
    retry_after: int | None = None
    seconds: float | None = None
    per_s: float = 30.0
    count: int | None = None
    when: str = "before"
    methods: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    hits: int = 0
    cleared: asyncio.Event = field(default_factory=asyncio.Event)
    recent: deque[float] = field(default_factory=deque)

    @classmethod
    def from_json(cls, body: Any) -> "Fault":
        """Raises FaultError with a sentence for anything that is not a fault."""
        if not isinstance(body, dict):
            raise FaultError("a fault is a JSON object")
        known = {"kind", "status", "retry_after", "seconds", "per_s", "count", "when", "methods", "nodes"}
        if unknown := sorted(set(body) - known):
            raise FaultError(f"a fault has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        aims = {name: body.get(name, []) for name in ("methods", "nodes")}
        if not all(isinstance(aim, list) and all(isinstance(each, str) for each in aim) for aim in aims.values()):
            raise FaultError("methods and nodes are lists of names")
        fault = cls(**{"kind": "", **body, **{name: tuple(aim) for name, aim in aims.items()}})
        if fault.kind not in KINDS:
            raise FaultError(f"kind {fault.kind!r} is none of {', '.join(KINDS)}")
        if fault.when not in ("before", "after"):
            raise FaultError(f"when {fault.when!r} is neither before nor after")
        if not isinstance(fault.status, int) or not 400 <= fault.status <= 599:
            raise FaultError(f"status {fault.status!r} is not an HTTP error status")
        if fault.count is not None and (not isinstance(fault.count, int) or fault.count < 1):
            raise FaultError(f"count {fault.count!r} is not a number of requests")
        for name in ("seconds", "retry_after", "per_s"):
            value = getattr(fault, name)
            if value is not None and (not isinstance(value, (int, float)) or value <= 0):
                raise FaultError(f"{name} {value!r} is not a positive number")
        if fault.kind == "slow" and fault.seconds is None:
            raise FaultError("slow needs seconds")
        if fault.retry_after is not None:
            fault.retry_after = math.ceil(fault.retry_after)
        if fault.status == 429 and fault.retry_after is None:
            fault.retry_after = 1
        return fault

    def aims_at(self, method: str, node: str) -> bool:
        if self.methods and method not in self.methods:
            return False
        return not self.nodes or node in self.nodes

    def spent(self) -> bool:
        return self.count is not None and self.hits >= self.count

    def flooded(self) -> bool:
        """Count one message against the flood limit; whether it is one too many."""
        now = time.monotonic()
        while self.recent and self.recent[0] <= now - 1.0:
            self.recent.popleft()
        if len(self.recent) >= self.per_s:
            return True
        self.recent.append(now)
        return False

    def json(self) -> dict[str, Any]:
        shown = ("kind", "status", "retry_after", "seconds", "per_s", "count", "when", "hits")
        return {**{name: getattr(self, name) for name in shown}, "methods": [*self.methods], "nodes": [*self.nodes]}


class Faults:
    """The faults in force, oldest first; a request meets the first that is aimed at it."""

    def __init__(self) -> None:
        self._active: list[Fault] = []
        # Spent, but a request may still hang in one.
        self._spent: list[Fault] = []
        self.met = 0
        """Requests that met a fault since all were last ended."""

    def add(self, fault: Fault) -> None:
        self._active.append(fault)

    def clear(self) -> int:
        """End every fault; what hangs goes on at once. Returns how many there were."""
        count = len(self._active)
        for fault in (*self._active, *self._spent):
            fault.cleared.set()
        self._active.clear()
        self._spent.clear()
        self.met = 0
        return count

    def active(self) -> list[Fault]:
        return list(self._active)

    def meet(self, method: str, node: str, when: str) -> Fault | None:
        """The fault that this request meets now; it counts as hit."""
        for fault in self._active:
            if fault.when != when or not fault.aims_at(method, node):
                continue
            if fault.kind == "flood" and (not method.startswith("send") or not fault.flooded()):
                continue
            fault.hits += 1
            self.met += 1
            if fault.spent():
                self._active.remove(fault)
                self._spent.append(fault)
            return fault
        return None
