"""A storm around its faults: what is drawn here, what its verdict says, and how the command refuses what is wrong."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kappa_lab import judge
from kappa_lab.errors import LabError
from kappa_lab.faults import AREAS
from kappa_lab.judge import moments
from kappa_lab.judge.verdict import Answers, Figures, Finding, Timeline, Verdict
from kappa_lab.paths import ROOT
from kappa_lab.storm.command import chosen
from kappa_lab.storm.plan import Plan, Strike, draw
from kappa_lab.storm.run import BROKE_OFF, Outcome, as_scenario, judged, possible, told

HELD = Finding("one poller", "At most one.", "0 s", True)
BROKEN = Finding("nothing lost", "Nothing.", "1 lost", False, ("Update 7 was never answered.",))
UNJUDGED = Finding("came back", "Back.", "not judged", None, ("Not judged: came back.",))


def verdict(*findings: Finding) -> Verdict:
    return Verdict("storm-1", "", 0.0, None, findings, Timeline(), Figures(), Answers(0, None, None, None, None), {})


def outcome_of(monkeypatch: pytest.MonkeyPatch, folder: Path, *findings: Finding, failure: LabError | None = None,
               missed: int = 0) -> Outcome:  # fmt: skip
    monkeypatch.setattr(judge, "judge", lambda _: verdict(*findings))
    outcome = Outcome(1, 20, 20 - missed, [f"fault {n}" for n in range(missed)])
    judged(folder, outcome, failure)
    return outcome


def test_a_storm_in_which_all_was_judged_and_held_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert outcome_of(monkeypatch, tmp_path, HELD).held
    assert outcome_of(monkeypatch, tmp_path, HELD, missed=2).held


def test_what_is_broken_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome = outcome_of(monkeypatch, tmp_path, HELD, BROKEN, UNJUDGED)
    assert outcome.broken == ["nothing lost", "came back"]
    assert not outcome.held
    outcome = outcome_of(monkeypatch, tmp_path, HELD, failure=LabError("Not fit."))
    assert outcome.broken == [BROKE_OFF]
    assert outcome.violations == ["The storm did not run to its end: Not fit."]


def test_a_storm_that_missed_most_of_its_faults_shows_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome = outcome_of(monkeypatch, tmp_path, HELD, missed=3)
    assert outcome.broken == []
    assert outcome.violations == ["Of 20 faults 3 found nothing to break, the first: fault 0"]
    assert not outcome.held


def test_the_outcome_in_words() -> None:
    words = told(Outcome(7, 20, 19, ["fault 3"], 2, 114.0, [2.5, 9.5]))
    assert "Storm 7: 19 of 20 faults came in 1.9 min (6.0 s a fault), 1 found nothing to break" in words
    assert "Outages in which users waited: 2, 9.5 s at the longest, 0.2 min in all." in words
    assert words.endswith("Every invariant held.")
    assert told(Outcome(7, 20, broken=["one poller"])).endswith("Broken: one poller.")


def test_what_this_machine_cannot_do_is_not_drawn() -> None:
    kinds = AREAS["router"]
    cannot = dataclasses.replace(kinds[0], possible=lambda: "No such kernel.")
    not_drawn = dataclasses.replace(kinds[1], storm=False)
    assert possible({"router": (cannot, not_drawn, *kinds[2:])}) == {"router": kinds[2:]}


def test_every_area_has_a_fault_for_a_storm() -> None:
    assert all(any(kind.storm for kind in kinds) for kinds in AREAS.values())


def test_as_a_drill_a_storm_lets_all_be_fenced_and_expects_the_service_back() -> None:
    scenario = as_scenario(Plan(4, (Strike(1.0, "power-cut", "active"),), users=30, rate_per_s=5.0))
    assert (scenario.expect.service, scenario.expect.may_be_fenced) == ("any", ("all",))
    assert (scenario.traffic.users, scenario.traffic.rate_per_s) == (30, 5.0)


def test_a_plan_is_read_or_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kappa_lab.storm.command.possible", lambda: AREAS)
    file = tmp_path / "plan.toml"
    file.write_text('[[faults]]\nat_s = 1\nfault = "power-cut"\non = "active"\n')
    assert len(chosen(file, 1, None, None).strikes) == 1
    assert chosen(None, 9, 5, None) == draw(9, AREAS, faults=5)
    assert chosen(None, 9, None, None).strikes[-1].at_s <= 120


def storm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kappa_lab.cli", "storm", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'vagrant'}"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--plan", "/nonexistent/plan.toml"), "/nonexistent/plan.toml: No such file or directory."),
        (("--plan", "plan.toml", "--faults", "3"), "--plan says itself which faults come when"),
        (("--faults", "0"), "0 is not in the range x>=1"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_anything_is_started(arguments: tuple[str, ...], said: str) -> None:
    ran = storm(*arguments)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_outages_are_left_out_where_the_evidence_lacks_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert outcome_of(monkeypatch, tmp_path, HELD).outages_s == []
    monkeypatch.setattr(moments, "outages", lambda _: [type("Outage", (), {"length": 2.34})()])
    assert outcome_of(monkeypatch, tmp_path, HELD).outages_s == [2.3]
