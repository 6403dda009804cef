"""One repetition against a lab of paper: what it does in which order, what it counts, and how long it says it took."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import cluster, lab
from kappa_lab.errors import LabError
from kappa_lab.mongodb import records
from kappa_lab.topology import NODES, Node
from tests.bench.failover import configurations, faults, journal, repetition
from tests.bench.failover.prober import Prober

OUTAGE_S = 0.6


@dataclass
class Paper:
    """A bot on node1 that answers fifty times a second, is silent for a while after the fault, and goes on on node2."""

    file: Path
    done: list[str] = field(default_factory=list)
    struck: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)
    lost: int = 0
    number: int = 0

    def live(self) -> None:
        while not self.over.wait(0.02):
            now = time.time()
            silent = self.struck and now < self.struck + OUTAGE_S
            if silent and self.lost == 3:
                continue
            self.number += 1
            self.write(e="update", t=now, update_id=self.number, chat_id=1, user=1, dialogue=self.number)
            if silent:
                self.lost += 1
            else:
                node = "node2" if self.struck else "node1"
                self.write(e="answered", t=now, update_id=self.number, node=node, id=self.number)

    def write(self, **event: Any) -> None:
        with self.file.open("a") as out:
            out.write(json.dumps(event, separators=(",", ":")) + "\n")

    def telegram(self, method: str, path: str, body: object | None = None) -> dict[str, object]:
        if not path.startswith("/people"):
            self.done.append(f"{method} {path}")
        if path == "/traffic/stop":
            self.over.set()
        return {"running": False}

    def inject(self, node: Node, compared: configurations.Compared) -> None:
        self.done.append(f"fault on {node.name}")
        self.struck = time.time()

    def ready(self, bound_s: float = 90, configuration: lab.Configuration = lab.SHIPPED) -> cluster.Status:
        self.done.append("ready")
        group = dict.fromkeys(("vip", "web", "bot"), frozenset(["node1"]))
        return cluster.Status("node1", frozenset(n.name for n in NODES), True, group)


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paper]:
    made = Paper(tmp_path / "telegram.jsonl")
    made.write(e="start", t=time.time())
    monkeypatch.setattr(lab, "telegram", made.telegram)
    monkeypatch.setattr(lab, "ready", made.ready)
    monkeypatch.setattr(faults, "INJECT", dict.fromkeys(faults.INJECT, made.inject))
    monkeypatch.setattr(faults, "tidy_up", lambda fault, asked: made.done.append(f"tidy up on {asked.name}"))
    monkeypatch.setattr(repetition, "Slice", lambda: journal.Slice(made.file))
    monkeypatch.setattr(repetition, "password", lambda file: "a secret")
    held = {"places": [], "pending_updates": 0, "unsent_replies": 0, "lease": None}
    monkeypatch.setattr(records, "read", lambda *_: dict(held))
    thread = threading.Thread(target=made.live, daemon=True)
    thread.start()
    yield made
    made.over.set()
    thread.join()


def measured(fault: str) -> dict[str, float]:
    return dict(repetition.measure(configurations.ours(), fault, 0.3, 1, Prober()))


@pytest.mark.parametrize("fault", ["bot-dead", "node-lost"])
def test_the_time_is_from_the_fault_to_the_first_answer_and_what_nobody_answered_is_lost(
    paper: Paper, fault: str
) -> None:
    found = measured(fault)
    assert OUTAGE_S <= found["rto_s"] < OUTAGE_S + 0.5
    assert found["updates_lost"] == paper.lost == 3
    assert 10 < found["updates_sent"] <= paper.number
    assert found["records_duplicated"] == 0


def test_users_stop_only_when_they_are_answered_again_and_the_lab_is_whole_at_the_end(paper: Paper) -> None:
    measured("planned-move")
    assert paper.done == [
        "POST /traffic", "ready", "fault on node1", "POST /traffic/stop", "tidy up on node2", "ready", "GET /traffic"
    ]  # fmt: skip


def test_a_fault_that_nobody_recovers_from_is_an_error_and_no_figure(
    paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repetition, "BOUND_S", 0.5)
    monkeypatch.setattr(faults, "INJECT", {"bot-dead": lambda node, compared: None})
    with pytest.raises(LabError, match="a recovery from bot-dead"):
        measured("bot-dead")


def place(update_id: int, text: str) -> dict[str, object]:
    return {"_id": f"{update_id}-{text}", "updateId": update_id, "text": text, "creationDate": 1.0}


def test_places_of_earlier_repetitions_are_not_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "telegram.jsonl"
    file.touch()
    one = journal.Slice(file)
    with file.open("a") as out:
        for number in (10, 11):
            update = {"e": "update", "t": 1.0, "update_id": number, "chat_id": 1, "user": 1, "dialogue": number}
            out.write(json.dumps(update, separators=(",", ":")) + "\n")
    held = {
        "places": [place(5, "earlier"), place(5, "earlier"), place(10, "now"), place(10, "now")],
        "pending_updates": 0, "unsent_replies": 0, "lease": None,
    }  # fmt: skip
    monkeypatch.setattr(records, "read", lambda *_: held)
    monkeypatch.setattr(repetition, "password", lambda path: "a secret")
    assert repetition.judged(one) == {"updates_sent": 2, "updates_lost": 2, "records_duplicated": 1}
