"""A storm as the drill that its history is one of: what is kept of its faults and steps, also where it breaks off."""

import functools
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from kappa_lab import cluster, lab
from kappa_lab.cluster import Status
from kappa_lab.drill import play as drill_play
from kappa_lab.drill.record import Record
from kappa_lab.errors import LabError
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.storm import run
from kappa_lab.storm.plan import Plan, Strike
from kappa_lab.storm.play import Patience, Storm
from kappa_lab.storm.run import Outcome, Weather, as_scenario

ALL = frozenset({"node1", "node2", "node3"})


class FakeLab:
    """Whole, with the group on node2, unless it is `sick`."""

    def __init__(self) -> None:
        self.sick = False
        self.asked: list[str] = []
        self.answered = 1000

    def status(self, last: object = ()) -> Status:
        group = {name: frozenset(() if self.sick else {"node2"}) for name in ("vip", "web", "bot")}
        fencing = {name: frozenset({"node3"}) for name in ("fence-kappa", "fence-kappa-2")}
        return Status("node1", ALL, True, {**group, **fencing, "router": ALL}, "node3")

    def telegram(self, method: str, path: str, body: object = None) -> dict[str, object]:
        self.asked.append(path if body is None else f"{path} {body}")
        self.answered += 100
        return {"running": False, "updates_answered": self.answered, "dialogues_half_way": 5, "dialogues_open": 0}

    def kind(self, name: str, sickens: bool = False) -> Kind:
        def make(_target: Target, _given: Mapping[str, Value]) -> Fault:
            def inject() -> None:
                self.sick = sickens

            return Fault(inject, lambda: None) if ends_node else Fault(inject)

        ends_node = name == "power-cut"
        return Kind(name, "Nothing at all.", make, ends_node=ends_node)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeLab:
    fake = FakeLab()
    monkeypatch.setattr(cluster, "status", fake.status)
    monkeypatch.setattr(lab, "telegram", fake.telegram)
    monkeypatch.setattr(drill_play, "JOURNALS", tmp_path)
    areas = {"bot": (fake.kind("bot-killed"), fake.kind("it-stays-away", sickens=True)),
             "node": (fake.kind("power-cut"),)}  # fmt: skip
    monkeypatch.setattr(run, "AREAS", areas)
    patience = Patience(fit=0.5, hold=0.5, heal=0.5, between=0.01, look=0.01)
    monkeypatch.setattr(run, "Storm", functools.partial(Storm, patience=patience))
    monkeypatch.setattr(run, "BOUNDS", run.BOUNDS.__class__(1, 1, 1, 1))
    return fake


def weathered(folder: Path, *strikes: Strike) -> tuple[dict[str, object], Outcome, str]:
    """drill.json, what became of it, and why it broke off."""
    plan, outcome, why = Plan(11, strikes), Outcome(11, len(strikes)), ""
    record = Record(as_scenario(plan), plan.seed, time.time())
    with cluster.LogFollower(folder / "no-logs", folder / "cluster.jsonl") as follower:
        try:
            Weather(plan, record, follower, outcome).run()
        except LabError as error:
            why = str(error)
    record.write(folder)
    return json.loads((folder / "drill.json").read_text()), outcome, why


def test_faults_and_healings_are_kept_with_their_times(fake: FakeLab, tmp_path: Path) -> None:
    drill, outcome, why = weathered(
        tmp_path, Strike(0.0, "power-cut", "active", 0.05), Strike(0.1, "bot-killed", "dc", 0.05)
    )
    assert why == ""
    hits = drill["faults"]
    assert isinstance(hits, list)
    assert [(hit["kind"], hit["on"], hit["nodes"], hit["ends_node"]) for hit in hits] == [
        ("power-cut", "active", ["node2"], True),
        ("bot-killed", "dc", ["node3"], False),
    ]
    assert all(hit["t"] <= hit["done"] <= hit["healing"] - 0.04 <= hit["healed"] for hit in hits)
    assert [hit["lasts"] for hit in hits] == [True, False]
    steps = drill["steps"]
    assert isinstance(steps, list)
    assert [step["what"] for step in steps] == ["traffic", "storm", "whole", "traffic after", "drain"]
    assert all(step["ok"] for step in steps)
    assert drill["active"] == "node2"
    assert drill["expect"] == {
        "service": "any", "fenced": [], "may_be_fenced": ["node1", "node2", "node3"], "strangers": False,
        "predicted": "",
    }  # fmt: skip
    assert (outcome.came, outcome.missed) == (2, [])
    assert outcome.lasted_s >= 0.1


def test_a_fault_that_fails_when_the_next_has_come_already_was_over_when_its_healing_began(
    fake: FakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()

    def make(_target: Target, _given: Mapping[str, Value]) -> Fault:
        def inject() -> None:
            waiting.wait(0.8)  # longer than a storm holds for it
            raise LabError("There is nothing to break.")

        return Fault(inject, lambda: None)

    monkeypatch.setattr(
        run, "AREAS", {"bot": (Kind("slow", "It does not come.", make),), "node": (fake.kind("power-cut"),)}
    )
    drill, outcome, _ = weathered(tmp_path, Strike(0.0, "slow", "dc", 0.01), Strike(0.1, "power-cut", "active", 0.6))
    slow, cut, again = cast("list[dict[str, float]]", drill["faults"])
    assert slow["t"] < slow["done"] == slow["healing"] <= slow["healed"] < cut["healed"]
    assert cut["healed"] < again["t"] < again["done"] == again["healing"]
    assert outcome.came == 1


def test_the_traffic_is_of_the_storms_seed(fake: FakeLab, tmp_path: Path) -> None:
    weathered(tmp_path, Strike(0.0, "bot-killed", "dc", 0.01))
    assert any(one.startswith("/traffic {") and "'seed': 11" in one for one in fake.asked)


def test_every_node_is_seen_to_be_back(fake: FakeLab, tmp_path: Path) -> None:
    weathered(tmp_path, Strike(0.0, "power-cut", "active", 0.01))
    events = [json.loads(line) for line in (tmp_path / "cluster.jsonl").read_text().splitlines()]
    assert [event["node"] for event in events if event["e"] == "online"] == ["node1", "node2", "node3"]
    assert [event["node"] for event in events if event["e"] == "active"] == ["node2", "node2"]


def test_a_storm_that_breaks_off_keeps_what_came_and_says_why(fake: FakeLab, tmp_path: Path) -> None:
    drill, outcome, why = weathered(
        tmp_path, Strike(0.0, "it-stays-away", "dc", 0.01), Strike(0.1, "bot-killed", "active", 0.01)
    )
    assert "the lab is still not fit for fault 2 of 2, bot-killed on node2 (active): no node has the whole group" in why
    hits, steps = drill["faults"], drill["steps"]
    assert isinstance(hits, list)
    assert isinstance(steps, list)
    assert [hit["kind"] for hit in hits] == ["it-stays-away"]
    failed = {step["what"]: step["why"] for step in steps if not step["ok"]}
    assert set(failed) == {"storm", "whole"}
    assert failed["storm"] == why
    assert outcome.came == 1
