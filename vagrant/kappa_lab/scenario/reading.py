"""A drill as data: read from vagrant/drills/NAME.toml, and refused with the file and the key when it is wrong."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kappa_lab.errors import LabError
from kappa_lab.paths import ROOT

FOLDER: Final = ROOT / "vagrant" / "drills"
FAULTS: Final = ("power-cut", "freeze-and-thaw", "rings-cut", "one-way-cut", "corosync-killed", "level-1-dead")
LEAST_USERS: Final = 20
LEAST_UPDATES: Final = 100


@dataclass(frozen=True)
class Traffic:
    users: int
    rate_per_s: float
    """What all users do together, in updates a second."""
    updates_before: int
    half_way_before: int
    """So many users are in the middle of registering a place when the fault comes."""
    updates_after: int
    updates_at_least: int


@dataclass(frozen=True)
class Bounds:
    """Seconds after which a stage of the drill is called failed."""

    traffic_s: float
    answer_s: float
    rejoin_s: float
    drain_s: float


@dataclass(frozen=True)
class Scenario:
    name: str
    purpose: str
    tags: tuple[str, ...]
    traffic: Traffic
    fault: str
    bounds: Bounds


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load(name: str) -> Scenario:
    """Read a drill by name. Raises LabError naming the file, the key and what was expected."""
    file = FOLDER / f"{name}.toml"
    if not file.exists():
        raise LabError(f"There is no drill {name!r}.", f"These are known: {', '.join(names())}.")
    return read(file)


def read(file: Path) -> Scenario:
    try:
        data = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{file.name} is not TOML: {error}.") from None
    top = _Table(file, "", data)
    traffic, fault, bounds = top.table("traffic"), top.table("fault"), top.table("bounds")
    scenario = Scenario(
        name=top.text("name"),
        purpose=top.text("purpose"),
        tags=top.texts("tags"),
        traffic=Traffic(
            users=int(traffic.number("users", LEAST_USERS)),
            rate_per_s=traffic.number("rate_per_s", 0.1),
            updates_before=int(traffic.number("updates_before", 1)),
            half_way_before=int(traffic.number("half_way_before", 1)),
            updates_after=int(traffic.number("updates_after", 1)),
            updates_at_least=int(traffic.number("updates_at_least", LEAST_UPDATES)),
        ),
        fault=fault.one_of("kind", FAULTS),
        bounds=Bounds(*(bounds.number(key, 1) for key in ("traffic_s", "answer_s", "rejoin_s", "drain_s"))),
    )
    fault.one_of("node", ("active",))
    for table in (top, traffic, fault, bounds):
        table.nothing_else()
    if scenario.name != file.stem:
        raise LabError(f"{file.name}: name is {scenario.name!r}; it must be the file's own, {file.stem!r}.")
    return scenario


class _Table:
    """One table of the file, that knows which of its keys were asked for."""

    def __init__(self, file: Path, name: str, data: Mapping[str, Any]) -> None:
        self._file, self._name, self._data = file, name, data
        self._asked: set[str] = set()

    def _path(self, key: str) -> str:
        return f"{self._file.name}: {self._name + '.' if self._name else ''}{key}"

    def _get(self, key: str, kind: type | tuple[type, ...], wanted: str) -> Any:
        self._asked.add(key)
        if key not in self._data:
            raise LabError(f"{self._path(key)} is missing; it must be {wanted}.")
        value = self._data[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise LabError(f"{self._path(key)} is {value!r}; it must be {wanted}.")
        return value

    def text(self, key: str) -> str:
        return str(self._get(key, str, "a text"))

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(str(value) for value in self._get(key, list, "a list of texts"))

    def number(self, key: str, least: float) -> float:
        value = float(self._get(key, (int, float), f"a number, {least:g} or more"))
        if not value >= least:
            raise LabError(f"{self._path(key)} is {value:g}; it must be a number, {least:g} or more.")
        return value

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        value = str(self._get(key, str, f"one of {', '.join(known)}"))
        if value not in known:
            raise LabError(f"{self._path(key)} is {value!r}; it must be one of {', '.join(known)}.")
        return value

    def table(self, key: str) -> "_Table":
        return _Table(self._file, key, self._get(key, dict, "a table"))

    def nothing_else(self) -> None:
        if unknown := sorted(set(self._data) - self._asked):
            raise LabError(
                f"{self._path(unknown[0])} is not a key of a drill; known here: {', '.join(sorted(self._asked))}."
            )
