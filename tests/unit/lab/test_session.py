"""One lab for many drills: when it is kept, when it is built anew, and what is left of a run that did not end.

Lab, drill and judge are fakes here; what they really do is for the cluster's tests.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import environment, judge, lab, report, scenario
from kappa_lab.drill import evidence, session
from kappa_lab.drill.record import Hit
from kappa_lab.errors import LabError
from kappa_lab.judge import Finding, Verdict

CUT = scenario.load("power-cut")
JUDGE = judge.judge


class Fake:
    """What happened to the lab, in order; what each drill is to do, in order."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.drills: list[Callable[[Any], None]] = []
        self.broken: set[int] = set()
        self.judged = 0
        self.ups: list[bool] = []

    def up(self, by: str) -> None:
        self.did.append("up")
        if self.ups and not self.ups.pop(0):
            raise LabError("Three nodes did not come online.")

    def judge(self, folder: Path) -> Verdict:
        held = self.judged not in self.broken
        self.judged += 1
        finding = Finding("one poller", "s", "m", held, () if held else ("Two polled.",))
        return dataclasses.replace(JUDGE(folder), findings=(finding,))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    fake = Fake()

    class Play:
        def __init__(self, record: Any, follower: object) -> None:
            self.record = record

        def run(self) -> None:
            fake.did.append(f"drill {self.record.seed}")
            do = fake.drills.pop(0) if fake.drills else reaches
            do(self.record)

    monkeypatch.setattr(session, "DRILLS", tmp_path / "drills")
    monkeypatch.setattr(session, "STATE", tmp_path)
    monkeypatch.setattr(session, "Play", Play)
    monkeypatch.setattr(session, "predicted", lambda scenario: None)
    monkeypatch.setattr(session, "tidy", lambda: None)
    monkeypatch.setattr(environment, "describe", dict)
    monkeypatch.setattr(judge, "judge", fake.judge)
    monkeypatch.setattr(report, "write", lambda verdict, history, out: (out / "report.html").write_text("r"))
    monkeypatch.setattr(lab, "marked", lambda: None)
    monkeypatch.setattr(lab, "up", fake.up)
    monkeypatch.setattr(lab, "ready", lambda *_: fake.did.append("ready"))
    monkeypatch.setattr(lab, "down", lambda quiet=False: fake.did.append("down"))
    monkeypatch.setattr(evidence, "rotate", dict)
    monkeypatch.setattr(evidence, "collect", lambda folder, since: None)
    monkeypatch.setattr(evidence, "STATE", tmp_path)
    return fake


def reaches(record: Any) -> None:
    record.active = "node1"
    record.hits.append(Hit("power-cut", "active", ("node1",), 2.0, 3.0))


def stops(record: Any) -> None:
    reaches(record)
    raise LabError("Nobody was answered.")


def interrupted(record: Any) -> None:
    raise KeyboardInterrupt


def plan(count: int) -> list[tuple[scenario.Scenario, int]]:
    return [(CUT, seed) for seed in range(1, count + 1)]


def folder() -> Path:
    return Path(vars(session)["DRILLS"])


def latest() -> Path:
    return (folder() / "latest").resolve()


def test_a_lab_that_is_whole_is_kept_for_the_next_drill(fake: Fake) -> None:
    assert session.run(plan(3)) is True
    assert fake.did == ["up", "drill 1", "ready", "drill 2", "ready", "drill 3", "down"]
    assert sorted(one.name for one in latest().iterdir() if one.is_dir()) == [
        "01-power-cut", "02-power-cut", "03-power-cut",
    ]  # fmt: skip
    assert json.loads((latest() / "03-power-cut" / "drill.json").read_text())["seed"] == 3
    told = json.loads((latest() / "report.json").read_text())
    assert told["passed"] is True and len(told["drills"]) == 3


def test_one_drill_alone_lies_directly_in_its_folder(fake: Fake) -> None:
    assert session.run(plan(1)) is True
    assert latest().name.endswith("-power-cut")
    assert (latest() / "drill.json").exists() and (latest() / "report.html").exists()


def test_after_a_drill_that_failed_the_next_has_a_new_lab(fake: Fake) -> None:
    fake.broken = {0}
    fake.drills = [reaches, stops]
    assert session.run(plan(3)) is False
    assert fake.did == ["up", "drill 1", "down", "up", "drill 2", "down", "up", "drill 3", "down"]
    told = json.loads((latest() / "report.json").read_text())
    assert [one["passed"] for one in told["drills"]] == [False, False, True]


def test_an_interrupted_drill_leaves_nothing(fake: Fake) -> None:
    fake.drills = [interrupted]
    with pytest.raises(KeyboardInterrupt):
        session.run(plan(1))
    assert fake.did[-1] == "down"
    assert list(folder().iterdir()) == []


def test_an_interrupted_run_keeps_the_report_of_what_had_ended(fake: Fake) -> None:
    fake.drills = [reaches, interrupted]
    with pytest.raises(KeyboardInterrupt):
        session.run(plan(3))
    assert fake.did == ["up", "drill 1", "ready", "drill 2", "down"]
    assert [one.name for one in latest().iterdir() if one.is_dir()] == ["01-power-cut"]
    assert len(json.loads((latest() / "report.json").read_text())["drills"]) == 1


def test_a_lab_that_does_not_come_up_once_is_tried_again_for_the_next_drill(fake: Fake) -> None:
    fake.ups = [False, True]
    assert session.run(plan(2)) is False
    assert fake.did == ["up", "down", "up", "drill 2", "down"]


def test_a_lab_that_does_not_come_up_ends_the_run(fake: Fake) -> None:
    fake.ups = [False, False, False]
    with pytest.raises(LabError, match="Three nodes did not come online"):
        session.run(plan(3))
    assert fake.did == ["up", "down", "up", "down"]
    assert [one["passed"] for one in json.loads((latest() / "report.json").read_text())["drills"]] == [False, False]


def test_a_lone_drill_that_did_not_come_to_its_fault_says_so_and_leaves_its_report(fake: Fake) -> None:
    fake.ups = [False]
    with pytest.raises(LabError, match="Three nodes did not come online"):
        session.run(plan(1))
    assert (latest() / "report.html").exists()


def test_a_defect_in_one_drill_does_not_cost_the_next(fake: Fake) -> None:
    def defect(record: Any) -> None:
        reaches(record)
        raise KeyError("node9")

    fake.drills = [defect]
    assert session.run(plan(2)) is False
    assert fake.did == ["up", "drill 1", "down", "up", "drill 2", "down"]
    assert "KeyError: 'node9'" in (latest() / "01-power-cut" / "traceback.txt").read_text()
