"""The lab on paper: who stands where, worked out from the settings.

The compose file and corosync.conf say the same for the default settings; a test compares them. The Vagrantfile reads
what `python3 -m kappa_lab.topology` prints.
"""

import ipaddress
import json
from dataclasses import asdict, dataclass
from typing import Final

from kappa_lab.settings import Settings, load_or_exit


@dataclass(frozen=True)
class Network:
    """One bridge of the lab. None has an uplink; `host` is the machine's own address on it."""

    name: str
    bridge: str
    subnet: str
    host: str


@dataclass(frozen=True)
class Node:
    name: str
    container: str
    lan: str
    rings: tuple[str, str]


SETTINGS: Final[Settings] = load_or_exit()


def address(subnet: str, number: int) -> str:
    """The address with this last byte."""
    return str(ipaddress.IPv4Network(subnet)[number])


def mac(of: str) -> str:
    """The hardware address of whoever has this address: 02:42 and its four bytes, as a container engine has it."""
    return "02:42:" + ":".join(f"{int(part):02x}" for part in of.split("."))


def _network(name: str, subnet: str) -> Network:
    return Network(name, f"kappa-{name}", subnet, address(subnet, 1))


LAN: Final = _network("lan", SETTINGS.networks.lan)
RINGS: Final = tuple(_network(f"ring{n}", subnet) for n, subnet in enumerate(SETTINGS.networks.rings))
NETWORKS: Final = (LAN, *RINGS)


def _node(n: int) -> Node:
    first, second = (address(ring.subnet, 10 + n) for ring in RINGS)
    return Node(f"node{n}", f"kappa-lab-node{n}", address(LAN.subnet, 10 + n), (first, second))


NODES: Final = tuple(_node(n) for n in range(1, SETTINGS.nodes + 1))
VIP: Final = address(LAN.subnet, 100)
TELEGRAM: Final = address(LAN.subnet, 20)
TELEGRAM_PORT: Final = 8081
TELEGRAM_CONTROL_PORT: Final = 8082
WATCHER: Final = address(LAN.subnet, 21)
MEMBERS: Final = tuple(address(LAN.subnet, 31 + n) for n in range(3))
"""The replica set's members, apart from the cluster's nodes."""
ELECTION_S: Final = 2.0
"""For how long they wait for a primary that is silent; MongoDB's own default is 10 s."""
POWER_PORTS: Final = (7710, 7711)
"""The power brokers', on the host's addresses of both rings: the first level of fencing, and the second."""


def node(name: str) -> Node:
    for candidate in NODES:
        if candidate.name == name:
            return candidate
    raise KeyError(name)


def described() -> dict[str, object]:
    """All of it, as plain values."""
    return {
        "settings": asdict(SETTINGS),
        "networks": [asdict(network) for network in NETWORKS],
        "nodes": [
            {
                "name": one.name,
                "container": one.container,
                "interfaces": [
                    {"network": network.name, "bridge": network.bridge, "address": at, "mac": mac(at)}
                    for network, at in zip(NETWORKS, (one.lan, *one.rings), strict=True)
                ],
            }
            for one in NODES
        ],
        "vip": VIP,
        "telegram": TELEGRAM,
        "members": list(MEMBERS),
    }


if __name__ == "__main__":
    print(json.dumps(described(), indent=1))
