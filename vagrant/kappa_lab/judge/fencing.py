"""Fenced before taken over; and every node comes back and disturbs nothing."""

from collections.abc import Sequence

from kappa_lab.judge import address, polling
from kappa_lab.judge.evidence import Evidence, of
from kappa_lab.judge.history import Active, Fenced, Held, Member, MemberLost, Online, Switched
from kappa_lab.judge.polling import since
from kappa_lab.judge.turns import OFF, Turn, attempts, hand_overs, mended, proofs_of_off, tenures, turns
from kappa_lab.judge.verdict import Seen


def subject(evidence: Evidence) -> str | None:
    """The node whose loss a drill tells of: the active one if it is to be fenced, else the first that is; or none."""
    fenced = evidence.expect.fenced
    if evidence.fault.node in fenced:
        return evidence.fault.node
    return next(iter(fenced), None)


def switched(evidence: Evidence) -> tuple[Switched, ...]:
    """All that the brokers were asked to do from the first fault on to the active node and to those that are to be
    fenced; looks alone are left out.
    """
    fault, shown = evidence.fault, {evidence.fault.node, *evidence.expect.fenced}
    return tuple(e for e in evidence.power if e.t >= fault.t and e.plug in shown and e.action in (*OFF, "on"))


def proof_of_off(evidence: Evidence) -> Switched | None:
    """The first proof that the node whose loss the drill tells of is off."""
    node = subject(evidence)
    return next(iter(proofs_of_off(evidence, node)), None) if node else None


def fenced_first(evidence: Evidence) -> Seen:
    """Every node that is fenced is proven off before another node does anything in its place, and no other is shot.

    The proof is the power broker's audit: the node was switched off, and then seen off. Those that the drill expects to
    be fenced are, each with proof, and the cluster was told so; of nobody was it told so without proof; nobody was
    switched off of whom that is not expected. And at each take-over, however many there are, from a node that had to be
    fenced for it, the proof stands there before another node first polls Telegram, first answers for the virtual IP, or
    first does anything else for the bot.

    A node has to be fenced for a take-over when a fault ended it and the drill had not begun to undo that very fault;
    when a fence agent had begun to switch it off; when it was lost to the others and had not given its lease back; and,
    given back or not, when it was fenced for that loss. A fault that ends a node whose writer's lease had lapsed or
    passed on before, and which the others had not lost yet when the new one acted, ended nothing that was taken over:
    the hand-over was on its way.
    """
    fault, expect = evidence.fault, evidence.expect
    let = {*expect.fenced, *expect.may_be_fenced}
    violations = [
        f"{entry.plug} was switched off by {entry.client or 'somebody'} {since(fault, entry.t)}, "
        "though nothing was wrong with it."
        for entry in evidence.power
        if entry.action in OFF and entry.plug is not None and entry.plug not in let and entry.ok
    ]
    for node in expect.fenced:
        violations += _fenced_and_told(evidence, node)
    told = dict.fromkeys(e.node for e in of(evidence.cluster, Fenced) if e.t >= fault.t and e.result == "OK")
    violations += [
        _no_proof(evidence, node, confirmed=True)
        for node in told
        if node not in expect.fenced and not proofs_of_off(evidence, node)
    ]
    taken = take_overs(evidence)
    for what, old, new in taken:
        violations += _too_early(evidence, what, old, new)
    return Seen(_measured(evidence, [(old, new) for _, old, new in taken]), violations)


def take_overs(evidence: Evidence) -> list[tuple[str, Turn, Turn]]:
    """Every hand-over from one node to another, of the bot's work and of the virtual IP: what the new one did first."""
    acted = turns(polling.acting(evidence))
    held = turns(address.moments(address.by_nodes(evidence)))
    return [
        (_words(new.moments[0].what), old, new)
        for runs in (acted, held)
        for old, new in hand_overs(runs)
        if new.span.start >= evidence.fault.t
    ]


def _words(what: str) -> str:
    if what.startswith("answered"):
        return what
    return "polled Telegram" if what.lower() == "getupdates" else f"began {what}"


def _fenced_and_told(evidence: Evidence, node: str) -> list[str]:
    fault = evidence.fault
    told = [event for event in of(evidence.cluster, Fenced) if event.node == node and event.t >= fault.t]
    confirmed = any(event.result == "OK" for event in told)
    if not proofs_of_off(evidence, node):
        return [_no_proof(evidence, node, confirmed)]
    if confirmed:
        return []
    said = ", ".join(event.result for event in told) or "nothing"
    return [f"The cluster was not told that {node} is fenced; it was told: {said}."]


def _no_proof(evidence: Evidence, node: str, confirmed: bool) -> str:
    tried = attempts(evidence, node)
    why = "the broker was not asked to switch it off"
    if tried:
        last = tried[-1]
        why = f"attempts: {len(tried)}, the last left it {last.after or 'unknown'} ({last.reason or 'no reason given'})"
    but = ". The cluster was told that it is off all the same" if confirmed else ""
    return f"{node} was not fenced: the power broker's audit does not show it off; {why}{but}."


def _too_early(evidence: Evidence, what: str, old: Turn, new: Turn) -> list[str]:
    fault, start = evidence.fault, old.span.end - address.period(evidence)
    if not must_be_off(evidence, old, new):
        return []
    proofs = [entry for entry in proofs_of_off(evidence, old.node) if entry.done >= start]
    if not proofs:
        if old.node in evidence.expect.fenced:
            return []  # that it was never fenced has been said
        return [f"{new.node} {what} {since(fault, new.span.start)}, and {old.node} was never proven off for it."]
    if proofs[0].done <= new.span.start:
        return []
    when = since(fault, proofs[0].done)
    return [f"{new.node} {what} {since(fault, new.span.start)}, before {old.node} was proven off ({when})."]


def must_be_off(evidence: Evidence, old: Turn, new: Turn) -> bool:
    """Had the old node to be fenced before the new one may act? See `fenced_first`."""
    node, begun, end = old.node, old.span.end - address.period(evidence), new.span.start
    hits = [hit for hit in evidence.drill.faults if node in hit.nodes]
    for hit in hits:
        ended = hit.ends_node and begun - 1 <= hit.t and not _on_its_way(evidence, old, hit.t, end)
        if (ended or (node in evidence.expect.fenced and len(hits) == 1)) and hit.t <= end <= mended(evidence, hit):
            return True
    tries = attempts(evidence, node)
    if any(begun <= entry.t <= end for entry in tries):
        return True
    lost = _lost_by(evidence, node, old.span.start, end)
    if lost is None:
        return False
    back = [event.t for event in of(evidence.cluster, Online) if event.node == node and event.t > lost]
    fenced_for_it = any(lost <= entry.t < min(back, default=evidence.drill.finished) for entry in tries)
    return fenced_for_it or not _gave_back(evidence, node, end)


def _on_its_way(evidence: Evidence, old: Turn, hit: float, end: float) -> bool:
    """Had the hand-over begun before the fault? No cluster takes over from a node that it has not missed yet."""
    held = [one for one in of(evidence.lease, Held) if one.t <= hit]
    if not held or _lost_by(evidence, old.node, old.span.start, end) is not None:
        return False
    last = held[-1]
    return last.node != old.node or (last.expires is not None and last.expires <= hit)


def _lost_by(evidence: Evidence, node: str, start: float, end: float) -> float | None:
    """When the others had lost this node, if at `end` they still had."""
    said = [
        event
        for event in evidence.cluster
        if isinstance(event, (MemberLost, Member))
        and event.node == node
        and event.by != node
        and start < event.t <= end
    ]
    return said[-1].t if said and isinstance(said[-1], MemberLost) else None


def _gave_back(evidence: Evidence, node: str, end: float) -> bool:
    """Had this node given the writer's lease back, and not taken it again? Only a bot that ends in good order does."""
    holder: str | None = None
    given = False
    for held in of(evidence.lease, Held):
        if held.t > end:
            break
        if held.node == node:
            given = False
        elif held.how == "released" and holder == node:
            given = True
        holder = held.node
    return given


def _measured(evidence: Evidence, taken: Sequence[tuple[Turn, Turn]]) -> str:
    fault, node, off = evidence.fault, subject(evidence), proof_of_off(evidence)
    if node is None:
        shot = sorted({e.plug for e in evidence.power if e.plug and e.t >= fault.t and e.action in OFF and e.ok})
        return f"nobody was to be fenced; switched off: {', '.join(shot) or 'none'}"
    if off is None:
        return "no proof that the node was off"
    first = [new.span.start for old, new in taken if old.node == node]
    measured = f"{node} off {since(fault, off.done)}"
    if first:
        lead = min(first) - off.done
        measured += f", {abs(lead):.3f} s {'before' if lead >= 0 else 'AFTER'} another node first acted"
    return measured


def rejoined(evidence: Evidence, node: str | None = None) -> Online | None:
    """The node (the one that the drill tells of) is back: first online after it was last off, lost or faulted."""
    node = node or subject(evidence)
    if node is None:
        return None
    gone = _gone(evidence, node)
    back = [event for event in of(evidence.cluster, Online) if event.node == node and event.t >= gone]
    return back[0] if back else _whole(evidence, node, gone)


def _whole(evidence: Evidence, node: str, gone: float) -> Online | None:
    """The drill waited until all nodes were online with their routers: then this one was, at the latest."""
    ended = [step.ended for step in evidence.drill.steps if step.what == "whole" and step.ok]
    return next((Online(t, node) for t in ended if t is not None and t >= gone), None)


def _gone(evidence: Evidence, node: str) -> float:
    """When this node was last seen to go: proven off or ended, or lost before it came back for the first time."""
    proofs = proofs_of_off(evidence, node) if evidence.power_ is not None else []
    off = [*(entry.done for entry in proofs), *_ended(evidence, node)]
    return max(off) if off else max([evidence.fault.t, *(loss.t for loss in _losses(evidence, node)[:1])])


def _ended(evidence: Evidence, node: str) -> list[float]:
    return [hit.done for hit in evidence.drill.faults if hit.ends_node and node in hit.nodes]


def _losses(evidence: Evidence, node: str) -> list[MemberLost]:
    return [
        event
        for event in of(evidence.cluster, MemberLost)
        if event.node == node and event.by != node and event.t >= evidence.fault.t
    ]


def came_back(evidence: Evidence) -> Seen:
    """Every node that was off or lost comes back, and nothing moves again for it.

    Each node that was switched off, lost to the others, or ended by a fault, is online again after that, with its
    router started, and is not lost again without another fault of its own or of the node that lost it. The bot moves
    no more often than there were faults and heals to move it. Before the first fault and at the end the cluster says
    that the bot runs on the very node that polls Telegram.
    """
    fault = evidence.fault
    gone = [
        name
        for name in evidence.drill.nodes
        if proofs_of_off(evidence, name) or _losses(evidence, name) or _ended(evidence, name)
    ]
    violations = []
    for node in dict.fromkeys([*evidence.expect.fenced, *gone]):
        back = rejoined(evidence, node)
        if back is None:
            violations.append(
                f"{node} did not come back: nobody saw it online again, with its router, after it was off."
            )
            continue
        violations += [
            f"{node} was lost again {since(fault, lost.t)}, after it had come back."
            for lost in [
                loss for loss in _losses(evidence, node) if loss.t > back.t and not _stirred(evidence, back, loss)
            ][:1]
        ]
    violations += _moves(evidence)
    violations += _said(evidence)
    first = rejoined(evidence)
    if first is not None:
        return Seen(f"{first.node} online again {since(fault, first.t)}", violations)
    away = dict.fromkeys([*evidence.expect.fenced, *gone])
    seen = [node for node in away if rejoined(evidence, node)]
    return Seen(f"{len(seen)} of {len(away)} nodes that were away seen online again", violations)


def _stirred(evidence: Evidence, back: Online, loss: MemberLost) -> bool:
    """Did a fault of the lost node, or of the one that lost it, come or go in between? What hits neither (Telegram, the
    data tier, a third node) takes no node out of its ring."""
    return any(
        back.t <= t <= loss.t
        for hit in evidence.drill.faults
        if {loss.node, loss.by} & set(hit.nodes)
        for t in (hit.t, hit.healed)
        if t is not None
    )


def _moves(evidence: Evidence) -> list[str]:
    reckoned = tenures(turns(polling.acting(evidence)), lambda old, new: polling.passed_on(evidence, old, new))
    went = [evidence.fault.node, *(turn.node for turn in reckoned if turn.span.start >= evidence.fault.t)]
    path = [node for n, node in enumerate(went) if n == 0 or node != went[n - 1]]
    may = sum(max(1, len(hit.nodes)) + (hit.healed is not None and not hit.ends_node) for hit in evidence.drill.faults)
    if len(path) - 1 <= may:
        return []
    how = "after one fault" if len(evidence.drill.faults) == 1 else f"after {len(evidence.drill.faults)} faults"
    polled = ", then ".join(path[1:])
    if may == 1:
        return [f"The bot moved more than once {how}: {polled} polled."]
    return [f"The bot moved more often than {may} times {how}: {polled} polled."]


def _said(evidence: Evidence) -> list[str]:
    fault, said = evidence.fault, of(evidence.cluster, Active)
    first = [event.node for event in said if event.t < fault.t][-1:]
    last = [event.node for event in said if event.t > fault.t][-1:]
    polled = [poll.node for poll in evidence.polls() if poll.node in evidence.drill.nodes][-1:]
    violations = []
    if first != [fault.node]:
        violations.append(f"Before the fault the cluster said that the bot ran on {_one(first)}, not on {fault.node}.")
    if last != polled:
        violations.append(
            f"At the end the cluster said that the bot runs on {_one(last)}; the last node to poll Telegram was "
            f"{_one(polled)}."
        )
    return violations


def _one(nodes: Sequence[str | None]) -> str:
    return next(iter(nodes), None) or "no node"
