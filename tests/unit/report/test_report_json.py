"""report.json: the keys that others rely on, the figures of the verdict, and nothing that JSON does not have."""

import json
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import report
from kappa_lab.judge import judge
from kappa_lab.judge.evidence import FILES
from tests.histories import ENVIRONMENT, History

TIMELINE = {"membership_lost", "fenced", "vip_up", "bot_active", "first_answer", "rejoined"}
FIGURES = {"poll_overlap_s", "updates_sent", "updates_lost", "records_duplicated", "vip_overlap_s", "replies_repeated"}
ALWAYS = {"drill", "passed", "rto_s", "timeline", "invariants", "environment"}
MORE = {
    "violations",
    "fault",
    "started",
    "answers",
    "fencing",
    "took_s",
    "outages",
    "faults",
    "steps",
    "expect",
    "prediction",
    "tags",
}


def written(history: Path, out: Path) -> dict[str, Any]:
    report.write(judge(history), history, out)

    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    content: dict[str, Any] = json.loads((out / "report.json").read_text(), parse_constant=never)
    return content


def test_a_passed_drill(recorded: History, tmp_path: Path) -> None:
    content = written(recorded.write(tmp_path / "history"), tmp_path / "out")
    assert set(content) == ALWAYS | MORE
    assert content["drill"] == "power-cut"
    assert content["passed"] is True
    assert content["violations"] == []
    assert set(content["timeline"]) == TIMELINE
    assert set(content["invariants"]) == FIGURES
    assert content["rto_s"] == content["timeline"]["first_answer"]
    assert content["timeline"]["membership_lost"] == 1.312
    for value in content["timeline"].values():
        assert isinstance(value, float)
        assert value == round(value, 3)
    assert content["invariants"]["updates_sent"] == len(recorded.of("update"))
    assert {key: content["invariants"][key] for key in FIGURES - {"updates_sent"}} == {
        "poll_overlap_s": 0.0,
        "updates_lost": 0,
        "records_duplicated": 0,
        "vip_overlap_s": 0.0,
        "replies_repeated": 0,
    }
    assert content["environment"] == ENVIRONMENT
    (hit,) = recorded.drill["faults"]
    assert content["fault"] == {"kind": "power-cut", "node": "node1", "t": hit["t"], "done": hit["done"]}
    assert content["faults"] == [{**hit, "lasts": True}]
    assert content["expect"] == recorded.drill["expect"]
    assert content["steps"] == recorded.drill["steps"]
    assert content["prediction"]["worst_s"] == recorded.drill["prediction"]["worst_s"]
    assert content["tags"] == ["node"]
    (outage,) = content["outages"]
    assert 0 <= outage["t"] < outage["t"] + outage["length_s"] <= content["rto_s"] + 0.1
    assert content["took_s"] == round(recorded.drill["finished"] - recorded.drill["started"], 1)
    assert content["started"] == recorded.drill["started"]
    assert [(e["action"], e["before"], e["after"], e["evidence"]) for e in content["fencing"]] == [
        ("off", "off", "off", "exited at 12:00:14"),
        ("on", "off", "on", "running, pid 77"),
    ]
    assert content["answers"]["answered"] == content["invariants"]["updates_sent"]


@pytest.mark.parametrize("missing", FILES)
def test_the_keys_are_there_whatever_is_missing(missing: str, recorded: History, tmp_path: Path) -> None:
    history = recorded.write(tmp_path / "history")
    (history / missing).unlink()
    content = written(history, tmp_path / "out")
    assert set(content) == ALWAYS | MORE
    assert set(content["timeline"]) == TIMELINE
    assert set(content["invariants"]) == FIGURES
    assert content["passed"] is False
    assert f"{missing} is missing." in content["violations"]


def test_what_was_not_seen_is_null(recorded: History, tmp_path: Path) -> None:
    history = recorded.write(tmp_path / "history")
    (history / "wire.jsonl").unlink()
    (history / "records.json").unlink()
    content = written(history, tmp_path / "out")
    assert content["timeline"]["vip_up"] is None
    assert content["invariants"]["vip_overlap_s"] is None
    assert content["invariants"]["updates_lost"] is None
    assert content["timeline"]["fenced"] == 2.402


def test_the_report_may_stand_beside_its_evidence_and_be_written_again(recorded: History, tmp_path: Path) -> None:
    first = written(recorded.write(tmp_path), tmp_path)
    assert written(tmp_path, tmp_path) == first
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "report.json", "report.html", "junit.xml"}


def test_a_token_goes_no_further_than_the_evidence(recorded: History, tmp_path: Path) -> None:
    token = "123456789:AAF-abcdefghijklmnopqrstuvwxyz0123456"  # in the form of a real one
    recorded.drill["environment"] = {"oops": f"https://lab/bot{token}/getMe", token: 1}
    recorded.drill["drill"] = f"named {token}"
    out = tmp_path / "out"
    content = written(recorded.write(tmp_path / "history"), out)
    assert content["drill"] == "named (a token)"
    for file in out.iterdir():
        assert "abcdefghij" not in file.read_text()
