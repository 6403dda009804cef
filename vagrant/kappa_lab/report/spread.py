"""How a figure spread over repetitions."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    values: tuple[float, ...]
    """In the order in which they were measured; at least one."""

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return round(statistics.median(self.values), 3)

    @property
    def p95(self) -> float:
        """Nearest rank: a value that was really measured, and the greatest where there are fewer than twenty."""
        return sorted(self.values)[math.ceil(0.95 * len(self.values)) - 1]

    @property
    def most(self) -> float:
        return max(self.values)

    def record(self) -> dict[str, object]:
        return {
            "n": len(self.values), "min": self.least, "median": self.median, "p95": self.p95, "max": self.most,
            "values": list(self.values),
        }  # fmt: skip


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of those that were measured; None when none was."""
    known = tuple(value for value in values if value is not None)
    return Spread(known) if known else None
