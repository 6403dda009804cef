"""What a timeline shows, taken from the evidence: lanes, spans and moments, in seconds from the first fault."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from kappa_lab.judge import Verdict, address, moments, updates
from kappa_lab.judge.evidence import Evidence, LackingError, Poll, of
from kappa_lab.judge.history import Begin, Holder, Injected, Member, Online, Reply, Switched, Update
from kappa_lab.judge.intervals import Interval
from kappa_lab.report.causes import Cause, causes
from kappa_lab.report.words import MOMENTS, fault_name

T = TypeVar("T")
OFF: Final = ("off", "reboot")
BOOT_S: Final = 15.0
"""Longer than a member of the cluster takes to start its router."""


@dataclass(frozen=True)
class Mark:
    """Something that the drill did: a fault, or a heal."""

    kind: str
    """`fault` or `heal`."""
    t: float
    text: str


@dataclass(frozen=True)
class Spell:
    """What a node was for some time: `struck` (its power is gone, or it is about to go), `afflicted` by a fault that it
    lives with, or `starting`."""

    kind: str
    interval: Interval
    text: str


@dataclass(frozen=True)
class Lane:
    """One node, or a stranger that did what only nodes may do. All in seconds from the first fault."""

    name: str
    part: str
    """What this node was in the drill, in two words."""
    polls: tuple[Interval, ...] = ()
    began: tuple[float, ...] = ()
    """When each poll was begun."""
    left_open: tuple[Interval, ...] = ()
    """Requests of a node that lost its power, which nobody there waits for any more."""
    address: tuple[Interval, ...] = ()
    """While it answered for the virtual IP."""
    replies: tuple[float, ...] = ()
    spells: tuple[Spell, ...] = ()
    off: tuple[float, ...] = ()
    """When a power broker saw it off."""


@dataclass(frozen=True)
class Picture:
    span: Interval
    """The whole drill, in seconds from the first fault."""
    lanes: tuple[Lane, ...]
    sent: tuple[float, ...]
    """When users did something."""
    waits: tuple[tuple[float, float], ...]
    """(when it was sent, how long until the answer), for all that was answered."""
    unanswered: tuple[float, ...]
    marks: tuple[Mark, ...]
    """Every fault and every heal, in order of time; none when the drill came to none."""
    moments: tuple[tuple[str, float], ...]
    """(name in the timeline, seconds from the fault) of those that were seen."""
    recovery: Interval | None
    """What the RTO measures; None when nobody had to wait for the service to come back."""
    causes: tuple[Cause, ...]
    """Where that time went."""
    silent: tuple[Interval, ...] = ()
    """Stretches in which somebody waited and nobody was answered."""


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
    silent = [Interval(one.start - zero, one.end - zero) for one in _all(lambda: moments.outages(evidence))]
    recovery = recovered(verdict, silent)
    if recovery and not silent:
        silent = [recovery]
    return Picture(
        span=_whole(evidence, zero),
        lanes=tuple(_lane(name, verdict, evidence, zero, polls, holders, replies) for name in names),
        sent=tuple(update.t - zero for update in _all(lambda: of(evidence.telegram, Update))),
        waits=tuple((sent - zero, wait) for sent, wait in _all(lambda: moments.waits(evidence))),
        unanswered=tuple(update.t - zero for update in _all(lambda: updates.unanswered(evidence))),
        marks=tuple(sorted(_marks(verdict, zero), key=lambda mark: mark.t)),
        moments=tuple((name, t) for name in MOMENTS if (t := getattr(timeline, name)) is not None),
        recovery=recovery,
        causes=tuple(causes(evidence, zero, recovery)) if recovery else (),
        silent=tuple(silent),
    )


def recovered(verdict: Verdict, silent: Sequence[Interval] = ()) -> Interval | None:
    """What the RTO measures, in seconds from the first fault: it ends with the first answer.

    Where anything may happen, as in a storm, the first fault says little: then it is the longest of the outages.
    """
    if verdict.expect is not None and verdict.expect.service == "any":
        return max(silent, key=lambda stretch: stretch.length, default=None)
    end, rto = verdict.timeline.first_answer, verdict.rto_s
    return None if end is None or not rto else Interval(end - rto, end)


def close_up(picture: Picture) -> Interval:
    """From two seconds before the first fault until all is as it was, or as much of that as there is."""
    last = max([*(t for _, t in picture.moments), *(mark.t for mark in picture.marks)], default=8.0)
    end = min(last + max(0.5, 0.06 * last), max(picture.span.end, last))
    return Interval(-2.0, max(end, 1.0))


def _marks(verdict: Verdict, zero: float) -> Iterable[Mark]:
    for fault in verdict.faults:
        name = fault_name(fault.kind)
        yield Mark("fault", fault.t - zero, name if len(verdict.faults) == 1 else f"{name} {_whom(fault)}".rstrip())
        if fault.healed is not None and fault.lasts and not fault.ends_node:
            yield Mark("heal", fault.healed - zero, f"{name} healed")


def _whom(fault: Injected) -> str:
    return ", ".join(fault.nodes)


def _whole(evidence: Evidence, zero: float) -> Interval:
    """From the first poll or update to the last thing in the journal; the drill's own span when there is no journal."""
    seen = [event.t for event in evidence.telegram_ or ()]
    began = [
        event.t
        for event in evidence.telegram_ or ()
        if isinstance(event, Update) or (isinstance(event, Begin) and not event.carried)
    ]
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
    answered = [reply.t for reply in replies if reply.node == name]
    power = [
        entry for entry in _all(lambda: list(evidence.power)) if entry.plug == name and entry.ok and entry.t >= zero
    ]
    gone = sorted(
        [fault.t for fault in verdict.faults if name in fault.nodes and fault.ends_node]
        + [entry.done for entry in power if entry.after == "off" and entry.action in OFF]
    )
    spans, left_open = [], []
    for poll in own:
        end = poll.ended if poll.ended is not None else (evidence.telegram[-1].t if evidence.telegram_ else poll.began)
        cut = next((t for t in gone if poll.began < t < end), None)
        spans.append(Interval(poll.began - zero, max(poll.began, end if cut is None else cut) - zero))
        if cut is not None:
            left_open.append(Interval(cut - zero, end - zero))
    return Lane(
        name=name,
        part=_part(name, verdict, evidence, own),
        polls=tuple(spans),
        began=tuple(poll.began - zero for poll in own),
        left_open=tuple(left_open),
        address=tuple(_held(holders, name, zero, _known(lambda: address.period(evidence), 0.1))),
        replies=tuple(t - zero for t in answered),
        spells=tuple(_spells(name, verdict, evidence, zero, power)),
        off=tuple(
            entry.done - zero for entry in power if entry.action in OFF and entry.after == "off"
        )[:8],
    )  # fmt: skip


def _part(name: str, verdict: Verdict, evidence: Evidence, polls: list[Poll]) -> str:
    if evidence.drill_ is not None and name not in evidence.drill_.nodes:
        return "a stranger"
    hit = [fault_name(fault.kind) for fault in verdict.faults if name in fault.nodes]
    if hit:
        return hit[0] if len(set(hit)) == 1 else f"{hit[0]} and more"
    if verdict.fault is None:
        return ""
    if verdict.fault.node == name:
        return "ran the bot"
    return "took over" if any(poll.began >= verdict.fault.t for poll in polls) else "stood by"


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


# -- what a node was


def _spells(name: str, verdict: Verdict, evidence: Evidence, zero: float, power: list[Switched]) -> Iterable[Spell]:
    """By the power brokers' record where there is one, else by the faults. They do not overlap."""
    end = _whole(evidence, zero).end
    until = -float("inf")
    faults = sorted((fault for fault in verdict.faults if name in fault.nodes), key=lambda fault: fault.t)
    offs = [entry.done for entry in power if entry.action in OFF and entry.after == "off"]
    starts = [(fault.t, fault) for fault in faults] + [(t, None) for t in offs]
    for t, fault in sorted(starts, key=lambda start: start[0]):
        if t - zero < until:
            continue
        text = fault_name(fault.kind) if fault else "off"
        fenced = next((off for off in offs if off >= t), None)
        healed = fault.healed if fault else None
        if fault and not fault.ends_node and (fenced is None or (healed is not None and healed < fenced)):
            # it lives with it until it is healed; what nobody need heal is over when it has happened
            ends = fault.done if not fault.lasts else end + zero if healed is None else healed
            until = max(ends, fault.t) - zero
            yield Spell("afflicted", Interval(t - zero, until), text)
            continue
        on = next((e.done for e in power if e.after == "on" and e.action in ("on", "reboot") and e.done >= t), None)
        back = _back(evidence, name, on if on is not None else fenced if fenced is not None else t)
        until = min((moment for moment in (on, back) if moment is not None), default=end + zero) - zero
        yield Spell("struck", Interval(t - zero, max(until, t - zero)), text)
        if on is not None and back is not None and back > on:
            yield Spell("starting", Interval(on - zero, back - zero), "starting")
            until = back - zero


def _back(evidence: Evidence, name: str, after: float) -> float | None:
    """When the node was seen back in the cluster, able to take over; a drill may ask for that only long after it."""
    seen = [event for event in _all(lambda: list(evidence.cluster)) if event.t >= after]
    online = next((e.t for e in seen if isinstance(e, Online) and e.node == name), None)
    member = next((e.t for e in seen if isinstance(e, Member) and e.node == name), None)
    if online is None or member is None:
        return member if online is None else online
    return online if online - member <= BOOT_S else member


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
