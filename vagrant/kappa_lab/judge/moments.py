"""When what happened: the moments of a recovery, and how long users waited."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from kappa_lab.judge.address import first_answer_elsewhere
from kappa_lab.judge.evidence import Evidence, LackingError, of
from kappa_lab.judge.fencing import rejoined, subject
from kappa_lab.judge.history import Answered, Event, Fenced, MemberLost, Reply, Update
from kappa_lab.judge.intervals import Interval
from kappa_lab.judge.tolerances import UNDISTURBED_S
from kappa_lab.judge.turns import mended
from kappa_lab.judge.verdict import Answers, Timeline


def first_answer(evidence: Evidence) -> float | None:
    """When users were served again (epoch seconds).

    Where the service moves, that is when one first received something from another node than the one active before the
    fault. Else it is the end of the longest outage; None when there was none.
    """
    if evidence.expect.service == "moves":
        return elsewhere(evidence)
    found = outage(evidence)
    return found.end if found else None


def elsewhere(evidence: Evidence) -> float | None:
    """When a user first received something from another node than the one active before the fault (epoch seconds)."""
    fault, nodes = evidence.fault, evidence.drill.nodes
    replies = of(evidence.telegram, Reply)
    return _earliest(e for e in replies if e.t >= fault.t and e.node != fault.node and e.node in nodes)


def outage(evidence: Evidence) -> Interval | None:
    """The longest stretch after the first fault in which nobody received an answer though somebody waited for one; None
    when no stretch is longer than UNDISTURBED_S.

    It begins when the first of those who wait in it began to wait, but not before the fault and the answer before it.
    """
    return max(outages(evidence), key=lambda stretch: stretch.length, default=None)


def outages(evidence: Evidence) -> list[Interval]:
    """Every such stretch that is longer than UNDISTURBED_S, in order of time."""
    fault = evidence.fault
    served = waits(evidence)
    received = sorted({sent + wait for sent, wait in served})
    found = []
    for before, after in pairwise([-math.inf, *received]):
        if after <= fault.t or after - max(before, fault.t) <= UNDISTURBED_S:
            continue
        waiting = [sent for sent, wait in served if sent < after and sent + wait >= after]
        start = max(before, fault.t, min(waiting))
        if after - start > UNDISTURBED_S:
            found.append(Interval(start, after))
    return found


def heal(evidence: Evidence) -> float | None:
    """When a service that its faults stop together may come back: the drill began to undo the first of those that stood
    together. None when it undid none.

    What was undone before the last fault came, or was over when it had happened, is no such heal. Who is answered while
    a fault is being healed may well be answered because of it: so what counts is the beginning.
    """
    faults, finished = evidence.drill.faults, evidence.drill.finished
    last = max(hit.t for hit in faults)
    began = min((t for hit in faults if hit.lasts and (t := mended(evidence, hit)) >= last), default=finished)
    return began if began < finished else None


def counted_from(evidence: Evidence) -> float:
    """From when the RTO counts (epoch seconds).

    The first fault; the heal, where the service stops until then; where there were several faults and no more is said
    of the service, the latest that came before the outage.
    """
    expected, found = evidence.expect.service, outage(evidence)
    if expected == "stops":
        return heal(evidence) or evidence.fault.t
    if expected == "moves" or found is None:
        return evidence.fault.t
    return max((hit.t for hit in evidence.drill.faults if hit.t <= found.start), default=evidence.fault.t)


def rto(evidence: Evidence) -> float | None:
    """Seconds until users were served again; None when they were not, or never ceased to be."""
    served = first_answer(evidence)
    return None if served is None else round(max(0.0, served - counted_from(evidence)), 3)


def membership_lost(evidence: Evidence) -> float | None:
    """When a survivor first said that the node that the drill tells of is lost (epoch seconds)."""
    fault, node = evidence.fault, subject(evidence)
    return _earliest(e for e in of(evidence.cluster, MemberLost) if e.t >= fault.t and e.node == node and e.by != node)


def fenced(evidence: Evidence) -> float | None:
    """When the cluster was first told that the node that the drill tells of is off (epoch seconds)."""
    fault, node = evidence.fault, subject(evidence)
    return _earliest(e for e in of(evidence.cluster, Fenced) if e.t >= fault.t and e.node == node and e.result == "OK")


def bot_active(evidence: Evidence) -> float | None:
    """When Telegram first accepted a poll that another node began after the fault (epoch seconds).

    A poll that waits for updates is accepted when Telegram answers it, so this is the later end of what may be said.
    """
    fault = evidence.fault
    ends = [
        poll.ended
        for poll in evidence.polls()
        if poll.began >= fault.t and poll.node != fault.node and poll.accepted and poll.ended is not None
        and poll.node in evidence.drill.nodes
    ]  # fmt: skip
    return min(ends, default=None)


def timeline(evidence: Evidence) -> Timeline:
    """All moments, as far as the evidence goes: what no witness saw, or what there was not, is None."""

    def seconds(moment: Callable[[Evidence], float | None]) -> float | None:
        try:
            t = moment(evidence)
            return None if t is None else round(t - evidence.fault.t, 3)
        except LackingError:
            return None

    def vip_up(evidence: Evidence) -> float | None:
        answer = first_answer_elsewhere(evidence)
        return answer.t if answer else None

    def back(evidence: Evidence) -> float | None:
        online = rejoined(evidence)
        return online.t if online else None

    return Timeline(
        membership_lost=seconds(membership_lost),
        fenced=seconds(fenced),
        vip_up=seconds(vip_up),
        bot_active=seconds(bot_active),
        first_answer=seconds(first_answer),
        rejoined=seconds(back),
    )


def _earliest(events: Iterable[Event]) -> float | None:
    return min((event.t for event in events), default=None)


def waits(evidence: Evidence) -> list[tuple[float, float]]:
    """(when a user did something, seconds until the answer), for all that was answered, in order of sending."""
    answered: dict[int, float] = {}
    for event in of(evidence.telegram, Answered):
        answered.setdefault(event.update_id, event.t)
    return sorted(
        (update.t, max(0.0, answered[update.update_id] - update.t))
        for update in of(evidence.telegram, Update)
        if update.update_id in answered
    )


def answers(evidence: Evidence) -> Answers:
    """How long users waited; raises LackingError without a journal or a fault."""
    fault, all_waits = evidence.fault, waits(evidence)
    before = sorted(wait for sent, wait in all_waits if sent + wait < fault.t)
    received = sorted(sent + wait for sent, wait in all_waits)
    return Answers(
        answered=len(all_waits),
        p50_before_s=_quantile(before, 0.5),
        p99_before_s=_quantile(before, 0.99),
        slowest_s=_rounded(max((wait for _, wait in all_waits), default=None)),
        longest_gap_s=_rounded(max((b - a for a, b in pairwise(received)), default=None)),
    )


def _quantile(ordered: Sequence[float], part: float) -> float | None:
    """Nearest rank: a value that was really measured, never one between two."""
    return _rounded(ordered[max(0, math.ceil(part * len(ordered)) - 1)]) if ordered else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
