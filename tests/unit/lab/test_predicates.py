"""What a drill waits for: each predicate holds when its witness says so, and not before."""

import json
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import cluster, predicates
from kappa_lab.cluster import Failure, Status
from kappa_lab.errors import LabError
from kappa_lab.predicates import KINDS, Replies, Scene
from kappa_lab.topology import MEMBERS

FIRST, LATEST = 1000.0, 1010.0


def reply(t: float, node: str) -> str:
    return json.dumps({"e": "reply", "t": t, "node": node}, separators=(",", ":")) + "\n"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    journal = tmp_path / "telegram.jsonl"
    journal.write_text('{"e":"start","t":1.0}\n')
    return Scene(Replies(journal), "node1", "node3", FIRST, LATEST)


def holds(scene: Scene, kind: str, /, **given: Any) -> bool:
    return KINDS[kind].holds(scene, {**KINDS[kind].parameters, **given})


def seen(monkeypatch: pytest.MonkeyPatch, **like: Any) -> None:
    everywhere = frozenset({"node1", "node2", "node3"})
    running = {name: frozenset({"node1"}) for name in ("vip", "web", "bot")} | {"router": everywhere}
    said = {"asked": "node2", "online": everywhere, "quorum": True, "running": running, "dc": "node3", **like}
    monkeypatch.setattr(cluster, "status", lambda: Status(**said))


def test_answered_is_an_answer_since_the_fault_and_elsewhere_one_of_another_node(scene: Scene) -> None:
    journal = scene.replies.journal
    with journal.open("a") as file:
        file.write(reply(LATEST - 1, "node2") + '{"e":"update","t":1011.0}\n')
    assert not holds(scene, "answered")
    with journal.open("a") as file:
        file.write(reply(LATEST + 1, "node1") + reply(LATEST + 2, "node2")[:20])
    assert holds(scene, "answered")
    assert not holds(scene, "answered", elsewhere=True)
    with journal.open("a") as file:
        file.write(reply(LATEST + 2, "node2")[20:])
    assert holds(scene, "answered", elsewhere=True)
    assert len(scene.replies.seen) == 3


def test_silence_is_counted_from_the_latest_answer_or_fault(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene.replies.journal.open("a") as file:
        file.write(reply(LATEST + 5, "node1"))
    monkeypatch.setattr("time.time", lambda: LATEST + 7.9)
    assert not holds(scene, "silence", s=3.0)
    monkeypatch.setattr("time.time", lambda: LATEST + 8.0)
    assert holds(scene, "silence", s=3.0)
    scene.latest = LATEST + 6
    assert not holds(scene, "silence", s=3.0)


def test_fenced_is_what_the_brokers_saw_off_since_the_first_fault(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit: list[str] = []
    monkeypatch.setattr("kappa_lab.power.audit", lambda: audit)
    off = {"action": "off", "ok": True, "plug": "node1", "after": "off"}
    for unlike in ({"t": FIRST - 1}, {"ok": False}, {"after": "on"}, {"action": "status"}, {"plug": "node2"}):
        audit.append(json.dumps({"t": FIRST + 1, **off, **unlike}))
    assert not holds(scene, "fenced")
    audit.append(json.dumps({"t": FIRST + 1, **off, "action": "reboot"}))
    assert holds(scene, "fenced")
    assert holds(scene, "fenced", on="node2")
    assert not holds(scene, "fenced", on="all")


def test_where_nodes_are_members_and_where_the_group_runs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch)
    assert holds(scene, "online", on="all")
    assert not holds(scene, "offline", on="passive")
    assert holds(scene, "active", on="active")
    assert not holds(scene, "active", on="passives")
    assert not holds(scene, "moved")
    moved = {name: frozenset({"node2"}) for name in ("vip", "web", "bot")}
    seen(monkeypatch, online=frozenset({"node2", "node3"}), running=moved)
    assert not holds(scene, "online", on="all")
    assert holds(scene, "offline", on="active")
    assert holds(scene, "active", on="passive")
    assert holds(scene, "moved")
    half = {**moved, "bot": frozenset[str]()}
    seen(monkeypatch, running=half)
    assert not holds(scene, "moved")
    assert not holds(scene, "active", on="passive")


def test_a_resource_that_fails_is_started_or_is_stopped(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, failures=(Failure("bot", "node1", FIRST - 60), Failure("web", "node2", FIRST + 1)))
    assert not holds(scene, "resource-failed", resource="bot")
    assert holds(scene, "resource-failed", resource="web")
    assert not holds(scene, "resource-failed", resource="web", on="active")
    assert holds(scene, "resource-started", resource="bot")
    assert holds(scene, "resource-started", resource="router", on="all")
    assert not holds(scene, "resource-started", resource="bot", on="passive")
    assert not holds(scene, "resource-stopped", resource="bot")
    assert holds(scene, "resource-stopped", resource="bot", on="passives")
    assert holds(scene, "resource-stopped", resource="nothing")


@pytest.mark.parametrize("name", ["online", "offline", "active", "moved", "resource-stopped"])
def test_where_no_node_answers_nothing_holds(scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(cluster, "status", lambda: None)
    assert not holds(scene, name)


def test_a_primary_is_there_when_a_member_says_that_it_is_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicates, "_is_primary", lambda member: False)
    assert not holds(scene, "primary")
    assert holds(scene, "primary", there=False)
    monkeypatch.setattr(predicates, "_is_primary", lambda member: member == MEMBERS[1])
    assert holds(scene, "primary")
    assert not holds(scene, "primary", there=False)


def test_how_many_requests_met_telegrams_misbehaviour(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kappa_lab.lab.telegram", lambda *_: {"faults": [], "met": 3})
    assert holds(scene, "telegram-faults-hit", count=3)
    assert not holds(scene, "telegram-faults-hit", count=4)


def test_a_nodes_attribute(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch)
    asked = []

    def docker(*args: str, **_: object) -> str:
        asked.append(args)
        return 'name="kappa-telegram" host="node1" value="0"\n'

    monkeypatch.setattr(predicates, "docker", docker)
    assert holds(scene, "attribute", name="kappa-telegram", value="0")
    assert not holds(scene, "attribute", name="kappa-telegram", value="1")
    assert asked[0][:3] == ("exec", "kappa-lab-node1", "attrd_updater") and asked[0][-2:] == ("--node", "node1")
    seen(monkeypatch, online=frozenset({"node2"}))
    assert holds(scene, "attribute", name="kappa-telegram", value="0")
    assert asked[-1][1] == "kappa-lab-node2"

    def fails(*_args: str, **_: object) -> str:
        raise LabError("no such attribute")

    monkeypatch.setattr(predicates, "docker", fails)
    assert not holds(scene, "attribute", name="kappa-telegram", value="0")


def test_a_line_of_a_log_counts_when_it_was_written_since_the_fault(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(predicates, "STATE", tmp_path)
    log = tmp_path / "log" / "node2" / "pacemaker" / "pacemaker.log"
    log.parent.mkdir(parents=True)
    log.write_text("old: bot failed\n")
    scene.logs = predicates.lengths()
    assert scene.logs == {log: len("old: bot failed\n")}
    assert not holds(scene, "log", pattern="bot f.*d")
    with log.open("a") as file:
        file.write("new: bot failed\n")
    assert holds(scene, "log", pattern="bot f.*d")
    assert holds(scene, "log", pattern="bot f.*d", on="passive")
    assert not holds(scene, "log", pattern="bot f.*d", on="active")
