"""Stretches of time, and what two of them share: the few lines that every "at most one" rests on."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, order=True)
class Interval:
    """From `start` to `end`, both epoch seconds; a moment when they are equal. Never empty, never reversed."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not self.start <= self.end:
            raise ValueError(f"an interval cannot end ({self.end}) before it starts ({self.start})")

    @property
    def length(self) -> float:
        return self.end - self.start


def hull(moments: Iterable[float]) -> Interval | None:
    """The shortest interval that covers all the moments; None of none."""
    ordered = sorted(moments)
    return Interval(ordered[0], ordered[-1]) if ordered else None


def shared(one: Interval, other: Interval) -> Interval | None:
    """What both cover; None when they do not meet. Touching counts as a meeting, of no length."""
    start, end = max(one.start, other.start), min(one.end, other.end)
    return Interval(start, end) if start <= end else None


def holes(moments: Iterable[float], longest: float) -> list[Interval]:
    """Where two neighbours among the moments are further apart than `longest` seconds."""
    return [Interval(a, b) for a, b in pairwise(sorted(moments)) if b - a > longest]
