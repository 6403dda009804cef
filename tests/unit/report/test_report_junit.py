"""junit.xml: what the schemas in use demand, and every violation in it."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from kappa_lab import report
from kappa_lab.judge import judge
from kappa_lab.report.junit import junit
from kappa_lab.report.outcome import Outcome, Run
from tests.histories import History


def outcome(drill: str, *violations: str, passed: bool | None = None, took_s: float | None = 12.5) -> Outcome:
    fine = not violations if passed is None else passed
    return Outcome(drill, f"01-{drill}", fine, (), 1_790_000_000.4, took_s, 5.0, None, None, 0, 0, 0, violations)


def parsed(text: str) -> ElementTree.Element:
    """Read as the strict schema has it: these elements in this order, with these attributes and no others."""
    root = ElementTree.fromstring(text)
    assert (root.tag, root.attrib) == ("testsuites", {})
    (suite,) = root
    assert suite.tag == "testsuite"
    assert set(suite.attrib) == {
        "name", "timestamp", "hostname", "tests", "failures", "errors", "skipped", "time", "id", "package",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    tags = [child.tag for child in suite]
    assert tags == ["properties", *["testcase"] * (len(tags) - 3), "system-out", "system-err"]
    for number in ("tests", "failures", "errors", "skipped", "id"):
        assert suite.attrib[number].isdigit()
    for case in suite.iter("testcase"):
        assert set(case.attrib) == {"name", "classname", "time"}
        assert float(case.attrib["time"]) >= 0
        for failure in case:
            assert failure.tag == "failure"
            assert set(failure.attrib) == {"message", "type"}
    return suite


def test_a_drill_is_a_case_and_a_violation_is_in_its_failure() -> None:
    suite = parsed(
        junit(Run("run", (outcome("power-cut"), outcome("rings-cut", "Two polled.", "One was lost."), outcome("deaf"))))
    )
    assert [case.attrib["name"] for case in suite.iter("testcase")] == ["power-cut", "rings-cut", "deaf"]
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["time"]) == ("3", "1", "37.500")
    assert suite.attrib["timestamp"] == "2026-09-21T14:13:20"
    (failure,) = suite.iter("failure")
    assert failure.attrib["message"] == "Two polled."
    assert (failure.text or "").splitlines() == ["Two polled.", "One was lost."]


def test_repetitions_have_names_of_their_own() -> None:
    suite = parsed(junit(Run("run", (outcome("a"), outcome("b"), outcome("a")))))
    assert [case.attrib["name"] for case in suite.iter("testcase")] == ["a (1)", "b", "a (2)"]


def test_what_failed_without_a_word_is_a_failure_all_the_same() -> None:
    suite = parsed(junit(Run("run", (outcome("a", passed=False, took_s=None),))))
    (failure,) = suite.iter("failure")
    assert failure.attrib["message"] == failure.text == "Nothing was judged."


def test_any_text_is_well_formed() -> None:
    nasty = '</failure>]]> & "quoted" \x00\x1b[31m \ud800 \uffff'
    suite = parsed(junit(Run(nasty, (outcome(nasty, nasty),))))
    (failure,) = suite.iter("failure")
    assert '</failure>]]> & "quoted"' in failure.attrib["message"]


def test_a_run_of_nothing_is_a_suite_of_nothing() -> None:
    assert parsed(junit(Run("run", ()))).attrib["tests"] == "0"


def test_it_lies_beside_the_report_of_one_drill(recorded: History, tmp_path: Path) -> None:
    recorded.records["places"].pop()
    history = recorded.write(tmp_path / "history")
    verdict = judge(history)
    report.write(verdict, history, tmp_path / "out")
    suite = parsed((tmp_path / "out" / "junit.xml").read_text())
    (failure,) = suite.iter("failure")
    assert (failure.text or "").splitlines() == list(verdict.violations)
