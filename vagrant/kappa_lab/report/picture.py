"""What a timeline shows, taken from the evidence: lanes, spans and moments, in seconds from the fault."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from kappa_lab.judge import Verdict, address, fencing, moments, updates
from kappa_lab.judge.evidence import Evidence, LackingError, Poll, of
from kappa_lab.judge.history import Begin, Holder, Reply, Update
from kappa_lab.judge.intervals import Interval
from kappa_lab.report.words import MOMENTS, PHASES, fault_name

T = TypeVar("T")


@dataclass(frozen=True)
class Lane:
    """One node, or a stranger that did what only nodes may do. All in seconds from the fault."""

    name: str
    part: str
    """What this node was in the drill, in two words."""
    polls: tuple[Interval, ...] = ()
    began: tuple[float, ...] = ()
    """When each poll was begun."""
    left_open: Interval | None = None
    """The faulted node's last request, which nobody there waits for any more."""
    address: tuple[Interval, ...] = ()
    """While it answered for the virtual IP."""
    replies: tuple[float, ...] = ()
    struck: Interval | None = None
    """From the fault until it is switched on again, or proven off if it is never switched on."""
    off: float | None = None
    """When the power broker saw it off."""
    starting: Interval | None = None
    """Switched on, and not yet back in the cluster."""


@dataclass(frozen=True)
class Picture:
    span: Interval
    """The whole drill, in seconds from the fault."""
    lanes: tuple[Lane, ...]
    sent: tuple[float, ...]
    """When users did something."""
    waits: tuple[tuple[float, float], ...]
    """(when it was sent, how long until the answer), for all that was answered."""
    unanswered: tuple[float, ...]
    fault: str
    """What to call the fault; empty when there was none."""
    state: str
    """What the faulted node is from then on."""
    moments: tuple[tuple[str, float], ...]
    """(name in the timeline, seconds from the fault) of those that were seen."""
    phases: tuple[tuple[str, Interval], ...]
    """Where the time to the first answer went."""
    rto: float | None


def picture(verdict: Verdict, evidence: Evidence) -> Picture | None:
    """All that can be drawn; None when there is neither a drill nor a journal to draw."""
    zero = verdict.fault.t if verdict.fault else verdict.started
    if zero is None or evidence.drill_ is None:
        return None
    polls = _all(evidence.polls)
    holders = _all(evidence.holders)
    replies = _all(lambda: of(evidence.telegram, Reply))
    acted = [poll.node for poll in polls] + [holder.mac for holder in holders]
    names = list(dict.fromkeys([*evidence.drill_.nodes, *acted]))
    timeline = verdict.timeline
    return Picture(
        span=_whole(evidence, zero),
        lanes=tuple(_lane(name, verdict, evidence, zero, polls, holders, replies) for name in names),
        sent=tuple(update.t - zero for update in _all(lambda: of(evidence.telegram, Update))),
        waits=tuple((sent - zero, wait) for sent, wait in _all(lambda: moments.waits(evidence))),
        unanswered=tuple(update.t - zero for update in _all(lambda: updates.unanswered(evidence))),
        fault=fault_name(verdict.fault.kind) if verdict.fault else "",
        state=fault_name(verdict.fault.kind) if verdict.fault else "",
        moments=tuple((name, t) for name in MOMENTS if (t := getattr(timeline, name)) is not None),
        phases=tuple(phases(verdict)),
        rto=timeline.first_answer,
    )


def phases(verdict: Verdict) -> Iterable[tuple[str, Interval]]:
    """Where the time to the first answer went, as far as the moments between are known and come in their order."""
    end = verdict.timeline.first_answer
    known = {"fault": 0.0} | {name: getattr(verdict.timeline, name) for name in MOMENTS}
    at = 0.0
    for name, _, until, _ in PHASES:
        t = known[until]
        if end is None or t is None:
            return
        t = min(max(t, at), end)
        if t > at:
            yield name, Interval(at, t)
        at = t


def close_up(picture: Picture) -> Interval:
    """From two seconds before the fault until the node is back, or as much of that as there is."""
    last = max([t for _, t in picture.moments], default=8.0)
    end = min(last + max(0.5, 0.06 * last), max(picture.span.end, last))
    return Interval(-2.0, max(end, 1.0))


def _whole(evidence: Evidence, zero: float) -> Interval:
    """From the first poll or update to the last thing in the journal; the drill's own span when there is no journal."""
    seen = [event.t for event in evidence.telegram_ or ()]
    began = [event.t for event in evidence.telegram_ or () if isinstance(event, Begin | Update)]
    drill = evidence.drill_
    start = min(began, default=drill.started if drill else zero)
    end = max(seen, default=drill.finished if drill else zero)
    return Interval(min(start - zero, -1.0), max(end - zero, 1.0))


def _lane(
    name: str,
    verdict: Verdict,
    evidence: Evidence,
    zero: float,
    polls: list[Poll],
    holders: list[Holder],
    replies: list[Reply],
) -> Lane:
    own = [poll for poll in polls if poll.node == name]
    fault = verdict.fault
    faulted = fault is not None and fault.node == name
    dead_from = zero if faulted else float("inf")
    spans, left_open = [], None
    for poll in own:
        end = poll.ended if poll.ended is not None else (evidence.telegram[-1].t if evidence.telegram_ else poll.began)
        if faulted and poll.began < dead_from < end:
            spans.append(Interval(poll.began - zero, 0.0))
            left_open = Interval(0.0, end - zero)
        else:
            spans.append(Interval(poll.began - zero, max(end, poll.began) - zero))
    struck = off = starting = None
    if faulted:
        struck, off, starting = _power(verdict, evidence, zero)
    return Lane(
        name=name,
        part=_part(name, verdict, evidence, own),
        polls=tuple(spans),
        began=tuple(poll.began - zero for poll in own),
        left_open=left_open,
        address=tuple(_held(holders, name, zero, _known(lambda: address.period(evidence), 0.1))),
        replies=tuple(reply.t - zero for reply in replies if reply.node == name),
        struck=struck,
        off=off,
        starting=starting,
    )


def _part(name: str, verdict: Verdict, evidence: Evidence, polls: list[Poll]) -> str:
    if evidence.drill_ is not None and name not in evidence.drill_.nodes:
        return "a stranger"
    if verdict.fault and verdict.fault.node == name:
        return fault_name(verdict.fault.kind)
    return "took over" if polls else "stood by"


def _held(holders: list[Holder], name: str, zero: float, width: float) -> Iterable[Interval]:
    """Rounds in a row in which this one answered, as one span. A single missed round is no end."""
    start = last = None
    for answer in holders:
        if answer.mac != name:
            continue
        t = answer.t - zero
        if start is None or last is None:
            start = t
        elif t - last > 2.5 * width:
            yield Interval(start, last + width)
            start = t
        last = t
    if start is not None and last is not None:
        yield Interval(start, last + width)


def _power(verdict: Verdict, evidence: Evidence, zero: float) -> tuple[Interval | None, float | None, Interval | None]:
    """The faulted node's power: struck, when it was proven off, and starting."""
    if verdict.fault is None:
        return None, None, None
    proof = _known(lambda: fencing.proof_of_off(evidence), None)
    off = proof.done - zero if proof else None
    back = verdict.timeline.rejoined
    on = None
    if proof:
        on = next(
            (
                entry.done - zero
                for entry in evidence.power
                if entry.plug == verdict.fault.node and entry.ok and entry.after == "on" and entry.done >= proof.done
            ),
            None,
        )
    until = on if on is not None else back if back is not None else off
    struck = Interval(0.0, max(0.0, until)) if until is not None else Interval(0.0, _whole(evidence, zero).end)
    starting = Interval(on, back) if on is not None and back is not None and back > on else None
    return struck, off, starting


def _known(value: Callable[[], T], otherwise: T) -> T:
    try:
        return value()
    except LackingError:
        return otherwise


def _all(values: Callable[[], list[T]]) -> list[T]:
    try:
        return values()
    except LackingError:
        return []
