"""kappa-powerd before clients that forge, replay, flood, dawdle and vanish: it switches nothing and goes on serving."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stonith import wire
from stonith.power import server
from tests.unit.stonith.broker import Broker, until

pytestmark = pytest.mark.slow


@contextmanager
def connection(power: Broker) -> Iterator[tuple[socket.socket, str]]:
    """A connection, and the nonce that the broker drew for it."""
    with socket.create_connection(("127.0.0.1", power.port), timeout=10) as talk:
        line = b""
        while not line.endswith(b"\n"):
            line += talk.recv(1)
        nonce = wire.read_challenge(line)
        assert nonce is not None
        yield talk, nonce


def key_of(power: Broker, client: str = "node1") -> bytes:
    return power.key_file(client).read_bytes().strip()


def body(**told: object) -> bytes:
    asked = {"nonce": "ab" * 32, "do": "off", "plug": "node2", "within_ms": 3000, "wait": True, **told}
    return json.dumps({key: value for key, value in asked.items() if value is not ...}).encode()


def request(power: Broker, nonce: str, content: bytes, client: str = "node1", key: bytes = b"") -> bytes:
    return wire.request_line(client, wire.request_mac(key or key_of(power, client), nonce, content), content)


def answer(talk: socket.socket) -> bytes:
    with talk.makefile("rb") as file:
        return file.read()


def nothing_was_switched(power: Broker) -> None:
    assert power.engine.switching() == []
    assert power.fence("status", "node2").code == 0


def test_a_well_formed_request_is_served_and_its_reply_proven(power: Broker) -> None:
    with connection(power) as (talk, nonce):
        line = request(power, nonce, body())
        talk.sendall(line)
        reply = wire.split_reply(answer(talk))
    assert reply is not None
    assert reply[0] == wire.reply_mac(key_of(power), line.split(b" ")[1], reply[1])
    assert json.loads(reply[1])["state"] == "off"


def test_a_request_replayed_on_another_connection_is_refused(power: Broker) -> None:
    power.engine.add("kappa-lab-node2", status="exited", pid=0)
    with connection(power) as (talk, nonce):
        recorded = request(power, nonce, body())
        talk.sendall(recorded)
        answer(talk)
    power.engine.containers["kappa-lab-node2"].start()
    with connection(power) as (talk, _):
        talk.sendall(recorded)
        assert answer(talk).startswith(wire.UNAUTHENTICATED + b" ")
    nothing_was_switched(power)


def test_a_request_is_good_for_one_reply(power: Broker) -> None:
    with connection(power) as (talk, nonce):
        line = request(power, nonce, body(do="status"))
        talk.sendall(line + line + line)
        assert answer(talk).count(b"\n") == 1
    assert len(power.audit()) == 1


def test_a_request_changed_on_the_way_is_refused(power: Broker) -> None:
    with connection(power) as (talk, nonce):
        line = bytearray(request(power, nonce, body(plug="node3")))
        line[line.index(b"node3") + 4] ^= 1  # node3 becomes node2
        talk.sendall(bytes(line))
        assert answer(talk).startswith(wire.UNAUTHENTICATED + b" ")
    nothing_was_switched(power)


def test_the_key_of_one_client_does_not_make_another(power: Broker) -> None:
    for claimed in ("node2", "node3", "nobody", "node1x"):
        with connection(power) as (talk, nonce):
            talk.sendall(request(power, nonce, body(plug="node1"), claimed, key_of(power, "node1")))
            assert answer(talk).startswith(wire.UNAUTHENTICATED + b" ")
    nothing_was_switched(power)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"node1\n",
        b"node1 x\n",
        b"node1  {}\n",
        b"../etc 00 {}\n",
        b"\xff\xfe\x00 \xff {}\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"node1 " + b"0" * 64 + b" {}\n",
        b"node1 " + b"0" * 3000 + b" {}\n",
        b"node1 - {}\n",
    ],
    ids=range(10),
)
def test_a_line_that_proves_nothing_is_refused(power: Broker, line: bytes) -> None:
    with connection(power) as (talk, _):
        talk.sendall(line)
        assert answer(talk).startswith(wire.UNAUTHENTICATED + b" ")
    assert [line["ok"] for line in power.audit()] == [False]
    nothing_was_switched(power)


def test_a_line_without_an_end_is_cut_off(power: Broker) -> None:
    with connection(power) as (talk, _):
        try:
            for _ in range(1000):
                talk.sendall(b"x" * 4096)
            assert talk.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    until(power.audit)
    assert "a line without an end" in power.audit()[0]["reason"]
    nothing_was_switched(power)


def test_a_dawdler_is_cut_off(power: Broker) -> None:
    """A byte now and then does not buy time."""
    with connection(power) as (talk, nonce):
        began, line = time.monotonic(), request(power, nonce, body())
        talk.settimeout(0.3)
        with pytest.raises(OSError, match=r"reset|pipe|hung up"):
            for at in range(len(line)):
                talk.sendall(line[at : at + 1])
                try:
                    if talk.recv(1) == b"":
                        raise ConnectionResetError("hung up")
                except TimeoutError:
                    pass
        assert time.monotonic() - began < server.STRANGER_S + 2
    nothing_was_switched(power)


def test_half_a_request_and_gone_is_nothing(power: Broker) -> None:
    with connection(power) as (talk, nonce):
        talk.sendall(request(power, nonce, body())[:-1])
        talk.shutdown(socket.SHUT_WR)
        assert talk.recv(1) == b""
    nothing_was_switched(power)


MALFORMED: dict[str, bytes] = {
    "not json": b"{off}",
    "not an object": b'["off"]',
    "too deep": b"[" * 3000,
    "an unknown verb": body(do="reboot"),
    "the engine's own": body(do="exec"),
    "a verb that is none": body(do=None),
    "a list of verbs": body(do=["off"]),
    "no plug": body(plug=""),
    "a plug that is none": body(plug=None),
    "a path": body(plug="../node2"),
    "another field": body(force=True),
    "a field less": body(within_ms=...),
    "no time": body(within_ms=0),
    "all the time": body(within_ms=10**12),
    "true time": body(within_ms=True),
    "infinite time": body().replace(b"3000", b"Infinity"),
    "a short nonce": body(nonce="ab"),
    "off that is not waited for": body(wait=False),
    "list of a plug": body(do="list"),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_proven_request_that_is_none_is_refused_with_a_reason(power: Broker, content: bytes) -> None:
    with connection(power) as (talk, nonce):
        talk.sendall(request(power, nonce, content))
        reply = wire.split_reply(answer(talk))
    assert reply is not None
    told = json.loads(reply[1])
    assert told["ok"] is False
    assert told["reason"]
    assert [(line["ok"], line["client"]) for line in power.audit()] == [(False, "node1")]
    nothing_was_switched(power)


def test_connections_that_only_hold_on_do_not_keep_a_client_out(power: Broker) -> None:
    held = [socket.create_connection(("127.0.0.1", power.port), timeout=10) for _ in range(3 * server.STRANGERS_MAX)]
    try:
        assert power.fence("off", "node2").code == 0
    finally:
        for talk in held:
            talk.close()


def test_requests_of_one_client_are_bounded_and_keep_no_other_out(power: Broker) -> None:
    assert power.fence("status", "node2").code == 0
    power.engine.hang_on, power.engine.hang_s = "node2/json", 20
    replies: list[dict[str, object]] = []

    def ask() -> None:
        with connection(power) as (talk, nonce):
            talk.sendall(request(power, nonce, body(do="status", within_ms=1500)))
            reply = wire.split_reply(answer(talk))
            assert reply is not None
            replies.append(json.loads(reply[1]))

    threads = [threading.Thread(target=ask) for _ in range(server.UNDER_WAY_MAX + 4)]
    for thread in threads:
        thread.start()
    until(lambda: len(replies) >= 4)
    assert power.fence("status", "node1", client="node3").code == 0
    power.engine.hang_s = 0
    for thread in threads:
        thread.join()
    refused = [reply for reply in replies if "under way already" in str(reply["reason"])]
    assert len(refused) == 4
    until(lambda: power.fence("status", "node2").code == 0)


def test_a_client_that_is_gone_before_the_answer_harms_nobody(power: Broker) -> None:
    power.engine.hang_on, power.engine.hang_s = "kill", 0.3
    with connection(power) as (talk, nonce):
        talk.sendall(request(power, nonce, body()))
    until(power.audit)
    assert power.audit()[0]["ok"] is True  # asked, proven and done, though nobody heard of it
    assert power.fence("status", "node2").code == 2


def test_strangers_cannot_fill_the_audit_log(power: Broker) -> None:
    for _ in range(130):
        with connection(power) as (talk, _):
            talk.sendall(b"x\n")
            answer(talk)
    assert len(power.audit()) <= 120  # 60 a minute, and a minute may have begun meanwhile
    assert power.fence("status", "node2").code == 0
    assert power.audit()[-1]["ok"] is True
