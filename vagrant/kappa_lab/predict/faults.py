"""From configuration to seconds: one function for each kind of fault."""

from collections.abc import Callable, Mapping
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.predict import fencing, measured, services, steps
from kappa_lab.predict.cib import Cib
from kappa_lab.predict.corosync import Corosync
from kappa_lab.predict.prediction import Part, Prediction
from kappa_lab.predict.steps import ELECTION_S, LEASE_S, Given


def bound(
    cib: Cib, corosync: Corosync, kind: str, lease_s: float = LEASE_S, sbd_s: float | None = None,
    election_s: float = ELECTION_S,
) -> Prediction:  # fmt: skip
    """`kind` is one of KINDS. Raises LabError for any other."""
    if kind not in KINDS:
        raise LabError(f"There is no prediction for {kind!r}.", f"These are known: {', '.join(KINDS)}.")
    return KINDS[kind](Given(cib, corosync, lease_s, sbd_s, election_s))


def everything(given: Given) -> list[Prediction]:
    return [predict(given) for predict in KINDS.values()]


def _node_lost(given: Given) -> Prediction:
    kind, title = "node-lost", "A node loses power, freezes or is cut off"
    detection = _lost(given)
    if not given.cib.on("stonith-enabled", True):
        note = "stonith-enabled is false: nothing proves the node off before another takes over."
        return steps.taken_over(given, kind, title, detection, (note,))
    levels = fencing.levels(given.cib, given.nodes, given.sbd_s)
    if not levels:
        return Prediction(kind, title, tuple(detection), never="no device can fence the node, so nothing takes over")
    return steps.taken_over(given, kind, title, [*detection, steps.level(1, levels[0], measured.FENCED)])


def _level_1_dead(given: Given) -> Prediction:
    kind, title = "level-1-dead", "A node is lost, and so is the first level of fencing"
    levels = fencing.levels(given.cib, given.nodes, given.sbd_s)
    if not given.cib.on("stonith-enabled", True) or len(levels) < 2:
        why = (
            "there is no second level of fencing, so nothing takes over until an operator confirms that the node is off"
        )
        return Prediction(kind, title, tuple(_lost(given)), never=why)
    fenced = [steps.level(1, levels[0], measured.REFUSED), steps.level(2, levels[1], measured.FENCED)]
    return steps.taken_over(given, kind, title, [*_lost(given), *fenced])


def _lost(given: Given) -> list[Part]:
    token, consensus = given.corosync.token_s, given.corosync.consensus_s
    parts = [
        Part("token", token, token, "corosync.conf, with what token_coefficient adds"),
        Part("consensus", consensus, consensus, "corosync.conf"),
        steps.pause(measured.PAUSE.seconds, measured.PAUSE.source),
    ]
    head_start = given.cib.time("priority-fencing-delay", "0")
    someone_counts = any(one.meta.get("priority", "0") not in ("", "0") for one in given.cib.resources)
    if (
        head_start > 0 and someone_counts and len(given.nodes) == 2
    ):  # where the survivors are the majority there is none
        parts.append(Part("head start of the lost node", head_start, head_start, "priority-fencing-delay"))
    return parts


def _planned_move(given: Given) -> Prediction:
    title = "The group is moved, or its node set to standby"
    return steps.group_moved(given, "planned-move", title, [steps.ordered_pause()])


KINDS: Final[Mapping[str, Callable[[Given], Prediction]]] = {
    "node-lost": _node_lost,
    "level-1-dead": _level_1_dead,
    **services.KINDS,
    "planned-move": _planned_move,
}
