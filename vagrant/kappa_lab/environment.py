"""What the lab is made of, as the report says it: versions, timings, size of the machine."""

import contextlib
import os
import platform
import re

from kappa_lab import cluster
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.topology import MEMBERS, NODES

NODE_QUESTIONS = {
    "pacemaker": ("pacemakerd", "--version"),
    "corosync": ("corosync", "-v"),
    "nginx": ("nginx", "-v"),
    "router": ("mongos", "--version"),
    "debian": ("cat", "/etc/debian_version"),
}
PACKAGES = ("kappa-ha", "python-telegram-bot", "pymongo")


def describe() -> dict[str, str | int]:
    """Name → what it says of itself; a part that does not answer says "unknown"."""
    found: dict[str, str | int] = {"nodes": len(NODES), "replica_set_members": len(MEMBERS)}
    for name, question in NODE_QUESTIONS.items():
        found[name] = _ask(question)
    versions = _ask(
        ("/opt/kappa/bin/python", "-c", f"from importlib.metadata import version as v; print(*map(v, {PACKAGES!r}))")
    ).split()
    found |= dict(zip(PACKAGES, versions, strict=False))
    found["mongod"] = _ask(
        (
            "python",
            "-c",
            "import kappa_lab.mongodb.member as m, subprocess; print(subprocess.getoutput(m.binary() + ' --version'))",
        ),
        "kappa-lab-mongo1",
    )
    corosync = _corosync()
    for key in ("token", "token_coefficient", "consensus"):
        value = re.search(rf"^\s*{key}:\s*(\d+)", corosync, re.MULTILINE)
        found[f"{key}_ms" if key != "token_coefficient" else key] = int(value[1]) if value else "unknown"
    found["kernel"] = platform.release()
    found["cores"] = os.cpu_count() or 0
    return found


def _corosync() -> str:
    """What the first node that answers goes by: a slow lab is given longer times than the repository has."""
    for node in NODES:
        with contextlib.suppress(LabError):
            return cluster.corosync_conf(node)
    return ""


def _ask(question: tuple[str, ...], container: str = "") -> str:
    """One line from inside a node (the first that answers) or the named container."""
    for name in [container] if container else [node.container for node in NODES]:
        try:
            said = docker(
                "exec", name, "sh", "-c", '"$@" 2>&1', "sh", *question, doing="asking for a version", timeout=20
            )
        except LabError:
            continue
        if said.strip():
            return said.strip().splitlines()[0].strip()
    return "unknown"
