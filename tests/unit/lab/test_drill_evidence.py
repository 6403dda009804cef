"""Each drill of a lab has its own evidence: its segment of every journal, its part of the logs and of the audit."""

import json
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import lab, power
from kappa_lab.drill import evidence
from kappa_lab.errors import LabError
from kappa_lab.segments import aside


class Witnesses:
    """A Telegram lab server and a watcher that end their segments when they are asked, unless they are gone."""

    def __init__(self, journals: Path) -> None:
        self.journals = journals
        self.gone: set[str] = set()

    def end(self, name: str) -> str:
        ended = aside(self.journals / name)
        (self.journals / name).rename(ended)
        (self.journals / name).write_text("the next\n")
        return ended.name

    def telegram(self, method: str, path: str, body: Any = None) -> dict[str, object]:
        assert (method, path) == ("POST", "/journal/rotate")
        if "telegram" in self.gone:
            raise LabError("The Telegram lab server does not answer.")
        return {"ok": True, "journal": self.end("telegram.jsonl")}

    def docker(self, *args: str, **_: object) -> str:
        if args[:1] == ("exec",):
            raise LabError("There is no MongoDB.")
        assert args[:3] == ("kill", "--signal", "HUP")
        who = args[3].removeprefix("kappa-lab-")
        if who not in self.gone:
            self.end({"watcher": "wire.jsonl", "lease": "lease.jsonl"}[who])
        return ""


@pytest.fixture
def witnesses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Witnesses:
    journals = tmp_path / "journal"
    journals.mkdir()
    for name in ("telegram.jsonl", "wire.jsonl", "lease.jsonl"):
        (journals / name).write_text(f"{name} of this drill\n")
    found = Witnesses(journals)
    monkeypatch.setattr(evidence, "STATE", tmp_path)
    monkeypatch.setattr(evidence, "JOURNALS", journals)
    monkeypatch.setattr(evidence, "SEGMENT_S", 0.2)
    monkeypatch.setattr(evidence, "docker", found.docker)
    monkeypatch.setattr(lab, "telegram", found.telegram)
    monkeypatch.setattr(power, "audit", lambda: [json.dumps({"t": t}) for t in (8.0, 9.0, 10.0, 11.0)] + ["half a li"])
    return found


def collected(folder: Path) -> dict[str, str]:
    folder.mkdir()
    evidence.collect(folder, 10.0)
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_a_drill_gets_the_segments_that_were_ended_for_it(witnesses: Witnesses, tmp_path: Path) -> None:
    assert collected(tmp_path / "first") == {
        "telegram.jsonl": "telegram.jsonl of this drill\n",
        "wire.jsonl": "wire.jsonl of this drill\n",
        "lease.jsonl": "lease.jsonl of this drill\n",
        "power.jsonl": '{"t": 9.0}\n{"t": 10.0}\n{"t": 11.0}\nhalf a li\n',
    }
    assert collected(tmp_path / "second")["wire.jsonl"] == "the next\n"
    assert sorted(file.name for file in witnesses.journals.glob("wire*")) == [
        "wire-0001.jsonl", "wire-0002.jsonl", "wire.jsonl",
    ]  # fmt: skip


def test_of_a_witness_that_is_gone_there_is_what_it_had_written(witnesses: Witnesses, tmp_path: Path) -> None:
    """Without the line that says that it ended in good order: the judge sees that."""
    witnesses.gone = {"telegram", "watcher"}
    found = collected(tmp_path / "first")
    assert found["telegram.jsonl"] == "telegram.jsonl of this drill\n"
    assert found["wire.jsonl"] == "wire.jsonl of this drill\n"
    (witnesses.journals / "telegram.jsonl").unlink()
    assert "telegram.jsonl" not in collected(tmp_path / "second")


def test_of_the_nodes_logs_a_drill_keeps_what_came_after_it_began(witnesses: Witnesses, tmp_path: Path) -> None:
    logs = tmp_path / "log" / "node2"
    (logs / "pacemaker").mkdir(parents=True)
    (logs / "apt").mkdir()
    (logs / "apt" / "history.log").write_text("of the image")
    old, turned, new = logs / "pacemaker" / "pacemaker.log", logs / "turned.log", logs / "new.log"
    old.write_text("before\n")
    turned.write_text("long, and before\n")
    before = evidence.Before.now()
    with old.open("a") as file:
        file.write("after\n")
    turned.write_text("anew\n")
    new.write_text("after\n")
    evidence.keep_logs(tmp_path / "kept", before)
    kept = tmp_path / "kept" / "logs"
    found = {str(file.relative_to(kept)): file.read_text() for file in kept.rglob("*.log")}
    assert found == {
        "node2/pacemaker/pacemaker.log": "after\n", "node2/turned.log": "anew\n", "node2/new.log": "after\n",
    }  # fmt: skip


def test_where_the_brokers_did_nothing_their_audit_is_there_all_the_same(
    witnesses: Witnesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "audit", lambda: ['{"t": 1.0}', '{"t": 2.0}'])
    assert collected(tmp_path / "first")["power.jsonl"] == '{"t": 2.0}\n'
    monkeypatch.setattr(power, "audit", list)
    assert collected(tmp_path / "second")["power.jsonl"] == ""
