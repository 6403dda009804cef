"""What every prediction is put together from: noticing, pausing, fencing, stopping, starting."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.predict import fencing, measured, sequence
from kappa_lab.predict.cib import Cib, Operation, Resource
from kappa_lab.predict.corosync import Corosync
from kappa_lab.predict.prediction import Part, Prediction

LEASE_S: Final = 3.0
"""The bot's own default, [lease] ttl_s."""
ELECTION_S: Final = 10.0
"""MongoDB's own default, electionTimeoutMillis."""
LONGEST_S: Final = 3600.0
TYPES: Final = {
    "bot": ("telegram-bot",),
    "web server": ("nginx",),
    "address": ("vip", "IPaddr2", "IPaddr"),
    "router": ("mongos",),
    "uplink": ("uplink",),
}
IN_TIME: Final = "Holds while every operation ends within its timeout; a stop that does not is answered with fencing."


@dataclass(frozen=True)
class Given:
    cib: Cib
    corosync: Corosync
    lease_s: float = LEASE_S
    sbd_s: float | None = None
    election_s: float = ELECTION_S

    def __post_init__(self) -> None:
        given = (
            (self.lease_s, "--lease"), (self.sbd_s or 0.0, "--sbd-watchdog-timeout"), (self.election_s, "--election")
        )  # fmt: skip
        for value, option in given:
            if not 0 <= value <= LONGEST_S:
                raise LabError(f"{option} is {value:g}; it must be seconds from 0 to {LONGEST_S:g}.")

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.corosync.nodes or self.cib.nodes

    def one(self, role: str) -> Resource | None:
        return next((one for one in self.cib.resources if one.type in TYPES[role]), None)


def pause(typical_s: float, source: str) -> Part:
    return Part("Pacemaker's own pause", typical_s, measured.PAUSE_WORST_S, source)


def level(number: int, level: fencing.Bound, typical: measured.Measured) -> Part:
    on_time = level.worst_s if level.source == "stonith-watchdog-timeout" else min(typical.seconds, level.worst_s)
    return Part(f"fencing, level {number}", on_time, level.worst_s, f"{level.source}; {typical.source}")


def taken_over(given: Given, kind: str, title: str, parts: list[Part], notes: tuple[str, ...] = ()) -> Prediction:
    bot = given.one("bot")
    last = bot or next((one for one in reversed(given.cib.resources) if not one.clone), None)
    for one in sequence.until(given.cib, last) if last else []:
        if one is bot:
            parts.append(lease(given, parts, "it ran since the fault"))
        parts += operations(one, sequence.takes_over(one))
    return Prediction(kind, title, tuple(parts), (*notes, IN_TIME))


def lease(given: Given, since: Iterable[Part], why: str, typical: bool = True) -> Part:
    """What is left of a lease that nobody gave back: it ran while `since` passed."""
    passed = list(since)
    left = max(0.0, given.lease_s - sum(part.typical_s for part in passed)) if typical else 0.0
    worst = max(0.0, given.lease_s - sum(part.worst_s for part in passed))
    return Part("what is left of the bot's lease", left, worst, f"{given.lease_s:g} s; {why}")


def operations(
    resource: Resource, names: Iterable[str], typical: measured.Measured | None = None
) -> list[Part]:  # fmt: skip
    """`typical`: what each of them takes, where it is not what is usual for what this resource is."""
    return [operation(resource, name, typical or usual(resource, name)) for name in names]


def usual(resource: Resource, name: str) -> measured.Measured:
    known = {"start": measured.STARTED, "stop": measured.STOPPED}.get(name, {})
    role = next((role for role, types in TYPES.items() if resource.type in types), "")
    return known.get(role, measured.SHORT)


def operation(resource: Resource, name: str, typical: measured.Measured) -> Part:
    worst = resource.timeout_s(name)
    return Part(f"{name} {resource.id}", min(typical.seconds, worst), worst, f"timeout of its {name}; {typical.source}")


def quickest(monitors: Iterable[Operation]) -> Operation | None:
    return min(monitors, key=lambda op: op.interval_s + op.timeout_s, default=None)


def depth(monitor: Operation) -> str:
    return f" of depth {monitor.depth}" if monitor.depth != "0" else ""


def noticed(resource: Resource, monitor: Operation) -> list[Part]:
    deep = depth(monitor)
    return [
        Part(f"until the next monitor of {resource.id}", monitor.interval_s / 2, monitor.interval_s,
             f"its interval{deep}"),
        Part(f"monitor {resource.id}", min(measured.MONITORED.seconds, monitor.timeout_s), monitor.timeout_s,
             f"timeout of its monitor{deep}; {measured.MONITORED.source}"),
    ]  # fmt: skip


def times(count: int, parts: Iterable[Part], why: str) -> list[Part]:
    """The same parts, `count` times over."""
    return [
        Part(part.name, count * part.typical_s, count * part.worst_s, f"{part.source}{why}")
        for part in parts
        if count > 0
    ]


def absent(kind: str, title: str, role: str) -> Prediction:
    return Prediction(kind, title, (), never=f"the configuration has no {role} ({' or '.join(TYPES[role])})")


def restarted(
    given: Given, kind: str, title: str, resource: Resource, parts: list[Part], cut_off: bool = False,
    stopped: measured.Measured | None = None,
) -> Prediction:  # fmt: skip
    """Where it runs: what follows it stops first, and starts again after it. `stopped` is its own stop, where that is
    no usual one."""
    parts.append(seldom_pause())
    everyone = sequence.with_followers(given.cib, [resource])
    special = {resource.id: stopped} if stopped else {}
    return moved(given, kind, title, parts, everyone, everyone, sequence.starts, cut_off, special)


def seldom_pause() -> Part:
    return pause(0.0, "0 to 2 s; seldom where no node was lost")


def ordered_pause() -> Part:
    return pause(measured.ORDERED.seconds, measured.ORDERED.source)


def group_moved(given: Given, kind: str, title: str, parts: list[Part], cut_off: bool = False) -> Prediction:
    """The whole group stops here and starts elsewhere, when `parts` have passed; of these Pacemaker's pause is one."""
    last = given.one("bot") or next((one for one in reversed(given.cib.resources) if not one.clone), None)
    if last is None:
        return absent(kind, title, "bot")
    arriving = sequence.until(given.cib, last)
    leaving = sequence.with_followers(given.cib, arriving)
    return moved(given, kind, title, parts, leaving, arriving, sequence.takes_over, cut_off)


def moved(
    given: Given, kind: str, title: str, parts: list[Part], leaving: list[Resource], arriving: list[Resource],
    begin: Callable[[Resource], tuple[str, ...]], cut_off: bool = False,
    stopped: Mapping[str, measured.Measured] = MappingProxyType({}),
) -> Prediction:  # fmt: skip
    """`cut_off`: the bot does not give its lease back. `stopped`: those whose stop is not the usual one, by id."""
    bot = given.one("bot")
    free_at = 0
    for one in reversed(leaving):
        parts += operations(one, sequence.stops(one), stopped.get(one.id))
        if one is bot and not cut_off:
            free_at = len(parts)
    for one in arriving:
        if one is bot:
            why = (
                "it ran since the fault"
                if cut_off
                else "given back by a stop in good order, not by one that was cut short"
            )
            parts.append(lease(given, parts[free_at:], why, typical=cut_off))
        parts += operations(one, begin(one))
    return Prediction(kind, title, tuple(parts), (IN_TIME,))
