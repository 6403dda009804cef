"""The mongos agent and its handshake, with routers that obey and routers that do not."""

import os
import pwd
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resource_agents import cli
from resource_agents.host.router import decode, encode, hello
from resource_agents.host.sockets import Unanswered
from resource_agents.ocf.operation import Deadline
from tests.unit.resource_agents.running import Agents, Ended, alive, recorded_pid

ROUTER = {
    "ok": 1.0,
    "msg": "isdbgrid",
    "maxWireVersion": 17,
    "topologyVersion": {"processId": bson.ObjectId(), "counter": 0},
}

FAKE_MONGOS = """
import json, os, socket, struct, sys, time
words = sys.argv[1:]
option = dict(zip(words, words[1:]))
print("fake mongos", " ".join(words), file=sys.stderr, flush=True)
if "--die" in words:
    print("BadValue: error parsing configdb", file=sys.stderr, flush=True)
    sys.exit(2)
time.sleep(float(option.get("--late", 0)))
server = socket.create_server((option["--bind_ip"], int(option["--port"])))
context = None
if option.get("--tlsMode") == "requireTLS":
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(option["--tlsCertificateKeyFile"])
    context.load_verify_locations(option["--tlsCAFile"])
    context.verify_mode = ssl.CERT_REQUIRED
while True:
    client, _ = server.accept()
    if context:
        try:
            client = context.wrap_socket(client, server_side=True)
        except OSError:
            continue
    while True:
        head = client.recv(16)
        if not head:
            break
        body = client.recv(struct.unpack("<i", head[:4])[0] - 16)
        lists = b"listDatabases" in body
        if lists and "--slow" in option:
            time.sleep(float(option["--slow"]))
        reply = bytes.fromhex(open(option["--reply"] + (".shards" if lists else "")).read())
        head = struct.pack("<iiiiIB", 21 + len(reply), 7, struct.unpack("<i", head[4:8])[0], 2013, 0, 0)
        client.sendall(head + reply)
    client.close()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Router:
    def __init__(self, agents: Agents, directory: Path) -> None:
        self.agents = agents
        self.log = directory / "mongos.log"
        self.binary = directory / "mongos"
        self.binary.write_text(f"#!{sys.executable} -IS\n{FAKE_MONGOS}")
        self.binary.chmod(0o755)
        self.reply = directory / "reply"
        self.port = free_port()
        self.be(ROUTER)
        self.shards_say({"ok": 1.0, "databases": [{"name": "admin"}]})

    def be(self, reply: dict[str, object]) -> None:
        self.reply.write_text(bson.encode(reply).hex())

    def shards_say(self, reply: dict[str, object]) -> None:
        self.reply.with_name("reply.shards").write_text(bson.encode(reply).hex())

    def run(self, action: str, level: int = 0, timeout_s: float = 20, **more: object) -> Ended:
        parameters = {
            "binary": self.binary,
            "configdb": "kappa0/127.0.0.1:1",
            "port": self.port,
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "log": self.log,
            "options": f"--reply '{self.reply}'",
            **more,
        }
        return self.agents.run("mongos", action, parameters, level=level, timeout_s=timeout_s)


@pytest.fixture
def router(agents: Agents, tmp_path: Path) -> Iterator[Router]:
    router = Router(agents, tmp_path)
    yield router
    assert router.run("stop").code == 0


def test_start_returns_when_it_answers_as_a_router(router: Router) -> None:
    assert router.run("monitor").code == 7
    ended = router.run("start", options=f"--reply {router.reply} --late 0.3")
    assert ended.code == 0
    assert ended.seconds > 0.3
    pid = recorded_pid(router.agents, "mongos")
    assert router.run("monitor").code == 0
    assert router.run("monitor", level=10).code == 0
    assert router.run("start").code == 0
    assert recorded_pid(router.agents, "mongos") == pid
    said = router.log.read_text()
    assert f"--configdb kappa0/127.0.0.1:1 --bind_ip 127.0.0.1 --port {router.port}" in said
    assert "--fork" not in said
    assert router.run("stop").code == 0
    assert not alive(pid)
    assert router.run("monitor").code == 7
    assert router.run("stop").code == 0


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ({"ok": 1.0, "setName": "kappa0", "isWritablePrimary": True}, "no router"),
        ({"ok": 0.0, "errmsg": "shutting down"}, "shutting down"),
        ({"ok": 1.0, "msg": "isdbgrid "}, "no router"),
    ],
)
def test_what_does_not_answer_as_a_router_is_none(router: Router, reply: dict[str, object], says: str) -> None:
    assert router.run("start").code == 0
    router.be(reply)
    assert router.run("monitor").code == 0, "the process runs"
    ended = router.run("monitor", level=10)
    assert ended.code == 1
    assert says in ended.reason


def test_a_start_that_becomes_no_router_says_so(router: Router) -> None:
    router.be({"ok": 1.0, "setName": "kappa0"})
    ended = router.run("start", timeout_s=1)
    assert ended.code == 1
    assert "no router" in ended.reason
    assert router.run("monitor").code == 0, "Pacemaker stops what failed to start"


def test_a_router_that_dies_at_start_says_why(router: Router) -> None:
    ended = router.run("start", options="--die")
    assert ended.code == 1
    assert "exit code 2" in ended.reason
    assert "error parsing configdb" in ended.reason
    assert ended.seconds < 5


def test_a_lost_record_is_found_by_program_and_port(router: Router) -> None:
    assert router.run("start").code == 0
    pid = recorded_pid(router.agents, "mongos")
    (router.agents.state / f"kappa-mongos-{router.agents.instance}.pid").unlink()
    assert router.run("monitor", port=router.port + 1 if router.port < 65535 else 1).code == 7, (
        "another port, another router"
    )
    ended = router.run("monitor")
    assert ended.code == 1
    assert str(pid) in ended.reason
    assert router.run("stop").code == 0
    assert not alive(pid)


def test_configdb_or_a_configuration_file_is_needed(router: Router) -> None:
    ended = router.run("start", configdb="")
    assert ended.code == 6
    assert "configdb" in ended.reason
    ended = router.run("start", configdb="", config="/nonexistent/mongos.conf")
    assert ended.code == 5
    ended = router.run("start", keyfile="/nonexistent/key")
    assert ended.code == 5
    assert "/nonexistent/key" in ended.reason


# The handshake itself, against a server that may be hostile.


def served(answer: Callable[[socket.socket], None], timeout_s: float = 3.0) -> dict[str, object]:
    """What `hello` makes of a server that answers as `answer` does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            client, _ = server.accept()
            with client:
                answer(client)

        thread = threading.Thread(target=once, daemon=True)
        thread.start()
        try:
            deadline = Deadline(timeout_s)
            return hello("127.0.0.1", server.getsockname()[1], deadline)
        finally:
            thread.join(10)


def message(
    document: bytes, answered: int = 1, operation: int = 2013, length: "int | None" = None, kind: int = 0
) -> bytes:
    body = struct.pack("<IB", 0, kind) + document
    return struct.pack("<iiii", 16 + len(body) if length is None else length, 9, answered, operation) + body


def test_the_request_is_what_a_driver_would_send() -> None:
    heard = []

    def answer(client: socket.socket) -> None:
        heard.append(client.recv(4096))
        client.sendall(message(bson.encode(ROUTER)))

    said = served(answer)
    assert (said["ok"], said["msg"]) == (1.0, "isdbgrid")
    length, _, _, operation, flags, kind = struct.unpack("<iiiiIB", heard[0][:21])
    assert (length, operation, flags, kind) == (len(heard[0]), 2013, 0, 0)
    assert bson.decode(heard[0][21:]) == {"hello": 1, "$db": "admin"}


GOOD = bson.encode(ROUTER)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 64,
        message(GOOD)[:30],
        message(GOOD, answered=5),
        message(GOOD, operation=1),
        message(GOOD, length=2**31 - 1),
        message(GOOD, length=-1),
        message(GOOD, length=16),
        message(GOOD, kind=1),
        message(struct.pack("<i", 2**30) + GOOD[4:]),
        message(struct.pack("<i", -1) + GOOD[4:]),
        message(GOOD[:-1] + b"\x01"),
        message(b"\x0b\0\0\0\x02a\0\xff\xff\xff\x7f\0"),
        message(b"\x0b\0\0\0\x02a\0\xff\xff\xff\xff\0"),
        message(b"\x08\0\0\0\x63a\0\0"),
    ],
)
def test_a_hostile_answer_is_refused_in_words(answer: bytes) -> None:
    def say(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(answer)

    with pytest.raises(Unanswered):
        served(say)


@pytest.mark.parametrize("drip", [False, True])
def test_a_server_that_is_silent_or_drips_is_left_at_the_deadline(drip: bool) -> None:
    gone = threading.Event()

    def say(client: socket.socket) -> None:
        for byte in message(GOOD):
            if drip:
                try:
                    client.sendall(bytes([byte]))
                except OSError:
                    return
            if gone.wait(0.2):
                return

    began = time.monotonic()
    try:
        with pytest.raises(Unanswered, match="in time"):
            served_until(say, gone)
    finally:
        gone.set()
    assert time.monotonic() - began < 3


def served_until(say: Callable[[socket.socket], None], gone: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def once() -> None:
            client, _ = server.accept()
            with client:
                say(client)

        thread = threading.Thread(target=once, daemon=True)
        thread.start()
        try:
            hello("127.0.0.1", server.getsockname()[1], Deadline(0.4))
        finally:
            gone.set()
            thread.join(10)


def test_nobody_there_is_said_in_words() -> None:
    with pytest.raises(Unanswered, match="connection refused"):
        hello("127.0.0.1", free_port(), Deadline(2))


simple = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=20),
    st.booleans(),
    st.floats(allow_nan=False),
    st.none(),
    st.binary(max_size=20),
    st.just(bson.ObjectId()),
    st.just(bson.Timestamp(1, 2)),
    st.just(bson.Regex("a", "i")),
    st.just(bson.MinKey()),
    st.just(bson.Code("x")),
    st.just(bson.Code("x", {"y": 1})),
    st.just(bson.Decimal128("1.5")),
)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


# A busy machine is no failure, and nothing is kept beside the sources.
unhurried = settings(deadline=None, database=None)


@unhurried
@given(
    st.dictionaries(
        names, st.one_of(simple, st.lists(simple, max_size=3), st.dictionaries(names, simple, max_size=3)), max_size=6
    )
)
def test_whatever_a_driver_encodes_is_read(document: dict[str, object]) -> None:
    found = decode(bson.encode(document))
    assert set(found) == set(document)
    for name, value in document.items():
        if isinstance(value, (str, bool, int, float)) and not isinstance(value, bson.Code):
            assert found[name] == value


@unhurried
@given(st.binary(max_size=200), st.integers(0, 200))
def test_whatever_bytes_come_they_are_read_or_refused(data: bytes, at: int) -> None:
    for hostile in (data, GOOD[:at] + data + GOOD[at + len(data) :]):
        try:
            decode(hostile)
        except (ValueError, struct.error, IndexError):
            continue


@unhurried
@given(
    st.lists(
        st.tuples(names, st.one_of(st.booleans(), st.binary(max_size=9), st.integers(-(2**31), 2**31 - 1), st.text())),
        max_size=5,
        unique_by=lambda x: x[0],
    )
)
def test_what_we_encode_a_driver_reads(words: list[tuple[str, object]]) -> None:
    assert list(bson.decode(encode(words)).items()) == words


def test_every_kind_that_we_encode_a_driver_reads() -> None:
    words: list[tuple[str, object]] = [("a", True), ("b", False), ("c", b"\0x"), ("d", [("e", [("f", 1)])]), ("g", -1)]
    assert bson.decode(encode(words)) == {"a": True, "b": False, "c": b"\0x", "d": {"e": {"f": 1}}, "g": -1}
    with pytest.raises(TypeError):
        encode([("x", 1.5)])
    assert decode(bson.encode({"payload": b"r=1,\0"})) == {"payload": b"r=1,\0"}


@pytest.mark.mongod
def test_the_labs_stand_in_before_a_real_replica_set(router: Router, tmp_path: Path) -> None:
    from tests.mongod import ReplicaSet

    root = Path(cli.__file__).resolve().parent.parent
    mongos = tmp_path / "bin" / "mongos"
    mongos.parent.mkdir()
    mongos.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root / 'vagrant')!r})\n"
        "from kappa_lab.mongodb.mongos import main\nsys.exit(main())\n"
    )
    mongos.chmod(0o755)
    (tmp_path / "set").mkdir()
    with ReplicaSet(tmp_path / "set", members=1) as mongo:

        def run(action: str, level: int = 0) -> Ended:
            real = {"binary": mongos, "configdb": mongo.configdb, "keyfile": mongo.keyfile, "options": ""}
            return router.run(action, level, 20, monitor_user="watch", monitor_password_file=password, **real)

        password = tmp_path / "password"
        password.write_text("word\n")
        password.chmod(0o600)
        with mongo.client() as client:
            client.admin.command("createUser", "watch", pwd="word", roles=[])

        ended = run("start")
        assert ended.code == 0, ended
        pid = recorded_pid(router.agents, "mongos")
        assert run("monitor", 10).code == 0
        ended = run("monitor", 20)
        assert (ended.code, ended.err) == (0, ""), "a command comes back from beyond the router"
        password.write_text("another\n")
        ended = run("monitor", 20)
        assert ended.code == 190
        assert "does not let user watch in" in ended.reason
        mongo.signal_member(0, signal.SIGSTOP)
        password.write_text("word\n")
        ended = run("monitor", 20)
        mongo.signal_member(0, signal.SIGCONT)
        assert ended.code == 1, "law 5: it reaches nobody"
        (router.agents.state / f"kappa-mongos-{router.agents.instance}.pid").unlink()
        assert run("monitor").code == 1, "found by what it is"
        assert run("stop").code == 0
        assert not alive(pid)
