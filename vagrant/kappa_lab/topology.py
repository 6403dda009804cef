"""The lab on paper: who stands where. The compose file and corosync.conf say the same; a test compares them."""

from dataclasses import dataclass
from typing import Final


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


LAN: Final = Network("lan", "kappa-lan", "10.77.0.0/24", "10.77.0.1")
RINGS: Final = (
    Network("ring0", "kappa-ring0", "10.77.1.0/24", "10.77.1.1"),
    Network("ring1", "kappa-ring1", "10.77.2.0/24", "10.77.2.1"),
)
NETWORKS: Final = (LAN, *RINGS)

NODES: Final = tuple(
    Node(f"node{n}", f"kappa-lab-node{n}", f"10.77.0.1{n}", (f"10.77.1.1{n}", f"10.77.2.1{n}")) for n in (1, 2, 3)
)
VIP: Final = "10.77.0.100"
TELEGRAM: Final = "10.77.0.20"
TELEGRAM_PORT: Final = 8081
TELEGRAM_CONTROL_PORT: Final = 8082
WATCHER: Final = "10.77.0.21"
MEMBERS: Final = ("10.77.0.31", "10.77.0.32", "10.77.0.33")
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
