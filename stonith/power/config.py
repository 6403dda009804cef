"""The configuration of `kappa-powerd`: one TOML file, read once, checked whole. Everything wrong is one sentence."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from stonith.keyfile import KeyFileError, read_key
from stonith.power import drivers
from stonith.power.brake import Limits
from stonith.power.driver import Driver
from stonith.power.table import ConfigError, Table
from stonith.wire import is_name, printable


@dataclass(frozen=True)
class Client:
    """Who may ask, proven by a key, and which plugs it may switch. It may see the same ones."""

    name: str
    key: bytes
    may: tuple[str, ...]

    def __repr__(self) -> str:  # a key must not get into a log by way of a traceback
        return f"Client({self.name!r}, may={self.may!r})"


@dataclass(frozen=True)
class Config:
    listen: tuple[tuple[str, int], ...]
    audit: Path
    machines: Mapping[str, str]
    """The driver's name of the machine behind each plug."""
    units: Mapping[str, str]
    """The driver's id of those machines that may be no other of that name."""
    clients: Mapping[str, Client]
    driver: Driver
    limits: Limits
    user: str
    """Whom to become when started as root. Empty: stay."""
    groups: tuple[str, ...]
    """Further groups to be in then, such as the one of the hypervisor's socket."""


def load(path: Path) -> Config:
    """Read the file at `path` and the key files that it names. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return _config(Table(str(path), "", tomllib.load(file)))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}); name kappa-powerd's configuration with --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {printable(error)}") from None


def _config(top: Table) -> Config:
    listen = tuple(_address(top, text) for text in top.texts("listen"))
    audit = top.path("audit")
    if not audit.parent.is_dir():
        raise top.wrong("audit", f"is {str(audit)!r}, but there is no folder {str(audit.parent)!r}; make it")
    machines, units = _machines(top.table("machines"))
    clients_table = top.table("clients")
    clients = {name: _client(name, clients_table.table(name), machines) for name in clients_table.names()}
    driver = drivers.make(top.table("driver"))
    limits = _limits(top.table("brake")) if top.has("brake") else Limits()
    user, groups = top.text("user", ""), top.texts("groups") if top.has("groups") else ()
    top.done()
    _keys_differ(top, clients)
    return Config(listen, audit, machines, units, clients, driver, limits, user, groups)


def _limits(table: Table) -> Limits:
    usual = Limits()
    limits = Limits(
        table.number("starts", 0, 10_000, usual.starts),
        table.number("cuts", 0, 10_000, usual.cuts),
        table.number("within_s", 1, 86_400, usual.within_s),
    )
    table.done()
    return limits


def _address(top: Table, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    try:
        address = ip_address(host.strip("[]") if colon else "")
        number = int(port) if port.isascii() and port.isdigit() else -1
    except ValueError:
        number = -1
    if not 0 <= number < 65536:
        raise top.wrong("listen", f"has {text!r}, which is not a numeric address and a port such as 10.77.1.1:7710")
    return str(address), number


def _machines(table: Table) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """`NAME` or `NAME@ID` of each plug's machine: names and ids."""
    machines, units = {}, {}
    for plug in table.names():
        text = table.text(plug)
        machines[plug], at, unit = text.partition("@")
        if not is_name(machines[plug]) or (at and not is_name(unit)):
            raise table.wrong(plug, f"is {text!r}, which is not the name of a machine, nor NAME@ID")
        if at:
            units[plug] = unit
    if len(set(machines.values())) < len(machines):
        raise table.wrong("", "names one machine under two plugs")
    return machines, units


def _client(name: str, table: Table, machines: Mapping[str, str]) -> Client:
    key_file, may = table.path("key_file"), table.texts("may")
    table.done()
    for plug in may:
        if plug not in machines:
            raise table.wrong("may", f"has {plug!r}, which is no plug of [machines]")
    try:
        return Client(name, read_key(str(key_file)), may)
    except KeyFileError as error:
        raise table.wrong("key_file", f"does not do: {error}") from None


def _keys_differ(top: Table, clients: Mapping[str, Client]) -> None:
    seen: dict[bytes, str] = {}
    for client in clients.values():
        other = seen.setdefault(client.key, client.name)
        if other != client.name:
            raise top.wrong(
                "clients", f"{other} and {client.name} have the same key, so neither is proven; give each its own"
            )
