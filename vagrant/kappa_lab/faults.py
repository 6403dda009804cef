"""What can be done to a node. Each fault is a few lines: a kind, what it does, and whether it must end in fencing."""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kappa_lab import cables, power
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.topology import Node

FREEZE_S = 15.0
"""Longer than a failover takes: what wakes up then wakes up into somebody else's turn."""


@dataclass(frozen=True)
class Fault:
    inject: Callable[[Node], None]
    heal: Callable[[], None]
    """Undo what the fault left, and wait until that is done."""


def power_cut() -> Fault:
    return Fault(inject=power.cut, heal=lambda: None)


def freeze_and_thaw() -> Fault:
    threads: list[threading.Thread] = []

    def thaw(node: Node) -> None:
        time.sleep(FREEZE_S)  # the length of the freeze is the fault itself
        try:
            docker("unpause", node.container, doing=f"thawing {node.name}")
        except LabError:
            return  # it was fenced meanwhile and runs anew: there is nothing left to thaw

    def inject(node: Node) -> None:
        docker("pause", node.container, doing=f"freezing {node.name}")
        thread = threading.Thread(target=thaw, args=(node,), name="thaw", daemon=True)
        thread.start()
        threads.append(thread)

    def heal() -> None:
        for thread in threads:
            thread.join(FREEZE_S + 30)

    return Fault(inject, heal)


def rings_cut() -> Fault:
    # what fences the node gives it new cables
    return Fault(inject=cables.pull, heal=lambda: None)


def one_way_cut() -> Fault:
    return Fault(inject=cables.mute, heal=lambda: None)


def corosync_killed() -> Fault:
    def inject(node: Node) -> None:
        docker("exec", node.container, "pkill", "-KILL", "-x", "corosync", doing=f"killing Corosync on {node.name}")

    return Fault(inject, heal=lambda: None)


def level_1_dead() -> Fault:
    first = power.BROKERS[0]

    def inject(node: Node) -> None:
        power.kill(first)
        power.cut(node)

    return Fault(inject, heal=lambda: power.start(sys.executable, first))


KINDS: dict[str, Callable[[], Fault]] = {
    "power-cut": power_cut,
    "freeze-and-thaw": freeze_and_thaw,
    "rings-cut": rings_cut,
    "one-way-cut": one_way_cut,
    "corosync-killed": corosync_killed,
    "level-1-dead": level_1_dead,
}
