"""Faults of a whole node: its power, its cables, its cluster stack."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from kappa_lab import cables, power
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.topology import Node

FREEZE_S: Final = 15.0
"""Longer than a failover takes: what wakes up then wakes up into somebody else's turn."""


def each(do: Callable[[Node], None]) -> Callable[[Target, Mapping[str, Value]], Fault]:
    """The same thing done to each node that is hit, and nothing to undo: what fences the node makes it anew."""

    def make(target: Target, _given: Mapping[str, Value]) -> Fault:
        def inject() -> None:
            for node in target.nodes:
                do(node)

        return Fault(inject)

    return make


def freeze_and_thaw(target: Target, given: Mapping[str, Value]) -> Fault:
    threads: list[threading.Thread] = []
    frozen_s = float(str(given["frozen_s"]))

    def thaw(node: Node) -> None:
        time.sleep(frozen_s)  # the length of the freeze is the fault itself
        try:
            docker("unpause", node.container, doing=f"thawing {node.name}")
        except LabError:
            return  # it was fenced meanwhile and runs anew: there is nothing left to thaw

    def inject() -> None:
        for node in target.nodes:
            docker("pause", node.container, doing=f"freezing {node.name}")
            thread = threading.Thread(target=thaw, args=(node,), name="thaw", daemon=True)
            thread.start()
            threads.append(thread)

    def heal() -> None:
        for thread in threads:
            thread.join(frozen_s + 30)

    return Fault(inject, heal)


def kill_corosync(node: Node) -> None:
    docker("exec", node.container, "pkill", "-KILL", "-x", "corosync", doing=f"killing Corosync on {node.name}")


def level_1_dead(target: Target, _given: Mapping[str, Value]) -> Fault:
    first = power.BROKERS[0]

    def inject() -> None:
        power.kill(first)
        power.cut(target.node)

    def heal() -> None:
        if not power.runs(first):
            power.start(sys.executable, first)

    return Fault(inject, heal)


KINDS: Final = (
    Kind("power-cut", "The node loses its power.", each(power.cut), ("active", "passive", "passives", "dc", "all"),
         fences="always", ends_node=True, predicted="node-lost"),
    Kind("freeze-and-thaw", "The node stands still, and goes on when others have taken over.", freeze_and_thaw,
         parameters={"frozen_s": FREEZE_S}, fences="always", predicted="node-lost"),
    Kind("rings-cut", "The cables of both rings are pulled.", each(cables.pull), fences="always",
         predicted="node-lost"),
    Kind("one-way-cut", "The node hears everybody and is heard by nobody.", each(cables.mute), fences="always",
         predicted="node-lost"),
    Kind("corosync-killed", "Corosync is killed; all else on the node goes on.", each(kill_corosync), fences="always",
         predicted="node-lost"),
    Kind("level-1-dead", "The node loses its power together with the first power broker.", level_1_dead,
         fences="always", ends_node=True, predicted="level-1-dead"),
)  # fmt: skip
