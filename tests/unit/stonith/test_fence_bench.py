"""What the bench of fencing makes of its measurements, and what it says where it cannot measure."""

import json
from pathlib import Path

import pytest

from tests.bench import fence
from tests.bench.agents import BenchError, Cost
from tests.bench.fence import Case
from tests.unit.stonith.broker import AGENT


def cost(*wall: float) -> Cost:
    return Cost(list(wall))


def cases(docker_off: float) -> list[Case]:
    return [
        Case("fence_kappa", [], [], "a broker", cost(40.0, 44.0, 99.0), cost(30.0, 30.0)),
        Case("fence_docker", [], [], "an engine", cost(docker_off, docker_off), cost(200.0, 200.0)),
        Case("fence_virsh", [], [], "a script", cost(440.0, 440.0), cost(300.0, 300.0)),
    ]


def test_figures_are_ratios_of_medians_and_each_says_what_stands_behind_it() -> None:
    every = cases(400.0)
    found = fence.findings(every, cost(10.0, 10.0), cost(15.0, 15.0), "fence-agents 1")
    assert (found["off_ms"], found["status_ms"], found["vs_bare_python"]) == (44.0, 30.0, 1.5)
    assert (found["vs_fence_docker"], found["vs_fence_virsh"]) == (0.11, 0.1)
    assert [found["behind"], *(peer["behind"] for peer in found["peers"].values())] == [
        "a broker",
        "an engine",
        "a script",
    ]
    assert all(goal["met"] for goal in found["goals"])
    assert json.loads(json.dumps(found)) == found
    assert all("an engine" in line for line in fence.table(every, found) if line.startswith("fence_docker"))


def test_a_goal_that_is_not_met_is_said_to_be_so() -> None:
    every = cases(20.0)
    found = fence.findings(every, cost(10.0, 10.0), cost(41.0, 41.0), "")
    assert [goal["met"] for goal in found["goals"]] == [False, False]
    assert sum("NOT MET" in line for line in fence.table(every, found)) == 2


def test_the_request_is_timed_at_the_broker() -> None:
    assert len(fence.start_to_request(AGENT, 2).wall) == 2
    with pytest.raises(BenchError, match="did not ask for off"):
        fence.start_to_request(Path("/bin/true"), 2)


def test_what_is_missing_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fence, "SBIN", tmp_path)
    assert fence.main([]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "apt-get install --no-install-recommends fence-agents" in said
