"""The configuration of `kappa-powerd`: one TOML file, read once, checked whole. Everything wrong is one sentence."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from stonith.keyfile import KeyFileError, read_key
from stonith.power.docker import Docker
from stonith.power.driver import Driver
from stonith.wire import is_name, printable


class ConfigError(Exception):
    """One sentence that names the file, the key, what stands there and what should."""


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
    clients: Mapping[str, Client]
    driver: Driver


def load(path: Path) -> Config:
    """Read the file at `path` and the key files that it names. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return _config(_Table(str(path), "", tomllib.load(file)))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}); name kappa-powerd's configuration with --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {printable(error)}") from None


class _Table:
    """A TOML table that names itself in every complaint, and complains of keys that nobody asked for."""

    def __init__(self, file: str, name: str, content: object) -> None:
        self.file, self.name = file, name
        if not isinstance(content, dict):
            raise self.wrong("", "is not a table")
        self._left = dict(content)

    def wrong(self, key: str, what: str) -> ConfigError:
        place = ".".join(part for part in (self.name, key) if part)
        return ConfigError(f"{self.file}: {place or 'it'} {what}")

    def text(self, key: str) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "must be a string that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._take(key)
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise self.wrong(key, "must be a list of strings that is not empty")
        return tuple(value)

    def table(self, key: str) -> "_Table":
        return _Table(self.file, ".".join(part for part in (self.name, key) if part), self._take(key))

    def path(self, key: str) -> Path:
        path = Path(self.text(key))
        if not path.is_absolute():
            raise self.wrong(key, f"is {str(path)!r}, which is not an absolute path")
        return path

    def names(self) -> list[str]:
        if not self._left:
            raise self.wrong("", "is empty")
        for name in self._left:
            if not is_name(name):
                raise self.wrong(name, "is not a name: letters, digits, '.', '_' and '-' are allowed")
        return list(self._left)

    def done(self) -> None:
        if self._left:
            raise self.wrong(next(iter(self._left)), "is not a key that kappa-powerd knows")

    def _take(self, key: str) -> object:
        if key not in self._left:
            raise self.wrong(key, "is missing")
        return self._left.pop(key)


def _config(top: _Table) -> Config:
    listen = tuple(_address(top, text) for text in top.texts("listen"))
    audit = top.path("audit")
    if not audit.parent.is_dir():
        raise top.wrong("audit", f"is {str(audit)!r}, but there is no folder {str(audit.parent)!r}; make it")
    machines = _machines(top.table("machines"))
    clients_table = top.table("clients")
    clients = {name: _client(name, clients_table.table(name), machines) for name in clients_table.names()}
    driver = _driver(top.table("driver"))
    top.done()
    _keys_differ(top, clients)
    return Config(listen, audit, machines, clients, driver)


def _address(top: _Table, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    try:
        address = ip_address(host.strip("[]") if colon else "")
        number = int(port) if port.isascii() and port.isdigit() else -1
    except ValueError:
        number = -1
    if not 0 <= number < 65536:
        raise top.wrong("listen", f"has {text!r}, which is not a numeric address and a port such as 10.77.1.1:7710")
    return str(address), number


def _machines(table: _Table) -> Mapping[str, str]:
    machines = {plug: table.text(plug) for plug in table.names()}
    for plug, machine in machines.items():
        if not is_name(machine):
            raise table.wrong(plug, f"is {machine!r}, which is not the name of a machine")
    if len(set(machines.values())) < len(machines):
        raise table.wrong("", "names one machine under two plugs")
    return machines


def _client(name: str, table: _Table, machines: Mapping[str, str]) -> Client:
    key_file, may = table.path("key_file"), table.texts("may")
    table.done()
    for plug in may:
        if plug not in machines:
            raise table.wrong("may", f"has {plug!r}, which is no plug of [machines]")
    try:
        return Client(name, read_key(str(key_file)), may)
    except KeyFileError as error:
        raise table.wrong("key_file", f"does not do: {error}") from None


def _keys_differ(top: _Table, clients: Mapping[str, Client]) -> None:
    seen: dict[bytes, str] = {}
    for client in clients.values():
        other = seen.setdefault(client.key, client.name)
        if other != client.name:
            raise top.wrong(
                "clients", f"{other} and {client.name} have the same key, so neither is proven; give each its own"
            )


def _driver(table: _Table) -> Driver:
    kind = table.text("kind")
    if kind != "docker":
        raise table.wrong("kind", f"is {kind!r}; kappa-powerd has a driver for 'docker'")
    driver = Docker(str(table.path("socket")))
    table.done()
    return driver
