"""Faults of the MongoDB router on a node, and of its way to the data tier."""

import contextlib
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.faults.inside import each, frozen, killed, service_interface, within
from kappa_lab.faults.kind import Kind
from kappa_lab.topology import MEMBERS, Node

ROUTER: Final = "mongos .*--port"
NOBODY: Final = "02:00:00:00:00:01"
"""A MAC address that nobody on the service network has."""


def cut_off(node: Node) -> None:
    """What the node sends to the data tier goes to nobody, and nobody says so: as a firewall that drops."""
    interface = service_interface(node)
    for member in MEMBERS:
        within(
            node, "ip", "neighbour", "replace", member, "lladdr", NOBODY, "nud", "permanent", "dev", interface,
            doing=f"losing what {node.name} sends to {member}",
        )  # fmt: skip


def reconnect(node: Node) -> None:
    with contextlib.suppress(LabError):  # off: its network went with it, and the next one is whole
        interface = service_interface(node)
        for member in MEMBERS:
            within(
                node, "ip", "neighbour", "del", member, "dev", interface,
                doing=f"letting {node.name} reach {member} again",
            )  # fmt: skip


KINDS: Final = (
    Kind("router-killed", "The node's MongoDB router is killed.", killed(ROUTER), predicted="router-dead"),
    Kind("router-frozen", "The node's MongoDB router stands still (SIGSTOP).", frozen(ROUTER),
         predicted="router-frozen"),
    Kind("data-tier-unreachable", "Nothing that the node sends arrives at the data tier.", each(cut_off, reconnect),
         predicted="data-tier-lost"),
)  # fmt: skip
