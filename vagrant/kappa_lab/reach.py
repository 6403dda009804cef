"""How the lab reaches a node that is a machine: what it says to a container, carried out by ssh and virsh.

The lab speaks of its nodes in the container engine's words: exec, kill, pause, unpause, start. `carry_out` understands
these for a node that is a virtual machine; whatever else is asked of one is refused by name.
"""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kappa_lab import hypervisor
from kappa_lab.errors import LabError
from kappa_lab.paths import STATE
from kappa_lab.topology import NODES

SSH_CONFIG: Final = STATE / "ssh_config"
"""There only while the lab's nodes are machines."""

MARK: Final = STATE / "lab.json"


def are_machines() -> bool:
    """Whether this lab's nodes are machines, by the lab's own mark."""
    try:
        return bool(json.loads(MARK.read_text()).get("kind") == "vagrant")
    except (OSError, ValueError, AttributeError):
        return False


@dataclass(frozen=True)
class Asked:
    """One thing that is asked of one node."""

    verb: str
    node: str
    command: tuple[str, ...] = ()
    user: str = "root"
    detached: bool = False


VERBS: Final = {"kill": "destroy", "pause": "suspend", "unpause": "resume", "start": "start"}
"""What a container's words are to a domain. `kill` is a power cut, as `stop` is none; so `stop` is not among them."""


def of_node(args: Sequence[str]) -> Asked | None:
    """What is asked of a node by these arguments of the container engine, or None when they are about no node.

    Raises LabError for what cannot be done to a machine.
    """
    containers = {node.container: node.name for node in NODES}
    at = next((n for n, word in enumerate(args) if word in containers), None)
    if at is None:
        return None
    verb, options, node, rest = args[0], list(args[1:at]), containers[args[at]], tuple(args[at + 1 :])
    refused = LabError(f"A machine cannot be asked to `{' '.join(args[:at])}`: {node} is one.")
    if verb == "exec":
        user, detached = "root", False
        while options:
            option = options.pop(0)
            if option in ("-u", "--user") and options:
                user = options.pop(0)
            elif option in ("-d", "--detach"):
                detached = True
            elif option not in ("-i", "--interactive"):
                raise refused
        return Asked(verb, node, rest, user, detached)
    if verb == "kill" and options in (["--signal", "KILL"], ["-s", "KILL"], []) and not rest:
        return Asked(verb, node)
    if verb in VERBS and verb != "kill" and not options and not rest:
        return Asked(verb, node)
    raise refused


def ssh(asked: Asked, config: Path = SSH_CONFIG) -> list[str]:
    """The ssh command that does it, as root by way of the machine's sudo."""
    words = ["sudo", "-n", "-u", asked.user, "--", *asked.command]
    line = " ".join(shlex.quote(word) for word in words)
    if asked.detached:
        line = f"{line} </dev/null >/dev/null 2>&1 &"
    return ["ssh", "-F", str(config), asked.node, line]


def carry_out(
    asked: Asked, run: Callable[..., str], doing: str, timeout: float, log: Path | None, stdin: str | None
) -> str:
    """Do what is asked of a machine. Raises LabError."""
    if asked.verb == "exec":
        return run(hypervisor.command(*ssh(asked)), doing=doing, timeout=timeout, log=log, stdin=stdin)
    domain = next(node.container for node in NODES if node.name == asked.node)
    return hypervisor.virsh(VERBS[asked.verb], domain, doing=doing, timeout=timeout)


def ssh_config(addresses: dict[str, str], key: Path, sockets: Path) -> str:
    """How each machine is reached: one connection is kept open, and given up soon where a machine is silent."""
    common = [
        "  User vagrant",
        f"  IdentityFile {key}",
        "  IdentitiesOnly yes",
        "  StrictHostKeyChecking no",
        "  UserKnownHostsFile /dev/null",
        "  LogLevel ERROR",
        "  BatchMode yes",
        "  ConnectTimeout 5",
        "  ServerAliveInterval 2",
        "  ServerAliveCountMax 2",
        "  ControlMaster auto",
        "  ControlPersist 120",
        f"  ControlPath {sockets}/ssh-%n",
    ]
    lines: list[str] = []
    for name, address in addresses.items():
        lines += [f"Host {name}", f"  HostName {address}", *common]
    return "\n".join(lines) + "\n"
