"""Why users waited: the time of a recovery, cut where one cause gave way to the next.

- detection    nobody who could act knew of it: from the fault to the first sign that the cluster saw
- transition   the cluster had seen it and decided: until it first asked somebody to do something
- fencing      from the first request to a power broker until the cluster was told that the node is off
- stop         what had to stop first
- start        from the first start until Telegram accepted a poll of the bot
- first answer from there to the first user who was answered

What no witness saw is left out: its time counts to the cause after it, and where nothing is known it stays without one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kappa_lab.judge.evidence import Evidence
from kappa_lab.judge.history import Asked, Failed, Fenced, MemberLost
from kappa_lab.judge.intervals import Interval

OFF = ("off", "reboot")
STOPS = ("stop", "demote")
STARTS = ("start", "promote")


@dataclass(frozen=True)
class Cause:
    name: str
    interval: Interval
    """In seconds from the first fault."""


def causes(evidence: Evidence, zero: float, recovery: Interval) -> Iterable[Cause]:
    """In order of time, without gaps as far as they are known, and never beyond the recovery."""
    at = recovery.start
    for name, end in _ends(evidence, zero, recovery):
        t = min(max(end, at), recovery.end)
        if t > at:
            yield Cause(name, Interval(at, t))
        at = t


def _ends(evidence: Evidence, zero: float, recovery: Interval) -> Iterable[tuple[str, float]]:
    """Each cause, and when it was over, in seconds from the first fault."""
    within = Interval(recovery.start + zero, recovery.end + zero)
    seen = [e for e in evidence.cluster_ or () if within.start <= e.t <= within.end]
    seen.sort(key=lambda event: event.t)
    asked = [e for e in seen if isinstance(e, Asked)]
    audit = [e for e in evidence.power_ or () if within.start <= e.t <= within.end]
    fencing = [e.t for e in audit if e.action in OFF and e.plug is not None]
    acted = min([*(e.t for e in asked), *fencing], default=None)
    noticed = min((e.t for e in seen if isinstance(e, (MemberLost, Failed, Asked))), default=acted)
    told: dict[str, float] = {}
    for e in seen:
        if isinstance(e, Fenced) and e.result == "OK":
            told.setdefault(e.node, e.t)
    after = max([*fencing, *told.values()], default=within.start)
    started = next((e.t for e in asked if e.action in STARTS and e.t >= after), None)
    stopped = [e for e in asked if e.action in STOPS and started is not None and after <= e.t <= started]
    if noticed is not None:
        yield "detection", noticed - zero
    if noticed is not None and acted is not None:
        yield "transition", acted - zero
    if fencing and told:
        yield "fencing", max(told.values()) - zero
    if stopped and started is not None:
        yield "stop", started - zero
    active = _active(evidence, after if started is None else started, within.end)
    if noticed is not None and active is not None:
        yield "start", active - zero
        yield "first answer", recovery.end
    elif started is not None:
        yield "start", recovery.end


def _active(evidence: Evidence, since: float, until: float) -> float | None:
    """When Telegram first accepted a poll that was begun after the cluster had acted."""
    if evidence.telegram_ is None or evidence.drill_ is None:
        return None
    ended = [
        poll.ended for poll in evidence.polls() if poll.accepted and poll.ended is not None and poll.began >= since
    ]
    return min((t for t in ended if t <= until), default=None)
