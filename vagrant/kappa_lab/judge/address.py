"""One holder of the virtual IP, as the wire tells it."""

from itertools import combinations

from kappa_lab.judge.evidence import Evidence, of
from kappa_lab.judge.history import Holder, Watch
from kappa_lab.judge.intervals import Interval, holes, hull, shared
from kappa_lab.judge.polling import since
from kappa_lab.judge.tolerances import WATCHER_HOLE
from kappa_lab.judge.verdict import Seen


def period(evidence: Evidence) -> float:
    """Seconds between two questions of the watcher: what one answer stands for."""
    return next((watch.period for watch in of(evidence.wire, Watch) if watch.period > 0), 0.1)


def turns(answers: list[Holder]) -> dict[str, Interval]:
    """From each holder's first answer to its last."""
    found = {}
    for holder in dict.fromkeys(answer.mac for answer in answers):
        turn = hull(answer.t for answer in answers if answer.mac == holder)
        assert turn is not None
        found[holder] = turn
    return found


def both_in(answers: list[Holder]) -> list[int]:
    """The rounds in which more than one machine said that the address is its own."""
    by_round: dict[int, set[str]] = {}
    for answer in answers:
        by_round.setdefault(answer.round, set()).add(answer.mac)
    return sorted(number for number, holders in by_round.items() if len(holders) > 1)


def overlap(answers: list[Holder], width: float) -> float:
    """Seconds in which two machines both held the virtual IP: the longest of any two. `width` is a round's length.

    Two holders overlap from when both have answered once until one of them answers no more, whether in the same rounds
    or in turns: an address that comes back to its old holder had never left it. An overlap is never shorter than one
    round. In a clean takeover the old holder's last answer comes rounds before the new one's first.
    """
    meetings = [shared(one, other) for one, other in combinations(turns(answers).values(), 2)]
    longest = max((common.length + width for common in meetings if common), default=0.0)
    return max(longest, width) if both_in(answers) else longest


def one_holder(evidence: Evidence) -> Seen:
    """At no moment do two machines hold the virtual IP, and once it is up elsewhere it stays up.

    In no round of the watcher do two machines answer for the address; once another has answered, the old one never does
    again; whoever answers is a node of this cluster; before the fault it is the faulted node; and once the address is
    up elsewhere it is answered for until the end, without a hole longer than WATCHER_HOLE.
    """
    fault, answers, width = evidence.fault, evidence.holders(), period(evidence)
    held_twice = overlap(answers, width)
    violations = []
    if held_twice:
        rounds = len(both_in(answers))
        how = f"rounds in which more than one answered: {rounds}" if rounds else "they answered in turns"
        violations.append(
            f"The virtual IP had more than one holder ({', '.join(turns(answers))}) for {held_twice:.3f} s: {how}."
        )
    violations += [
        f"{holder}, which is no node of this cluster, answered for the virtual IP {since(fault, turn.start)}."
        for holder, turn in turns(answers).items()
        if holder not in evidence.drill.nodes
    ]
    before = [answer for answer in answers if answer.t < fault.t]
    if not before:
        violations.append("Nobody answered for the virtual IP before the fault.")
    elif before[-1].mac != fault.node:
        violations.append(f"The fault hit {fault.node}, but it was {before[-1].mac} that held the virtual IP.")
    violations += _down_again(evidence, answers, width)
    who = ", then ".join(turns(answers)) or "nobody"
    return Seen(f"{held_twice:.3f} s shared, in {len(answers)} answers by {who}", violations)


def first_answer_elsewhere(evidence: Evidence) -> Holder | None:
    """The first answer for the virtual IP after the fault that was not the faulted node's."""
    fault = evidence.fault
    return next((answer for answer in evidence.holders() if answer.t >= fault.t and answer.mac != fault.node), None)


def _down_again(evidence: Evidence, answers: list[Holder], width: float) -> list[str]:
    fault, up = evidence.fault, first_answer_elsewhere(evidence)
    if up is None:
        return ["No other node answered for the virtual IP after the fault."]
    watched_until = max(event.t for event in evidence.wire)
    answered = [answer.t for answer in answers if answer.t >= up.t]
    return [
        f"The virtual IP was up elsewhere, and then nobody answered for it for {hole.length:.1f} s, from "
        f"{since(fault, hole.start)}."
        for hole in holes([*answered, watched_until], WATCHER_HOLE + width)
    ]
