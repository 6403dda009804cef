"""From configuration to seconds: one function for each kind of fault."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.predict import fencing, measured, sequence
from kappa_lab.predict.cib import Cib, Operation, Resource
from kappa_lab.predict.corosync import Corosync
from kappa_lab.predict.prediction import Part, Prediction

LEASE_S: Final = 3.0
"""The bot's own default, [lease] ttl_s."""
LONGEST_S: Final = 3600.0
DEAF_AFTER: Final = "30s"
"""The agent's default."""
TYPES: Final = {
    "bot": ("telegram-bot",),
    "web server": ("nginx",),
    "address": ("vip", "IPaddr2", "IPaddr"),
    "router": ("mongos",),
}
IN_TIME: Final = "Holds while every operation ends within its timeout; a stop that does not is answered with fencing."


@dataclass(frozen=True)
class Given:
    cib: Cib
    corosync: Corosync
    lease_s: float = LEASE_S
    sbd_s: float | None = None

    def __post_init__(self) -> None:
        for value, option in ((self.lease_s, "--lease"), (self.sbd_s or 0.0, "--sbd-watchdog-timeout")):
            if not 0 <= value <= LONGEST_S:
                raise LabError(f"{option} is {value:g}; it must be seconds from 0 to {LONGEST_S:g}.")

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.corosync.nodes or self.cib.nodes

    def one(self, role: str) -> Resource | None:
        return next((one for one in self.cib.resources if one.type in TYPES[role]), None)


def bound(
    cib: Cib, corosync: Corosync, fault_kind: str, lease_s: float = LEASE_S, sbd_s: float | None = None
) -> Prediction:
    """`fault_kind` is one of KINDS, or a drill's. Raises LabError for any other."""
    kind = DRILLS.get(fault_kind, fault_kind)
    if kind not in KINDS:
        raise LabError(f"There is no prediction for {fault_kind!r}.", f"These are known: {', '.join(KINDS)}.")
    return KINDS[kind](Given(cib, corosync, lease_s, sbd_s))


def everything(given: Given) -> list[Prediction]:
    return [predict(given) for predict in KINDS.values()]


def _node_lost(given: Given) -> Prediction:
    kind, title = "node-lost", "A node loses power, freezes or is cut off"
    detection = _lost(given)
    if not given.cib.on("stonith-enabled", True):
        note = "stonith-enabled is false: nothing proves the node off before another takes over."
        return _taken_over(given, kind, title, detection, (note,))
    levels = fencing.levels(given.cib, given.nodes, given.sbd_s)
    if not levels:
        return Prediction(kind, title, tuple(detection), never="no device can fence the node, so nothing takes over")
    return _taken_over(given, kind, title, [*detection, _level(1, levels[0], measured.FENCED)])


def _level_1_dead(given: Given) -> Prediction:
    kind, title = "level-1-dead", "A node is lost, and so is the first level of fencing"
    levels = fencing.levels(given.cib, given.nodes, given.sbd_s)
    if not given.cib.on("stonith-enabled", True) or len(levels) < 2:
        why = (
            "there is no second level of fencing, so nothing takes over until an operator confirms that the node is off"
        )
        return Prediction(kind, title, tuple(_lost(given)), never=why)
    fenced = [_level(1, levels[0], measured.REFUSED), _level(2, levels[1], measured.FENCED)]
    return _taken_over(given, kind, title, [*_lost(given), *fenced])


def _lost(given: Given) -> list[Part]:
    token, consensus = given.corosync.token_s, given.corosync.consensus_s
    parts = [
        Part("token", token, token, "corosync.conf, with what token_coefficient adds"),
        Part("consensus", consensus, consensus, "corosync.conf"),
        _pause(measured.PAUSE.seconds, measured.PAUSE.source),
    ]
    head_start = given.cib.time("priority-fencing-delay", "0")
    someone_counts = any(one.meta.get("priority", "0") not in ("", "0") for one in given.cib.resources)
    if (
        head_start > 0 and someone_counts and len(given.nodes) == 2
    ):  # where the survivors are the majority there is none
        parts.append(Part("head start of the lost node", head_start, head_start, "priority-fencing-delay"))
    return parts


def _pause(typical_s: float, source: str) -> Part:
    return Part("Pacemaker's own pause", typical_s, measured.PAUSE_WORST_S, source)


def _level(number: int, level: fencing.Bound, typical: measured.Measured) -> Part:
    on_time = level.worst_s if level.source == "stonith-watchdog-timeout" else min(typical.seconds, level.worst_s)
    return Part(f"fencing, level {number}", on_time, level.worst_s, f"{level.source}; {typical.source}")


def _taken_over(given: Given, kind: str, title: str, parts: list[Part], notes: tuple[str, ...] = ()) -> Prediction:
    bot = given.one("bot")
    last = bot or next((one for one in reversed(given.cib.resources) if not one.clone), None)
    for one in sequence.until(given.cib, last) if last else []:
        if one is bot:
            parts.append(_lease(given, parts, "it ran since the fault"))
        parts += _operations(one, sequence.takes_over(one), measured.STARTED)
    return Prediction(kind, title, tuple(parts), (*notes, IN_TIME))


def _lease(given: Given, since: Iterable[Part], why: str, typical: bool = True) -> Part:
    """What is left of a lease that nobody gave back: it ran while `since` passed."""
    passed = list(since)
    left = max(0.0, given.lease_s - sum(part.typical_s for part in passed)) if typical else 0.0
    worst = max(0.0, given.lease_s - sum(part.worst_s for part in passed))
    return Part("what is left of the bot's lease", left, worst, f"{given.lease_s:g} s; {why}")


def _operations(resource: Resource, names: Iterable[str], typical: measured.Measured) -> list[Part]:
    return [_operation(resource, name, typical) for name in names]


def _operation(resource: Resource, name: str, typical: measured.Measured) -> Part:
    worst = resource.timeout_s(name)
    return Part(f"{name} {resource.id}", min(typical.seconds, worst), worst, f"timeout of its {name}; {typical.source}")


def _quickest(monitors: Iterable[Operation]) -> Operation | None:
    return min(monitors, key=lambda op: op.interval_s + op.timeout_s, default=None)


def _noticed(resource: Resource, monitor: Operation) -> list[Part]:
    depth = f" of depth {monitor.depth}" if monitor.depth != "0" else ""
    return [
        Part(f"until the next monitor of {resource.id}", monitor.interval_s / 2, monitor.interval_s,
             f"its interval{depth}"),
        Part(f"monitor {resource.id}", min(measured.MONITORED.seconds, monitor.timeout_s), monitor.timeout_s,
             f"timeout of its monitor{depth}; {measured.MONITORED.source}"),
    ]  # fmt: skip


def _died(kind: str, title: str, role: str) -> Callable[[Given], Prediction]:
    def predict(given: Given) -> Prediction:
        resource = given.one(role)
        if resource is None:
            return _absent(kind, title, role)
        if (monitor := _quickest(resource.monitors)) is None:
            return Prediction(kind, title, (), never=f"{resource.id} has no monitor, so nobody notices")
        return _restarted(given, kind, title, resource, _noticed(resource, monitor))

    return predict


def _bot_deaf(given: Given) -> Prediction:
    kind, title = "bot-deaf", "The bot runs but receives nothing"
    bot = given.one("bot")
    if bot is None:
        return _absent(kind, title, "bot")
    deep = [op for op in bot.monitors if op.depth == "10"] or [op for op in bot.monitors if op.depth == "20"]
    if (monitor := _quickest(deep)) is None:
        return Prediction(kind, title, (), never=f"{bot.id} has no monitor of depth 10, so nobody notices")
    patience = bot.time("deaf_after", DEAF_AFTER)
    silent = Part("silence that is allowed", patience, patience, "deaf_after, the agent's own default is 30 s")
    return _restarted(given, kind, title, bot, [silent, *_noticed(bot, monitor)])


def _absent(kind: str, title: str, role: str) -> Prediction:
    return Prediction(kind, title, (), never=f"the configuration has no {role} ({' or '.join(TYPES[role])})")


def _restarted(given: Given, kind: str, title: str, resource: Resource, parts: list[Part]) -> Prediction:
    """Where it runs: what follows it stops first, and starts again after it."""
    parts.append(_pause(0.0, "0 to 2 s; seldom where no node was lost"))
    everyone = sequence.with_followers(given.cib, [resource])
    cut_off = kind in ("bot-dead", "router-dead")  # neither a dead bot nor one without its router gives the lease back
    return _moved(given, kind, title, parts, everyone, everyone, sequence.starts, cut_off)


def _planned_move(given: Given) -> Prediction:
    kind, title = "planned-move", "The group is moved, or its node set to standby"
    last = given.one("bot") or next((one for one in reversed(given.cib.resources) if not one.clone), None)
    if last is None:
        return _absent(kind, title, "bot")
    arriving = sequence.until(given.cib, last)
    leaving = sequence.with_followers(given.cib, arriving)
    parts = [_pause(0.0, "0 to 2 s; seldom where no node was lost")]
    return _moved(given, kind, title, parts, leaving, arriving, sequence.takes_over)


def _moved(
    given: Given, kind: str, title: str, parts: list[Part], leaving: list[Resource], arriving: list[Resource],
    begin: Callable[[Resource], tuple[str, ...]], cut_off: bool = False,
) -> Prediction:  # fmt: skip
    bot = given.one("bot")
    free_at = 0
    for one in reversed(leaving):
        parts += _operations(one, sequence.stops(one), measured.STOPPED)
        if one is bot and not cut_off:
            free_at = len(parts)
    for one in arriving:
        if one is bot:
            why = (
                "it ran since the fault"
                if cut_off
                else "given back by a stop in good order, not by one that was cut short"
            )
            parts.append(_lease(given, parts[free_at:], why, typical=cut_off))
        parts += _operations(one, begin(one), measured.STARTED)
    return Prediction(kind, title, tuple(parts), (IN_TIME,))


KINDS: Final[Mapping[str, Callable[[Given], Prediction]]] = {
    "node-lost": _node_lost,
    "level-1-dead": _level_1_dead,
    "bot-dead": _died("bot-dead", "The bot's process dies", "bot"),
    "bot-deaf": _bot_deaf,
    "nginx-dead": _died("nginx-dead", "Nginx dies", "web server"),
    "address-deleted": _died("address-deleted", "The virtual IP is deleted", "address"),
    "router-dead": _died("router-dead", "The MongoDB router of the bot's node dies", "router"),
    "planned-move": _planned_move,
}
DRILLS: Final = dict.fromkeys(
    ("power-cut", "freeze-and-thaw", "rings-cut", "one-way-cut", "corosync-killed"), "node-lost"
)
"""What a drill calls its fault, where that is not the prediction's own name."""
