"""The report of a run: every drill of it on one page, in one report.json, as one JUnit suite."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kappa_lab.judge import Verdict
from kappa_lab.report import compare, files, junit, outcome
from kappa_lab.report.compare import Comparison
from kappa_lab.report.markup import Markup
from kappa_lab.report.outcome import Outcome, Repeated, Run
from kappa_lab.report.record import record
from kappa_lab.report.run_page import Told, run_page
from kappa_lab.report.words import count, printable, seconds


def write(folder: Path, verdicts: Sequence[tuple[str, Verdict]], planned: int = 0) -> Path:
    """Write report.html, report.json and junit.xml of the drills that were run so far; returns the page.

    Each verdict comes with the name of its folder in `folder`, where its own report has been written before. With
    `planned`, a run of fewer drills than that is unfinished, and has not passed. Raises OSError. To be called after
    every drill: each file is replaced whole.
    """
    records = [_with_folder(folder, name, verdict) for name, verdict in verdicts]
    run = Run(folder.resolve().name, tuple(outcome.outcome(one, one["folder"]) for one in records), planned)
    compared = compare.previous(folder, run)
    told = [
        Told(one, verdict, _article(folder / name)) for one, (name, verdict) in zip(run.outcomes, verdicts, strict=True)
    ]
    files.write_json(folder / outcome.FILE, whole(run, records, compared))
    files.write(folder / "junit.xml", junit.junit(run))
    return files.write(folder / "report.html", run_page(run, told, compared))


def whole(run: Run, records: Sequence[dict[str, Any]], compared: Comparison | None) -> dict[str, Any]:
    """report.json of a run: `drills` holds each drill's own report.json, with the folder that it lies in."""
    started = [one.started for one in run.outcomes if one.started is not None]
    return {
        "run": run.name,
        "passed": run.passed,
        "finished": run.finished,
        "planned": run.planned or len(run.outcomes),
        "started": min(started, default=None),
        "took_s": run.took_s,
        "rto_s": {drill: one.rto.record() for drill, one in run.by_drill().items() if one.rto},
        "compared": compared.record() if compared else None,
        "drills": list(records),
    }


def summary(folder: Path) -> str:
    """What the report in `folder` says, for a terminal. Raises LabError when there is none."""
    run = outcome.read(folder)
    compared = compare.previous(folder, run)
    failed = [one for one in run.outcomes if not one.passed]
    state = "PASSED" if run.passed else "FAILED" if failed else "NOT FINISHED"
    lines = [f"Run {run.name}: {state}", "", *_table(run)]
    if spreads := [one for one in run.by_drill().values() if one.rto and len(one.outcomes) > 1]:
        lines += ["", "RTO over repetitions:", *map(_spread, spreads)]
    if failed:
        lines += ["", "Why it failed:"]
        lines += [
            f"  - {one.drill}: {sentence}" for one in failed for sentence in one.violations or ("Nothing was judged.",)
        ]
    if compared:
        told = list(compare.sentences(compared)) or ["Nothing has got worse."]
        lines += ["", f"Compared with {compared.before}:", *(f"  - {sentence}" for sentence in told)]
    return "\n".join(map(printable, lines))


def _table(run: Run) -> list[str]:
    heads = ("drill", "", "RTO", "typical", "worst", "lost", "repeated", "took")
    rows = [heads, *map(_row, run.outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if n < 2 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(one: Outcome) -> tuple[str, ...]:
    return (
        one.drill, "passed" if one.passed else "FAILED", seconds(one.rto_s, "none"), _about(one.typical_s),
        _about(one.worst_s), count(one.lost), count(one.repeated), _about(one.took_s),
    )  # fmt: skip


def _about(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _spread(one: Repeated) -> str:
    assert one.rto is not None
    rto = one.rto
    told = f"min {rto.least:.3f}, median {rto.median:.3f}, p95 {rto.p95:.3f}, max {rto.most:.3f} s"
    return f"  {one.drill}: {len(rto.values)} times, {told}"


def _with_folder(folder: Path, name: str, verdict: Verdict) -> dict[str, Any]:
    """What the drill's own report.json says beyond its verdict is kept: how long it took, and its outages."""
    own = outcome.content(folder / name)
    return {"folder": name, **record(verdict), "took_s": own.get("took_s"), "outages": own.get("outages", [])}


def _article(folder: Path) -> Markup | None:
    """The drill's part of its own page, which was escaped when it was made; None when it has no page."""
    try:
        text = (folder / "report.html").read_text(encoding="utf-8")
    except OSError:
        return None
    start, end = text.find("<article"), text.rfind("</article>")
    return Markup(text[start : end + len("</article>")]) if 0 <= start < end else None
