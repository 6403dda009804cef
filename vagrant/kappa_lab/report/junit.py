"""JUnit's XML of a run, as the tools of continuous integration read it: a drill is a test case."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from datetime import UTC, datetime

from kappa_lab.report.markup import legal
from kappa_lab.report.outcome import Outcome, Run

SUITE = "drills"
HOST = "lab"
"""The suite says where it ran; a report does not name the machine."""


def junit(run: Run) -> str:
    """Element and attribute order, and which are there, are those of both schemas in use, the strict one included."""
    failed = sum(not outcome.passed for outcome in run.outcomes)
    suite = ElementTree.Element(
        "testsuite", name=legal(run.name), timestamp=_when(run.outcomes), hostname=HOST, tests=str(len(run.outcomes)),
        failures=str(failed), errors="0", skipped="0", time=_seconds(sum(one.took_s or 0.0 for one in run.outcomes)),
        id="0", package=SUITE,
    )  # fmt: skip
    ElementTree.SubElement(suite, "properties")
    for outcome, name in zip(run.outcomes, _names(run), strict=True):
        case = ElementTree.SubElement(
            suite, "testcase", name=legal(name), classname=SUITE, time=_seconds(outcome.took_s or 0.0)
        )
        if not outcome.passed:
            why = [legal(sentence) for sentence in outcome.violations] or ["Nothing was judged."]
            ElementTree.SubElement(case, "failure", message=why[0], type="violation").text = "\n".join(why)
    for stream in ("system-out", "system-err"):
        ElementTree.SubElement(suite, stream)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _names(run: Run) -> Iterable[str]:
    """The drill's, with a number where it was run more than once: test cases are told apart by their names."""
    seen: dict[str, int] = {}
    repeated = run.by_drill()
    for outcome in run.outcomes:
        seen[outcome.drill] = seen.get(outcome.drill, 0) + 1
        several = len(repeated[outcome.drill].outcomes) > 1
        yield f"{outcome.drill} ({seen[outcome.drill]})" if several else outcome.drill


def _when(outcomes: Iterable[Outcome]) -> str:
    began = min((one.started for one in outcomes if one.started is not None), default=0.0)
    try:
        return f"{datetime.fromtimestamp(began, UTC):%Y-%m-%dT%H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00"


def _seconds(value: float) -> str:
    return f"{value:.3f}"
