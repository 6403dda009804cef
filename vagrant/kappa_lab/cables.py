"""The cables of the lab's networks: a node's end is in the node, the other on the host's bridge, where nobody can mend
it from inside. A node that is switched off and on has new ones.
"""

import json
import shlex
from collections.abc import Iterable

from kappa_lab import reach
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.run import run
from kappa_lab.topology import Node

BOTH = (0, 1)
"""The rings."""


def pull(node: Node, rings: Iterable[int] = BOTH) -> None:
    """Pull the cables of these rings: with both, the node hears nobody and is heard by nobody, but for the service
    network."""
    for inside in _inside(node, rings):
        run(
            ["ip", "link", "set", "dev", _outside(node, inside), "down"],
            doing=f"pulling a ring's cable out of {node.name}",
        )


def plug(node: Node, rings: Iterable[int] = BOTH) -> None:
    """Plug them back in, pulled or not."""
    for inside in _inside(node, rings):
        run(
            ["ip", "link", "set", "dev", _outside(node, inside), "up"],
            doing=f"plugging a ring's cable into {node.name}",
        )


def mute(node: Node) -> None:
    """Damage the cables of both rings in one direction: the node hears everybody and is heard by nobody."""
    # a bucket that is smaller than any packet lets none through; the kernels that the lab meets lack better tools
    shape(node, ("tbf", "rate", "8bit", "burst", "8", "limit", "8"))


def unmute(node: Node) -> None:
    """Mend them, damaged or not."""
    shape(node, ())


def shape(node: Node, discipline: Iterable[str]) -> None:
    """What the node sends on its rings goes through this queueing discipline of tc's; through none when it is empty."""
    within, wanted = _within(node), list(discipline)
    for inside in _inside(node, BOTH):
        device = str(inside["ifname"])
        there = json.loads(run([*within, "tc", "-json", "qdisc", "show", "dev", device, "root"], doing="asking tc"))
        if wanted:
            command = ["tc", "qdisc", "replace", "dev", device, "root", *wanted]
        elif any(one["handle"] != "0:" for one in there):  # the kernel's own has that number, and cannot be deleted
            command = ["tc", "qdisc", "delete", "dev", device, "root"]
        else:
            continue
        run([*within, *command], doing=f"changing how {node.name} sends on a ring")


def lose(node: Node, share: float, tag: str) -> None:
    """Of what comes and goes on both rings, this share (0 to 1) is lost."""
    chance = ("-m", "statistic", "--mode", "random", "--probability", f"{share:g}")
    for inside in _inside(node, BOTH):
        device = str(inside["ifname"])
        _drop(node, tag, "INPUT", "-i", device, *chance)
        _drop(node, tag, "OUTPUT", "-o", device, *chance)


def part(node: Node, address: str, tag: str) -> None:
    """Nothing goes from the node to this address, and nothing comes from there: no refusal either."""
    _drop(node, tag, "OUTPUT", "-d", address)
    _drop(node, tag, "INPUT", "-s", address)


def mend(node: Node, tag: str) -> None:
    """Undo `lose` and `part` of this tag, whether they are there or not."""
    within = _within(node)
    for line in run([*within, "iptables", "-S"], doing=f"reading the packet filter of {node.name}").splitlines():
        rule = shlex.split(line)
        if rule[0] == "-A" and tag in rule:
            run([*within, "iptables", "-w", "10", "-D", *rule[1:]], doing=f"mending the packet filter of {node.name}")


def _drop(node: Node, tag: str, chain: str, *match: str) -> None:
    rule = ("-m", "comment", "--comment", tag, *match, "-j", "DROP")
    run([*_within(node), "iptables", "-w", "10", "-A", chain, *rule], doing=f"filtering the packets of {node.name}")


def _inside(node: Node, rings: Iterable[int]) -> list[dict[str, object]]:
    """The node's interfaces on these rings."""
    wanted = [node.rings[ring] for ring in rings]
    shown = run([*_within(node), "ip", "-json", "address"], doing=f"looking at the interfaces of {node.name}")
    found = [link for link in json.loads(shown) if any(a.get("local") in wanted for a in link.get("addr_info", ()))]
    if len(found) != len(wanted):
        raise LabError(f"{node.name} has {len(found)} of its {len(wanted)} rings: there is no cable to cut.")
    return found


def _outside(node: Node, inside: dict[str, object]) -> str:
    """The name of the cable's other end: the kernel tells its number to a container, and libvirt tells a machine's."""
    if reach.are_machines():
        return reach.tap(node.container, str(inside["address"]))
    for link in json.loads(run(["ip", "-json", "link"], doing="listing the host's interfaces")):
        if link["ifindex"] == inside["link_index"]:
            return str(link["ifname"])
    raise LabError(f"The other end of {inside['ifname']} is not on this host.")


def _within(node: Node) -> list[str]:
    """What runs a command in the node's network: one of the host's, or of the machine's own."""
    if reach.are_machines():
        return reach.shell(node.name)
    return ["nsenter", "--target", str(init_of(node)), "--net"]


def init_of(node: Node) -> int:
    """The host's pid of the node's first process. LabError when the node has no power: 0 would be this very process."""
    pid = int(docker("inspect", "--format", "{{.State.Pid}}", node.container, doing=f"looking for {node.name}"))
    if pid == 0:
        raise LabError(f"{node.name} is switched off.")
    return pid
