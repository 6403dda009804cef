"""The cables of the lab's rings: a node's end is in the node, the other on the host's bridge, where nobody can mend it
from inside. A node that is switched off and on has new ones.
"""

import json

from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.run import run
from kappa_lab.topology import Node


def pull(node: Node) -> None:
    """Pull the cables of both rings: the node hears nobody, and is heard by nobody, but for the service network."""
    for inside in _inside(node):
        run(["ip", "link", "set", "dev", _outside(inside), "down"], doing=f"pulling a ring's cable out of {node.name}")


def mute(node: Node) -> None:
    """Damage the cables of both rings in one direction: the node hears everybody and is heard by nobody."""
    for inside in _inside(node):
        # a bucket that is smaller than any packet lets none through; the kernels that the lab meets lack better tools
        device, bucket = str(inside["ifname"]), ("tbf", "rate", "8bit", "burst", "8", "limit", "8")
        run(
            [*_within(node), "tc", "qdisc", "replace", "dev", device, "root", *bucket],
            doing=f"muting a ring's cable of {node.name}",
        )


def _inside(node: Node) -> list[dict[str, object]]:
    """The node's interfaces on the rings."""
    shown = run([*_within(node), "ip", "-json", "address"], doing=f"looking at the interfaces of {node.name}")
    found = [link for link in json.loads(shown) if any(a.get("local") in node.rings for a in link.get("addr_info", ()))]
    if len(found) != len(node.rings):
        raise LabError(f"{node.name} has {len(found)} of its {len(node.rings)} rings: there is no cable to cut.")
    return found


def _outside(inside: dict[str, object]) -> str:
    """The name of the cable's other end: the kernel tells its number to the node."""
    for link in json.loads(run(["ip", "-json", "link"], doing="listing the host's interfaces")):
        if link["ifindex"] == inside["link_index"]:
            return str(link["ifname"])
    raise LabError(f"The other end of {inside['ifname']} is not on this host.")


def _within(node: Node) -> list[str]:
    """What runs a command of the host's in the node's network."""
    pid = docker("inspect", "--format", "{{.State.Pid}}", node.container, doing=f"looking for {node.name}").strip()
    return ["nsenter", "--target", pid, "--net"]
