"""A storm's plan as a file: TOML, to be read, edited by hand, and played again.

seed = 7
users = 24
rate_per_s = 8.0

[[faults]]
at_s = 3.2
fault = "power-cut"
on = "active"         # of the roles of this kind of fault, or a node's name; left out where it is no node's matter
heal_after_s = 4.1
# any other key is a parameter of this kind of fault
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kappa_lab.errors import LabError
from kappa_lab.faults.kind import Kind, Value
from kappa_lab.storm.plan import LEAST_S, Plan, Strike
from kappa_lab.topology import NODES

TITLE: Final = "# A storm. `kappa-lab storm --plan THIS_FILE` lets it loose again.\n"


def text(plan: Plan) -> str:
    lines = [TITLE + f"seed = {plan.seed}", f"users = {plan.users}", f"rate_per_s = {_value(plan.rate_per_s)}"]
    for strike in plan.strikes:
        lines += ["", "[[faults]]", f"at_s = {_value(strike.at_s)}", f"fault = {_value(strike.fault)}"]
        lines += [f"on = {_value(strike.on)}"] if strike.on else []
        lines += [f"heal_after_s = {_value(strike.heal_after_s)}"]
        lines += [f"{name} = {_value(value)}" for name, value in strike.given.items()]
    return "\n".join(lines) + "\n"


def write(plan: Plan, file: Path) -> None:
    file.write_text(text(plan), encoding="utf-8")


def read(file: Path, kinds: Mapping[str, Kind]) -> Plan:
    """Raises LabError naming the file, the fault by its number, the key, and what was expected."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{file}: {error.strerror or error}.", "A plan is the plan.toml in a storm's folder.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{file.name} is not TOML: {error}.") from None
    faults = data.pop("faults", None)
    if not isinstance(faults, list) or not faults or not all(isinstance(fault, dict) for fault in faults):
        raise LabError(f"{file.name} has no [[faults]]: there is nothing to let loose.")
    top = _Table(file.name, data)
    plan = Plan(
        seed=top.whole("seed", 1, least=0),
        strikes=tuple(sorted((_strike(file.name, n, f, kinds) for n, f in enumerate(faults, 1)), key=lambda s: s.at_s)),
        users=top.whole("users", Plan.users, least=1),
        rate_per_s=top.number("rate_per_s", Plan.rate_per_s, least=0.1),
    )
    top.nothing_else()
    return plan


def _strike(file: str, number: int, data: dict[str, Any], kinds: Mapping[str, Kind]) -> Strike:
    table = _Table(f"{file}: fault {number}", data)
    name = table.text("fault", None)
    kind = kinds.get(name)
    if kind is None:
        raise table.wrong("fault", name, f"one of {', '.join(sorted(kinds))}")
    on = table.text("on", "")
    if on not in ((*kind.on, *(node.name for node in NODES)) if kind.on else ("",)):
        raise table.wrong("on", on, f"one of {', '.join(kind.on)}, or a node's name" if kind.on else "left out")
    at_s = table.number("at_s", None, least=0)
    heal_after_s = table.number("heal_after_s", LEAST_S, least=0)
    given = {key: table.like(key, kind.parameters[key]) for key in data if key in kind.parameters}
    table.nothing_else()
    return Strike(at_s, name, on, heal_after_s, given)


class _Table:
    """A table of the file, that knows which of its keys were asked for."""

    def __init__(self, where: str, data: Mapping[str, Any]) -> None:
        self._where, self._data = where, data
        self._asked: set[str] = set()

    def wrong(self, key: str, value: object, wanted: str) -> LabError:
        return LabError(f"{self._where}: {key} is {value!r}; it must be {wanted}.")

    def text(self, key: str, default: str | None) -> str:
        return str(self._get(key, default, (str,), "a text"))

    def whole(self, key: str, default: int | None, least: int) -> int:
        value = int(self._get(key, default, (int,), wanted := f"a whole number, {least} or more"))
        if value < least:
            raise self.wrong(key, value, wanted)
        return value

    def number(self, key: str, default: float | None, least: float) -> float:
        value = float(self._get(key, default, (int, float), wanted := f"a number, {least:g} or more"))
        if not least <= value < float("inf"):
            raise self.wrong(key, value, wanted)
        return value

    def like(self, key: str, default: Value) -> Value:
        """A value of its default's type."""
        if isinstance(default, float):
            return float(self._get(key, None, (int, float), "a number"))
        if isinstance(default, list):
            return [str(one) for one in self._get(key, None, (list,), "a list of texts")]
        found: Value = self._get(key, None, (type(default),), f"like {default!r}")
        return found

    def nothing_else(self) -> None:
        if unknown := sorted(set(self._data) - self._asked):
            raise LabError(f"{self._where}: {', '.join(unknown)}: there is no such key here.")

    def _get(self, key: str, default: object, types: tuple[type, ...], wanted: str) -> Any:
        self._asked.add(key)
        if key not in self._data:
            if default is None:
                raise LabError(f"{self._where}: {key} is missing; it must be {wanted}.")
            return default
        value = self._data[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise self.wrong(key, value, wanted)
        return value


def _value(value: Value) -> str:
    """As TOML writes it, which is as JSON does for what is used here."""
    return json.dumps(value, ensure_ascii=False)
