"""At most one poller."""

from itertools import combinations

from kappa_lab.judge.evidence import Evidence, Poll, of
from kappa_lab.judge.history import Begin, Fault
from kappa_lab.judge.intervals import shared
from kappa_lab.judge.tolerances import IN_FLIGHT
from kappa_lab.judge.turns import Moment, Proven, Turn, hand_overs, mended, off_between, tenures, turns, unproven
from kappa_lab.judge.verdict import Seen

LEAST = 0.001
"""Seconds: an overlap is never called none because it was short. MongoDB's clock counts no less either."""


def overlap(polls: list[Poll], proven: Proven = unproven) -> float:
    """Seconds in which two nodes were both polling: what their turns share, the longest of any two.

    A request counts where it *begins*: only that is the node's own doing. A node without power leaves a request open at
    Telegram's side for as long as its long poll lasts; when that ends says nothing of the node.

    In a clean takeover the old node's turn ends before the new one's begins, and they share nothing. If the old node
    begins so much as one request after the new one's first, without proof that it was its turn again, they share all
    the time in between: pessimistic on purpose, because for that long neither could know that it was alone. A meeting
    of no length counts as a millisecond.
    """
    spans = [(turn.node, turn.span) for turn in tenures(turns(_moments(polls)), proven)]
    meetings = [shared(first, second) for (one, first), (other, second) in combinations(spans, 2) if one != other]
    return max((max(common.length, LEAST) for common in meetings if common), default=0.0)


def _moments(polls: list[Poll]) -> list[Moment]:
    return [Moment(poll.began, poll.node, "getUpdates") for poll in polls if not poll.carried]


def nodes_overlap(evidence: Evidence) -> float:
    """The same, of this history's nodes: whoever is none may be expected, and is judged by itself."""
    polls = [poll for poll in evidence.polls() if evidence.drill_ is None or poll.node in evidence.drill_.nodes]
    return overlap(polls, lambda old, new: passed_on(evidence, old, new))


def acts(method: str) -> bool:
    """Does this method take updates or change anything? What merely reads (getMe, getWebhookInfo) is anyone's."""
    name = method.lower()
    return name == "getupdates" or not name.startswith("get")


def acting(evidence: Evidence) -> list[Moment]:
    """Every request of a node that takes updates or changes anything, begun in this history."""
    return [
        Moment(begin.t, begin.node, begin.method)
        for begin in of(evidence.telegram, Begin)
        if acts(begin.method) and not begin.carried and begin.node in evidence.drill.nodes
    ]


def passed_on(evidence: Evidence, old: Turn, new: Turn) -> bool:
    """Is it proven that `old` had ended before `new` began?

    By the power brokers, who saw the old node off between its last request and the new one's first; or by MongoDB,
    whose lease the new node took in between.
    """
    start, end = old.span.end, new.span.start
    if evidence.power_ is not None and off_between(evidence, old.node, start, end):
        return True
    return any(take.node == new.node and start - LEAST <= take.t <= end for take in evidence.takes)


def one_poller(evidence: Evidence) -> Seen:
    """At no moment do two nodes poll Telegram, and each takes over only when the one before it has proven to be over.

    Turns are maximal runs of one node's requests that take updates or change anything. From each turn to the next there
    is proof that the old node had ended: it was seen off, or the writer's lease passed on to the new one, between the
    old one's last request and the new one's first. No request of a node begins after another has taken over from it,
    unless the turn has come back to it with such proof. A node that a fault ended begins none at all. Whoever polls is
    a node of this cluster, unless strangers are what the drill is about. Before the first fault, it is the active node:
    otherwise the drill did not hit what it was to hit.
    """
    fault, polls = evidence.fault, evidence.polls()
    runs = turns(acting(evidence))
    violations = _strangers(evidence, polls)
    reckoned = tenures(runs, lambda old, new: passed_on(evidence, old, new))
    for first, second in combinations(reckoned, 2):
        violations += _both(evidence, first, second)
    violations += [
        f"{new.node} acted {since(fault, new.span.start)}, after {old.node}, without proof that {old.node} was over "
        f"(its last request began {since(fault, old.span.end)}): no power broker saw it off in between, and the lease "
        f"did not pass on to {new.node}."
        for old, new in hand_overs(reckoned)
        if old.span.end < new.span.start and not passed_on(evidence, old, new)
    ]
    violations += _after_death(evidence)
    before = [poll for poll in polls if poll.began < fault.t and poll.node in evidence.drill.nodes]
    if not before:
        violations.append(f"No node polled Telegram before the fault: {fault.node} was not active.")
    elif before[-1].node != fault.node:
        violations.append(f"The fault hit {fault.node}, but it was {before[-1].node} that polled Telegram.")
    who = ", then ".join(turn.node for turn in turns(_moments(polls))) or "no node"
    return Seen(f"{nodes_overlap(evidence):.3f} s shared, in {len(polls)} polls by {who}", violations)


def first_poll_elsewhere(evidence: Evidence) -> Poll | None:
    """The first poll after the fault that was another node's than the one active before it."""
    fault, nodes = evidence.fault, evidence.drill.nodes
    others = (poll for poll in evidence.polls() if poll.began >= fault.t and poll.node != fault.node)
    return next((poll for poll in others if poll.node in nodes), None)


def _strangers(evidence: Evidence, polls: list[Poll]) -> list[str]:
    if evidence.expect.strangers:
        return []
    first: dict[str, float] = {}
    for poll in polls:
        if poll.node not in evidence.drill.nodes:
            first.setdefault(poll.node, poll.began)
    return [
        f"{node}, which is no node of this cluster, polled Telegram {since(evidence.fault, t)}."
        for node, t in first.items()
    ]


def _both(evidence: Evidence, first: Turn, second: Turn) -> list[str]:
    """What two reckoned turns, of which the first began earlier, have in common."""
    fault = evidence.fault
    late = [moment for moment in first.moments if moment.t >= second.span.start]
    if first.node == second.node or not late:
        return []
    found = [
        f"{first.node} still acted after {second.node} had taken over ({since(fault, second.span.start)}): requests "
        f"begun: {len(late)}, the first {late[0].what} {since(fault, late[0].t)}."
    ]
    one, other = ([m for m in turn.moments if m.what.lower() == "getupdates"] for turn in (first, second))
    if one and other and one[-1].t >= other[0].t:
        length = max(LEAST, min(one[-1].t, other[-1].t) - other[0].t)
        found.insert(
            0,
            f"{first.node} and {second.node} both polled Telegram, for {length:.3f} s from "
            f"{since(fault, other[0].t)} on: {first.node}'s last request began {since(fault, one[-1].t)}, "
            f"{second.node}'s last {since(fault, other[-1].t)}.",
        )
    return found


def _after_death(evidence: Evidence) -> list[str]:
    """A fault that ends a node ends its requests. If it does not, the node was not ended, and nothing was shown."""
    found = []
    moments = acting(evidence)
    for hit in evidence.drill.faults:
        for node in hit.nodes if hit.ends_node else ():
            until = _on_again(evidence, node, hit.done)
            late = [m for m in moments if m.node == node and hit.done + IN_FLIGHT < m.t < until]
            taken = next((m.t for m in moments if m.node != node and m.t > hit.t), until)
            if late and late[0].t < taken:
                when = since(evidence.fault, late[0].t)
                found.append(f"{node} was to have no power, yet it began {late[0].what} {when}.")
    return found


def _on_again(evidence: Evidence, node: str, after: float) -> float:
    """When this node was switched on again; the drill's end when that was not seen.

    By a fence agent, as the brokers' audit says, whatever faults still stand; or by the drill, which heals what had
    ended this very node by pressing its button.
    """
    entries = evidence.power if evidence.power_ is not None else ()
    on = [entry.t for entry in entries if entry.plug == node and entry.after == "on"]
    on += [mended(evidence, hit) for hit in evidence.drill.faults if hit.ends_node and node in hit.nodes]
    return min((t for t in on if t >= after), default=evidence.drill.finished)


def since(fault: Fault, t: float) -> str:
    """A moment as people read it: seconds before or after the fault."""
    return f"{abs(t - fault.t):.3f} s {'after' if t >= fault.t else 'before'} the fault"
