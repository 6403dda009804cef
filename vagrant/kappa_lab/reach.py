"""How the lab reaches a node that is a machine: what it says to a container, carried out by ssh and virsh.

The lab speaks of its nodes in the container engine's words: exec, kill, stop, pause and so on. `carry_out` understands
these for a node that is a virtual machine; whatever else is asked of one is refused by name.
"""

import contextlib
import json
import shlex
import time
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
    within_s: int = 10
    """Of `stop`: how long it may take to shut down before it loses its power."""


VERBS: Final = {"kill": "destroy", "pause": "suspend", "unpause": "resume", "start": "start"}
"""What a container's words are to a domain. `kill` is a power cut."""

QUESTIONS: Final = {"{{.State.Running}}": "running", "{{.State.Status}}": "status"}
"""What may be asked of a node by `inspect`. There is no process of it on the host to ask for."""


def of_node(args: Sequence[str]) -> Asked | None:
    """What is asked of a node by these arguments of the container engine, or None when they are about no node.

    Raises LabError for what cannot be done to a machine.
    """
    containers = {node.container: node.name for node in NODES}
    at = next((n for n, word in enumerate(args) if word in containers), None)
    if at is None:
        return None
    verb, options, node, rest = args[0], list(args[1:at]), containers[args[at]], tuple(args[at + 1 :])
    if verb == "exec":
        user, detached = "root", False
        while options:
            match options:
                case ["-u" | "--user", user, *options]:
                    pass
                case ["-d" | "--detach", *options]:
                    detached = True
                case ["-i" | "--interactive", *options]:
                    pass
                case _:
                    raise _refused(args[: at + 1], node)
        return Asked(verb, node, rest, user, detached)
    match (verb, options, rest):
        case ("kill", [] | ["-s" | "--signal", "KILL"], ()) | ("pause" | "unpause" | "start", [], ()):
            return Asked(verb, node)
        case ("stop", ["-t", seconds], ()) if seconds.isdigit():
            return Asked(verb, node, within_s=int(seconds))
        case ("inspect", ["--format", question], ()) if question in QUESTIONS:
            return Asked(QUESTIONS[question], node)
    raise _refused(args[: at + 1], node)


def _refused(words: Sequence[str], node: str) -> LabError:
    return LabError(f"A machine cannot be asked to `{' '.join(words)}`: {node} is one.")


def shell(name: str) -> list[str]:
    """What runs a command as the machine's root, where no word of it needs quoting."""
    return hypervisor.command("ssh", "-F", SSH_CONFIG, name, "sudo", "-n", "--")


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
    """Do what is asked of a machine; what the container engine would print. Raises LabError."""
    domain = next(node.container for node in NODES if node.name == asked.node)
    match asked.verb:
        case "exec":
            return run(hypervisor.command(*ssh(asked)), doing=doing, timeout=timeout, log=log, stdin=stdin)
        case "running":
            return "false\n" if state(domain, doing) == "exited" else "true\n"
        case "status":
            return f"{state(domain, doing)}\n"
        case "stop":
            return _stop(asked, domain, run, doing)
    return hypervisor.virsh(VERBS[asked.verb], domain, doing=doing, timeout=timeout)


def state(domain: str, doing: str) -> str:
    """A machine's state in the engine's words: running, paused or exited."""
    said = hypervisor.virsh("domstate", domain, doing=doing).strip()
    return {"running": "running", "paused": "paused", "shut off": "exited"}.get(said, said)


def _stop(asked: Asked, domain: str, run: Callable[..., str], doing: str) -> str:
    """Shut it down in good order; cut its power when that takes too long, as an engine would."""
    end = time.monotonic() + asked.within_s
    with contextlib.suppress(LabError):  # the connection may end before the answer
        run(hypervisor.command(*ssh(Asked("exec", asked.node, ("systemctl", "poweroff")))), doing=doing, timeout=15)
    while state(domain, doing) != "exited":
        if time.monotonic() > end:
            return hypervisor.virsh("destroy", domain, doing=doing)
        time.sleep(0.2)
    return ""


def tap(domain: str, mac: str) -> str:
    """The host's end of the machine's interface with this hardware address."""
    shown = hypervisor.virsh("domiflist", domain, doing=f"listing the interfaces of {domain}")
    found = tap_of(shown, mac)
    if not found:
        raise LabError(f"{domain} has no interface {mac} on this host.")
    return found


def tap_of(shown: str, mac: str) -> str:
    """The interface of this hardware address in what `virsh domiflist` shows; "" when it is off or has none."""
    for line in shown.splitlines():
        words = line.split()
        if len(words) == 5 and words[4].lower() == mac.lower() and words[0] != "-":
            return words[0]
    return ""


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
