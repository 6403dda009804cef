"""Waits and bounds by the names that fence agents share: each bounds its own part, and none makes a success of less."""

import socket
import time
from pathlib import Path

import pytest

from tests.unit.stonith import scripted_broker
from tests.unit.stonith.broker import Broker, fence
from tests.unit.stonith.scripted_broker import Asked, proven

KEY = b"0123456789abcdef" * 4


def options(folder: Path, port: int, action: str, **more: object) -> dict[str, object]:
    path = folder / "fence.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(KEY)
    plug = {} if action in ("list", "monitor") else {"plug": "node2"}
    where = {"server": f"127.0.0.1:{port}", "client": "node1", "key_file": path, "timeout": 60}
    return {"action": action, **plug, **where, **more}


def test_login_timeout_bounds_the_greeting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        ran = fence(options(tmp_path, mute.getsockname()[1], "off", login_timeout="0.2"))
        assert time.monotonic() - began < 20
    assert ran.code == 1
    assert "no answer in time" in ran.one_line()


def test_shell_timeout_bounds_a_look_and_power_timeout_a_switch(tmp_path: Path) -> None:
    for action, name, other in (
        ("status", "shell_timeout", "power_timeout"),
        ("list", "shell_timeout", "power_timeout"),
        ("off", "power_timeout", "shell_timeout"),
        ("on", "power_timeout", "shell_timeout"),
        ("reboot", "power_timeout", "shell_timeout"),
    ):
        with scripted_broker.running(lambda asked: None) as broker:
            began = time.monotonic()
            ran = fence(options(tmp_path, broker.port, action, **{name: "0.2", other: "50"}))
            assert time.monotonic() - began < 20
        assert ran.code == 1
        assert "no reply to the request in time" in ran.one_line()
        assert broker.asked[0].body["within_ms"] < 200


def test_after_power_wait_the_machine_is_looked_at_once_more(power: Broker) -> None:
    began = time.monotonic()
    assert power.fence("off", "node2", power_wait="0.3").code == 0
    assert time.monotonic() - began >= 0.3
    assert [(line["action"], line["after"]) for line in power.audit()] == [("off", "off"), ("status", "off")]
    assert power.fence("on", "node2", power_wait="0.1").code == 0
    assert power.fence("reboot", "node2", power_wait="0.1").code == 0


def test_what_power_wait_finds_changed_is_a_failure(tmp_path: Path) -> None:
    for action, before, after in (("off", "off", "on"), ("off", "off", "unknown"), ("on", "on", "off")):

        def reply(asked: Asked, before: str = before, after: str = after) -> bytes:
            return proven(KEY, asked, state=before if asked.body["do"] != "status" else after, evidence="see")

        with scripted_broker.running(reply) as broker:
            ran = fence(options(tmp_path, broker.port, action, power_wait="0.05", timeout=10))
        assert ran.code == 1
        assert f"it was {before}, but 0.05 s later its state is {after}: see" in ran.one_line()


@pytest.mark.slow
def test_the_wait_is_not_taken_from_the_time_to_prove_it(tmp_path: Path) -> None:
    with scripted_broker.running(lambda asked: proven(KEY, asked, state="off", evidence="see")) as broker:
        ran = fence(options(tmp_path, broker.port, "off", power_wait="3.5", timeout=3))
    assert (ran.code, ran.err) == (0, "")
    assert [asked.body["do"] for asked in broker.asked] == ["off", "status"]


@pytest.mark.slow
def test_on_is_asked_for_as_often_as_retry_on_says(tmp_path: Path) -> None:
    def third(asked: Asked) -> bytes:
        seen.append(asked.body["do"])
        last = seen.count("on") == 3
        return proven(KEY, asked, ok=last or asked.body["do"] == "off", reason="not yet",
                      state="off" if asked.body["do"] == "off" else "on")  # fmt: skip

    for action, retry_on, code, tries in (("on", 3, 0, 3), ("on", 2, 1, 2), ("on", 1, 1, 1), ("reboot", 3, 0, 3)):
        seen: list[str] = []
        with scripted_broker.running(third) as broker:
            ran = fence(options(tmp_path, broker.port, action, retry_on=retry_on))
        assert (ran.code, seen.count("on")) == (code, tries)
        assert seen.count("off") == (action == "reboot")


def test_off_is_asked_for_once_whatever_retry_on_says(tmp_path: Path) -> None:
    with scripted_broker.running(lambda asked: proven(KEY, asked, ok=False, reason="no")) as broker:
        assert fence(options(tmp_path, broker.port, "off", retry_on=5)).code == 1
    assert len(broker.asked) == 1
