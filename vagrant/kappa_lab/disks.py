"""The disks of the lab's nodes: what a node logs and what Pacemaker keeps. They outlive its power, and have bounds.

Each is a file system of its own in the host's memory, so that one can be full while the others are not.
"""

import contextlib
import shutil
from pathlib import Path

from kappa_lab.errors import LabError
from kappa_lab.paths import STATE
from kappa_lab.run import run
from kappa_lab.topology import NODES, Node

SIZE = "512m"
PAGE = 4096


def folder(node: Node) -> Path:
    return STATE / "log" / node.name


def make() -> None:
    """An empty disk for each node. The engine must be started after this: it sees what was mounted before."""
    for node in NODES:
        folder(node).mkdir(parents=True)
        run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "kappa-lab-disk", folder(node)],
            doing=f"making the disk of {node.name}",
        )
        (folder(node) / ".pacemaker").mkdir()


def remove() -> None:
    """Every disk that is there, in use or not."""
    for node in NODES:
        while folder(node).is_mount():
            run(["umount", "--lazy", folder(node)], doing=f"removing the disk of {node.name}")


def fill(node: Node) -> None:
    """Not one more page fits: it shrinks to what is on it."""
    used = shutil.disk_usage(folder(node)).used
    with contextlib.suppress(LabError):  # it grew meanwhile
        _resize(node, str(max(PAGE, used)))
    with contextlib.suppress(OSError), (folder(node) / ".filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(PAGE))


def empty(node: Node) -> None:
    _resize(node, SIZE)
    (folder(node) / ".filler").unlink(missing_ok=True)


def _resize(node: Node, size: str) -> None:
    run(["mount", "-o", f"remount,size={size}", folder(node)], doing=f"resizing the disk of {node.name}")
