"""Vagrant, told what to bring up and where; its own words turned into one sentence when it fails."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kappa_lab import box, hypervisor, reach
from kappa_lab.errors import LabError
from kappa_lab.paths import CACHE, LOGS, ROOT, STATE
from kappa_lab.run import run
from kappa_lab.settings import Settings
from kappa_lab.topology import NODES

FOLDER: Final = ROOT / "vagrant"
HOME: Final = CACHE / "vagrant"
POOL: Final = hypervisor.FOLDER / "pool"
COMMON: Final = {
    "VAGRANT_CWD": str(FOLDER),
    "VAGRANT_DOTFILE_PATH": str(STATE / "vagrant"),
    "VAGRANT_HOME": str(HOME),
    "VAGRANT_NO_COLOR": "1",
    "VAGRANT_CHECKPOINT_DISABLE": "1",
    "VAGRANT_BOX_UPDATE_CHECK_DISABLE": "1",
    "KAPPA_PYTHON": sys.executable,
    "KAPPA_STATE": str(STATE),
    "KAPPA_LOGS": str(LOGS),
}


@dataclass(frozen=True)
class Vagrant:
    """Vagrant with one of its providers, for this lab."""

    environment: Mapping[str, str]
    inside: bool = False
    """Whether it runs in the private hypervisor's namespace."""

    def run(self, *words: str, doing: str, timeout: float = 120, log: Path | None = None) -> str:
        """Run `vagrant WORDS`. Raises LabError, with the reason where it is a known one."""
        HOME.mkdir(parents=True, exist_ok=True)
        try:
            return run(self._argv(words), doing=doing, timeout=timeout, log=log, env=self.environment, cwd=FOLDER)
        except LabError as error:
            said = log.read_text(errors="replace") if log and log.exists() else error.message
            raise LabError(error.message, why(said) or error.hint) from None

    def become(self, words: tuple[str, ...]) -> None:
        """Go on as Vagrant, for a person at a terminal."""
        argv = self._argv(words)
        os.chdir(FOLDER)
        os.execvpe(argv[0], argv, {**os.environ, **self.environment})  # noqa: S606

    def _argv(self, words: tuple[str, ...]) -> list[str]:
        argv = ["vagrant", *words]
        return hypervisor.command(*argv) if self.inside else argv


def of_machines(chosen: Settings, slow: bool) -> Vagrant:
    """For virtual machines in the private hypervisor."""
    return Vagrant(
        {
            **COMMON,
            **hypervisor.environment(),
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
            "KAPPA_EMULATED": "1" if slow else "0",
            "KAPPA_POOL": str(POOL),
            "KAPPA_BOX": box.built(chosen).name,
        },
        inside=True,
    )


def of_containers(compose: Mapping[str, str]) -> Vagrant:
    """For containers in the private engine, told of it as compose is."""
    return Vagrant({**COMMON, **compose, "VAGRANT_DEFAULT_PROVIDER": "docker"})


REASONS: Final = (
    (
        r"Timed out while waiting for the machine to boot|Timed out .*waiting",
        f"A machine does not boot: what it says is in {LOGS}/NODE-console.log. It may want more memory_mb in lab.toml.",
    ),
    (r"No space left on device", "The disk is full; KAPPA_BUILD_DIR can name a folder on another one."),
    (r"Cannot allocate memory", "There is not enough memory for the machines; see memory_mb in lab.toml."),
    (r"network .* already exists|is already in use by interface", "Another network has that name or address."),
)


def why(said: str) -> str:
    """What a failure of Vagrant's means, when it is one that is known."""
    return next((meaning for pattern, meaning in REASONS if re.search(pattern, said)), "")


def bring_up_machines(chosen: Settings, slow: bool) -> None:
    """From a built box to machines that can be reached. Raises LabError."""
    vagrant = of_machines(chosen, slow)
    if not chosen.machine.box:
        _have_box(vagrant, chosen)
    POOL.mkdir(parents=True, exist_ok=True)
    log = LOGS / "vagrant-up.log"
    vagrant.run("up", "--parallel", doing="Vagrant brings the machines up", timeout=900 if slow else 300, log=log)
    addresses, key = ssh_told(vagrant.run("ssh-config", doing="asking Vagrant for the machines"))
    if missing := [node.name for node in NODES if node.name not in addresses]:
        raise LabError(f"Vagrant brought up no machine {' and '.join(missing)}.", f"Its log: {log}.")
    reach.SSH_CONFIG.write_text(reach.ssh_config(addresses, key, hypervisor.RUN))


def bring_up_containers(compose: Mapping[str, str]) -> None:
    """The nodes as containers that Vagrant makes, beside the services that compose made. Raises LabError."""
    of_containers(compose).run(
        "up", "--provider=docker", doing="Vagrant brings the containers up", log=LOGS / "vagrant-up.log"
    )


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


def _have_box(vagrant: Vagrant, chosen: Settings) -> None:
    """Vagrant's own copy of the box; older ones of ours are given up, for each takes a gigabyte."""
    made = box.built(chosen)
    there = vagrant.run("box", "list", doing="asking Vagrant for its boxes")
    names = set(re.findall(r"^(kappa/\S+)", there, re.MULTILINE))
    for old in names - {made.name}:
        vagrant.run("box", "remove", "--force", old, doing="removing an old box")
    if made.name not in names:
        vagrant.run("box", "add", "--name", made.name, str(made.file), doing="giving Vagrant the box")
