"""All that the witnesses of one drill left, read once; what is not there cannot be asked for by accident.

Every property raises LackingError, with the reason, when its file could not be read. A check that asks is then not
judged, and a drill with a check that was not judged has failed.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

from kappa_lab.judge import history
from kappa_lab.judge.history import (
    Begin,
    Drill,
    End,
    Event,
    Expect,
    Fault,
    Held,
    Holder,
    Key,
    Records,
    Served,
    Switched,
    Update,
)
from kappa_lab.judge.reading import read_audit, read_lines, read_object

T = TypeVar("T")
E = TypeVar("E", bound=Event)
FILES: Final = (
    "drill.json", "telegram.jsonl", "wire.jsonl", "lease.jsonl", "power.jsonl", "cluster.jsonl", "records.json",
)  # fmt: skip


class LackingError(Exception):
    """Evidence that a check needs is not there."""


@dataclass(frozen=True)
class Poll:
    """One getUpdates. `ended` is None while it is open, and for ever when whoever asked has lost its power."""

    node: str
    began: float
    ended: float | None
    status: int | None
    handed: tuple[int, ...]
    carried: bool = False
    """It was begun before this history."""

    @property
    def accepted(self) -> bool:
        """Telegram answered it, and not with Conflict or another error."""
        return self.ended is not None and self.status == 200


@dataclass(frozen=True)
class Evidence:
    drill_: Drill | None
    telegram_: tuple[Event, ...] | None
    wire_: tuple[Event, ...] | None
    lease_: tuple[Event, ...] | None
    power_: tuple[Switched, ...] | None
    cluster_: tuple[Event, ...] | None
    records_: Records | None
    problems: tuple[str, ...]
    """What is missing, empty, cut off or misshapen, a sentence each."""

    @property
    def drill(self) -> Drill:
        return _there(self.drill_, "drill.json")

    @property
    def fault(self) -> Fault:
        if self.drill.fault is None:
            raise LackingError("drill.json names no fault: the drill did not come to it")
        return self.drill.fault

    @property
    def expect(self) -> Expect:
        if self.drill.expect is None:
            raise LackingError("drill.json does not say what is expected")
        return self.drill.expect

    @property
    def telegram(self) -> tuple[Event, ...]:
        return _there(self.telegram_, "telegram.jsonl")

    @property
    def wire(self) -> tuple[Event, ...]:
        if not (seen := _there(self.wire_, "wire.jsonl")):
            raise LackingError("no line of wire.jsonl could be read")
        return seen

    @property
    def lease(self) -> tuple[Event, ...]:
        """In MongoDB's own order, which is the order in which it was done."""
        return _there(self.lease_, "lease.jsonl")

    @cached_property
    def power(self) -> tuple[Switched, ...]:
        """The audit from the drill's beginning on: the broker may have run, and written, for longer."""
        return tuple(entry for entry in _there(self.power_, "power.jsonl") if entry.t >= self.drill.started)

    @cached_property
    def cluster(self) -> tuple[Event, ...]:
        """In order of time, whichever node said it."""
        return tuple(sorted(_there(self.cluster_, "cluster.jsonl"), key=lambda event: event.t))

    @cached_property
    def records(self) -> Records:
        """What MongoDB held at the end, without the places that are older than this history's first update: they are
        an earlier drill's.
        """
        held = _there(self.records_, "records.json")
        first = min((update.update_id for update in of(self.telegram, Update)), default=0)
        return dataclasses.replace(held, places=tuple(place for place in held.places if place.updateId >= first))

    def polls(self) -> list[Poll]:
        """Every getUpdates, in the order in which they were begun."""
        ends = {event.id: event for event in of(self.telegram, End)}
        polls = []
        for begin in of(self.telegram, Begin):
            if begin.method.lower() == "getupdates":
                end = ends.get(begin.id)
                ended = None if end is None else max(end.t, begin.t)
                status, handed = (end.status, end.handed) if end else (None, ())
                polls.append(Poll(begin.node, begin.t, ended, status, handed, begin.carried))
        return sorted(polls, key=lambda poll: poll.began)

    def holders(self) -> list[Holder]:
        """Every answer to "who has the virtual IP", in order; `mac` is the node's name when it is a node's."""
        return sorted(of(self.wire, Holder), key=lambda answer: answer.t)

    def served(self) -> list[Served]:
        """Every web request to the virtual IP, in order."""
        return sorted(of(self.wire, Served), key=lambda answer: answer.t)

    @cached_property
    def takes(self) -> list[Held]:
        """Each time that the lease was taken: whenever its epoch was raised."""
        return [held for held in of(self.lease, Held) if held.how == "taken"]


def of(events: tuple[Event, ...], kind: type[E]) -> list[E]:
    """Those of the events that are of this kind, in their order."""
    return [event for event in events if isinstance(event, kind)]


def read(folder: Path) -> Evidence:
    """Read a history folder. Never raises for what is in it: what cannot be read is a sentence in `problems`."""
    problems: list[str] = []
    drill = read_object(folder / "drill.json", Drill, problems)
    telegram = read_lines(folder / "telegram.jsonl", history.TELEGRAM_EVENTS, problems)
    wire = read_lines(folder / "wire.jsonl", history.WIRE_EVENTS, problems)
    lease = read_lines(folder / "lease.jsonl", history.LEASE_EVENTS, problems)
    power = read_audit(folder / "power.jsonl", Switched, problems)
    cluster = read_lines(folder / "cluster.jsonl", history.CLUSTER_EVENTS, problems)
    records = read_object(folder / "records.json", Records, problems)
    if drill is not None:
        by_address = {node.lan: name for name, node in drill.nodes.items()}
        by_mac = {node.mac.lower(): name for name, node in drill.nodes.items()}
        telegram = None if telegram is None else tuple(_renamed(event, "node", by_address) for event in telegram)
        wire = None if wire is None else tuple(_renamed(event, "mac", by_mac) for event in wire)
    return Evidence(drill, telegram, wire, lease, power, cluster, records, tuple(problems))


def _there(value: T | None, file: str) -> T:
    if value is None:
        raise LackingError(f"{file} could not be read")
    return value


def _renamed(event: Event, field: str, names: dict[str, str]) -> Event:
    """The event with an address replaced by the name of the node that has it; a stranger keeps its address."""
    address: Key | None = getattr(event, field, None)
    name = names.get(str(address).lower())
    return event if name is None else dataclasses.replace(event, **{field: name})  # type: ignore[arg-type]
