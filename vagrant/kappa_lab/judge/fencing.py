"""Fenced before taken over; and the fenced node comes back and disturbs nothing."""

from collections.abc import Sequence

from kappa_lab.judge.address import first_answer_elsewhere
from kappa_lab.judge.evidence import Evidence, of
from kappa_lab.judge.history import Active, Begin, Fenced, MemberLost, Online, Switched
from kappa_lab.judge.polling import acts, first_poll_elsewhere, since
from kappa_lab.judge.verdict import Seen

OFF = ("off", "reboot")


def attempts(evidence: Evidence) -> list[Switched]:
    """What the broker was asked to do to the faulted node's power, from the fault on."""
    fault = evidence.fault
    return [e for e in evidence.power if e.t >= fault.t and e.plug == fault.node and e.action in OFF]


def switched(evidence: Evidence) -> tuple[Switched, ...]:
    """All that the brokers were asked to do to the faulted node, from the fault on; looks alone are left out."""
    fault = evidence.fault
    return tuple(e for e in evidence.power if e.t >= fault.t and e.plug == fault.node and e.action in (*OFF, "on"))


def proof_of_off(evidence: Evidence) -> Switched | None:
    """The first line of the broker's audit, from the fault on, that says that the faulted node is off.

    Only the broker can know: it looked at the machine after it acted. What the fence agent told the cluster proves
    nothing.
    """
    return next((entry for entry in attempts(evidence) if entry.ok and entry.after == "off"), None)


def first_elsewhere(evidence: Evidence) -> dict[str, tuple[str, float]]:
    """The first of everything that another node did in the faulted one's place: what → who, and when."""
    fault = evidence.fault
    found: dict[str, tuple[str, float]] = {}
    if poll := first_poll_elsewhere(evidence):
        found["polled Telegram"] = (poll.node, poll.began)
    if answer := first_answer_elsewhere(evidence):
        found["answered for the virtual IP"] = (answer.mac, answer.t)
    for begin in of(evidence.telegram, Begin):
        if begin.t >= fault.t and begin.node != fault.node and acts(begin.method):
            found[f"began {begin.method}"] = (begin.node, begin.t)
            break
    return found


def fenced_first(evidence: Evidence) -> Seen:
    """The faulted node is proven off before another node does anything in its place, and no other node is shot.

    The proof is the power broker's audit: the node was switched off, and then seen off. It stands there before another
    node first polls Telegram, first answers for the virtual IP, or first does anything else for the bot. The cluster
    was told so too, and nobody else was switched off.
    """
    fault, off, elsewhere = evidence.fault, proof_of_off(evidence), first_elsewhere(evidence)
    told = [event for event in of(evidence.cluster, Fenced) if event.node == fault.node and event.t >= fault.t]
    confirmed = any(event.result == "OK" for event in told)
    violations = [
        f"{entry.plug} was switched off by {entry.client or 'somebody'} {since(fault, entry.t)}, "
        "though nothing was wrong with it."
        for entry in evidence.power
        if entry.action in OFF and entry.plug is not None and entry.plug != fault.node and entry.ok
    ]
    if off is None:
        return Seen("no proof that the node was off", [_no_proof(evidence, confirmed), *violations])
    violations += [
        f"{node} {what} {since(fault, t)}, before {fault.node} was proven off ({since(fault, off.done)})."
        for what, (node, t) in elsewhere.items()
        if t < off.done
    ]
    if not confirmed:
        said = ", ".join(event.result for event in told) or "nothing"
        violations.append(f"The cluster was not told that {fault.node} is fenced; it was told: {said}.")
    measured = f"off {since(fault, off.done)}"
    if elsewhere:
        lead = min(t for _, t in elsewhere.values()) - off.done
        measured += f", {abs(lead):.3f} s {'before' if lead >= 0 else 'AFTER'} another node first acted"
    return Seen(measured, violations)


def _no_proof(evidence: Evidence, confirmed: bool) -> str:
    tried = attempts(evidence)
    why = "the broker was not asked to switch it off"
    if tried:
        last = tried[-1]
        why = f"attempts: {len(tried)}, the last left it {last.after or 'unknown'} ({last.reason or 'no reason given'})"
    but = ". The cluster was told that it is off all the same" if confirmed else ""
    return f"{evidence.fault.node} was not fenced: the power broker's audit does not show it off; {why}{but}."


def rejoined(evidence: Evidence) -> Online | None:
    """The faulted node is back: first said to be online after it was off (or lost, or, knowing neither, faulted)."""
    fault, off = evidence.fault, _off_if_known(evidence)
    lost = [e.t for e in of(evidence.cluster, MemberLost) if e.node == fault.node and e.t >= fault.t]
    gone = max([fault.t, *lost[:1], *([off.done] if off else [])])
    return next((e for e in of(evidence.cluster, Online) if e.node == fault.node and e.t >= gone), None)


def _off_if_known(evidence: Evidence) -> Switched | None:
    return proof_of_off(evidence) if evidence.power_ is not None else None


def came_back(evidence: Evidence) -> Seen:
    """The faulted node rejoins the cluster and stays, and the bot moves once and no more.

    After it was off the node is online again, with its router, and no survivor loses it a second time. The bot stays
    where it went: only one other node ever polled after the fault. The cluster says the same: that the bot ran on the
    faulted node before, and at the end runs where it polled last.
    """
    fault, back = evidence.fault, rejoined(evidence)
    violations = []
    if back is None:
        violations.append(f"{fault.node} did not come back: the cluster never said that it is online again.")
    lost = of(evidence.cluster, MemberLost)
    again = [e for e in lost if back is not None and e.t > back.t and e.node == fault.node != e.by]
    if again:
        violations.append(f"{fault.node} was lost again {since(fault, again[0].t)}, after it had come back.")
    pollers = list(dict.fromkeys(p.node for p in evidence.polls() if p.began >= fault.t and p.node != fault.node))
    if len(pollers) > 1:
        violations.append(f"The bot moved more than once after one fault: {', then '.join(pollers)} polled.")
    said = of(evidence.cluster, Active)
    first = [event.node for event in said if event.t < fault.t][-1:]
    last = [event.node for event in said if event.t > fault.t][-1:]
    if first != [fault.node]:
        violations.append(f"Before the fault the cluster said that the bot ran on {_one(first)}, not on {fault.node}.")
    if last != pollers[-1:]:
        violations.append(
            f"At the end the cluster said that the bot runs on {_one(last)}; the last other node to poll Telegram was "
            f"{_one(pollers[-1:])}."
        )
    return Seen(f"online again {since(fault, back.t)}" if back else "not seen online again", violations)


def _one(nodes: Sequence[str | None]) -> str:
    return next(iter(nodes), None) or "no node"
