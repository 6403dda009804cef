"""One holder of the virtual IP, as the wire tells it."""

from itertools import combinations

from kappa_lab.judge.evidence import Evidence, of
from kappa_lab.judge.history import Holder, Watch
from kappa_lab.judge.intervals import holes, shared
from kappa_lab.judge.polling import since
from kappa_lab.judge.tolerances import GIVEN_UP_S, WATCHER_HOLE
from kappa_lab.judge.turns import Moment, Proven, Turn, hand_overs, off_between, tenures, turns, unproven
from kappa_lab.judge.verdict import Seen


def period(evidence: Evidence) -> float:
    """Seconds between two questions of the watcher: what one answer stands for."""
    return next((watch.period for watch in of(evidence.wire, Watch) if watch.period > 0), 0.1)


def moments(answers: list[Holder]) -> list[Moment]:
    return [Moment(answer.t, answer.mac, "answered for the virtual IP") for answer in answers]


def both_in(answers: list[Holder]) -> list[int]:
    """The rounds in which more than one machine said that the address is its own."""
    by_round: dict[int, set[str]] = {}
    for answer in answers:
        by_round.setdefault(answer.round, set()).add(answer.mac)
    return sorted(number for number, holders in by_round.items() if len(holders) > 1)


def overlap(answers: list[Holder], width: float, proven: Proven = unproven) -> float:
    """Seconds in which two machines both held the virtual IP: the longest of any two. `width` is a round's length.

    Two holders overlap from when both have answered once until one of them answers no more, whether in the same rounds
    or in turns: an address that comes back to its old holder, without proof that it had left the one in between, had
    never left it. An overlap is never shorter than one round. In a clean takeover the old holder's last answer comes
    rounds before the new one's first.
    """
    spans = [(turn.node, turn.span) for turn in tenures(turns(moments(answers)), proven)]
    meetings = [shared(first, second) for (one, first), (other, second) in combinations(spans, 2) if one != other]
    longest = max((common.length + width for common in meetings if common), default=0.0)
    return max(longest, width) if both_in(answers) else longest


def by_nodes(evidence: Evidence) -> list[Holder]:
    """The answers of this cluster's nodes."""
    return [answer for answer in evidence.holders() if evidence.drill_ is None or answer.mac in evidence.drill_.nodes]


def judged_overlap(evidence: Evidence) -> float:
    """The overlap of this history: of nodes alone where strangers are what the drill is about."""
    answers = by_nodes(evidence) if _strangers_expected(evidence) else evidence.holders()
    return overlap(answers, period(evidence), lambda old, new: passed_on(evidence, old, new))


def _strangers_expected(evidence: Evidence) -> bool:
    return evidence.drill_ is not None and evidence.drill_.expect is not None and evidence.drill_.expect.strangers


def passed_on(evidence: Evidence, old: Turn, new: Turn) -> bool:
    """Is it proven that `old` had given the address up before `new` answered for it?

    By the power brokers, who saw the old node off in between; by MongoDB: whoever took the writer's lease next was not
    the old node, and the address and the bot go together; or by the wire itself, where the new node answered alone for
    GIVEN_UP_S: whoever has an address answers each question for it, frozen or not.
    """
    start, end = old.span.end, new.span.start
    if evidence.power_ is not None and off_between(evidence, old.node, start - period(evidence), end):
        return True
    following = [take for take in evidence.takes if take.t >= start]
    return (bool(following) and following[0].node != old.node) or new.span.length >= GIVEN_UP_S


def one_holder(evidence: Evidence) -> Seen:
    """At no moment do two machines hold the virtual IP, and in the end one holds it.

    In no round of the watcher do two machines answer for the address; once another has answered, the old one never does
    again, unless there is proof that the address came back to it; whoever answers is a node of this cluster, unless
    strangers are what the drill is about; before the first fault it is the active node. Once the address is up
    elsewhere after a single fault, and all the time where the service is to stay undisturbed, it is answered for
    without a hole longer than WATCHER_HOLE; after any drill it is answered for at the end, by the node that polls.
    """
    fault, width = evidence.fault, period(evidence)
    answers = by_nodes(evidence) if evidence.expect.strangers else evidence.holders()
    runs = turns(moments(answers))
    held_twice = judged_overlap(evidence)
    violations = []
    names = dict.fromkeys(turn.node for turn in runs)
    if held_twice:
        rounds = len(both_in(answers))
        how = f"rounds in which more than one answered: {rounds}" if rounds else "they answered in turns"
        violations.append(
            f"The virtual IP had more than one holder ({', '.join(names)}) for {held_twice:.3f} s: {how}."
        )
    else:
        violations += _without_proof(evidence, runs)
    violations += [
        f"{turn.node}, which is no node of this cluster, answered for the virtual IP {since(fault, turn.span.start)}."
        for turn in tenures(runs)
        if turn.node not in evidence.drill.nodes
    ]
    before = [answer for answer in by_nodes(evidence) if answer.t < fault.t]
    if not before:
        violations.append("Nobody answered for the virtual IP before the fault.")
    elif before[-1].mac != fault.node:
        violations.append(f"The fault hit {fault.node}, but it was {before[-1].mac} that held the virtual IP.")
    violations += _down(evidence, by_nodes(evidence), width)
    violations += _apart(evidence)
    who = ", then ".join(names) or "nobody"
    return Seen(f"{held_twice:.3f} s shared, in {len(answers)} answers by {who}", violations)


def first_answer_elsewhere(evidence: Evidence) -> Holder | None:
    """The first answer for the virtual IP after the fault that was another node's than the one active before it."""
    fault = evidence.fault
    return next((answer for answer in by_nodes(evidence) if answer.t >= fault.t and answer.mac != fault.node), None)


def _without_proof(evidence: Evidence, runs: list[Turn]) -> list[str]:
    return [
        f"The virtual IP went from {old.node} to {new.node} {since(evidence.fault, new.span.start)} without proof that "
        f"{old.node} had given it up: no power broker saw it off, and the lease did not leave it."
        for old, new in hand_overs(runs)
        if old.node in evidence.drill.nodes and new.node in evidence.drill.nodes and not passed_on(evidence, old, new)
    ]


def _apart(evidence: Evidence) -> list[str]:
    held = [answer.mac for answer in by_nodes(evidence)][-1:]
    polled = [poll.node for poll in evidence.polls() if poll.node in evidence.drill.nodes][-1:]
    if not held or not polled or held == polled:
        return []
    return [f"At the end {held[0]} held the virtual IP, but it was {polled[0]} that polled Telegram."]


def _down(evidence: Evidence, answers: list[Holder], width: float) -> list[str]:
    """Where nobody answers and somebody should."""
    fault, up, service = evidence.fault, first_answer_elsewhere(evidence), evidence.expect.service
    watched_until = max(event.t for event in evidence.wire)
    longest = WATCHER_HOLE + width
    if service == "undisturbed":
        start, words = fault.t, "The service was to be undisturbed, but"
    elif service == "moves" and len(evidence.drill.faults) == 1 and len(evidence.drill.faults[0].nodes) == 1:
        if up is None:
            return ["No other node answered for the virtual IP after the fault."]
        start, words = up.t, "The virtual IP was up elsewhere, and then"
    else:
        last = max((answer.t for answer in answers), default=fault.t)
        if watched_until - last <= longest:
            return []
        return [f"At the end nobody answered for the virtual IP: the last answer came {since(fault, last)}."]
    answered = [answer.t for answer in answers if answer.t >= start]
    return [
        f"{words} nobody answered for it for {hole.length:.1f} s, from {since(fault, hole.start)}."
        for hole in holes([start, *answered, watched_until], longest)
    ]
