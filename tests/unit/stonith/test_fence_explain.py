"""`fence_kappa explain`: what it shows of brokers and machine; it judges as fencing would, and switches nothing."""

import os
import pty
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.stonith import scripted_broker
from tests.unit.stonith.broker import AGENT, Broker, Ran, fence
from tests.unit.stonith.scripted_broker import Asked, Reply, proven

KEY = secrets.token_hex(32).encode()
ROW = {"plug": "node2", "machine": "vm-2", "state": "on", "instance": "x@1"}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "fence.key"
    path.touch(mode=0o600)
    path.write_bytes(KEY)
    return path


def told(**change: object) -> Reply:
    """A broker that knows node2, but for what is changed."""

    def reply(asked: Asked) -> bytes:
        if asked.body["do"] == "list":
            return proven(KEY, asked, **{"driver": "", "plugs": [ROW], "reason": "", **change})
        return proven(KEY, asked, **{"state": "on", "instance": "x@1", "evidence": "it runs", "reason": "", **change})

    return reply


def explain(key_file: Path, ports: list[int], plug: str = "node2", timeout: float = 5, **more: object) -> Ran:
    servers = ",".join(f"127.0.0.1:{port}" for port in ports)
    named = {"plug": plug} if plug else {}
    return fence({"action": "explain", **named, "server": servers, "client": "node1", "key_file": key_file,
                  "timeout": timeout, **more})  # fmt: skip


def test_it_shows_what_a_real_broker_sees_and_switches_nothing(power: Broker) -> None:
    ran = power.fence("explain", "node2")
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b" not in ran.out
    ident = power.engine.containers["kappa-lab-node2"].id
    for seen in (f"127.0.0.1:{power.port}", "both ways", "node2, node3", "kappa-lab-node2", ident[:12], "running",
                 "cuts the power of kappa-lab-node2", "Fencing would work now."):  # fmt: skip
        assert seen in ran.out, seen
    assert power.engine.switching() == []
    assert [line["action"] for line in power.audit()] == ["list", "status"]
    power.engine.add("kappa-lab-node2", status="exited", pid=0)
    ran = power.fence("explain", "node2")
    assert ran.code == 0
    assert "proven off already" in ran.out
    assert power.fence("explain").code == 0, "without a plug the brokers alone are judged"


def test_as_a_word_on_a_command_line(power: Broker) -> None:
    given = power.options("", "node2")
    argv = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value]
    assert fence("", ["explain", *argv]).code == 0


def test_what_would_spoil_fencing_is_the_last_word(power: Broker) -> None:
    for plug, client, why in (("node1", "node1", "no right to node1"), ("node9", "node1", "no right to node9")):
        ran = power.fence("explain", plug, client=client)
        assert ran.code == 1
        assert why in ran.one_line()
        assert "would NOT work" in ran.out
    power.engine.add("kappa-lab-node2", status="dead", pid=0)
    ran = power.fence("explain", "node2")
    assert ran.code == 1
    assert "does not know the state of node2" in ran.one_line()
    ran = power.fence("explain", "node2", key_file=power.key_file("node3"))
    assert ran.code == 1
    assert "the key does not prove this client" in ran.one_line()
    power.engine.hang_s = 30
    ran = power.fence("explain", "node2", timeout=1)
    assert ran.code == 1
    ran.one_line()
    power.engine.hang_s = 0


@pytest.mark.slow
def test_a_dead_address_beside_one_that_works_is_shown_and_does_not_spoil_it(key_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as mute, scripted_broker.running(told()) as good:
        began = time.monotonic()
        ran = explain(key_file, [port, mute.getsockname()[1], good.port], timeout=6)
        assert time.monotonic() - began < 20
    assert (ran.code, ran.err) == (0, "")
    assert "connection refused" in ran.out
    assert "no answer in time" in ran.out
    assert {asked.body["do"] for asked in good.asked} == {"list", "status"}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (told(state="off"), "disagree"),
        (told(instance="y@2"), "disagree"),
        (told(plugs=[{**ROW, "machine": "vm-3"}]), "disagree"),
        (told(driver="the engine is gone"), "the engine is gone"),
        (told(plugs=[]), "nothing"),
        (told(plugs="node2"), "something else"),
        (told(ok=False, reason="in\nmaintenance"), "in maintenance"),
        (told(state="maybe"), "does not know the state"),
        (told(plug="node3"), "does not know the state"),
    ],
)
def test_one_broker_that_would_not_do_spoils_it_whatever_the_other_says(key_file: Path, other: Reply, why: str) -> None:
    with scripted_broker.running(told()) as one, scripted_broker.running(other) as two:
        for ports in ([one.port, two.port], [two.port, one.port]):
            ran = explain(key_file, ports)
            assert ran.code == 1
            assert why in ran.one_line()
    assert {asked.body["do"] for asked in (*one.asked, *two.asked)} == {"list", "status"}


def test_an_impostor_is_not_proven(key_file: Path) -> None:
    def lie(asked: Asked) -> bytes:
        return proven(secrets.token_hex(32).encode(), asked, driver="", plugs=[ROW])

    with scripted_broker.running(lie) as impostor:
        ran = explain(key_file, [impostor.port])
    assert ran.code == 1
    assert "does not prove" in ran.one_line()
    assert "both ways" not in ran.out


def test_times_are_those_of_the_settings(key_file: Path) -> None:
    with scripted_broker.running(told()) as broker:
        ran = explain(key_file, [broker.port], delay=7, power_wait=2, timeout=9)
    assert "wait 7 s (delay)" in ran.out
    assert "At least 7.0 s" in ran.out
    assert "at most 18 s" in ran.out
    assert "wait 2 s (power_wait)" in ran.out


@pytest.mark.parametrize(
    ("variables", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]
)
def test_colour_is_for_terminals(power: Broker, variables: dict[str, str], coloured: bool) -> None:
    master, slave = pty.openpty()
    argv = [f"--{name.replace('_', '-')}={value}" for name, value in power.options("explain", "node2").items()]
    ran = subprocess.run([sys.executable, "-IS", str(AGENT), *argv], stdout=slave, timeout=30, env=variables)
    os.close(slave)
    seen = os.read(master, 65536)
    os.close(master)
    assert ran.returncode == 0
    assert (b"\x1b[" in seen) == coloured
