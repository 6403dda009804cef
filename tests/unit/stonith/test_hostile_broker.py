"""fence_kappa before a broker that is none, lies, forges, goes silent or dies: never a false success, never a hang."""

import secrets
import socket
import time
from pathlib import Path

import pytest

from stonith import wire
from tests.unit.stonith import scripted_broker
from tests.unit.stonith.broker import Ran, fence
from tests.unit.stonith.scripted_broker import Asked, Reply, proven

KEY = secrets.token_hex(32).encode()
OFF = {"before": "on", "state": "off", "instance": "x@y", "evidence": "exited", "reason": ""}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "fence.key"
    path.touch(mode=0o600)
    path.write_bytes(KEY + b"\n")
    return path


def ask(key_file: Path, ports: list[int], action: str = "off", timeout: float = 0.5) -> Ran:
    servers = ",".join(f"127.0.0.1:{port}" for port in ports)
    plug = {} if action in ("list", "list-status", "monitor") else {"plug": "node2"}
    return fence(
        {"action": action, **plug, "server": servers, "client": "node1", "key_file": key_file, "timeout": timeout}
    )


def truthful(asked: Asked) -> bytes:
    return proven(KEY, asked, **OFF)


def test_a_proven_answer_is_believed(key_file: Path) -> None:
    with scripted_broker.running(truthful) as broker:
        assert ask(key_file, [broker.port]).code == 0
        assert ask(key_file, [broker.port], "status").code == 2
    (off, status) = broker.asked
    assert off.mac == wire.request_mac(KEY, off.nonce, off.line.split(b" ", 2)[2][:-1])
    assert off.body["nonce"] != status.body["nonce"]
    assert 0 < off.body["within_ms"] < 500


def another_key(asked: Asked) -> bytes:
    return proven(secrets.token_hex(32).encode(), asked, **OFF)


def no_proof(asked: Asked) -> bytes:
    return wire.reply_line(wire.UNAUTHENTICATED, proven(KEY, asked, **OFF).split(b" ", 1)[1].strip())


def empty_proof(asked: Asked) -> bytes:
    return b" " + proven(KEY, asked, **OFF).split(b" ", 1)[1]


def changed_on_the_way(asked: Asked) -> bytes:
    return proven(KEY, asked, **{**OFF, "state": "unknown"}).replace(b"unknown", b"off    ")


def proof_of_another_request(asked: Asked) -> bytes:
    other = Asked(asked.client, b"0" * 64, asked.body, asked.nonce, asked.line)
    return proven(KEY, other, **OFF)


def the_request_itself(asked: Asked) -> bytes:
    return asked.line.split(b" ", 1)[1]


def nothing(asked: Asked) -> bytes:
    return b""


def half(asked: Asked) -> bytes:
    return truthful(asked)[:-9]


def without_an_end(asked: Asked) -> bytes:
    return b"x" * (wire.REPLY_MAX + 10)


def many_lines(asked: Asked) -> bytes:
    return b"\n" * 1000


def garbage(asked: Asked) -> bytes:
    return b"\xff\x00\xfe {]\n"


def not_an_object(asked: Asked) -> bytes:
    return wire.reply_line(wire.reply_mac(KEY, asked.mac, b'"off"'), b'"off"')


def deep(asked: Asked) -> bytes:
    body = b"[" * 60000
    return wire.reply_line(wire.reply_mac(KEY, asked.mac, body), body)


def silent(asked: Asked) -> None:
    return None


FORGED: list[Reply] = [
    another_key,
    no_proof,
    empty_proof,
    changed_on_the_way,
    proof_of_another_request,
    the_request_itself,
    nothing,
    half,
    without_an_end,
    many_lines,
    garbage,
    not_an_object,
    deep,
    silent,
]


@pytest.mark.parametrize("reply", FORGED, ids=lambda reply: reply.__name__)
def test_what_the_key_does_not_prove_is_worth_nothing(key_file: Path, reply: Reply) -> None:
    with scripted_broker.running(reply) as broker:
        for action in ("off", "status"):
            began = time.monotonic()
            ran = ask(key_file, [broker.port], action, timeout=0.3)
            assert ran.code == 1, (action, ran)
            assert time.monotonic() - began < 5
            assert KEY.decode() not in ran.one_line()


@pytest.mark.parametrize(
    "change",
    [
        {"state": "unknown"},
        {"state": "on"},
        {"state": None},
        {"state": ["off"]},
        {"state": ...},
        {"ok": False},
        {"ok": "true"},
        {"ok": 1},
        {"ok": None},
        {"plug": "node3"},
        {"do": "status"},
        {"ok": False, "reason": "it\nis \x1b[31mbad" * 500},
    ],
    ids=lambda change: "-".join(f"{key}={value}" for key, value in change.items())[:40],
)
def test_a_proven_answer_that_does_not_say_off_is_not_off(key_file: Path, change: dict[str, object]) -> None:
    told = {key: value for key, value in {**OFF, **change}.items() if value is not ...}
    with scripted_broker.running(lambda asked: proven(KEY, asked, **told)) as broker:
        ran = ask(key_file, [broker.port], "off")
    assert ran.code == 1
    assert "\x1b" not in ran.one_line()


def test_a_reboot_whose_off_half_is_proven_succeeds_though_the_start_is_refused(key_file: Path) -> None:
    def reply(asked: Asked) -> bytes:
        return proven(KEY, asked, **(OFF if asked.body["do"] == "off" else {"ok": False, "reason": "no such luck"}))

    with scripted_broker.running(reply) as broker:
        ran = ask(key_file, [broker.port], "reboot")
    assert ran.code == 0
    assert "was not started again: no such luck" in ran.one_line()
    assert [(asked.body["do"], asked.body["wait"]) for asked in broker.asked] == [("off", True), ("on", False)]


@pytest.mark.parametrize("state", ["unknown", None, "dead"])
def test_a_reboot_whose_off_half_is_not_proven_fails_and_starts_nothing(key_file: Path, state: str | None) -> None:
    with scripted_broker.running(lambda asked: proven(KEY, asked, **{**OFF, "state": state})) as broker:
        assert ask(key_file, [broker.port], "reboot").code == 1
    assert [asked.body["do"] for asked in broker.asked] == ["off"]


@pytest.mark.parametrize("plugs", [None, "node2", [["node2"]], [{"plug": "no de", "machine": "x"}], [{"plug": 1}]])
def test_a_list_that_is_none_is_a_failure(key_file: Path, plugs: object) -> None:
    with scripted_broker.running(lambda asked: proven(KEY, asked, plugs=plugs, driver="")) as broker:
        for action in ("list", "list-status", "monitor"):
            assert ask(key_file, [broker.port], action).code == 1


# -- several addresses


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_the_next_address_is_asked_when_one_refuses_the_connection(key_file: Path) -> None:
    with scripted_broker.running(truthful) as broker:
        assert ask(key_file, [free_port(), broker.port]).code == 0


def test_the_next_address_is_asked_beside_one_that_says_nothing(key_file: Path) -> None:
    """As a dead ring does: the connection neither fails nor brings a challenge."""
    with socket.create_server(("127.0.0.1", 0)) as mute, scripted_broker.running(truthful) as broker:
        began = time.monotonic()
        assert ask(key_file, [mute.getsockname()[1], broker.port], timeout=20).code == 0
        assert time.monotonic() - began < 3


def test_the_next_address_is_asked_when_one_dies_with_the_request(key_file: Path) -> None:
    for reply in (nothing, another_key, silent):
        with scripted_broker.running(reply) as bad, scripted_broker.running(truthful) as good:
            assert ask(key_file, [bad.port, good.port], timeout=1).code == 0
            assert len(bad.asked) == len(good.asked) == 1


def test_a_proven_refusal_is_final(key_file: Path) -> None:
    def refuse(asked: Asked) -> bytes:
        return proven(KEY, asked, ok=False, reason="no right")

    with scripted_broker.running(refuse) as one, scripted_broker.running(truthful) as other:
        assert ask(key_file, [one.port, other.port]).code == 1
    assert other.asked == []


def test_when_nobody_answers_each_address_is_told_of(key_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ports = [free_port(), mute.getsockname()[1]]
        ran = ask(key_file, ports)
    assert ran.code == 1
    line = ran.one_line()
    assert f"127.0.0.1:{ports[0]}: connection refused" in line
    assert f"127.0.0.1:{ports[1]}: no answer in time" in line
    assert "kappa-powerd" in line


@pytest.mark.parametrize(
    "challenge",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"kappa-power 2 " + b"a" * 64 + b"\n", b"kappa-power 1 short\n", b"\n", b"x" * 500],
    ids=["ssh", "another version", "a short nonce", "an empty line", "no line"],
)
def test_something_else_at_the_address_is_told_from_a_broker(key_file: Path, challenge: bytes) -> None:
    with scripted_broker.running(truthful, challenge=lambda _: challenge) as other:
        ran = ask(key_file, [other.port])
    assert ran.code == 1
    assert "not as a power broker" in ran.one_line()
    assert other.asked == []
