"""The audit log: complete, and never in fencing's way, whatever happens to its disk."""

import json
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from stonith.power import audit
from stonith.power.audit import Audit
from stonith.power.driver import Sight, State
from stonith.power.switch import NOT_SEEN, Outcome
from tests.unit.stonith.broker import Broker, until
from tests.unit.stonith.test_hostile_client import answer, body, connection, request

KEYS = {
    *("t", "client", "peer", "action", "plug", "instance", "before", "after"),
    *("ok", "switched", "ms", "reason", "evidence_before", "evidence"),
}


def put(log: Audit, plug: str = "node2") -> None:
    seen = Sight(State.OFF, "exited\nfor good", "unit", "run")
    about: dict[str, Any] = {"client": "node1", "peer": "127.0.0.1", "action": "off", "plug": plug}
    log.request(arrived=time.time(), took_s=0.1, outcome=Outcome(True, seen, seen), **about)


def plugs(path: Path) -> list[str]:
    return [json.loads(line)["plug"] for line in path.read_text().splitlines() if line.startswith("{")]


def test_a_switch_is_told_of_whole(power: Broker) -> None:
    assert power.fence("off", "node2").code == 0
    (line,) = power.audit()
    assert set(line) == KEYS
    about = {key: line[key] for key in ("client", "peer", "action", "plug", "before", "after", "ok", "switched")}
    assert about == {
        "client": "node1",
        "peer": "127.0.0.1",
        "action": "off",
        "plug": "node2",
        "before": "on",
        "after": "off",
        "ok": True,
        "switched": True,
    }
    assert power.engine.containers["kappa-lab-node2"].id in line["instance"]
    assert "running" in line["evidence_before"]
    assert "exited" in line["evidence"]
    assert 0 < line["ms"] < 60_000
    assert abs(line["t"] - time.time()) < 60


def test_every_refusal_is_told_of_with_who_and_why(power: Broker) -> None:
    power.fence("off", "node1")  # itself
    with connection(power) as (talk, nonce):
        talk.sendall(request(power, nonce, body(do="reboot")))
        answer(talk)
    with connection(power) as (talk, nonce):
        talk.sendall(request(power, nonce, body(), "node1", b"x" * 32))
        answer(talk)
    with connection(power) as (talk, _):
        talk.sendall(b"GET / HTTP/1.1\r\n")
        answer(talk)
    lines = power.audit()
    assert [set(line) for line in lines] == [KEYS] * 4
    assert [(line["client"], line["peer"], line["ok"], line["switched"]) for line in lines] == [
        ("node1", "127.0.0.1", False, False),
        ("node1", "127.0.0.1", False, False),
        ("node1", "127.0.0.1", False, False),
        ("GET", "127.0.0.1", False, False),  # who it said it was
    ]
    assert [all(line["reason"] for line in lines), [line["after"] for line in lines]] == [True, [None] * 4]


def test_a_line_stays_a_line(tmp_path: Path) -> None:
    log = Audit(tmp_path / "log")
    log.refused(arrived=time.time(), client="a\nb\x00" * 500, peer="x", reason="\r\n\u2028" * 900)
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert len((tmp_path / "log").read_bytes()) < 4096


def test_a_full_disk_is_told_of_on_standard_error_with_the_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "log").symlink_to("/dev/full")
    log = Audit(tmp_path / "log")
    began = time.monotonic()
    for _ in range(20):
        put(log)
    log.close()
    assert time.monotonic() - began < 20
    err = capfd.readouterr().err.splitlines()
    assert len(err) == 20
    assert all("No space left" in line and '"plug": "node2"' in line for line in err)


def test_half_a_line_does_not_spoil_the_next(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A disk that fills in the middle of a line, shown by a limit on the size of files."""
    path = tmp_path / "log"
    log = Audit(path)
    put(log, "before")
    size, (soft, hard) = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, hard))
    try:
        put(log, "during")
        log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == size + 40
    put(log, "after")
    log.close()
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert [json.loads(lines[0])["plug"], json.loads(lines[2])["plug"]] == ["before", "after"]
    assert '"plug": "during"' in capfd.readouterr().err


def hanging(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The disk hangs until this is set."""
    back, really = threading.Event(), Audit._open

    def hangs(self: Audit) -> int:
        back.wait(30)
        return really(self)

    monkeypatch.setattr(Audit, "_open", hangs)
    return back


def test_a_disk_that_hangs_holds_up_one_request_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    back = hanging(monkeypatch)
    log = Audit(tmp_path / "log")
    began = time.monotonic()
    for number in range(50):
        put(log, f"n{number}")
    assert time.monotonic() - began < 10  # far from 50 times a disk's time-out
    assert capfd.readouterr().err.count("takes longer than") == 1
    back.set()
    log.close(30)
    assert plugs(tmp_path / "log") == [f"n{number}" for number in range(50)]


def test_lines_that_a_hanging_disk_has_no_room_for_are_said_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    back = hanging(monkeypatch)
    monkeypatch.setattr(audit, "WAITING_MAX", 5)
    log = Audit(tmp_path / "log")
    for number in range(20):
        put(log, f"n{number}")
    back.set()
    log.close(30)
    said = capfd.readouterr().err
    told = {f"n{number}" for number in range(20) if f'"plug": "n{number}"' in said}
    assert told
    assert told | set(plugs(tmp_path / "log")) == {f"n{number}" for number in range(20)}


def test_a_pipe_that_nobody_reads_does_not_hold_it_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "log")
    log = Audit(tmp_path / "log")
    assert "cannot write" in log.trouble()
    put(log)
    log.close()
    assert '"plug": "node2"' in capfd.readouterr().err


def test_what_was_not_looked_at_is_null_and_not_unknown(tmp_path: Path) -> None:
    log = Audit(tmp_path / "log")
    seen = Sight(State.UNKNOWN, "no answer")
    for before in (NOT_SEEN, seen):
        outcome = Outcome(False, before, before, "why")
        log.request(arrived=0, took_s=0, client="c", peer="p", action="off", plug="x", outcome=outcome)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["before"], line["after"]) for line in lines] == [(None, None), ("unknown", "unknown")]


def test_fencing_goes_on_with_a_full_disk_and_the_broker_says_so(power: Broker) -> None:
    log = power.folder / "audit.jsonl"
    log.symlink_to("/dev/full")
    try:
        assert power.fence("off", "node2").code == 0
        assert power.fence("status", "node2").code == 2
    finally:
        log.unlink()
    power.fence("status", "node3")
    until(lambda: [line["plug"] for line in power.audit()] == ["node3"])
