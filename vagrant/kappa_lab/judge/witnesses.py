"""Are there witnesses, did they watch all the time, was there something to see? Without that, nothing else counts."""

from collections.abc import Iterator
from itertools import pairwise

from kappa_lab.judge import moments
from kappa_lab.judge.evidence import Evidence, LackingError, of
from kappa_lab.judge.fencing import subject
from kappa_lab.judge.history import (
    Active,
    Answered,
    Begin,
    Event,
    Finish,
    Held,
    Hole,
    Member,
    Online,
    Probe,
    Served,
    Start,
    Update,
    Wrote,
)
from kappa_lab.judge.intervals import holes
from kappa_lab.judge.polling import since
from kappa_lab.judge.tolerances import CLOCK_STEP, LEAST_UPDATES, LEAST_USERS, WATCHER_HOLE
from kappa_lab.judge.verdict import Seen


def evidence_whole(evidence: Evidence) -> Seen:
    """Every witness was there, from before the fault until after the end, without a hole.

    No file is missing, empty, cut off or misshapen. The journal, the watcher and the witness of the lease each began
    once, before the fault, and ended in good order, after everything that was measured. The watcher asked without a
    hole longer than WATCHER_HOLE; what happened in MongoDB while it could not be asked was read later. No clock ran
    backwards. Every node of the cluster was seen alive. It is said what is expected of the drill.
    """
    violations = list(evidence.problems)
    if evidence.drill_ is not None and evidence.drill_.fault is None:
        violations.append("drill.json names no fault: the drill did not come to it.")
    for check in (_can_be_judged, _spans, _no_holes, _nothing_unread, _clocks, _all_up):
        try:
            violations += check(evidence)
        except LackingError:
            continue  # what is missing has been said above
    return Seen("all there" if not violations else f"lacking: {len(violations)}", violations)


def _can_be_judged(evidence: Evidence) -> list[str]:
    drill, found = evidence.drill, []
    if drill.expect is None:
        found.append("drill.json does not say what is expected of the drill.")
    if drill.active is not None and drill.active not in drill.nodes:
        found.append(f"{drill.active!r} was active, which drill.json does not list among the nodes.")
    found += [
        f"A fault hit {node!r}, which drill.json does not list among the nodes."
        for node in dict.fromkeys(node for hit in drill.faults for node in hit.nodes)
        if node not in drill.nodes
    ]
    if len(drill.nodes) < 2:
        found.append(f"drill.json lists too few nodes ({len(drill.nodes)}): there is none that could take over.")
    if len({node.mac.lower() for node in drill.nodes.values()}) < len(drill.nodes):
        found.append("Two nodes in drill.json have the same MAC: on the wire they cannot be told apart.")
    if len({node.lan for node in drill.nodes.values()}) < len(drill.nodes):
        found.append("Two nodes in drill.json have the same address: in the journal they cannot be told apart.")
    return found


def _spans(evidence: Evidence) -> list[str]:
    fault, found = evidence.fault, []
    last = _last_measured(evidence)
    for name, events in _watchers(evidence):
        starts, finishes = of(events, Start), of(events, Finish)
        if not starts:
            found.append(f"{name} has no start: what came before its first line is unknown.")
        elif len(starts) > 1:
            found.append(f"{name} starts {len(starts)} times: what happened in between is unknown.")
        elif starts[0].t > fault.t:
            found.append(f"{name} starts {since(fault, starts[0].t)}: it did not see the fault.")
        if not finishes:
            found.append(f"{name} has no finish: its writer died, and what it missed is unknown.")
        elif finishes[-1].t < last:
            found.append(
                f"{name} finishes {since(fault, finishes[-1].t)}, before the last thing that was measured "
                f"({since(fault, last)})."
            )
    return found


def _watchers(evidence: Evidence) -> Iterator[tuple[str, tuple[Event, ...]]]:
    if evidence.telegram_ is not None:
        yield "telegram.jsonl", evidence.telegram_
    if evidence.wire_ is not None:
        yield "wire.jsonl", evidence.wire_
    if evidence.lease_ is not None:
        yield "lease.jsonl", evidence.lease_


def _last_measured(evidence: Evidence) -> float:
    """When the last user had acted and the last node had come back."""
    seen = [event.t for event in of(evidence.telegram_ or (), Update)]
    seen += [event.t for event in of(evidence.cluster_ or (), Online)]
    return max(seen, default=evidence.fault.t)


def _no_holes(evidence: Evidence) -> list[str]:
    if not of(evidence.wire, Probe):
        return ["wire.jsonl has no round: nobody asked who has the virtual IP."]
    asked = [event.t for event in evidence.wire if isinstance(event, (Start, Probe, Finish))]
    return [
        f"The watcher did not ask for {hole.length:.1f} s, from {since(evidence.fault, hole.start)}: who held the "
        "virtual IP then is unknown."
        for hole in holes(asked, WATCHER_HOLE)
    ]


def _nothing_unread(evidence: Evidence) -> list[str]:
    return [
        f"MongoDB could not be asked for {hole.until - hole.t:.1f} s, from {since(evidence.fault, hole.t)}, and what "
        "was written then is unknown."
        for hole in of(evidence.lease, Hole)
        if not hole.resumed
    ]


def _in_order(event: Event) -> bool:
    """Is this line written when its `t` was taken? A carried request's was before; a web answer waits for the round."""
    return not isinstance(event, Served) and not getattr(event, "carried", False)


def _clocks(evidence: Evidence) -> list[str]:
    found = []
    written = [
        (name, [event.t for event in events if _in_order(event)])
        for name, events in _watchers(evidence)
        if name != "lease.jsonl"
    ]
    own = [event.at for event in evidence.lease_ or () if isinstance(event, (Held, Wrote))]
    if any(later < earlier for earlier, later in pairwise(own)):
        found.append("lease.jsonl is not in MongoDB's own order.")
    written.append(("power.jsonl", [entry.done for entry in evidence.power_ or ()]))
    for name, times in written:
        back = max((earlier - later for earlier, later in pairwise(times)), default=0.0)
        if back > CLOCK_STEP:
            found.append(f"The clock of {name} ran backwards, by {back:.3f} s.")
    drill = evidence.drill
    for number, hit in enumerate(drill.faults):
        name = f"faults[{number}]"
        order = [("started", drill.started), (f"{name}.t", hit.t), (f"{name}.done", hit.done)]
        if hit.healing is not None:
            order.append((f"{name}.healing", hit.healing))
        if hit.healed is not None:
            order.append((f"{name}.healed", hit.healed))
        order.append(("finished", drill.finished))
        found += [
            f"The clock of drill.json ran backwards: {later} is {before - after:.3f} s before {earlier}."
            for (earlier, before), (later, after) in pairwise(order)
            if after < before
        ]
    return found


def _all_up(evidence: Evidence) -> list[str]:
    """A node lives that is said to be online or active, that says something of another, or that asks Telegram; and each
    does that the drill waited for until the lab was whole.
    """
    if any(step.what == "whole" and step.ok for step in evidence.drill.steps):
        return []
    alive: set[str | None] = {event.node for event in of(evidence.telegram_ or (), Begin)}
    for event in evidence.cluster:
        alive.add(getattr(event, "by", None))
        if isinstance(event, (Online, Member, Active)):
            alive.add(event.node)
    never = [name for name in evidence.drill.nodes if name not in alive]
    return [f"{name} never came up: no line of cluster.jsonl shows it alive." for name in never]


def traffic_real(evidence: Evidence) -> Seen:
    """There was something to lose: enough users, who acted before, during and after the fault.

    At least LEAST_USERS users did at least LEAST_UPDATES things in all: some before the first fault, and the active
    node answered; some from then on until users were served again, where that took its time; some after that.
    """
    fault, resumed = evidence.fault, moments.first_answer(evidence)
    moves = evidence.expect.service == "moves"
    if resumed is None and not moves:
        resumed = fault.t
    updates = of(evidence.telegram, Update)
    users = {update.user for update in updates}
    before = sum(update.t < fault.t for update in updates)
    after = 0 if resumed is None else sum(update.t >= resumed for update in updates)
    during = len(updates) - before - after
    violations = []
    if len(users) < LEAST_USERS:
        violations.append(f"Too few users talked to the bot: {len(users)}; {LEAST_USERS} are the least.")
    if len(updates) < LEAST_UPDATES:
        violations.append(f"Too few updates were sent: {len(updates)}; {LEAST_UPDATES} are the least.")
    spans = [(before, "before the fault"), (after, "after the first answer" if moves else "after the fault")]
    if moves or (resumed is not None and resumed > fault.t):
        spans.insert(1, (during, "between fault and first answer"))
    violations += [f"No user did anything {when}." for count, when in spans if not count]
    if not any(e.node == fault.node and e.t < fault.t for e in of(evidence.telegram, Answered)):
        violations.append(f"{fault.node} answered nobody before the fault: there was no service to lose.")
    return Seen(
        f"{len(users)} users, {len(updates)} updates: {before} before, {during} during, {after} after", violations
    )


MOMENTS = {
    "membership_lost": "that the node was lost",
    "fenced": "that the node was fenced",
    "vip_up": "the virtual IP on another node",
    "bot_active": "another node's poll accepted by Telegram",
    "first_answer": "an answer from another node",
    "rejoined": "the node back in the cluster",
}


def timeline_whole(evidence: Evidence) -> Seen:
    """Every moment that the drill's expectation includes was seen, from the fault to the node's return.

    Where a node is to be fenced, that it was lost, fenced, and back; where the service is to move, that the address,
    the poller and the answers came from elsewhere. Their order is judged where it can be exact (see `fencing`): the
    cluster's own moments are stamped when its log is read, which may be later than what follows from them.
    """
    timeline = moments.timeline(evidence)
    wanted = []
    if subject(evidence):
        wanted += ["membership_lost", "fenced", "rejoined"]
    if evidence.expect.service == "moves":
        wanted += ["vip_up", "bot_active", "first_answer"]
    if evidence.expect.service == "stops":
        wanted.append("first_answer")
    unseen = [name for name in MOMENTS if name in wanted and getattr(timeline, name) is None]
    return Seen(
        f"{len(wanted) - len(unseen)} of {len(wanted)} moments seen",
        [f"Nobody saw {MOMENTS[name]}: {name} is not known." for name in unseen],
    )
