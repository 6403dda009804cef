"""Who had something, one after the other: turns, and what proves that a hand-over from one turn to the next was clean.

A turn is a maximal run: moments in order of time, all of one node. That the address or the poller goes from A to B and
later back to A is legal when *each* of these hand-overs is clean, and a clean hand-over is one that a witness outside
the cluster proves: the old one was off, by the power brokers' audit, between its last moment and the new one's first;
or the writer's lease passed on to the new one in between. A node that alternates with another without such proof had
never ended: its turn is reckoned through, and overlaps the other's.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kappa_lab.judge.evidence import Evidence
from kappa_lab.judge.history import Injected, Switched
from kappa_lab.judge.intervals import Interval

OFF = ("off", "reboot")


@dataclass(frozen=True)
class Moment:
    """`node` showed at `t` that it has what only one may have; `what` it did."""

    t: float
    node: str
    what: str = ""


@dataclass(frozen=True)
class Turn:
    node: str
    moments: tuple[Moment, ...]

    @property
    def span(self) -> Interval:
        return Interval(self.moments[0].t, self.moments[-1].t)


Proven = Callable[[Turn, Turn], bool]
"""Is it proven that the old turn had ended when the new one began?"""


def unproven(_old: Turn, _new: Turn) -> bool:
    return False


def turns(moments: Iterable[Moment]) -> list[Turn]:
    """Maximal runs, in order of time."""
    found: list[list[Moment]] = []
    for moment in sorted(moments, key=lambda moment: moment.t):
        if found and found[-1][-1].node == moment.node:
            found[-1].append(moment)
        else:
            found.append([moment])
    return [Turn(run[0].node, tuple(run)) for run in found]


def tenures(runs: Sequence[Turn], proven: Proven = unproven) -> list[Turn]:
    """Turns as they must be reckoned: one that begins without proof goes on from the same node's turn before it."""
    found: list[Turn] = []
    for number, run in enumerate(runs):
        earlier = next((n for n in reversed(range(len(found))) if found[n].node == run.node), None)
        if earlier is None or (number and proven(runs[number - 1], run)):
            found.append(run)
        else:
            found[earlier] = Turn(run.node, found[earlier].moments + run.moments)
    return found


def hand_overs(runs: Sequence[Turn]) -> list[tuple[Turn, Turn]]:
    return list(pairwise(runs))


def proofs_of_off(evidence: Evidence, node: str) -> list[Switched]:
    """The lines of the brokers' audit, from the first fault on, that say that this node is off.

    Only the broker can know: it looked at the machine after it acted. What the fence agent told the cluster proves
    nothing.
    """
    return [entry for entry in attempts(evidence, node) if entry.ok and entry.after == "off"]


def attempts(evidence: Evidence, node: str) -> list[Switched]:
    """What the brokers were asked to do to this node's power, from the first fault on."""
    start = evidence.fault.t
    return [entry for entry in evidence.power if entry.t >= start and entry.plug == node and entry.action in OFF]


def mended(evidence: Evidence, hit: Injected) -> float:
    """When the drill began to undo this very fault: what it had ended may run again from then on. The drill's end,
    where it never did: that another fault was healed meanwhile excuses nothing.

    A history that does not say when a healing began has a step in which it was done: one of this kind's, or the drill's
    general one of making everything whole. Where steps overlap, it is the one that ended with it.
    """
    if hit.healing is not None:
        return hit.healing
    if (healed := hit.healed) is None:
        return evidence.drill.finished
    steps = [
        (step.ended - healed, step.t)
        for step in evidence.drill.steps
        if step.what in (f"heal {hit.kind}", "whole") and step.ended is not None and step.t <= healed <= step.ended
    ]
    return min(steps, default=(0.0, healed))[1]


def off_between(evidence: Evidence, node: str, start: float, end: float) -> Switched | None:
    """The first proof that this node is off which was seen between these moments."""
    return next((entry for entry in proofs_of_off(evidence, node) if start <= entry.done <= end), None)
