"""The five faults, each the same command in both configurations, against the node that runs the group."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from kappa_lab import power
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.topology import VIP, Node
from tests.bench.failover.configurations import Compared

GROUP: Final = "kappa"
MOVES: Final = frozenset({"planned-move", "node-lost"})
"""After these another node has the group."""


def bot_dead(node: Node, compared: Compared) -> None:
    docker("exec", node.container, "pkill", "-KILL", "-f", compared.bot, doing=f"killing the bot on {node.name}")


def nginx_dead(node: Node, compared: Compared) -> None:
    """The master and its workers: a worker without a master would go on serving."""
    docker("exec", node.container, "pkill", "-KILL", "-x", "nginx", doing=f"killing Nginx on {node.name}")


def address_deleted(node: Node, compared: Compared) -> None:
    shown = docker("exec", node.container, "ip", "-json", "address", doing=f"looking at the addresses of {node.name}")
    for link in json.loads(shown):
        for address in link.get("addr_info", ()):
            if address.get("local") == VIP:
                docker(
                    "exec", node.container, "ip", "address", "del", f"{VIP}/{address['prefixlen']}",
                    "dev", str(link["ifname"]), doing=f"deleting the virtual IP on {node.name}",
                )  # fmt: skip
                return
    raise LabError(f"{node.name} has no address {VIP} that could be deleted.")


def planned_move(node: Node, compared: Compared) -> None:
    docker("exec", node.container, "crm_resource", "--move", "--resource", GROUP, doing=f"moving {GROUP} away")


def node_lost(node: Node, compared: Compared) -> None:
    power.cut(node)


INJECT: Final[Mapping[str, Callable[[Node, Compared], None]]] = {
    "bot-dead": bot_dead,
    "nginx-dead": nginx_dead,
    "address-deleted": address_deleted,
    "planned-move": planned_move,
    "node-lost": node_lost,
}


def tidy_up(fault: str, asked: Node) -> None:
    """What an operator does afterwards: lift the ban that moved the group, and forget the failures that were mended."""
    if fault == "planned-move":
        docker("exec", asked.container, "crm_resource", "--clear", "--resource", GROUP, doing="lifting the ban")
    docker("exec", asked.container, "crm_resource", "--cleanup", doing="forgetting the failures", timeout=60)
