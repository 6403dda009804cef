"""Faults of the virtual IP and of the interface that it is on."""

import contextlib
import json
from collections.abc import Mapping
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.faults.inside import each, in_network, runs, service_interface, within
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.topology import MEMBERS, VIP, Node

ELSEWHERE: Final = f"kappa-lab-mongo{len(MEMBERS)}"
"""A machine on the service network that is no node of the cluster."""


def delete(node: Node) -> None:
    interface = service_interface(node)
    prefix = _prefix(node)
    within(
        node, "ip", "address", "del", f"{VIP}/{prefix}", "dev", interface,
        doing=f"deleting the virtual IP on {node.name}",
    )  # fmt: skip


def _prefix(node: Node) -> int:
    shown = within(node, "ip", "-json", "address", doing=f"looking at the interfaces of {node.name}")
    for link in json.loads(shown):
        for address in link.get("addr_info", ()):
            if address.get("local") == VIP:
                return int(address["prefixlen"])
    raise LabError(f"{node.name} has no virtual IP {VIP}: there is nothing to delete.")


def duplicate(_target: Target, _given: Mapping[str, Value]) -> Fault:
    """A machine beside the cluster has the address too, and answers for it."""

    def interface() -> str:
        own = MEMBERS[-1]
        shown = in_network(ELSEWHERE, "ip", "-json", "address", doing=f"looking at the interfaces of {ELSEWHERE}")
        for link in json.loads(shown):
            if any(address.get("local") == own for address in link.get("addr_info", ())):
                return str(link["ifname"])
        raise LabError(f"{ELSEWHERE} has no interface with its address {own}.")

    def inject() -> None:
        in_network(
            ELSEWHERE, "ip", "address", "add", f"{VIP}/32", "dev", interface(), doing=f"giving {VIP} to {ELSEWHERE}"
        )

    def heal() -> None:
        with contextlib.suppress(LabError):  # it was taken away already
            in_network(
                ELSEWHERE, "ip", "address", "del", f"{VIP}/32", "dev", interface(),
                doing=f"taking {VIP} from {ELSEWHERE}",
            )  # fmt: skip

    return Fault(inject, heal)


def link_down(node: Node) -> None:
    within(
        node, "ip", "link", "set", "dev", service_interface(node), "down",
        doing=f"taking the service interface of {node.name} down",
    )  # fmt: skip


def link_up(node: Node) -> None:
    if runs(node):  # one that was shot has a new interface, which is up
        within(
            node, "ip", "link", "set", "dev", service_interface(node), "up",
            doing=f"bringing the service interface of {node.name} up",
        )  # fmt: skip


KINDS: Final = (
    Kind("address-deleted", "The virtual IP is deleted by hand.", each(delete), ("active",),
         predicted="address-deleted"),
    Kind("address-duplicate", "A machine beside the cluster has the virtual IP too.", duplicate, (), storm=False),
    Kind("link-down", "The node's service interface is down: no Telegram, no data tier, no virtual IP.",
         each(link_down, link_up)),
)  # fmt: skip
