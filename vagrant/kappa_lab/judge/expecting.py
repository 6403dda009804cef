"""What the drill itself expects, besides what must hold always: of the service, its steps, the recovery's time."""

from kappa_lab.judge import moments
from kappa_lab.judge.address import first_answer_elsewhere
from kappa_lab.judge.evidence import Evidence, LackingError, of
from kappa_lab.judge.history import Answered, Update
from kappa_lab.judge.polling import acting, first_poll_elsewhere, since
from kappa_lab.judge.reading import some
from kappa_lab.judge.tolerances import DOWN_FROM, UNDISTURBED_S
from kappa_lab.judge.verdict import Seen

SERVICES = {
    "moves": "moves to another node",
    "returns": "comes back, wherever the cluster wants it",
    "undisturbed": "stays undisturbed",
    "stops": "stays away until the heal",
    "any": "is back at the end",
}


def service(evidence: Evidence) -> Seen:
    """The service does what the drill expects of it, and is there at the end; every step of the drill came to pass.

    - `moves`: users are answered by another node than the one active before the first fault
    - `returns`, `any`: nothing more than to be there at the end
    - `undisturbed`: no other node polls or holds the address, and no user waits longer than UNDISTURBED_S
    - `stops`: until the first heal of those faults that stood together at the last, no other node polls, and from
      DOWN_FROM of the way to it on nobody is answered; an address that goes elsewhere alone serves nobody, and whether
      it might is judged by `fencing`

    To be there at the end is to answer somebody who did something after the last fault and the last heal.
    """
    expected = evidence.expect.service
    if expected not in SERVICES:
        raise LackingError(f"it is expected of the service that it {expected!r}, which the judge cannot judge")
    violations = [
        f"A step of the drill did not come to pass: {step.what}{': ' + step.why if step.why else ''}."
        for step in evidence.drill.steps
        if not step.ok
    ]
    if expected == "moves" and moments.elsewhere(evidence) is None:
        violations.append("The service was to move, but no user received anything from another node.")
    if expected == "undisturbed":
        violations += _disturbed(evidence)
    if expected == "stops":
        violations += _taken_over(evidence)
    violations += _at_the_end(evidence)
    stretch = moments.outage(evidence)
    longest = f"the longest outage {stretch.length:.3f} s" if stretch else f"no outage longer than {UNDISTURBED_S:g} s"
    return Seen(f"the service {SERVICES[expected]}; {longest}", violations)


def _disturbed(evidence: Evidence) -> list[str]:
    fault, found = evidence.fault, []
    other = [moment for moment in acting(evidence) if moment.t >= fault.t and moment.node != fault.node]
    if other:
        found.append(
            f"The service was to stay on {fault.node}, but {other[0].node} began {other[0].what} "
            f"{since(fault, other[0].t)}."
        )
    if answer := first_answer_elsewhere(evidence):
        found.append(
            f"The service was to stay on {fault.node}, but {answer.mac} answered for the virtual IP "
            f"{since(fault, answer.t)}."
        )
    slow = [(sent, wait) for sent, wait in moments.waits(evidence) if sent + wait > fault.t and wait > UNDISTURBED_S]
    return found + some(
        [
            f"A user waited {wait:.3f} s for an answer to what was sent {since(fault, sent)}; undisturbed is "
            f"{UNDISTURBED_S:g} s."
            for sent, wait in slow
        ],
        "users who waited",
    )


def _taken_over(evidence: Evidence) -> list[str]:
    fault, healed = evidence.fault, moments.heal(evidence)
    if healed is None:
        return ["The service was to stop until the heal, but nothing was healed."]
    found = []
    poll = first_poll_elsewhere(evidence)
    if poll and poll.began < healed:
        found.append(
            f"Nobody was to take over before the heal ({since(fault, healed)}), but {poll.node} polled Telegram "
            f"{since(fault, poll.began)}."
        )
    struck = max(hit.done for hit in evidence.drill.faults if hit.t < healed)
    silent = struck + DOWN_FROM * (healed - struck)
    if late := [event.t for event in of(evidence.telegram, Answered) if silent < event.t < healed]:
        found.append(
            f"The service was to stop until the heal ({since(fault, healed)}), but users were answered: {len(late)} "
            f"times, the last {since(fault, late[-1])}."
        )
    return found


def _at_the_end(evidence: Evidence) -> list[str]:
    last = settled(evidence)
    answered = {event.update_id for event in of(evidence.telegram, Answered)}
    if any(update.t >= last and update.update_id in answered for update in of(evidence.telegram, Update)):
        return []
    return [
        "That the service is back at the end is not shown: nobody who did something after the last fault and heal "
        f"({since(evidence.fault, last)}) was answered."
    ]


def settled(evidence: Evidence) -> float:
    """When the last fault had happened and the last heal was done (epoch seconds)."""
    return max(t for hit in evidence.drill.faults for t in (hit.done, hit.healed) if t is not None)


def within_prediction(evidence: Evidence) -> Seen:
    """The recovery takes no longer than was predicted from the configuration alone, at the worst.

    A measurement beyond its prediction is a defect of one of the two. It is judged where the drill names the kind of
    recovery that answers its fault.
    """
    kind, prediction, measured = evidence.expect.predicted, evidence.drill.prediction, moments.rto(evidence)
    if not kind:
        return Seen("no recovery was predicted", [])
    if prediction is None:
        raise LackingError(f"drill.json holds no prediction, though {kind!r} was to be predicted")
    if prediction.kind != kind:
        return Seen(prediction.kind, [f"The prediction is of {prediction.kind!r}, not of {kind!r}."])
    if prediction.never or prediction.worst_s is None:
        if evidence.expect.service == "stops":
            return Seen("predicted not to recover by itself", [])
        return Seen(
            "predicted not to recover by itself",
            [f"It was predicted that nothing recovers by itself ({prediction.never or 'no reason given'}), but the "
             "drill expects that it does: one of the two is wrong."],
        )  # fmt: skip
    worst = f"{prediction.worst_s:.3f} s at the worst"
    if measured is None:
        if evidence.expect.service == "moves":
            raise LackingError("no recovery was measured that could be set against its prediction")
        return Seen(f"not disturbed; predicted: {worst}", [])
    beyond = measured > prediction.worst_s
    return Seen(
        f"{measured:.3f} s; predicted: {worst}",
        [f"The RTO, {measured:.3f} s, is beyond its prediction, {worst}: one of the two is wrong."] if beyond else [],
    )
