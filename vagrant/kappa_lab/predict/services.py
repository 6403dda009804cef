"""What fails while its node lives: a process, an address, the way to Telegram, MongoDB's primary."""

from collections.abc import Callable, Mapping
from typing import Final

from kappa_lab.predict import measured, sequence, steps
from kappa_lab.predict.cib import Operation, Resource
from kappa_lab.predict.prediction import Part, Prediction
from kappa_lab.predict.steps import Given

DEAF_AFTER: Final = "30s"
RESULTS: Final = "3"
DAMPEN: Final = "15s"
ANSWER_WITHIN: Final = "2s"
"""The agents' own defaults."""
ELECTION_SPREAD: Final = 1.15
"""Members wait up to 15 % longer than the election time-out, each its own while, so that not all stand at once."""
CATCH_UP_S: Final = 10.0
"""MongoDB's own default of how long a primary that steps down waits for another to catch up."""
Predict = Callable[[Given], Prediction]


def _died(kind: str, title: str, role: str) -> Predict:
    # neither a dead bot nor one without its router gives the lease back
    cut_off = role in ("bot", "router")

    def predict(given: Given) -> Prediction:
        resource = given.one(role)
        if resource is None:
            return steps.absent(kind, title, role)
        if (monitor := steps.quickest(resource.monitors)) is None:
            return Prediction(kind, title, (), never=_unnoticed(resource))
        return steps.restarted(given, kind, title, resource, steps.noticed(resource, monitor), cut_off)

    return predict


def _unnoticed(resource: Resource) -> str:
    return f"{resource.id} has no monitor, so nobody notices"


def _hangs(kind: str, title: str, role: str) -> Predict:
    """It is there and answers nothing: at the worst the monitor waits to its end, and the stop until it uses force."""

    def predict(given: Given) -> Prediction:
        resource = given.one(role)
        if resource is None:
            return steps.absent(kind, title, role)
        if (monitor := steps.quickest(resource.monitors)) is None:
            return Prediction(kind, title, (), never=_unnoticed(resource))
        until, asked = steps.noticed(resource, monitor)
        why = f"timeout of its monitor{steps.depth(monitor)}; {measured.STOPPED_SEEN.source}"
        asked = Part(asked.name, min(measured.STOPPED_SEEN.seconds, asked.worst_s), asked.worst_s, why)
        cut_off = role in ("bot", "router")
        return steps.restarted(given, kind, title, resource, [until, asked], cut_off, measured.FORCED)

    return predict


def _bot_deaf(given: Given) -> Prediction:
    kind, title = "bot-deaf", "The bot runs but receives nothing"
    bot = given.one("bot")
    if bot is None:
        return steps.absent(kind, title, "bot")
    deep = [op for op in bot.monitors if op.depth == "10"] or [op for op in bot.monitors if op.depth == "20"]
    if (monitor := steps.quickest(deep)) is None:
        return Prediction(kind, title, (), never=f"{bot.id} has no monitor of depth 10, so nobody notices")
    patience = bot.time("deaf_after", DEAF_AFTER)
    silent = Part("silence that is allowed", patience, patience, "deaf_after, the agent's own default is 30 s")
    return steps.restarted(given, kind, title, bot, [silent, *steps.noticed(bot, monitor)])


def _start_fails(kind: str, title: str, role: str) -> Predict:
    """It dies, and cannot be started any more where it was."""

    def predict(given: Given) -> Prediction:
        resource = given.one(role)
        if resource is None:
            return steps.absent(kind, title, role)
        if (monitor := steps.quickest(resource.monitors)) is None:
            return Prediction(kind, title, (), never=_unnoticed(resource))
        tries = 1 if given.cib.on("start-failure-is-fatal", True) else resource.threshold
        if tries is None:
            return Prediction(kind, title, (), never=_no_threshold(resource, "it is started again where it fails"))
        again = "" if tries == 1 else f", {tries} times: migration-threshold"
        parts = steps.noticed(resource, monitor)
        parts += steps.times(tries, _stopped_and_started(resource), again)
        parts.append(steps.seldom_pause())
        return steps.group_moved(given, kind, title, parts, cut_off=role in ("bot", "router"))

    return predict


def _crash_loop(given: Given) -> Prediction:
    """Each start succeeds, and it dies again."""
    kind, title = "crash-loop", "The bot starts and dies again, for ever, on one node"
    bot = given.one("bot")
    if bot is None:
        return steps.absent(kind, title, "bot")
    if (monitor := steps.quickest(bot.monitors)) is None:
        return Prediction(kind, title, (), never=_unnoticed(bot))
    if bot.threshold is None:
        return Prediction(kind, title, (), never=_no_threshold(bot, "it is started again where it dies"))
    once = [*steps.noticed(bot, monitor), *_stopped_and_started(bot)]
    parts = steps.times(bot.threshold - 1, once, f", {bot.threshold - 1} times: migration-threshold")
    parts += steps.noticed(bot, monitor)
    forgiven = bot.meta_time("failure-timeout")
    if 0 < forgiven <= sum(part.typical_s for part in once):
        why = f"failure-timeout forgives {bot.id} its failures before migration-threshold is reached"
        return Prediction(kind, title, tuple(parts), never=f"{why}, so it stays where it dies")
    parts.append(steps.seldom_pause())
    return steps.group_moved(given, kind, title, parts, cut_off=True)


def _stopped_and_started(resource: Resource) -> list[Part]:
    return [
        steps.seldom_pause(),
        *steps.operations(resource, sequence.stops(resource)),
        *steps.operations(resource, sequence.starts(resource)),
    ]


def _no_threshold(resource: Resource, so: str) -> str:
    return f"{resource.id} has no migration-threshold, so {so}, for ever"


def _unreached(kind: str, title: str, parameter: str, default: str, cut_off: bool = False) -> Predict:
    """The uplink agent measures on every node what it reaches, and a location rule goes by that."""

    def predict(given: Given) -> Prediction:
        uplink = given.one("uplink")
        if uplink is None:
            return steps.absent(kind, title, "uplink")
        attribute = uplink.parameters.get(parameter, default)
        if attribute not in given.cib.ruled:
            return Prediction(kind, title, (), never=f"no location rule goes by {attribute}, so the group stays")
        if (monitor := steps.quickest(uplink.monitors)) is None:
            return Prediction(kind, title, (), never=f"{uplink.id} has no monitor, so nobody measures")
        return steps.group_moved(
            given, kind, title, [*_measurements(uplink, monitor), steps.seldom_pause()], cut_off
        )  # fmt: skip

    return predict


def _measurements(uplink: Resource, monitor: Operation) -> list[Part]:
    results = max(1, uplink.number("results", RESULTS))
    dampen, answer = uplink.time("dampen", DAMPEN), uplink.time("answer_within", ANSWER_WITHIN)
    every, limit = monitor.interval_s, monitor.timeout_s
    typical = min((results - 1) * (every + answer), dampen + every + answer) + answer
    worst = min((results - 1) * (every + limit), dampen + every + limit) + limit
    return [
        Part(f"until the next monitor of {uplink.id}", every / 2, every, "its interval"),
        Part(f"{results} measurements that agree", min(typical, worst), worst,
             "results, or dampen if sooner; each takes answer_within, at the most the monitor's timeout"),
    ]  # fmt: skip


def _primary_lost(given: Given) -> Prediction:
    why = f"electionTimeoutMillis, {given.election_s:g} s, and up to 15 % on top of it"
    return _elected(given, "primary-lost", "MongoDB loses its primary, and elects another", given.election_s, why)


def _primary_steps_down(given: Given) -> Prediction:
    kind, title = "primary-steps-down", "MongoDB's primary steps down in good order, and another is elected"
    caught_up = Part(
        "until another member has all that was written", 0.0, CATCH_UP_S,
        f"secondaryCatchUpPeriodSecs, its own default is {CATCH_UP_S:g} s; those that follow have it at once",
    )  # fmt: skip
    why = "told to by the one that steps down; at the worst only after electionTimeoutMillis and 15 %"
    return _elected(given, kind, title, 0.0, why, caught_up)


def _elected(
    given: Given, kind: str, title: str, stands_s: float, stands_why: str, *before: Part
) -> Prediction:  # fmt: skip
    """Another primary, when `before` has passed; typically a member stands for it after `stands_s`."""
    late = ELECTION_SPREAD * given.election_s
    parts = (
        *before,
        Part("until a member stands for election", stands_s, late, stands_why),
        Part("the vote", min(measured.VOTED.seconds, late), late,
             f"a split vote is held once more after the same time; {measured.VOTED.source}"),
        Part("until the bot finds the new primary", measured.FOUND.seconds, measured.FOUND_WORST_S,
             measured.FOUND.source),
    )  # fmt: skip
    note = "The cluster does nothing: its monitors ask for a primary nowhere that would fail."
    return Prediction(kind, title, parts, (note,))


KINDS: Final[Mapping[str, Predict]] = {
    "bot-dead": _died("bot-dead", "The bot's process dies", "bot"),
    "bot-frozen": _hangs("bot-frozen", "The bot's process hangs", "bot"),
    "bot-deaf": _bot_deaf,
    "start-fails": _start_fails("start-fails", "The bot dies, and its start fails where it was", "bot"),
    "crash-loop": _crash_loop,
    "nginx-dead": _died("nginx-dead", "Nginx dies", "web server"),
    "nginx-frozen": _hangs("nginx-frozen", "Nginx hangs", "web server"),
    "nginx-start-fails": _start_fails("nginx-start-fails", "Nginx dies, and its start fails where it was",
                                      "web server"),
    "address-deleted": _died("address-deleted", "The virtual IP is deleted", "address"),
    "router-dead": _died("router-dead", "The MongoDB router of the bot's node dies", "router"),
    "router-frozen": _hangs("router-frozen", "The MongoDB router of the bot's node hangs", "router"),
    "uplink-lost": _unreached(
        "uplink-lost", "The bot's node does not reach Telegram any more, and another does",
        "telegram_attribute", "kappa-telegram",
    ),
    "data-tier-lost": _unreached(
        "data-tier-lost", "The bot's node does not reach MongoDB any more, and another does",
        "router_attribute", "kappa-router", cut_off=True,
    ),
    "primary-lost": _primary_lost,
    "primary-steps-down": _primary_steps_down,
}  # fmt: skip
