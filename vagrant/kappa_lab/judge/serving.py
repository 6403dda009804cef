"""Who serves on the virtual IP, as a web client sees it."""

from kappa_lab.judge.address import by_nodes, moments, passed_on
from kappa_lab.judge.evidence import Evidence, LackingError
from kappa_lab.judge.history import Served
from kappa_lab.judge.intervals import holes
from kappa_lab.judge.polling import since
from kappa_lab.judge.reading import some
from kappa_lab.judge.tolerances import HTTP_LAG, UNDISTURBED_S
from kappa_lab.judge.turns import Turn, tenures, turns
from kappa_lab.judge.verdict import Seen

OK = 200


def one_server(evidence: Evidence) -> Seen:
    """Only the holder of the virtual IP serves on it, and before and after the drill's faults somebody does.

    Whoever answers a web request to the virtual IP names a node of this cluster, and that node held the address then,
    as the wire tells it (to HTTP_LAG): as at most one holds it, at most one serves. Before the first fault the active
    node serves; at the end somebody does; and where the service is to be undisturbed, there is no longer pause than
    UNDISTURBED_S. Strangers are let pass where they are what the drill is about, and so is who asked them in vain.
    """
    fault, asked = evidence.fault, evidence.served()
    if not asked:
        raise LackingError("wire.jsonl has no web request: nobody asked who serves on the virtual IP")
    good = [answer for answer in asked if answer.status == OK]
    held = tenures(turns(moments(by_nodes(evidence))), lambda old, new: passed_on(evidence, old, new))
    violations = some(
        [
            f"{answer.node or 'Somebody who gives no name'} served on the virtual IP {since(fault, answer.t)}, without "
            "holding it."
            for answer in good
            if not (evidence.expect.strangers and answer.node not in evidence.drill.nodes) and not _holds(answer, held)
        ],
        "web requests that others than the holder answered",
    )
    before = [answer.node for answer in good if answer.t < fault.t]
    if before[-1:] != [fault.node]:
        violations.append(
            f"Before the fault {next(iter(before[-1:]), None) or 'nobody'} served on the virtual IP, not {fault.node}."
        )
    last = max(event.t for event in evidence.wire)
    if not good or last - good[-1].t > UNDISTURBED_S:
        when = since(fault, good[-1].t) if good else "never"
        violations.append(f"At the end nobody served on the virtual IP; somebody last did {when}.")
    if evidence.expect.service == "undisturbed" and not evidence.expect.strangers:
        violations += [
            f"The service was to be undisturbed, but nobody served on the virtual IP for {hole.length:.1f} s, from "
            f"{since(fault, hole.start)}."
            for hole in holes([answer.t for answer in good if answer.t >= fault.t], UNDISTURBED_S)
        ]
    who = ", then ".join(dict.fromkeys(answer.node or "somebody" for answer in good)) or "nobody"
    return Seen(f"{len(good)} of {len(asked)} requests served, by {who}", violations)


def _holds(answer: Served, held: list[Turn]) -> bool:
    start, end = answer.t - answer.ms / 1000 - HTTP_LAG, answer.t + HTTP_LAG
    return any(turn.node == answer.node and turn.span.start <= end and start <= turn.span.end for turn in held)
