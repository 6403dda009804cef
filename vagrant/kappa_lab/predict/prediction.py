"""A prediction is a list of parts, and its sums are theirs and nothing else."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    name: str
    typical_s: float
    worst_s: float
    source: str
    """What says so: the setting, or the measurement."""


@dataclass(frozen=True)
class Prediction:
    kind: str
    title: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    never: str = ""
    """Why nothing recovers by itself; then there are no sums."""

    @property
    def typical_s(self) -> float | None:
        return None if self.never else sum(part.typical_s for part in self.parts)

    @property
    def worst_s(self) -> float | None:
        return None if self.never else sum(part.worst_s for part in self.parts)
