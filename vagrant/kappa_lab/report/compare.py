"""Two runs, drill by drill: what fails now and did not, what takes longer, what has got better."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kappa_lab.errors import LabError
from kappa_lab.report.outcome import FILE, Repeated, Run, read
from kappa_lab.report.words import count, printable, seconds

FACTOR: Final = 1.5
"""An RTO that is longer than so many times what it was has got worse."""
SLACK_S: Final = 0.5
"""Less than this is no difference, whatever its factor: the pauses of a cluster are of this size."""
WORSE: Final = ("new failure", "slower")


@dataclass(frozen=True)
class Row:
    """One drill, before and after; None where it was not run."""

    drill: str
    before: Repeated | None
    after: Repeated | None
    change: str
    """One of: new failure, slower, still fails, mended, faster, same, new, not run."""

    @property
    def rto_before(self) -> float | None:
        return self.before.rto.median if self.before and self.before.rto else None

    @property
    def rto_after(self) -> float | None:
        return self.after.rto.median if self.after and self.after.rto else None

    @property
    def difference(self) -> float | None:
        before, after = self.rto_before, self.rto_after
        return None if before is None or after is None else round(after - before, 3)


@dataclass(frozen=True)
class Comparison:
    before: str
    after: str
    factor: float
    rows: tuple[Row, ...]
    """New failures first, then what is slower, then the rest in the order of the newer run."""

    @property
    def worse(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.change in WORSE)

    def record(self) -> dict[str, Any]:
        return {
            "with": self.before,
            "factor": self.factor,
            "worse": [row.drill for row in self.worse],
            "drills": [
                {
                    "drill": row.drill, "change": row.change, "rto_before_s": row.rto_before,
                    "rto_after_s": row.rto_after, "difference_s": row.difference,
                }
                for row in self.rows
            ],
        }  # fmt: skip


def compare(before: Run, after: Run, factor: float = FACTOR) -> Comparison:
    """Raises LabError where the two have no drill in common: silence would look like all being well."""
    earlier, later = before.by_drill(), after.by_drill()
    if not set(earlier) & set(later):
        raise LabError(f"{before.name} and {after.name} have no drill in common.", "Name two runs of the same drills.")
    rows = [
        Row(drill, earlier.get(drill), one, _change(earlier.get(drill), one, factor)) for drill, one in later.items()
    ]
    rows += [Row(drill, one, None, "not run") for drill, one in earlier.items() if drill not in later]
    return Comparison(before.name, after.name, factor, tuple(sorted(rows, key=lambda row: _rank(row.change))))


def _rank(change: str) -> int:
    return WORSE.index(change) if change in WORSE else len(WORSE)


def _change(before: Repeated | None, after: Repeated, factor: float) -> str:
    if after.failed:
        return "still fails" if before is not None and before.failed else "new failure"
    if before is None:
        return "new"
    if before.rto and after.rto:
        old, new = before.rto.median, after.rto.median
        if new > factor * old and new - old > SLACK_S:
            return "slower"
        if before.failed == 0 and old > factor * new and old - new > SLACK_S:
            return "faster"
    return "mended" if before.failed else "same"


def text(comparison: Comparison) -> str:
    """For a terminal: what has got worse, in words; then a table of everything."""
    lines = [f"{comparison.after}, compared with {comparison.before}", ""]
    lines += [f"  {sentence}" for sentence in sentences(comparison)] or ["  Nothing has got worse."]
    heads = ("drill", "change", "RTO before", "RTO after", "difference", "lost", "stored twice", "repeated")
    table = [heads, *(cells(row) for row in comparison.rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(heads))]
    lines.append("")
    for line in table:
        shown = [
            cell.ljust(width) if n < 2 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append(f"  {'  '.join(shown)}".rstrip())
    return "\n".join(map(printable, lines))


def sentences(comparison: Comparison) -> Iterable[str]:
    """One for each drill that has got worse, new failures first."""
    for row in comparison.worse:
        if row.change == "new failure" and row.after:
            was = "was not run before" if row.before is None else "passed before"
            why = row.after.violations[0] if row.after.violations else "Nothing was judged."
            yield f"New failure: {row.drill} {was} and fails now: {why}"
        else:
            yield (
                f"Slower: {row.drill} took {seconds(row.rto_after)} to recover, {seconds(row.rto_before)} before: more "
                f"than {comparison.factor:g} times as long."
            )


def cells(row: Row) -> tuple[str, ...]:
    """What a table shows of one drill, before and after."""
    signed = "" if row.difference is None else f"{row.difference:+.3f} s".replace("-", "−")
    figures = (_both(row, "lost"), _both(row, "twice"), _both(row, "repeated"))
    return (row.drill, row.change, _rto(row.before), _rto(row.after), signed, *figures)


def _rto(one: Repeated | None) -> str:
    return "not run" if one is None else seconds(one.rto.median, "none") if one.rto else "none"


def _both(row: Row, figure: str) -> str:
    seen = [count(one.total(figure)) for one in (row.before, row.after) if one is not None]
    return " → ".join(dict.fromkeys(seen))


def runs(drills: Path) -> list[Path]:
    """Every run with a report, the oldest first: their names begin with when they were begun."""
    if not drills.is_dir():
        return []
    return sorted(one for one in drills.iterdir() if not one.is_symlink() and (one / FILE).is_file())


def chosen(drills: Path, before: str = "", after: str = "", factor: float = FACTOR) -> Comparison:
    """The two runs that were named, by folder or by name below `drills`; left out, the newest and the one before it
    that ran one of its drills. Raises LabError.
    """
    if after:
        newer = _place(drills, after)
    elif found := runs(drills):
        newer = found[-1]
    else:
        raise LabError(f"There is no run in {drills}.", "`sudo make drill` makes one.")
    if before:
        return compare(read(_place(drills, before)), read(newer), factor)
    if compared := previous(newer, read(newer), factor):
        return compared
    raise LabError(f"No run before {newer.name} ran any of its drills.", "Name the run to compare with.")


def _place(drills: Path, name: str) -> Path:
    return next((one for one in (Path(name), drills / name) if one.exists()), Path(name))


def previous(folder: Path, now: Run, factor: float = FACTOR) -> Comparison | None:
    """With the newest earlier run beside `folder` that ran one of the same drills; None when there is none."""
    own = folder.resolve()
    for one in reversed([one for one in runs(own.parent) if one.name < own.name]):
        try:
            return compare(read(one), now, factor)
        except LabError:
            continue  # of other drills, or of an age that is not read any more
    return None
