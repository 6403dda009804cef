"""Faults of a node that has run out of something: room on its disk, room in /run, processes."""

from collections.abc import Mapping
from typing import Final

from kappa_lab import cables, disks
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults.inside import each, until
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.faults.outside import insist, on
from kappa_lab.run import run
from kappa_lab.topology import Node

ROOM: Final = 40
"""Processes and threads that may be had beyond those that there are, before one program takes them all."""
EATER: Final = """
import os, signal, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:  # kappa-lab process eater
    try:
        if os.fork() == 0:
            time.sleep(3600)
            os._exit(0)
    except OSError:
        time.sleep(0.02)
"""


def fill_run(node: Node) -> None:
    """Its /run is a file system in memory, as on any machine; it shrinks to what is in it."""
    used = run([*_mounts(node), "du", "-s", "-B4096", "/run"], doing=f"looking at /run of {node.name}").split()[0]
    _resize_run(node, f"nr_blocks={max(1, int(used))}")
    # what is left of the last page of each file, and of du's reckoning
    on(node, "sh", "-c", "cat /dev/zero >/run/kappa-lab-filler 2>/dev/null; true")


def empty_run(node: Node) -> None:
    def emptied() -> None:
        _resize_run(node, "nr_blocks=0")
        on(node, "rm", "-f", "/run/kappa-lab-filler")

    insist("/run has room", emptied, node)


def _resize_run(node: Node, size: str) -> None:
    run([*_mounts(node), "mount", "-o", f"remount,{size}", "/run"], doing=f"resizing /run of {node.name}")


def _mounts(node: Node) -> list[str]:
    """What runs a command with the node's files, as the machine's own root: inside, nobody may mount."""
    return ["nsenter", "--target", str(cables.init_of(node)), "--mount"]


def out_of_processes(target: Target, given: Mapping[str, Value]) -> Fault:
    room = int(str(given["room"]))

    def eat(node: Node) -> None:
        there = len(docker("top", node.container, "-eLo", "pid", doing=f"counting {node.name}'s processes").split()) - 1
        _limit(node, there + room)
        docker("exec", "--detach", node.container, "/usr/bin/python3", "-ISc", EATER, doing=f"filling {node.name}")
        until(f"{node.name} is out of processes", lambda: not _can_fork(node), 30, 0.1)

    def sate(node: Node) -> None:
        _limit(node, 0)
        insist("the program that took all processes has ended", lambda: _end_eaters(node), node)

    return each(eat, sate)(target, given)


def _limit(node: Node, processes: int) -> None:
    docker(
        "update", "--pids-limit", str(processes), node.container,
        doing=f"setting how many processes {node.name} may have",
    )  # fmt: skip


def _can_fork(node: Node) -> bool:
    try:
        on(node, "sh", "-c", "(exit 0)")
    except LabError:
        return False
    return True


def _end_eaters(node: Node) -> None:
    on(node, "sh", "-c", "pkill -KILL -f 'kappa-lab process [e]ater' || true")


KINDS: Final = (
    Kind("disk-full", "The node's disk (its logs, Pacemaker's own files) is full.", each(disks.fill, disks.empty),
         ("active", "passive", "passives", "dc", "all")),
    Kind("run-full", "The node's /run (pid files, the agents' records) is full.", each(fill_run, empty_run),
         fences="maybe"),
    Kind("out-of-processes", "One program takes every process that the node may have.", out_of_processes,
         parameters={"room": ROOM}, fences="always"),
)  # fmt: skip
