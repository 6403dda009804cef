"""Shrinking where outcomes are known beforehand: what counts as the same failure, and what an interruption leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kappa_lab.errors import LabError
from kappa_lab.faults import KINDS
from kappa_lab.storm import sheet
from kappa_lab.storm.plan import Plan, Strike
from kappa_lab.storm.run import BROKE_OFF, PLAN, Outcome, read_outcome
from kappa_lab.storm.trials import KEPT, SHORTEST, TRIALS, shrink

KIND = ("power-cut", "rings-cut", "corosync-killed", "freeze-and-thaw")
WHOLE = Plan(5, tuple(Strike(2.0 * n, KIND[n % 4], "active", 1.0) for n in range(12)))
NEEDED = {WHOLE.strikes[3].fault, WHOLE.strikes[10].fault}


def failed_storm(folder: Path, broken: list[str], plan: Plan = WHOLE, **more: int) -> Path:
    folder.mkdir()
    sheet.write(plan, folder / PLAN)
    Outcome(plan.seed, len(plan.strikes), came=len(plan.strikes), broken=broken, **more).write(folder)  # type: ignore[arg-type]
    return folder


def lab_in_which(fails: Callable[[Plan], list[str]], tried: list[int]) -> Callable[[Plan, Path], Outcome]:
    def attempt(plan: Plan, folder: Path) -> Outcome:
        tried.append(len(plan.strikes))
        outcome = Outcome(plan.seed, len(plan.strikes), broken=fails(plan))
        outcome.write(folder)
        return outcome

    return attempt


def lost_where_needed(plan: Plan) -> list[str]:
    return ["nothing lost"] if {strike.fault for strike in plan.strikes} >= NEEDED else ["order kept"]


def test_it_finds_the_few_faults_and_keeps_every_trial(tmp_path: Path) -> None:
    folder, tried = failed_storm(tmp_path / "storm", ["nothing lost", "came back"]), list[int]()
    found = shrink(folder, 10, lab_in_which(lost_where_needed, tried))
    assert {strike.fault for strike in found.strikes} == NEEDED
    assert len(found.strikes) == 2
    assert found == sheet.read(folder / SHORTEST, KINDS)
    places = sorted((folder / TRIALS).iterdir())
    assert [place.name for place in places] == [f"{n:02d}" for n in range(1, len(tried) + 1)]
    for place, faults in zip(places, tried, strict=True):
        assert len(sheet.read(place / PLAN, KINDS).strikes) == faults == len(json.loads((place / KEPT).read_text()))


def test_another_failure_is_another_matter(tmp_path: Path) -> None:
    """Every part breaks the order; the storm did not."""
    folder, tried = failed_storm(tmp_path / "storm", ["nothing lost"]), list[int]()
    found = shrink(folder, 10, lab_in_which(lambda _: ["order kept"], tried))
    assert found == WHOLE
    assert tried


def test_interrupted_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder, tried = failed_storm(tmp_path / "storm", ["nothing lost"]), list[int]()
    honest = lab_in_which(lost_where_needed, tried)

    def interrupted(plan: Plan, place: Path) -> Outcome:
        if len(tried) == 3:
            raise KeyboardInterrupt
        return honest(plan, place)

    with pytest.raises(KeyboardInterrupt):
        shrink(folder, 10, interrupted)
    before = len(tried)
    found = shrink(folder, 10, honest)
    assert len(found.strikes) == 2
    uninterrupted: list[int] = []
    shrink(failed_storm(tmp_path / "other", ["nothing lost"]), 10, lab_in_which(lost_where_needed, uninterrupted))
    assert tried == uninterrupted
    assert before == 3


def test_when_the_time_is_over_the_shortest_so_far_is_kept(tmp_path: Path) -> None:
    folder, tried = failed_storm(tmp_path / "storm", ["nothing lost"]), list[int]()
    assert shrink(folder, 0, lab_in_which(lost_where_needed, tried)) == WHOLE
    assert tried == []
    assert sheet.read(folder / SHORTEST, KINDS) == WHOLE


def test_what_would_have_come_after_it_broke_off_is_left_out_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "storm"
    failed_storm(folder, [BROKE_OFF])
    Outcome(5, 12, came=2, missed=["one"], broken=[BROKE_OFF]).write(folder)
    tried: list[int] = []
    shrink(folder, 10, lab_in_which(lambda _: [], tried))
    assert max(tried) == 3


@pytest.mark.parametrize("broken", [None, []])
def test_of_a_storm_that_held_there_is_nothing_to_shrink(broken: list[str] | None, tmp_path: Path) -> None:
    folder = failed_storm(tmp_path / "storm", broken or [])
    if broken is None:
        (folder / "storm.json").unlink()
    with pytest.raises(LabError, match="No storm broke anything in"):
        shrink(folder, 10)


def test_an_outcome_survives_its_file(tmp_path: Path) -> None:
    outcome = Outcome(3, 9, 7, ["fault 2: missed"], 1, 61.5, [2.5], ["one poller"], ["Two polled."])
    outcome.write(tmp_path)
    assert read_outcome(tmp_path) == outcome
    assert not outcome.held
    (tmp_path / "storm.json").write_text("{")
    assert read_outcome(tmp_path) is None


@pytest.mark.parametrize(("broken", "violations"), [(["one poller"], []), ([], ["Most faults were missed."])])
def test_a_storm_holds_only_when_nothing_at_all_was_broken(broken: list[str], violations: list[str]) -> None:
    assert Outcome(1, 1).held
    assert not Outcome(1, 1, broken=broken, violations=violations).held
