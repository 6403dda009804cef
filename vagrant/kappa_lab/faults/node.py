"""Faults of a whole node: its power, its cables, its cluster stack."""

import contextlib
import threading
from collections.abc import Mapping
from typing import Final

from kappa_lab import cables, power
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults.inside import each, until
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.faults.outside import insist, on, power_on, powered
from kappa_lab.run import run
from kappa_lab.topology import Node

FREEZE_S: Final = 15.0
"""Longer than a failover takes: what wakes up then wakes up into somebody else's turn."""
LOSS: Final = "kappa-lab packet-loss"
BOOT_S: Final = 15.0
"""A node that was shot has Corosync running by then."""


def freeze_and_thaw(target: Target, given: Mapping[str, Value]) -> Fault:
    threads: list[threading.Thread] = []
    enough = threading.Event()
    frozen_s = float(str(given["frozen_s"]))

    def thaw(node: Node) -> None:
        enough.wait(frozen_s)  # the length of the freeze is the fault itself
        with contextlib.suppress(LabError):  # it was fenced meanwhile and runs anew: there is nothing left to thaw
            docker("unpause", node.container, doing=f"thawing {node.name}")

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
    on(node, "pkill", "-KILL", "-x", "corosync")


def with_corosync(node: Node) -> None:
    """Where nobody shot the node its operator does: Pacemaker does not come back without it."""
    try:
        until(f"Corosync runs on {node.name}", lambda: not powered(node) or _has_corosync(node), BOOT_S)
    except LabError:
        power.cut(node)
    power_on(node)


def _has_corosync(node: Node) -> bool:
    try:
        return bool(on(node, "pgrep", "-x", "corosync").strip())
    except LabError:
        return False


def stop_corosync(node: Node) -> None:
    on(node, "pkill", "-STOP", "-x", "corosync")


def wake_corosync(node: Node) -> None:
    insist("Corosync goes on", lambda: on(node, "sh", "-c", "pkill -CONT -x corosync || true"), node)


def one_ring_cut(target: Target, given: Mapping[str, Value]) -> Fault:
    ring = int(str(given["ring"]))
    return each(
        lambda node: cables.pull(node, [ring]),
        lambda node: insist("the ring is plugged in", lambda: cables.plug(node, [ring]), node),
    )(target, given)


def packet_loss(target: Target, given: Mapping[str, Value]) -> Fault:
    share = float(str(given["share"]))
    return each(
        lambda node: cables.lose(node, share, LOSS),
        lambda node: insist("no packets are lost", lambda: cables.mend(node, LOSS), node),
    )(target, given)


def delay(target: Target, given: Mapping[str, Value]) -> Fault:
    milliseconds = float(str(given["milliseconds"]))
    inject = each(
        lambda node: cables.shape(node, ("netem", "delay", f"{milliseconds:g}ms", f"{milliseconds / 4:g}ms")),
        lambda node: insist("the rings are as quick as they were", lambda: cables.unmute(node), node),
    )(target, given)

    def refuse_or_inject() -> None:
        if why := without_netem():
            raise LabError(why)
        inject.inject()

    return Fault(refuse_or_inject, inject.heal)


def without_netem() -> str:
    """Why packets cannot be delayed here, "" where they can."""
    try:
        run(
            ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"],
            doing="trying netem",
        )
    except LabError:
        return "This kernel has no netem (sch_netem), so no packet can be delayed here; virtual machines may have it."
    return ""


KINDS: Final = (
    Kind("power-cut", "The node loses its power.", each(power.cut, power_on),
         ("active", "passive", "passives", "dc", "all"), fences="always", ends_node=True, predicted="node-lost"),
    Kind("freeze-and-thaw", "The node stands still, and goes on when others have taken over.", freeze_and_thaw,
         parameters={"frozen_s": FREEZE_S}, fences="always", predicted="node-lost"),
    Kind("rings-cut", "The cables of both rings are pulled.",
         each(cables.pull, lambda node: insist("both rings are plugged in", lambda: cables.plug(node), node)),
         fences="always", predicted="node-lost"),
    Kind("one-ring-cut", "The cable of one ring is pulled; the other ring carries on.", one_ring_cut,
         parameters={"ring": 0}),
    Kind("one-way-cut", "The node hears everybody and is heard by nobody.",
         each(cables.mute, lambda node: insist("its cables are whole", lambda: cables.unmute(node), node)),
         fences="always", predicted="node-lost"),
    Kind("packet-loss", "A share of the packets on both rings is lost, coming and going.", packet_loss,
         parameters={"share": 0.1}, fences="maybe"),
    Kind("delay", "All that the node sends on its rings comes late.", delay, parameters={"milliseconds": 50.0},
         fences="maybe", storm=False, possible=without_netem),
    Kind("corosync-killed", "Corosync is killed; all else on the node goes on.", each(kill_corosync, with_corosync),
         fences="always", predicted="node-lost"),
    Kind("corosync-hung", "Corosync hangs, as in a kernel that does not schedule it; all else goes on.",
         each(stop_corosync, wake_corosync), fences="always", predicted="node-lost"),
)  # fmt: skip
