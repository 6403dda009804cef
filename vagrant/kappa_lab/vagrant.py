"""Vagrant, told what to bring up and where; its own words turned into one sentence when it fails."""

import os
import re
import sys
from pathlib import Path
from typing import Final

from kappa_lab import box, hypervisor, reach
from kappa_lab.errors import LabError
from kappa_lab.paths import LOGS, ROOT
from kappa_lab.run import run
from kappa_lab.settings import Settings, load
from kappa_lab.topology import NODES

FOLDER: Final = ROOT / "vagrant"
DOTFILE: Final = hypervisor.FOLDER / "vagrant"
POOL: Final = hypervisor.FOLDER / "pool"


def environment(chosen: Settings, slow: bool) -> dict[str, str]:
    return {
        **hypervisor.environment(),
        "VAGRANT_CWD": str(FOLDER),
        "VAGRANT_DOTFILE_PATH": str(DOTFILE),
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        "VAGRANT_NO_COLOR": "1",
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_BOX_UPDATE_CHECK_DISABLE": "1",
        "KAPPA_PYTHON": sys.executable,
        "KAPPA_EMULATED": "1" if slow else "0",
        "KAPPA_POOL": str(POOL),
        "KAPPA_BOX": box.built(chosen).name,
    }


def vagrant(*args: str, chosen: Settings, slow: bool, doing: str, timeout: float, log: Path | None = None) -> str:
    hypervisor.VAGRANT_HOME.mkdir(parents=True, exist_ok=True)
    try:
        return run(
            hypervisor.command("vagrant", *args),
            doing=doing, timeout=timeout, log=log, env=environment(chosen, slow), cwd=FOLDER,
        )  # fmt: skip
    except LabError as error:
        raise LabError(error.message, why(log.read_text(errors="replace")) if log and log.exists() else "") from None


def become(words: tuple[str, ...]) -> None:
    """Go on as Vagrant in the namespace, for a person at a terminal."""
    chosen = load()
    argv = hypervisor.command("vagrant", *words)
    os.execvpe(argv[0], argv, {**os.environ, **environment(chosen, hypervisor.emulated(chosen))})  # noqa: S606


REASONS: Final = (
    (
        r"Timed out while waiting for the machine to boot|Timed out .*waiting",
        "A machine does not boot; it may want more memory_mb in lab.toml, and `virsh console` shows what it says.",
    ),
    (r"No space left on device", "The disk is full; KAPPA_BUILD_DIR can name a folder on another one."),
    (r"Cannot allocate memory", "There is not enough memory for the machines; see memory_mb in lab.toml."),
    (r"network .* already exists|is already in use by interface", "Another network has that name or address."),
)


def why(log: str) -> str:
    """What a failure of Vagrant's means, when it is one that is known."""
    return next((meaning for pattern, meaning in REASONS if re.search(pattern, log)), "")


def up(chosen: Settings, slow: bool) -> None:
    if not chosen.machine.box:
        have_box(chosen, slow)
    POOL.mkdir(parents=True, exist_ok=True)
    vagrant(
        "up", "--parallel", chosen=chosen, slow=slow,
        doing="Vagrant brings the machines up", timeout=900 if slow else 300, log=LOGS / "vagrant-up.log",
    )  # fmt: skip
    told = vagrant("ssh-config", chosen=chosen, slow=slow, doing="asking Vagrant for the machines", timeout=120)
    addresses, key = ssh_told(told)
    if missing := [node.name for node in NODES if node.name not in addresses]:
        raise LabError(
            f"Vagrant brought up no machine {' and '.join(missing)}.", f"Its log: {LOGS / 'vagrant-up.log'}."
        )
    reach.SSH_CONFIG.write_text(reach.ssh_config(addresses, key, hypervisor.RUN))


def ssh_told(text: str) -> tuple[dict[str, str], Path]:
    """Each machine's address, and the key to all of them, out of `vagrant ssh-config`."""
    addresses: dict[str, str] = {}
    name, key = "", ""
    for line in text.splitlines():
        word, _, value = line.strip().partition(" ")
        if word == "Host":
            name = value
        elif word == "HostName":
            addresses[name] = value
        elif word == "IdentityFile":
            key = value.strip('"')
    return addresses, Path(key)


def have_box(chosen: Settings, slow: bool) -> None:
    """Vagrant's own copy of the box; older ones of ours are given up, for each takes a gigabyte."""
    made = box.built(chosen)
    there = vagrant("box", "list", chosen=chosen, slow=slow, doing="asking Vagrant for its boxes", timeout=60)
    names = set(re.findall(r"^(kappa/\S+)", there, re.MULTILINE))
    for old in names - {made.name}:
        vagrant("box", "remove", "--force", old, chosen=chosen, slow=slow, doing="removing an old box", timeout=60)
    if made.name not in names:
        vagrant(
            "box", "add", "--name", made.name, str(made.file), chosen=chosen, slow=slow,
            doing="giving Vagrant the box", timeout=120,
        )  # fmt: skip
