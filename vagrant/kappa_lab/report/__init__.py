"""The report of a drill: report.json for programs, report.html for people, a few lines for the terminal.

Drills that are run together have a report of their own besides (`run`), and two runs can be compared (`compare`).
"""

from pathlib import Path

from kappa_lab.judge import Verdict
from kappa_lab.judge.evidence import Evidence, read
from kappa_lab.report import files, junit, outcome
from kappa_lab.report.outcome import Run
from kappa_lab.report.page import page
from kappa_lab.report.picture import Picture, picture
from kappa_lab.report.record import record
from kappa_lab.report.summary import summary

__all__ = ["record", "summary", "write"]


def write(verdict: Verdict, history: Path, out_dir: Path) -> Path:
    """Write report.json, report.html and junit.xml for the history that was judged; returns the page. Raises OSError.

    Each file is replaced whole: a reader finds the old one or the new one.
    """
    evidence = read(history)
    drawn = picture(verdict, evidence)
    content = {**record(verdict), "took_s": _took(evidence), "outages": _outages(drawn)}
    files.write_json(out_dir / outcome.FILE, content)
    files.write(out_dir / "junit.xml", junit.junit(Run(out_dir.resolve().name, (outcome.outcome(content, "."),))))
    return files.write(out_dir / "report.html", page(verdict, drawn))


def _took(evidence: Evidence) -> float | None:
    drill = evidence.drill_
    return None if drill is None else round(drill.finished - drill.started, 1)


def _outages(drawn: Picture | None) -> list[dict[str, float]]:
    """Stretches in which somebody waited and nobody was answered: when each began, from the first fault, its length."""
    silent = drawn.silent if drawn else ()
    return [{"t": round(one.start, 3), "length_s": round(one.length, 3)} for one in silent]
