"""What answers uplink's measurements is not to be trusted: the far end of a connection may say anything, in TLS or not.

Whatever it says, and if it never ends saying it: the measurement is over in its time, the attribute says 0 unless the
answer was a right one, and the resource itself is not failed.
"""

import json
import ssl
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.resource_agents.many import Ended, Many, judge
from tests.unit.resource_agents.running import until
from tests.unit.resource_agents.test_agent_bad_answers import damaged
from tests.unit.resource_agents.test_agent_bad_input import thorough

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

RIGHT = b"HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\n"
CHECKS = ("connect", "tls", "http")


class Measured:
    """uplink, started, and one stand-in for all that it measures; the server's answer is what `reply` is given."""

    def __init__(self, one: Many) -> None:
        self.one = one
        scratch = one.scratch
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x -addext"
        made = [*words.split(), "subjectAltName=IP:127.0.0.1", "-keyout", f"{scratch}/key", "-out", f"{scratch}/ca"]
        subprocess.run(["openssl", *made], check=True, capture_output=True)
        (scratch / "both").write_text((scratch / "key").read_text() + (scratch / "ca").read_text())
        config = {"listen": one.port, "reply": f"{scratch}/reply", "certificate": f"{scratch}/both"}
        (scratch / "hostile.json").write_text(json.dumps(config))
        self.reply("c", RIGHT)
        one.kill()
        one.spawn([f"{scratch}/hostile", "-c", f"{scratch}/hostile.json"])
        self.environment = {
            "HA_RSCTMP": f"{scratch}/state",
            "OCF_RESOURCE_INSTANCE": "r",
            "OCF_RESKEY_CRM_meta_interval": "5000",
            "OCF_RESKEY_CRM_meta_timeout": "8000",
            "OCF_RESKEY_updater": f"{scratch}/succeeds",
            "OCF_RESKEY_router": f"127.0.0.1:{one.port}",
            "OCF_RESKEY_results": "1",
            "OCF_RESKEY_answer_within": "300ms",
            "SSL_CERT_FILE": f"{scratch}/ca",
        }

    def reply(self, how: str, data: bytes) -> None:
        half = self.one.scratch / "reply.half"
        half.write_bytes(how.encode() + data)
        half.replace(self.one.scratch / "reply")

    def ask(self, scheme: str, check: str, action: str = "monitor") -> Ended:
        more = {"telegram_url": f"{scheme}://127.0.0.1:{self.one.port}", "telegram_check": check}
        asked = self.environment | {f"OCF_RESKEY_{name}": value for name, value in more.items()}
        ended = self.one.run([action], asked)
        judge(ended, [action], timeout_s=8)
        assert ended.code == 0, (
            "what cannot be reached is no failure of this resource, and no reason to run out of time"
        )
        return ended

    def held(self) -> dict[str, str]:
        """Attribute → the value that the cluster was given last."""
        lines = self.one.record("attributes").read_text().splitlines()[1:]
        return {line.split()[0]: line.split()[1] for line in lines}

    def reached(self) -> bool:
        return self.held()["kappa-telegram"] == "1"


@pytest.fixture
def measured(many: Callable[[str], Many]) -> "Measured":
    ready = Measured(many("uplink"))
    ready.ask("http", "connect", "start")

    def answers() -> bool:
        ready.ask("http", "http")
        return ready.reached()

    until(answers)
    return ready


def flight(folder: Path) -> bytes:
    """What a TLS server says first, to a client of its own: every record right, but meant for someone else."""
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.load_cert_chain(folder / "both")
    theirs.check_hostname, theirs.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = theirs.wrap_bio(to_client, to_server)
    server = ours.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    return to_client.read()


def record(kind: int, body: bytes, version: int = 0x0303, length: "int | None" = None) -> bytes:
    return struct.pack(">BHH", kind, version, len(body) if length is None else length & 0xFFFF) + body


def records() -> "st.SearchStrategy[bytes]":
    """TLS records: of every kind and none, alerts, lengths that are not so."""
    kinds = st.sampled_from([20, 21, 22, 23, 24, 0, 255])
    versions = st.sampled_from([0x0300, 0x0301, 0x0303, 0x0304, 0, 0xFFFF])
    bodies = st.binary(max_size=80) | st.sampled_from([b"\x02\x28", b"\x01\x00", b"\x02\x00\x00\x00", b"\0" * 17000])
    lengths = st.none() | st.integers(0, 65535)
    return st.lists(st.builds(record, kinds, bodies, versions, lengths), max_size=4).map(b"".join)


def statuses() -> "st.SearchStrategy[bytes]":
    """Status lines: wrong, half, endless, and right with nonsense behind."""
    first = st.one_of(
        st.builds(
            lambda name, code: f"{name} {code} x".encode("utf-8", "replace"),
            st.sampled_from(["HTTP/1.1", "HTTP/2", "HTTP/", "http/1.1", "ICY", "", "HTTP/1.1\t"]),
            st.integers(-1, 1000).map(str) | st.sampled_from(["٣٠٠", "²00", "1_0", "9" * 5000, "", "2 00", "0x1"]),
        ),
        st.binary(max_size=60),
    )
    rest = st.sampled_from(
        [b"\r\n\r\n", b"\r\n", b"\n\n", b"", b"\r", b"\r\nX: " + b"y" * 70000, b"\r\n" * 4000, b"\0"]
    )
    return st.builds(lambda line, end: line + end, first, rest) | damaged(RIGHT)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_whatever_the_server_says(measured: Measured, scheme: str) -> None:
    whole = flight(measured.one.scratch)
    said = st.one_of(records(), damaged(whole), statuses(), st.binary(max_size=300))

    @thorough(400)
    @given(said=said, how=st.sampled_from("ccccrCCCR"), check=st.sampled_from(CHECKS))
    def whatever(said: bytes, how: str, check: str) -> None:
        measured.reply(how, said)
        measured.ask(scheme, check)
        right = said.startswith(b"HTTP/") and how.isupper() == (scheme == "https")
        if check == "connect":
            assert measured.reached(), "a connection is enough"
        elif check == "http" and not right:
            assert not measured.reached()
        elif check == "tls" and scheme == "https" and how.islower():
            assert not measured.reached(), "nobody has shown a certificate"
        assert measured.held()["kappa-router"] == "0", "none of this is a router"

    try:
        whatever()
    finally:
        measured.one.kill()
        measured.one.record("attributes").unlink(missing_ok=True)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_never_ends_is_not_waited_for(measured: Measured, scheme: str) -> None:
    whole = flight(measured.one.scratch)
    lines = (("h", b""), ("h", b"HTTP/1.1 "), ("h", whole[:40]), ("h", whole), ("t", whole), ("t", RIGHT),
             ("t", b"\x16\x03\x03\x40\x00" + b"x" * 1000), ("e", record(22, b"\0" * 1000)), ("e", record(21, b"\1\0")),
             ("e", b"HTTP/1.1 200 "), ("e", b"x"), ("T", b"HTTP/1.1 " + b" " * 1000), ("E", b"x"),
             ("H", b""))  # fmt: skip
    try:
        for how, said in lines:
            for check in ("tls", "http"):
                measured.reply(how, said)
                measured.ask(scheme, check)
                if check == "http":
                    assert not measured.reached() or said.startswith(b"HTTP/1.1 200"), (how, said[:20])
    finally:
        measured.one.kill()
        measured.one.record("attributes").unlink(missing_ok=True)


@pytest.mark.parametrize(("scheme", "how"), [("http", "c"), ("https", "C"), ("https", "H")])
def test_a_right_answer_is_taken_for_one(measured: Measured, scheme: str, how: str) -> None:
    """What keeps the tests above honest."""
    for said, reached in ((b"HTTP/1.1 500 x\r\n\r\n", False), (RIGHT, True)):
        measured.reply(how, said)
        measured.ask(scheme, "http")
        assert measured.reached() == reached
    measured.one.kill()
    measured.one.record("attributes").unlink(missing_ok=True)


def test_a_server_that_takes_no_connection(measured: Measured) -> None:
    """Its queue is full, so that not even a connection comes about."""
    measured.one.kill()
    program = (
        "import socket, time\n"
        "server = socket.socket()\n"
        "server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        f"server.bind(('127.0.0.1', {measured.one.port}))\n"
        "server.listen(0)\n"
        f"kept = [socket.socket() for _ in range(4)]\n"
        f"for one in kept: one.setblocking(False); one.connect_ex(('127.0.0.1', {measured.one.port}))\n"
        "time.sleep(1000)\n"
    )
    measured.one.spawn(["/usr/bin/python3", "-IS", "-c", program])

    def refused() -> bool:
        measured.ask("https", "tls")
        return not measured.reached()

    try:
        until(refused)
        ended = measured.ask("http", "connect")
        assert not measured.reached(), ended
    finally:
        measured.one.kill()
        measured.one.record("attributes").unlink(missing_ok=True)
