"""What came of a drill, as its report.json says it: enough to list it, to count it and to compare it."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kappa_lab.errors import LabError
from kappa_lab.report.spread import Spread, spread

FILE: Final = "report.json"


@dataclass(frozen=True)
class Outcome:
    """One drill, run once. What its report does not say is None."""

    drill: str
    folder: str
    """Where its own report lies, from the run's folder."""
    passed: bool
    faults: tuple[str, ...]
    started: float | None
    took_s: float | None
    rto_s: float | None
    typical_s: float | None
    worst_s: float | None
    lost: int | None
    twice: int | None
    repeated: int | None
    violations: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """Drills that were run together; one drill is a run too."""

    name: str
    outcomes: tuple[Outcome, ...]
    planned: int = 0
    """How many there were to be; 0 where nobody said."""

    @property
    def finished(self) -> bool:
        return len(self.outcomes) >= self.planned

    @property
    def passed(self) -> bool:
        """There were some, none is missing, and every one passed."""
        return bool(self.outcomes) and self.finished and all(outcome.passed for outcome in self.outcomes)

    @property
    def took_s(self) -> float | None:
        """All drills together; None when it is not known of each."""
        known = [outcome.took_s for outcome in self.outcomes if outcome.took_s is not None]
        return round(sum(known), 1) if len(known) == len(self.outcomes) > 0 else None

    def by_drill(self) -> dict[str, "Repeated"]:
        """In the order in which each drill was first run."""
        found: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            found.setdefault(outcome.drill, []).append(outcome)
        return {drill: Repeated(drill, tuple(outcomes)) for drill, outcomes in found.items()}


@dataclass(frozen=True)
class Repeated:
    """One drill, as often as it was run."""

    drill: str
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> int:
        return sum(not outcome.passed for outcome in self.outcomes)

    @property
    def rto(self) -> Spread | None:
        return spread(outcome.rto_s for outcome in self.outcomes)

    def total(self, figure: str) -> int | None:
        """Of all repetitions together; None when one of them could not be counted."""
        counts = [getattr(outcome, figure) for outcome in self.outcomes]
        return None if None in counts else sum(counts)

    @property
    def violations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sentence for outcome in self.outcomes for sentence in outcome.violations))


def outcome(record: Mapping[str, Any], folder: str = "") -> Outcome:
    """From what one drill's report.json holds; whatever is not of its type counts as not said."""
    figures, prediction = _table(record.get("invariants")), _table(record.get("prediction"))
    return Outcome(
        drill=str(record.get("drill", "?")),
        folder=folder,
        passed=record.get("passed") is True,
        faults=tuple(_faults(record)),
        started=_number(record.get("started")),
        took_s=_number(record.get("took_s")),
        rto_s=_number(record.get("rto_s")),
        typical_s=_number(prediction.get("typical_s")),
        worst_s=_number(prediction.get("worst_s")),
        lost=_count(figures.get("updates_lost")),
        twice=_count(figures.get("records_duplicated")),
        repeated=_count(figures.get("replies_repeated")),
        violations=tuple(map(str, _list(record.get("violations")))),
    )


def read(place: Path) -> Run:
    """The run that left `place`: its folder, or its report.json. Raises LabError naming what is wrong with it."""
    file = place / FILE if place.is_dir() else place
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{file} cannot be read: {error.strerror or error}.", "Name a run's folder.") from None
    except ValueError as error:
        raise LabError(f"{file} is not JSON: {error}.", "Name a run's folder.") from None
    name = file.resolve().parent.name
    if isinstance(record, dict) and isinstance(record.get("drills"), list):
        drills = [one for one in record["drills"] if isinstance(one, dict)]
        outcomes = tuple(outcome(one, str(one.get("folder", ""))) for one in drills)
        return Run(name, outcomes, _count(record.get("planned")) or 0)
    if isinstance(record, dict) and "drill" in record:
        return Run(name, (outcome(record, "."),))
    raise LabError(f"{file} is no report of a run or a drill.", "Name a run's folder.")


def content(folder: Path) -> Mapping[str, Any]:
    """What the report.json in `folder` holds; nothing when it cannot be read."""
    try:
        return _table(json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _faults(record: Mapping[str, Any]) -> Iterable[str]:
    """Each fault with whom it hit, as one would say it."""
    for fault in filter(None, map(_table, _list(record.get("faults")))):
        names = ", ".join(map(str, _list(fault.get("nodes"))))
        yield f"{fault.get('kind', '?')} on {names}" if names else str(fault.get("kind", "?"))


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _number(value: object) -> float | None:
    return (
        float(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        else None
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
