"""At most one poller."""

from itertools import combinations

from kappa_lab.judge.evidence import Evidence, Poll, of
from kappa_lab.judge.history import Begin, Fault
from kappa_lab.judge.intervals import Interval, hull, shared
from kappa_lab.judge.tolerances import IN_FLIGHT, POWER_FAULTS
from kappa_lab.judge.verdict import Seen

LEAST = 0.001
"""Seconds: an overlap is never called none because it was short."""


def turns(polls: list[Poll]) -> dict[str, Interval]:
    """From the beginning of each node's first request to the beginning of its last.

    A request counts where it *begins*: only that is the node's own doing. A node without power leaves a request open at
    Telegram's side for as long as its long poll lasts; when that ends says nothing of the node.
    """
    found = {}
    for node in dict.fromkeys(poll.node for poll in polls):
        turn = hull(poll.began for poll in polls if poll.node == node)
        assert turn is not None
        found[node] = turn
    return found


def overlap(polls: list[Poll]) -> float:
    """Seconds in which two nodes were both polling: what their turns share, the longest of any two nodes'.

    In a clean takeover the old node's turn ends before the new one's begins, and they share nothing. If the old node
    begins so much as one request after the new one's first, they share all the time in between: pessimistic on
    purpose, because for that long neither could know that it was alone. A meeting of no length counts as a millisecond.
    """
    meetings = [shared(one, other) for one, other in combinations(turns(polls).values(), 2)]
    return max((max(common.length, LEAST) for common in meetings if common), default=0.0)


def acts(method: str) -> bool:
    """Does this method take updates or change anything? What merely reads (getMe, getWebhookInfo) is anyone's."""
    name = method.lower()
    return name == "getupdates" or not name.startswith("get")


def one_poller(evidence: Evidence) -> Seen:
    """At no moment do two nodes poll Telegram, and the old node does nothing after the new one's first poll.

    The old node is the faulted one; the new node is the first other one to poll after the fault. No request of the old
    node begins after the new one's first poll began, neither a poll nor anything that a user could see. No two nodes'
    turns share any time. Whoever polls is a node of this cluster. Before the fault, it is the faulted node: otherwise
    the fault did not hit what it was to hit.
    """
    fault, polls = evidence.fault, evidence.polls()
    violations = [
        f"{node}, which is no node of this cluster, polled Telegram {since(fault, turn.start)}."
        for node, turn in turns(polls).items()
        if node not in evidence.drill.nodes
    ]
    for (one, first), (other, second) in combinations(turns(polls).items(), 2):
        if common := shared(first, second):
            violations.append(
                f"{one} and {other} both polled Telegram, for {max(common.length, LEAST):.3f} s from "
                f"{since(fault, common.start)} on: {one}'s last request began {since(fault, first.end)}, {other}'s "
                f"last {since(fault, second.end)}."
            )
    violations += [*_after_the_new_one(evidence), *_after_death(evidence)]
    before = [poll for poll in polls if poll.began < fault.t]
    if not before:
        violations.append(f"No node polled Telegram before the fault: {fault.node} was not active.")
    elif before[-1].node != fault.node:
        violations.append(f"The fault hit {fault.node}, but it was {before[-1].node} that polled Telegram.")
    who = ", then ".join(turns(polls)) or "no node"
    return Seen(f"{overlap(polls):.3f} s shared, in {len(polls)} polls by {who}", violations)


def first_poll_elsewhere(evidence: Evidence) -> Poll | None:
    """The first poll after the fault that was not the faulted node's."""
    fault = evidence.fault
    return next((poll for poll in evidence.polls() if poll.began >= fault.t and poll.node != fault.node), None)


def _after_the_new_one(evidence: Evidence) -> list[str]:
    fault, new = evidence.fault, first_poll_elsewhere(evidence)
    if new is None:
        return ["No other node polled Telegram after the fault."]
    late = [begin for begin in _acts_of_the_old(evidence) if begin.t >= new.began]
    if not late:
        return []
    return [
        f"{fault.node} still acted after {new.node} had taken over ({since(fault, new.began)}): requests begun: "
        f"{len(late)}, the first {late[0].method} {since(fault, late[0].t)}."
    ]


def _after_death(evidence: Evidence) -> list[str]:
    """A power cut ends a node's requests. If it does not, the power was not cut, and the drill showed nothing."""
    fault, new = evidence.fault, first_poll_elsewhere(evidence)
    until = new.began if new else evidence.drill.finished
    late = [begin for begin in _acts_of_the_old(evidence) if fault.done + IN_FLIGHT < begin.t < until]
    if fault.kind not in POWER_FAULTS or not late:
        return []
    return [f"{fault.node} was to have no power, yet it began {late[0].method} {since(fault, late[0].t)}."]


def _acts_of_the_old(evidence: Evidence) -> list[Begin]:
    return [begin for begin in of(evidence.telegram, Begin) if begin.node == evidence.fault.node and acts(begin.method)]


def since(fault: Fault, t: float) -> str:
    """A moment as people read it: seconds before or after the fault."""
    return f"{abs(t - fault.t):.3f} s {'after' if t >= fault.t else 'before'} the fault"
