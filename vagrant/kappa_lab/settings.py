"""What a person may change of the lab: one small file, with a sane default for every line of it."""

import ipaddress
import os
import sys
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, TypeVar

from kappa_lab.errors import LabError
from kappa_lab.paths import ROOT

FILE: Final = Path(os.environ.get("KAPPA_LAB_SETTINGS") or ROOT / "vagrant" / "lab.toml")
RELEASES: Final = ("bookworm", "trixie")
PROFILES: Final = ("auto", "kvm", "emulated")
MOST_NODES: Final = 7


@dataclass(frozen=True)
class Networks:
    lan: str = "10.77.0.0/24"
    rings: tuple[str, ...] = ("10.77.1.0/24", "10.77.2.0/24")


@dataclass(frozen=True)
class Machine:
    """A virtual machine's size, and how it is run."""

    memory_mb: int = 768
    cpus: int = 1
    disk_gb: int = 4
    profile: str = "auto"
    box: str = ""
    """A public box in place of the one that is built here."""


@dataclass(frozen=True)
class Settings:
    nodes: int = 3
    release: str = "bookworm"
    networks: Networks = field(default_factory=Networks)
    machine: Machine = field(default_factory=Machine)


Section = TypeVar("Section", Networks, Machine)


def read(text: str, name: str = "lab.toml") -> Settings:
    """The settings that `text` gives, and defaults for the rest. Raises LabError that names the key."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"{name} is not TOML: {error}.") from None
    known = {f.name for f in fields(Settings)}
    for key in given:
        if key not in known:
            raise LabError(f"{name}: there is no setting {key}.", f"There are: {', '.join(sorted(known))}.")
    networks = _section(Networks, given.pop("networks", {}), f"{name}, [networks]")
    machine = _section(Machine, given.pop("machine", {}), f"{name}, [machine]")
    settings = Settings(
        nodes=_whole(given.get("nodes", 3), 3, MOST_NODES, f"{name}: nodes"),
        release=_one_of(given.get("release", "bookworm"), RELEASES, f"{name}: release"),
        networks=networks,
        machine=machine,
    )
    _networks(networks, name)
    _whole(machine.memory_mb, 384, 65536, f"{name}, [machine]: memory_mb")
    _whole(machine.cpus, 1, 64, f"{name}, [machine]: cpus")
    _whole(machine.disk_gb, 3, 1024, f"{name}, [machine]: disk_gb")
    _one_of(machine.profile, PROFILES, f"{name}, [machine]: profile")
    return settings


def _section(kind: type[Section], given: object, where: str) -> Section:
    if not isinstance(given, dict):
        raise LabError(f"{where} is {given!r}, not a table.")
    defaults = kind()
    values: dict[str, object] = {}
    known = [f.name for f in fields(kind)]
    for key, said in given.items():
        if key not in known:
            raise LabError(f"{where}: there is no setting {key}.", f"There are: {', '.join(known)}.")
        default = getattr(defaults, key)
        value = tuple(said) if isinstance(default, tuple) and isinstance(said, list) else said
        if type(value) is not type(default):
            raise LabError(f"{where}: {key} is {value!r}; it must be a value like {default!r}.")
        values[key] = value
    return kind(**values)  # type: ignore[arg-type]


def _whole(value: object, least: int, most: int, what: str) -> int:
    if type(value) is not int or not least <= value <= most:
        raise LabError(f"{what} is {value!r}; it must be a whole number from {least} to {most}.")
    return value


def _one_of(value: object, choice: tuple[str, ...], what: str) -> str:
    if value not in choice:
        raise LabError(f"{what} is {value!r}; it must be one of {', '.join(choice)}.")
    return str(value)


def _networks(networks: Networks, name: str) -> None:
    """Networks of 256 private addresses each, apart from one another; two rings."""
    if len(networks.rings) != 2:
        raise LabError(f"{name}, [networks]: rings are {len(networks.rings)}; a cluster here has two.")
    seen: list[ipaddress.IPv4Network] = []
    for text in (networks.lan, *networks.rings):
        try:
            network = ipaddress.IPv4Network(text)
        except (ValueError, TypeError):
            raise LabError(f"{name}, [networks]: {text!r} is not an IPv4 network such as 10.77.0.0/24.") from None
        if network.prefixlen != 24 or not network.is_private:
            raise LabError(f"{name}, [networks]: {text} must be a private network with /24.")
        if network in seen:
            raise LabError(f"{name}, [networks]: {text} stands there twice.")
        seen.append(network)


def load(file: Path = FILE) -> Settings:
    """The settings of the lab's file, or the defaults where there is no such file."""
    try:
        text = file.read_text()
    except FileNotFoundError:
        if "KAPPA_LAB_SETTINGS" in os.environ:
            raise LabError(f"{file}, which KAPPA_LAB_SETTINGS names, is not there.") from None
        return Settings()
    except OSError as error:
        raise LabError(f"{file} cannot be read: {error.strerror}.") from None
    return read(text, str(file))


def load_or_exit() -> Settings:
    """As `load`, for what is read while programs begin: a wrong file ends them with its one sentence."""
    try:
        return load()
    except LabError as error:
        print(f"kappa-lab: {error}", file=sys.stderr)
        sys.exit(2)
