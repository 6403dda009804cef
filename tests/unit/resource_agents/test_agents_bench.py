"""What the bench makes of its measurements, and what it says where it cannot measure. Its figures are not tested."""

import json
import os
from pathlib import Path
from typing import cast

import pytest

from tests.bench import agents
from tests.bench.agents import Bench, Case, Cost, Side, Starter


def cost(*wall: float, cpu: float = 1.0, memory: float = 9.0, forks: int = 0) -> Cost:
    return Cost(list(wall), [cpu] * len(wall), [memory] * len(wall), [forks] * len(wall))


def bench(monitor: Cost) -> Bench:
    case = Case("vip", Side(Path("/x/kappa/vip"), {}), Side(Path("/x/heartbeat/IPaddr2"), {}), (10,),
                Side(Path("/x/kappa/vip"), {}))  # fmt: skip
    made = Bench(Path("/x"), cast(Starter, None), [case])
    made.bare = cost(10.0, 8.0, 12.0)
    for whose, monitored in (("ours", monitor), ("peer", cost(40.0, cpu=4.0, forks=30))):
        made.costs |= {("vip", whose, action): cost(20.0) for action in ("start", "stop", "meta-data")}
        made.costs["vip", whose, "monitor"] = monitored
    made.costs["vip", "ours", "monitor_10"] = cost(15.0, cpu=1.5, forks=2)
    made.costs["vip", "promotable", "promote"] = cost(25.0)
    return made


def test_figures_are_ratios_of_medians() -> None:
    found = agents.findings(bench(cost(16.0, 99.0, 15.0)), "resource-agents 1")["vip"]
    assert (found["monitor_ms"], found["vs_bare_python"]) == (16.0, 1.6)
    assert (found["vs_peer"], found["peer"]) == (0.4, "heartbeat/IPaddr2")
    assert found["vs_peer_cpu"] == 0.25
    assert all(goal["met"] for goal in found["goals"])
    assert (found["levels"]["10"]["ms"], found["levels"]["10"]["vs_bare_python"]) == (15.0, 1.5)
    assert (found["levels"]["10"]["vs_bare_python_cpu"], found["levels"]["10"]["forks"]) == (1.5, 2)
    assert found["promotable"]["promote"]["ms"] == 25.0
    assert json.loads(json.dumps(found)) == found


def test_a_goal_that_is_not_met_is_said_to_be_so() -> None:
    made = bench(cost(17.5, cpu=2.0, memory=12.5, forks=1))
    found = agents.findings(made, "")
    unmet = {goal["goal"] for goal in found["vip"]["goals"] if not goal["met"]}
    assert unmet == {"monitor, × bare python", "monitor CPU, × bare python", "monitor, processes forked",
                     "peak memory, MB", "monitor CPU, × heartbeat/IPaddr2"}  # fmt: skip
    assert sum("NOT MET" in line for line in agents.table(found, made.bare)) == len(unmet)


def test_what_is_missing_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(agents, "HEARTBEAT", tmp_path)
    assert agents.main([]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "apt-get install --no-install-recommends resource-agents" in said
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert agents.main([]) == 2
    assert "needs root" in capsys.readouterr().err
