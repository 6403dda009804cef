"""From installed machines to a cluster, as an operator does it with pcs; and its configuration as machines want it."""

import re
import secrets
import xml.etree.ElementTree as ElementTree
from typing import Final

from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.paths import ROOT
from kappa_lab.topology import NODES

CLUSTER: Final = "kappa"
SBD_S: Final = 5
"""SBD_WATCHDOG_TIMEOUT: unfed for so long, a node's watchdog resets it."""

SLOWER: Final = 4
"""How much longer everything may take where machines are emulated."""

COROSYNC: Final = ROOT / "crm_configs" / "corosync.conf"


def totem(slow: bool) -> list[str]:
    """The totem options of crm_configs/corosync.conf, as `pcs cluster setup` takes them; longer where all is slower."""
    text = COROSYNC.read_text()
    found = {
        key: int(value) for key, value in re.findall(r"^\s*(token|consensus|token_coefficient):\s*(\d+)", text, re.M)
    }
    return [f"{key}={value * (SLOWER if slow else 1)}" for key, value in sorted(found.items())]


def setup_command(slow: bool) -> list[str]:
    """`pcs cluster setup` for the lab's nodes, both rings, encrypted as crm_configs/corosync.conf has it."""
    members = [word for node in NODES for word in (node.name, *(f"addr={ring}" for ring in node.rings))]
    crypto = ["crypto", "cipher=aes256", "hash=sha256"]
    return [
        "pcs",
        "cluster",
        "setup",
        "--enable",
        CLUSTER,
        *members,
        "transport",
        "knet",
        *crypto,
        "totem",
        *totem(slow),
    ]


PATIENCE: Final = {False: 120, True: 600}
"""For how many seconds one command of pcs may take."""

PCS_SETTINGS: Final = "/usr/lib/python3/dist-packages/pcs/settings.py"


def patient_pcs(slow: bool) -> None:
    """pcs gives a node 60 s for an answer, and `pcs cluster setup` has no option that says otherwise: an emulated
    machine among others needs longer."""
    if slow:
        change = f"s/^default_request_timeout = .*/default_request_timeout = {PATIENCE[slow]}/"
        docker("exec", NODES[0].container, "sed", "-i", change, PCS_SETTINGS, doing="making pcs patient")


def form(slow: bool) -> None:
    """From installed machines to a cluster, as an operator does it: host auth, cluster setup, SBD, start."""
    password = secrets.token_urlsafe(18)
    first, patience = NODES[0].container, PATIENCE[slow]
    patient_pcs(slow)
    for node in NODES:
        docker(
            "exec", "-i", node.container, "chpasswd",
            doing=f"setting hacluster's password on {node.name}", stdin=f"hacluster:{password}\n",
        )  # fmt: skip
    hosts = [word for node in NODES for word in (node.name, f"addr={node.rings[0]}")]
    docker(
        "exec", "-i", first, "pcs", "host", "auth", *hosts, "-u", "hacluster",
        doing="pcs host auth", stdin=f"{password}\n", timeout=patience,
    )  # fmt: skip
    docker("exec", first, *setup_command(slow), doing="pcs cluster setup", timeout=patience)
    sbd = ("sbd", "enable", "watchdog=/dev/watchdog", f"SBD_WATCHDOG_TIMEOUT={sbd_s(slow)}")
    docker("exec", first, "pcs", "stonith", *sbd, doing="pcs stonith sbd enable", timeout=patience)
    docker("exec", first, "pcs", "cluster", "start", "--all", doing="pcs cluster start", timeout=patience)


def sbd_s(slow: bool) -> int:
    return SBD_S * (SLOWER if slow else 1)


def with_watchdog(configuration: ElementTree.Element, slow: bool) -> None:
    """Add the last level of fencing: whoever nobody can reach has reset itself by then."""
    properties = configuration.find("crm_config/cluster_property_set")
    resources, topology = configuration.find("resources"), configuration.find("fencing-topology")
    if properties is None or resources is None or topology is None:
        raise LabError("The prepared configuration has no properties, resources or levels of fencing.")
    _property(properties, "stonith-watchdog-timeout", f"{2 * sbd_s(slow)}s")
    device = ElementTree.SubElement(
        resources, "primitive", {"id": "watchdog", "class": "stonith", "type": "fence_watchdog"}
    )
    attributes = ElementTree.SubElement(device, "instance_attributes", {"id": "watchdog-instance_attributes"})
    ElementTree.SubElement(
        attributes, "nvpair",
        {"id": "watchdog-pcmk_host_list", "name": "pcmk_host_list", "value": " ".join(n.name for n in NODES)},
    )  # fmt: skip
    last = max(int(level.get("index", "0")) for level in topology)
    pattern = topology[0].attrib | {"id": "fl-watchdog", "index": str(last + 1), "devices": "watchdog"}
    ElementTree.SubElement(topology, "fencing-level", pattern)


def _property(properties: ElementTree.Element, name: str, value: str) -> None:
    for pair in properties.findall("nvpair"):
        if pair.get("name") == name:
            pair.set("value", value)
            return
    ElementTree.SubElement(properties, "nvpair", {"id": f"{properties.get('id')}-{name}", "name": name, "value": value})


DURATION: Final = re.compile(r"(\d+)(ms|s|min)?")
TIMEOUTS: Final = ("pcmk_reboot_timeout", "pcmk_off_timeout", "stonith-timeout")


def slower(configuration: ElementTree.Element, factor: int = SLOWER) -> None:
    """Every time-out of a configuration so many times longer, and every monitor so much rarer."""

    def longer(text: str) -> str:
        found = DURATION.fullmatch(text)
        return f"{int(found[1]) * factor}{found[2] or ''}" if found else text

    for operation in configuration.iter("op"):
        for key in ("timeout", "interval"):
            if operation.get(key):
                operation.set(key, longer(operation.get(key, "")))
    for pair in configuration.iter("nvpair"):
        if pair.get("name") in TIMEOUTS:
            pair.set("value", longer(pair.get("value", "")))


def adapt(configuration: ElementTree.Element, slow: bool) -> None:
    """The cluster's configuration as machines want it."""
    if slow:
        slower(configuration)
    with_watchdog(configuration, slow)
