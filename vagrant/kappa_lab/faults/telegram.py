"""Faults of Telegram: nobody there, or somebody who refuses, fails, dawdles or hangs up."""

from collections.abc import Callable, Mapping
from typing import Final

from kappa_lab import cables, lab
from kappa_lab.faults.inside import each
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.faults.outside import insist
from kappa_lab.topology import TELEGRAM, Node

UNREACHABLE: Final = "kappa-lab telegram-unreachable"


def cut(node: Node) -> None:
    cables.part(node, TELEGRAM, UNREACHABLE)


def join(node: Node) -> None:
    insist("Telegram is within reach", lambda: cables.mend(node, UNREACHABLE), node)


def misbehaves(
    describe: Callable[[Mapping[str, Value]], dict[str, object]],
) -> Callable[[Target, Mapping[str, Value]], Fault]:
    """The lab's Telegram server behaves as described, to whoever asks it, until it is healed."""

    def make(_target: Target, given: Mapping[str, Value]) -> Fault:
        def inject() -> None:
            lab.telegram("POST", "/fault", describe(given))

        return Fault(inject, lambda: void(lab.telegram("DELETE", "/fault")))

    return make


def void(_answer: object) -> None: ...


def _counted(given: Mapping[str, Value]) -> dict[str, object]:
    """How many requests are hit, of which methods; all of them until it is healed where `count` is 0."""
    count = int(str(given["count"]))
    return {"methods": given["methods"], **({"count": count} if count else {})}


KINDS: Final = (
    Kind("telegram-unreachable", "The node's packets to Telegram go nowhere.", each(cut, join),
         ("active", "passive", "passives", "dc", "all")),
    Kind("telegram-429", "Telegram refuses with 429: too many requests, try again later.",
         misbehaves(lambda given: {
             "kind": "error", "status": 429, "retry_after": given["retry_after_s"], **_counted(given)
         }),
         on=(), parameters={"retry_after_s": 2, "count": 10, "methods": ["sendMessage"]}),
    Kind("telegram-5xx", "Telegram fails with 502 whatever it is asked.",
         misbehaves(lambda given: {"kind": "error", "status": given["status"], **_counted(given)}),
         on=(), parameters={"status": 502, "count": 0, "methods": []}),
    Kind("telegram-slow", "Telegram takes its time for every request.",
         misbehaves(lambda given: {"kind": "slow", "seconds": given["seconds"], **_counted(given)}),
         on=(), parameters={"seconds": 0.8, "count": 0, "methods": []}),
    Kind("telegram-resets", "Telegram hangs up before it has read the request.",
         misbehaves(lambda given: {"kind": "reset", "when": "before", **_counted(given)}),
         on=(), parameters={"count": 30, "methods": []}),
    Kind("telegram-hangs-up-late", "Telegram has sent a message for the bot, and hangs up before it says so.",
         misbehaves(lambda given: {"kind": "reset", "when": "after", **_counted(given)}),
         on=(), parameters={"count": 1, "methods": ["sendMessage"]}),
)  # fmt: skip
