"""Faults of fencing itself: its brokers are dead or slow while a node needs to be shot."""

import sys
import threading
from collections.abc import Mapping
from typing import Final

from kappa_lab import power
from kappa_lab.errors import LabError
from kappa_lab.faults.inside import until
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.faults.outside import Make, power_on, powered
from kappa_lab.power import Broker

STALLED_S: Final = 6.0
FENCED_S: Final = 40.0
"""A cluster that still waits for a node to be shot has had it shot by then, once a broker is back."""


def dead(*brokers: Broker) -> Make:
    """The node loses its power, and these brokers die with it. They come back; a node that nobody could shoot is
    switched on by its operator, who has looked at it."""

    def make(target: Target, _given: Mapping[str, Value]) -> Fault:
        def inject() -> None:
            for broker in brokers:
                if power.runs(broker):
                    power.kill(broker)
            power.cut(target.node)

        def heal() -> None:
            for broker in brokers:
                if not power.runs(broker):
                    power.start(sys.executable, broker)
            try:
                until(f"{target.node.name} was shot and runs", lambda: powered(target.node), FENCED_S)
            except LabError:
                power_on(target.node)

        return Fault(inject, heal)

    return make


def slow(target: Target, given: Mapping[str, Value]) -> Fault:
    first, stalled_s = power.BROKERS[0], float(str(given["stalled_s"]))
    enough = threading.Event()
    threads: list[threading.Thread] = []

    def wake() -> None:
        enough.wait(stalled_s)  # the length of the stall is the fault itself
        power.wake(first)

    def inject() -> None:
        power.stall(first)
        thread = threading.Thread(target=wake, name="wake", daemon=True)
        thread.start()
        threads.append(thread)
        power.cut(target.node)

    def heal() -> None:
        enough.set()
        for thread in threads:
            thread.join(30)
        power_on(target.node)

    return Fault(inject, heal)


KINDS: Final = (
    Kind("level-1-dead", "The node loses its power together with the first power broker.", dead(power.BROKERS[0]),
         fences="always", ends_node=True, predicted="level-1-dead"),
    Kind("all-levels-dead", "The node loses its power together with every power broker.", dead(*power.BROKERS),
         fences="always", ends_node=True),
    Kind("fencing-slow", "The node loses its power while the first broker answers nobody for some seconds.", slow,
         parameters={"stalled_s": STALLED_S}, fences="always", ends_node=True, predicted="level-1-dead"),
)  # fmt: skip
