"""Two runs compared: what is called worse and what is not, and the command's exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kappa_lab.errors import LabError
from kappa_lab.paths import ROOT
from kappa_lab.report import compare, outcome
from kappa_lab.report.outcome import Run


def drill(
    name: str, rto_s: float | None = 5.0, passed: bool = True, why: str = "It broke.", **more: Any
) -> dict[str, Any]:
    figures = {"updates_lost": 0, "records_duplicated": 0, "replies_repeated": 0}
    violations = [] if passed else [why]
    return {"drill": name, "passed": passed, "rto_s": rto_s, "invariants": figures, "violations": violations, **more}


def run(name: str, *drills: dict[str, Any]) -> Run:
    return Run(name, tuple(outcome.outcome(one) for one in drills))


def changes(before: Run, after: Run, factor: float = 1.5) -> dict[str, str]:
    return {row.drill: row.change for row in compare.compare(before, after, factor).rows}


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (drill("a"), drill("a"), "same"),
        (drill("a"), drill("a", passed=False), "new failure"),
        (drill("a", passed=False), drill("a", passed=False), "still fails"),
        (drill("a", passed=False), drill("a"), "mended"),
        (drill("a", 5.0), drill("a", 7.51), "slower"),
        (drill("a", 5.0), drill("a", 7.5), "same"),
        (drill("a", 7.6), drill("a", 5.0), "faster"),
        (drill("a", 0.1), drill("a", 0.59), "same"),  # less than half a second is no difference
        (drill("a", 0.1), drill("a", 0.61), "slower"),
        (drill("a", None), drill("a", 9.0), "same"),  # what is allowed is the judge's to say
        (drill("a", 9.0), drill("a", None, passed=False), "new failure"),
        (drill("a", 5.0, passed=False), drill("a", 9.0), "slower"),
    ],
)
def test_a_change_has_one_name(before: dict[str, Any], after: dict[str, Any], change: str) -> None:
    compared = compare.compare(run("one", before), run("two", after))
    assert [row.change for row in compared.rows] == [change]
    assert bool(compared.worse) == (change in ("new failure", "slower"))


def test_the_factor_is_the_callers() -> None:
    assert changes(run("x", drill("a", 5.0)), run("y", drill("a", 9.0)), 2) == {"a": "same"}
    assert changes(run("x", drill("a", 5.0)), run("y", drill("a", 11.0)), 2) == {"a": "slower"}


def test_new_failures_come_first_and_then_what_is_slower() -> None:
    before = run("x", drill("a"), drill("b"), drill("c"), drill("gone"))
    after = run(
        "y", drill("a"), drill("b", 99.0), drill("c", passed=False, why="Two nodes polled."), drill("d", passed=False)
    )
    compared = compare.compare(before, after)
    assert [(row.drill, row.change) for row in compared.rows] == [
        ("c", "new failure"), ("d", "new failure"), ("b", "slower"), ("a", "same"), ("gone", "not run"),
    ]  # fmt: skip
    assert [row.drill for row in compared.worse] == ["c", "d", "b"]
    told = list(compare.sentences(compared))
    assert told[0] == "New failure: c passed before and fails now: Two nodes polled."
    assert told[1].startswith("New failure: d was not run before and fails now")
    assert told[2].startswith("Slower: b took 99.000 s to recover, 5.000 s before")
    text = compare.text(compared)
    assert text.index("New failure: c") < text.index("Slower: b") < text.index("RTO before")
    assert "+94.000 s" in text


def test_repetitions_are_compared_by_their_median_and_one_failure_of_many_is_a_failure() -> None:
    before = run("x", drill("a", 4.0), drill("a", 5.0), drill("a", 30.0))
    compared = compare.compare(before, run("y", drill("a", 5.1), drill("a", 5.2)))
    assert compared.rows[0].difference == pytest.approx(0.15)
    assert compared.rows[0].change == "same"
    assert changes(before, run("y", drill("a"), drill("a", passed=False))) == {"a": "new failure"}


def test_figures_are_shown_where_they_differ() -> None:
    lost = drill("a", passed=False)
    lost["invariants"] = {"updates_lost": 3, "records_duplicated": None, "replies_repeated": 0}
    row = compare.compare(run("x", drill("a")), run("y", lost)).rows[0]
    assert compare.cells(row)[5:] == ("0 → 3", "0 → unknown", "0")


def test_runs_without_a_common_drill_are_not_compared() -> None:
    with pytest.raises(LabError, match="x and y have no drill in common"):
        compare.compare(run("x", drill("a")), run("y", drill("b")))


def stored(folder: Path, *drills: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    content = {"drills": list(drills)} if len(drills) != 1 else drills[0]
    (folder / "report.json").write_text(json.dumps(content))
    return folder


def test_the_run_before_is_the_newest_that_ran_one_of_the_same_drills(tmp_path: Path) -> None:
    stored(tmp_path / "1", drill("a", 1.0), drill("z"))
    stored(tmp_path / "2", drill("a", 2.0))
    stored(tmp_path / "3", drill("b"))
    (tmp_path / "4").mkdir()  # was interrupted: it left no report
    newest = stored(tmp_path / "5", drill("a", 5.0))
    stored(tmp_path / "6", drill("a"))
    (tmp_path / "latest").symlink_to("6")
    compared = compare.previous(newest, outcome.read(newest))
    assert compared is not None
    assert (compared.before, compared.after) == ("2", "5")
    assert compare.previous(tmp_path / "1", outcome.read(tmp_path / "1")) is None
    assert compare.chosen(tmp_path).after == "6"
    assert compare.chosen(tmp_path).before == "5"
    assert compare.chosen(tmp_path, "1").before == "1"
    assert compare.chosen(tmp_path, "1", str(tmp_path / "2" / "report.json")).after == "2"
    with pytest.raises(LabError, match="No run before 1"):
        compare.chosen(tmp_path, after="1")
    with pytest.raises(LabError, match="There is no run in"):
        compare.chosen(tmp_path / "none")


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", '"x"', "\x00"])
def test_what_is_no_report_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(LabError) as refused:
        outcome.read(tmp_path)
    assert "report.json" in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(LabError, match="cannot be read"):
        outcome.read(tmp_path / "nowhere")


def test_what_is_not_of_its_type_counts_as_not_said() -> None:
    odd = outcome.outcome(
        {"drill": 7, "passed": "yes", "rto_s": True, "violations": "x", "prediction": [], "took_s": 1e999}
    )
    assert (odd.drill, odd.passed, odd.rto_s, odd.violations, odd.worst_s, odd.took_s) == (
        "7",
        False,
        None,
        (),
        None,
        None,
    )


def command(drills: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kappa_lab.cli", "compare", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'vagrant'}", "KAPPA_DRILLS_DIR": str(drills)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_the_command_ends_with_1_where_something_got_worse(tmp_path: Path) -> None:
    stored(tmp_path / "1", drill("a", 5.0))
    stored(tmp_path / "2", drill("a", 8.0))
    worse = command(tmp_path)
    assert (worse.returncode, worse.stderr) == (1, "")
    assert "Slower: a took 8.000 s to recover" in worse.stdout
    fine = command(tmp_path, "--factor", "2")
    assert fine.returncode == 0
    assert "Nothing has got worse." in fine.stdout
    back = command(tmp_path, "2", "1")
    assert back.returncode == 0
    assert "faster" in back.stdout
    wrong = command(tmp_path, "1", "nowhere")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1
    assert command(tmp_path, "--factor", "nan").returncode == 2
