"""What must be so before the lab is started; each thing that is not is one sentence that says what to do."""

import ipaddress
import json
import os
import re
import shutil
from pathlib import Path

from kappa_lab import engine
from kappa_lab.errors import LabError
from kappa_lab.paths import BUILD, ENGINE_DATA
from kappa_lab.run import run
from kappa_lab.topology import NETWORKS

GIB = 1024**3
FIRST_BUILD_GIB = 5
LATER_GIB = 1
MEMORY_GIB = 2
MACHINES_NEED = (
    "/usr/sbin/libvirtd", "/usr/bin/virsh", "/usr/bin/qemu-system-x86_64", "/usr/sbin/dnsmasq", "/usr/bin/vagrant",
)  # fmt: skip
ENGINE_AT_LEAST = (20, 10)


def check() -> None:
    """Raise LabError for the first thing that keeps the lab from starting."""
    root()
    _programs()
    _disk()
    _memory()
    _networks()


def root() -> None:
    if os.geteuid() != 0:
        raise LabError("The lab needs root: it starts containers and networks.", "Run it with sudo.")


def _programs() -> None:
    for program in (engine.DOCKERD, engine.DOCKER, "docker-compose", "mmdebstrap", "ip"):
        if shutil.which(program) is None:
            raise LabError(f"The program {program} is not installed.", "`sudo make deps` installs what the lab needs.")
    version = run([engine.DOCKERD, "--version"], doing="Asking the container engine for its version")
    found = re.search(r"(\d+)\.(\d+)", version)
    if not found or (int(found[1]), int(found[2])) < ENGINE_AT_LEAST:
        raise LabError(
            f"The container engine is too old: {version.strip()}.", "20.10 (Debian 12's docker.io) or newer is needed."
        )


def _disk() -> None:
    place = BUILD
    while not place.exists():
        place = place.parent
    needed = LATER_GIB if (ENGINE_DATA / "overlay2").exists() else FIRST_BUILD_GIB
    free = shutil.disk_usage(place).free / GIB
    if free < needed:
        raise LabError(
            f"{place} has {free:.1f} GiB free; the lab needs {needed} GiB there.",
            "Make room, or name a folder on another disk in KAPPA_BUILD_DIR.",
        )


def _memory(needed: float = MEMORY_GIB, hint: str = "") -> None:
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    if found and int(found[1]) / 1024**2 < needed:
        raise LabError(
            f"{int(found[1]) / 1024**2:.1f} GiB of memory are available; the lab needs {needed:g} GiB.", hint
        )


def machines(nodes: int, memory_mb: int) -> None:
    """Raise LabError for the first thing that keeps this machine from having others in it."""
    for program in MACHINES_NEED:
        if not Path(program).exists():
            raise LabError(
                f"The program {program} is not installed.", "`sudo make deps-vm` installs what the machines need."
            )
    needed = round(MEMORY_GIB + nodes * memory_mb / 1024, 1)
    _memory(needed, "Less memory_mb for each machine in lab.toml may do.")
    if not Path("/dev/net/tun").exists():
        raise LabError("/dev/net/tun is not there, so a machine could not be on a network.", "`modprobe tun` makes it.")


def _networks() -> None:
    """The lab's subnets must be free: an address that another interface has would answer in the lab's stead."""
    routes = json.loads(
        run(["ip", "-json", "route", "show", "table", "all"], doing="Reading the machine's routes") or "[]"
    )
    ours = {n.bridge for n in NETWORKS}
    for route in routes:
        if route.get("dst") in (None, "default") or route.get("dev") in ours:
            continue
        try:
            taken = ipaddress.ip_network(route["dst"], strict=False)
        except ValueError:
            continue
        for network in NETWORKS:
            wanted = ipaddress.ip_network(network.subnet)
            if taken.version == 4 and taken.prefixlen > 0 and taken.overlaps(wanted):
                raise LabError(
                    f"The lab's network {network.name} ({network.subnet}) is in use here: "
                    f"a route to {taken} leads over {route.get('dev', 'another interface')}.",
                    "Take that route away while the lab runs.",
                )
