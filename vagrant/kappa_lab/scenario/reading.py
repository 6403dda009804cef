"""A drill as data: read from vagrant/drills/NAME.toml, and refused by file, line and key when it is wrong."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kappa_lab import faults, predicates, roles
from kappa_lab.errors import LabError
from kappa_lab.faults import Kind, Value
from kappa_lab.paths import ROOT
from kappa_lab.predict import KINDS as PREDICTIONS
from kappa_lab.scenario.lines import Lines, Place
from kappa_lab.scenario.model import SERVICE, Bounds, Expect, Heal, Inject, Scenario, Step, Traffic, WaitFor

FOLDER: Final = ROOT / "vagrant" / "drills"
AREAS: Final = ("bot", "router", "mongodb", "nginx", "vip", "node", "telegram", "fencing", "operator")
CI: Final = "ci"
LEAST_USERS: Final = 20
LEAST_UPDATES: Final = 100


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load(name: str) -> Scenario:
    """Read a drill by name. Raises LabError naming the file, the line, the key and what was expected."""
    file = FOLDER / f"{name}.toml"
    if not file.exists():
        raise LabError(f"There is no drill {name!r}.", f"These are known: {', '.join(names())}.")
    return read(file)


def read(file: Path) -> Scenario:
    try:
        text = file.read_text()
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{file.name} is not TOML: {error}.") from None
    top = _Table(file.name, Lines(text), (), data)
    scenario = Scenario(
        name=top.text("name"),
        purpose=top.text("purpose"),
        tags=_tags(top),
        traffic=_traffic(top.table("traffic")),
        steps=_steps(top),
        expect=_expect(top.table("expect", needed=True)),
        bounds=_bounds(top.table("bounds")),
    )
    top.nothing_else()
    if scenario.name != file.stem:
        raise top.error("name", f"is {scenario.name!r}; it must be the file's own, {file.stem!r}")
    return scenario


def _tags(top: "_Table") -> tuple[str, ...]:
    tags = top.texts("tags", one_of=(*AREAS, CI))
    if not set(tags) & set(AREAS):
        raise top.error("tags", f"names no area; at least one must be of {', '.join(AREAS)}")
    return tags


def _traffic(table: "_Table") -> Traffic:
    traffic = Traffic(
        users=int(table.number("users", LEAST_USERS, 24)),
        rate_per_s=table.number("rate_per_s", 0.1, 16.0),
        updates_before=int(table.number("updates_before", 1, 60)),
        half_way_before=int(table.number("half_way_before", 1, 3)),
        updates_after=int(table.number("updates_after", 1, 40)),
        updates_at_least=int(table.number("updates_at_least", LEAST_UPDATES, 150)),
    )
    table.nothing_else()
    return traffic


def _bounds(table: "_Table") -> Bounds:
    bounds = Bounds(
        traffic_s=table.number("traffic_s", 1, 60),
        answer_s=table.number("answer_s", 1, 60),
        rejoin_s=table.number("rejoin_s", 1, 75),
        drain_s=table.number("drain_s", 1, 90),
    )
    table.nothing_else()
    return bounds


def _expect(table: "_Table") -> Expect:
    expect = Expect(
        service=table.one_of("service", SERVICE),
        fenced=table.texts("fenced", one_of=roles.KNOWN, default=()),
        may_be_fenced=table.texts("may_be_fenced", one_of=roles.KNOWN, default=()),
        strangers=table.flag("strangers", False),
        predicted=table.one_of("predicted", tuple(PREDICTIONS), default=""),
    )
    table.nothing_else()
    return expect


def _steps(top: "_Table") -> tuple[Step, ...]:
    steps: list[Step] = []
    for table in top.tables("steps"):
        step = _step(table, [step.fault for step in steps if isinstance(step, Inject)])
        table.nothing_else()
        steps.append(step)
    if not any(isinstance(step, Inject) for step in steps):
        raise top.error("steps", "has no fault; a drill needs at least one")
    return tuple(steps)


WHAT: Final = ("fault", "wait_for", "heal")


def _step(table: "_Table", injected: list[str]) -> Step:
    what = [key for key in WHAT if key in table]
    if len(what) != 1:
        said = f"has {' and '.join(what)}" if what else "says neither what breaks nor what is waited for or healed"
        raise table.error("", f"{said}; it must have one of {', '.join(WHAT)}")
    if what == ["fault"]:
        return _inject(table)
    if what == ["wait_for"]:
        return _wait(table)
    healed = table.one_of("heal", (*faults.KINDS, "all"))
    if healed not in injected and not (healed == "all" and injected):
        before = f"before it are {', '.join(injected)}" if injected else "there is none before it"
        raise table.error("heal", f"is {healed!r}, a fault that no step before this one injects; {before}")
    return Heal(healed)


def _inject(table: "_Table") -> Inject:
    kind = faults.KINDS[table.one_of("fault", tuple(faults.KINDS))]
    on = ""
    if places := _places(kind):
        on = table.one_of("on", places)
    elif "on" in table:
        raise table.error("on", f"is there, but {kind.name} is no node's matter; leave it out")
    return Inject(kind.name, on, table.parameters(kind.parameters, f"of {kind.name}"))


def _places(kind: Kind) -> tuple[str, ...]:
    """Where it can hit: its roles, and any node by name where it can hit a single one."""
    return (*kind.on, *roles.NAMES) if {"active", "passive"} & set(kind.on) else kind.on


def _wait(table: "_Table") -> WaitFor:
    kind = predicates.KINDS[table.one_of("wait_for", tuple(predicates.KINDS))]
    times = {key: table.number(key, 0.1) for key in ("within_s", "not_for_s") if key in table}
    if len(times) != 1:
        raise table.error(
            "within_s", "and not_for_s are both there; one must go" if times else "is missing; it must be a number of "
            "seconds (or not_for_s, for what must not come to hold)",
        )  # fmt: skip
    for key in kind.needed:
        if key not in table:
            raise table.error(key, f"is missing; {kind.name} needs it")
    given = table.parameters(kind.parameters, f"of {kind.name}")
    if given.get("on") and given["on"] not in roles.KNOWN:
        raise table.error("on", f"is {given['on']!r}; it must be one of {', '.join(roles.KNOWN)}")
    if "pattern" in given:
        try:
            re.compile(str(given["pattern"]))
        except re.error as error:
            raise table.error("pattern", f"is no regular expression: {error}") from None
    return WaitFor(kind.name, times.get("within_s", 0.0), times.get("not_for_s", 0.0), given)


MISSING: Final = object()
TYPES: Final[Mapping[type, str]] = {
    str: "a text", float: "a number", int: "a whole number", bool: "true or false", list: "a list of texts",
}  # fmt: skip


def _fits(value: object, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


@dataclass
class _Table:
    """One table of the file, that knows where it stands and which of its keys were asked for."""

    file: str
    lines: Lines
    place: Place
    data: Mapping[str, Any]
    asked: set[str] = field(default_factory=set)

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def error(self, key: str, said: str) -> LabError:
        shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*self.place, key) if part)
        return LabError(f"{self.file}:{self.lines.of(self.place, key)}: {shown.removeprefix('.')} {said}.")

    def get(self, key: str, kind: type, wanted: str, default: object = MISSING) -> Any:
        self.asked.add(key)
        if key not in self.data:
            if default is MISSING:
                raise self.error(key, f"is missing; it must be {wanted}")
            return default
        value = self.data[key]
        if not _fits(value, kind):
            raise self.error(key, f"is {value!r}; it must be {wanted}")
        return value

    def text(self, key: str) -> str:
        return str(self.get(key, str, "a text"))

    def flag(self, key: str, default: bool) -> bool:
        return bool(self.get(key, bool, "true or false", default))

    def texts(self, key: str, one_of: tuple[str, ...], default: object = MISSING) -> tuple[str, ...]:
        wanted = f"a list of {', '.join(one_of)}"
        values = tuple(str(value) for value in self.get(key, list, wanted, default))
        for value in values:
            if value not in one_of:
                raise self.error(key, f"has {value!r}; it must be {wanted}")
        return values

    def number(self, key: str, least: float, default: object = MISSING) -> float:
        wanted = f"a number, {least:g} or more"
        value = float(self.get(key, float, wanted, default))
        if not least <= value < float("inf"):
            raise self.error(key, f"is {value:g}; it must be {wanted}")
        return value

    def one_of(self, key: str, known: tuple[str, ...], default: object = MISSING) -> str:
        wanted = f"one of {', '.join(known)}"
        value = str(self.get(key, str, wanted, default))
        if value not in known and value != default:
            raise self.error(key, f"is {value!r}; it must be {wanted}")
        return value

    def parameters(self, defaults: Mapping[str, Value], whose: str) -> dict[str, Value]:
        """All that is left in the table, as `defaults` has it; what the file does not say is the default."""
        given = dict(defaults)
        for key, value in self.data.items():
            if key in self.asked:
                continue
            if key not in defaults:
                known = ", ".join(sorted({*self.asked, *defaults}))
                raise self.error(key, f"is not a parameter {whose}; known here: {known}")
            kind = type(defaults[key])
            given[key] = self.get(key, kind, TYPES[kind])
            if kind is float:
                given[key] = float(value)
        return given

    def table(self, key: str, needed: bool = False) -> "_Table":
        data = self.get(key, dict, "a table", MISSING if needed else {})
        return _Table(self.file, self.lines, (*self.place, key), data)

    def tables(self, key: str) -> list["_Table"]:
        self.asked.add(key)
        found = self.data.get(key, MISSING)
        if not isinstance(found, list) or not found or not all(isinstance(item, dict) for item in found):
            said = "is missing" if found is MISSING else "is no list of tables"
            raise self.error(key, f"{said}; a drill has at least one [[{key}]]")
        return [_Table(self.file, self.lines, (*self.place, key, n), item) for n, item in enumerate(found, start=1)]

    def nothing_else(self) -> None:
        if unknown := sorted(set(self.data) - self.asked):
            known = ", ".join(sorted(self.asked))
            raise self.error(unknown[0], f"is not a key of a drill; known here: {known}")
