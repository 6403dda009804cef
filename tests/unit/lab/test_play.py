"""The order of a drill's steps: what is injected, waited for and healed when, and what is kept of it when it fails.

The lab is a fake one here: what the real one does is for the cluster's tests.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import cluster, faults, lab, predicates
from kappa_lab.cluster import Status
from kappa_lab.drill import play
from kappa_lab.drill.record import Record
from kappa_lab.errors import LabError
from kappa_lab.faults import Fault, Kind, Target, Value
from kappa_lab.scenario import Bounds, Expect, Heal, Inject, Scenario, Step, Traffic, WaitFor

EVERYWHERE = frozenset({"node1", "node2", "node3"})


class FakeLab:
    """Whole, with the group on `active`; `did` is what was done to it, in order."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.active = "node2"
        self.holds = True
        self.answered = 1000
        self.fails: str = ""

    def status(self) -> Status:
        group = {name: frozenset({self.active}) for name in ("vip", "web", "bot")}
        fencing = {name: frozenset({"node3"}) for name in ("fence-kappa", "fence-kappa-2")}
        return Status("node1", EVERYWHERE, True, {**group, **fencing, "router": EVERYWHERE}, "node3")

    def kind(self, name: str) -> Kind:
        def make(target: Target, given: Any) -> Fault:
            hit = "+".join(node.name for node in target.nodes)

            def inject() -> None:
                self.did.append(f"{name} {hit} while {target.active.name} is active, {given['size']}")
                if self.fails == name:
                    raise LabError(f"{name} cannot be injected.")

            return Fault(inject, lambda: self.did.append(f"heal {name}"))

        return Kind(name, "p", make, ("active", "passive", "passives", "dc", "all"), {"size": 1}, ends_node=name == "a")

    def telegram(self, method: str, path: str, body: Any = None) -> dict[str, object]:
        if method == "POST":
            self.did.append(path)
        self.answered += 50
        return {"running": False, "updates_answered": self.answered, "dialogues_half_way": 5, "dialogues_open": 0}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeLab:
    fake = FakeLab()
    monkeypatch.setattr(cluster, "status", fake.status)
    monkeypatch.setattr(lab, "telegram", fake.telegram)
    monkeypatch.setattr(play, "JOURNALS", tmp_path)
    monkeypatch.setattr(predicates, "lengths", dict)
    monkeypatch.setattr(faults, "KINDS", {name: fake.kind(name) for name in ("a", "b")})

    def holds(scene: predicates.Scene, given: Any) -> bool:
        fake.did.append(f"is it? active was {scene.active}")
        return fake.holds

    def off(scene: predicates.Scene, given: Any) -> bool:
        fake.did.append(f"off? {given['on']}")
        return True

    kinds = {"so": predicates.Kind("so", "p", holds, {"s": 0.0}), "fenced": predicates.Kind("fenced", "p", off)}
    monkeypatch.setattr(predicates, "KINDS", kinds)
    return fake


def scenario(*steps: Step, **expect: Any) -> Scenario:
    return Scenario(
        "s", "p", ("node",), Traffic(24, 8, 60, 3, 40, 150), steps, Expect("any", **expect), Bounds(1, 1, 1, 1)
    )


def played(fake: FakeLab, folder: Path, *steps: Step, **expect: Any) -> Record:
    record = Record(scenario(*steps, **expect), 7, 1.0)
    with cluster.LogFollower(folder, folder / "cluster.jsonl") as follower:
        try:
            play.Play(record, follower).run()
        finally:
            record.write(folder)
    return record


def test_steps_are_taken_in_their_order_and_what_is_left_is_healed_latest_first(fake: FakeLab, tmp_path: Path) -> None:
    given: dict[str, Value] = {"size": 2}
    steps = (
        Inject("a", "active", given), WaitFor("so", within_s=1), Inject("b", "dc"), Inject("a", "passive"), Heal("a"),
        Inject("b", "all"),
    )  # fmt: skip
    record = played(fake, tmp_path, *steps, fenced=("active", "dc"), may_be_fenced=("passives",))
    assert fake.did == [
        "/traffic",
        "a node2 while node2 is active, 2",
        "is it? active was node2",
        "b node3 while node2 is active, 1",
        "a node1 while node2 is active, 1",
        "heal a",
        "b node1+node2+node3 while node2 is active, 1",
        "off? node2",
        "off? node3",
        "heal b",
        "heal b",
        "heal a",
        "/traffic/stop",
    ]
    assert (record.active, record.dc) == ("node2", "node3")
    assert (record.fenced, record.may_be_fenced) == (("node2", "node3"), ("node1", "node3"))
    assert [stage.ok for stage in record.stages] == [True] * len(record.stages)
    kept = json.loads((tmp_path / "drill.json").read_text())
    assert [(hit["kind"], hit["on"], hit["nodes"], hit["ends_node"]) for hit in kept["faults"]] == [
        ("a", "active", ["node2"], True),
        ("b", "dc", ["node3"], False),
        ("a", "passive", ["node1"], True),
        ("b", "all", ["node1", "node2", "node3"], False),
    ]
    assert all(hit["t"] <= hit["done"] <= hit["healing"] <= hit["healed"] for hit in kept["faults"])
    assert kept["faults"][2]["healed"] <= kept["faults"][3]["t"]
    assert kept["expect"]["fenced"] == ["node2", "node3"] and kept["active"] == "node2"
    assert "fault" not in kept  # the first of the faults, and who was active, say all that it could
    noted = [json.loads(line) for line in (tmp_path / "cluster.jsonl").read_text().splitlines()]
    assert [(event["e"], event["node"]) for event in noted] == [
        ("active", "node2"), ("online", "node1"), ("online", "node2"), ("online", "node3"), ("active", "node2"),
    ]  # fmt: skip


def test_a_later_fault_hits_the_group_where_it_is_by_then(
    fake: FakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = fake.kind("a").make

    def moves(target: Target, given: Any) -> Fault:
        fault = make(target, given)

        def inject() -> None:
            fault.inject()
            fake.active = "node1"

        return Fault(inject, fault.heal)

    monkeypatch.setattr(faults, "KINDS", {"a": replace(fake.kind("a"), make=moves), "b": fake.kind("b")})
    played(fake, tmp_path, Inject("a", "active"), WaitFor("so", within_s=1), Inject("b", "active"))
    assert fake.did[1:4] == [
        "a node2 while node2 is active, 1",
        "is it? active was node2",
        "b node1 while node1 is active, 1",
    ]


def failed(fake: FakeLab, folder: Path, *steps: Step) -> tuple[str, Any]:
    with pytest.raises(LabError) as caught:
        played(fake, folder, *steps)
    return str(caught.value), json.loads((folder / "drill.json").read_text())


def test_a_fault_that_cannot_be_injected_ends_the_drill_and_is_healed_all_the_same(
    fake: FakeLab, tmp_path: Path
) -> None:
    fake.fails = "b"
    said, kept = failed(fake, tmp_path, Inject("a", "active"), Inject("b", "passive"), WaitFor("so", within_s=1))
    assert said == "b cannot be injected."
    assert fake.did[-2:] == ["heal b", "heal a"]
    assert "/traffic/stop" not in fake.did
    assert kept["steps"][-1] | {"t": 0, "ended": 0} == {
        "what": "fault b", "t": 0, "ended": 0, "ok": False, "why": "b cannot be injected.",
    }  # fmt: skip
    assert [hit["kind"] for hit in kept["faults"]] == ["a", "b"]


def test_what_never_comes_to_hold_ends_the_drill_and_is_named(fake: FakeLab, tmp_path: Path) -> None:
    fake.holds = False
    said, kept = failed(fake, tmp_path, Inject("a", "active"), WaitFor("so", within_s=0.3, given={"s": 2.0}))
    assert "still not: so (s = 2.0)" in said
    assert fake.did[-1] == "heal a"
    assert kept["steps"][-1]["why"] == said


def test_what_must_not_come_to_hold_ends_the_drill_when_it_does(fake: FakeLab, tmp_path: Path) -> None:
    said, _ = failed(fake, tmp_path, Inject("a", "active"), WaitFor("so", not_for_s=0.3))
    assert "It was not to be within 0.3 s, but is: so." in said
    fake.holds = False
    played(fake, tmp_path, Inject("a", "active"), WaitFor("so", not_for_s=0.3))


def test_a_fault_that_does_not_heal_fails_the_drill(
    fake: FakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise LabError("The cable does not go in again.")

    make: Callable[[Target, Any], Fault] = lambda target, given: Fault(lambda: None, broken)  # noqa: E731
    monkeypatch.setattr(faults, "KINDS", {"a": Kind("a", "p", make)})
    said, kept = failed(fake, tmp_path, Inject("a", "active"))
    assert said == "The cable does not go in again."
    hit = kept["faults"][0]
    assert hit["healed"] is None
    # whoever judges is told that it was tried, and when first
    assert hit["done"] <= hit["healing"] <= kept["steps"][-1]["ended"]


def test_where_nobody_has_the_group_nothing_is_broken(
    fake: FakeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "status", lambda: None)
    said, kept = failed(fake, tmp_path, Inject("a", "active"))
    assert "No node runs the bot" in said
    assert kept["faults"] == [] and kept["active"] is None
