"""What answers an agent is not to be trusted: the programs that it keeps, and the servers that uplink measures."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.resource_agents.many import Ended, Many, complete, judge
from tests.unit.resource_agents.test_agent_bad_input import thorough

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

# They are agents that keep a program; the programs' answers are what their deeper levels live on.
ANSWERED = ("telegram-bot", "mongos", "nginx")


# --- what answers is not to be trusted --------------------------------------------------------------------------------


@dataclass
class Answering:
    """An agent whose program runs, is on record, and answers with what `reply` is given."""

    one: Many
    pid: int
    environment: dict[str, str] = field(default_factory=dict)

    def reply(self, how: str, data: bytes) -> None:
        half = self.one.scratch / "reply.half"
        half.write_bytes(how.encode() + data)
        half.replace(self.one.scratch / "reply")

    def ask(self, level: int, timeout_ms: int = 2000, real: bool = False) -> Ended:
        more = {"OCF_CHECK_LEVEL": str(level), "OCF_RESKEY_CRM_meta_timeout": str(timeout_ms)}
        ended = self.one.run(["monitor"], {**self.environment, **more}, real=real)
        judge(ended, ["monitor"], level, timeout_ms / 1000)
        # It runs: "not running" would have it started twice, and its parameters are right.
        assert ended.code not in (5, 6, 7), ended
        return ended


def answering(one: Many) -> Answering:
    """Started as its agent would have done it, but without asking whether it answers well."""
    one.kill()
    scratch, name = one.scratch, one.agent.name
    listen: int | str = f"{scratch}/sock" if name == "telegram-bot" else one.port
    (scratch / "sock").unlink(missing_ok=True)
    config = scratch / "hostile.json"
    config.write_text(json.dumps({"listen": listen, "reply": f"{scratch}/reply"}))
    parameters = {**complete(one.agent, scratch), "binary": f"{scratch}/hostile", "config": str(config)}
    words = {"telegram-bot": ["run", "--config", str(config)], "mongos": ["--config", str(config), "--port", "4711"],
             "nginx": ["-c", str(config)]}[name]  # fmt: skip
    parameters |= {
        "telegram-bot": {"socket": f"{scratch}/sock"},
        "mongos": {"port": str(one.port)},
        "nginx": {"status_url": f"http://127.0.0.1:{one.port}/status"},
    }[name]
    environment = {"HA_RSCTMP": str(scratch / "state"), "OCF_RESOURCE_INSTANCE": "r"}
    environment |= {f"OCF_RESKEY_{key}": value for key, value in parameters.items()}
    pid = one.spawn([f"{scratch}/hostile", *words], str(one.record("pid")))
    ready = Answering(one, pid, environment)
    ready.reply("c", b"")
    for _ in range(200):
        if "refused" not in (said := ready.ask(10).err) and "no such file" not in said and "no worker" not in said:
            break
    else:
        raise AssertionError(f"the stand-in does not answer: {said}")
    return ready


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=5), plain, max_size=3)
BOT = {"v": 1, "ok": True, "role": "active", "pid": 1, "epoch": 1, "last_receive_s": 0.1, "backlog": 0, "conflicts": 0,
       "telegram": "ok", "router": "ok", "reason": ""}  # fmt: skip
ROUTER = {"ok": 1.0, "msg": "isdbgrid", "maxWireVersion": 17, "minWireVersion": 0}


def wire(document: bytes, length: "int | None" = None, answered: int = 1, kind: int = 2013, section: int = 0) -> bytes:
    size = 21 + len(document) if length is None else length
    return struct.pack("<iiiiIB", size, 7, answered, kind, 0, section) + document


def damaged(whole: bytes) -> "st.SearchStrategy[bytes]":
    """`whole` with some bytes replaced, cut or doubled."""
    place = st.integers(0, len(whole))
    replaced = st.builds(lambda at, new: whole[:at] + new + whole[at + len(new) :], place, st.binary(max_size=4))
    return replaced | place.map(lambda at: whole[:at]) | st.builds(lambda a, b: whole[:a] + whole[b:], place, place)


def replies(agent: str, pid: int) -> "st.SearchStrategy[bytes]":
    junk = st.binary(max_size=300) | st.sampled_from(
        [b"\0" * 100, b"\n", b"\r\n\r\n", b"\xff" * 70000, b"[" * 100000 + b"\n"]
    )
    if agent == "telegram-bot":
        right = {**BOT, "pid": pid}
        hostile = st.dictionaries(st.sampled_from(sorted(right)), json_values, max_size=3)
        roles = st.sampled_from(["starting", "standby", "active", "stopping"]).map(lambda role: {"role": role})
        edges = st.fixed_dictionaries(
            {},
            optional={
                "last_receive_s": st.floats() | st.none(),
                "conflicts": st.integers(-5, 10**30),
                "pid": st.integers(-5, 10**30) | st.sampled_from([0, 1, 2, pid]),
                "telegram": st.text(),
                "router": st.text(),
                "reason": st.text(),
            },
        )
        said = st.builds(lambda a, b, c: {**right, **a, **b, **c}, hostile, st.just({}) | roles, st.just({}) | edges)
        return (
            junk | damaged(json.dumps(right).encode() + b"\n") | said.map(lambda one: json.dumps(one).encode() + b"\n")
        )
    if agent == "mongos":
        large = st.integers(-(1 << 63), (1 << 63) - 1)
        flat = st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.binary(max_size=20) | large
        value = flat | st.lists(flat, max_size=3)
        key = st.sampled_from(["ok", "msg", "errmsg", "code", "codeName", "databases", "hosts"])
        documents = st.dictionaries(key, value, max_size=4).map(lambda more: bson.encode({**ROUTER, **more}))
        heads = st.tuples(st.binary(max_size=60), st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, 3))
        return (
            junk
            | damaged(wire(bson.encode(ROUTER)))
            | documents.map(wire)
            | st.binary(max_size=100).map(wire)
            | heads.map(lambda three: wire(three[0], length=three[1], section=three[2]))
        )
    status = st.integers(-1, 1000).map(str) | st.text(max_size=5)
    return (
        junk
        | damaged(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x\r\n\r\nok")
        | st.builds(
            lambda code, head, body: f"HTTP/1.1 {code} x\r\n".encode("utf-8", "replace") + head + b"\r\n\r\n" + body,
            status,
            st.binary(max_size=40) | st.sampled_from([b"Content-Length: -1", b"Content-Length: 99999999999999"]),
            st.binary(max_size=100) | st.just(b"a" * 200000),
        )
    )


@pytest.mark.parametrize("agent", ANSWERED)
def test_whatever_the_program_answers(many: Callable[[str], Many], agent: str) -> None:
    running = answering(many(agent))

    @thorough(600)
    @given(reply=replies(agent, running.pid), how=st.sampled_from("cccccr"), level=st.sampled_from([10, 20]))
    def whatever(reply: bytes, how: str, level: int) -> None:
        running.reply(how, reply)
        running.ask(level)

    try:
        whatever()
        ended = running.one.run(["stop"], running.environment)
        judge(ended, ["stop"])
        assert ended.left == 0
        assert ended.seconds < 4, "its worker was not told to end when its head ended, but waited for"
    finally:
        running.one.kill()


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("agent", ANSWERED)
def test_what_never_ends_its_answer_is_not_waited_for(many: Callable[[str], Many], agent: str, real: bool) -> None:
    running = answering(many(agent))
    right = {
        "telegram-bot": json.dumps({**BOT, "pid": running.pid}).encode(),
        "mongos": wire(bson.encode(ROUTER)),
        "nginx": b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100,
    }[agent]
    try:
        for level in (10, 20):
            for how, reply in (("h", b""), ("h", right[:20]), ("t", right), ("t", b"x" * 1000)):
                running.reply(how, reply)
                ended = running.ask(level, timeout_ms=400, real=real)
                assert ended.code != 0 or how == "h", ended
    finally:
        running.one.kill()


def test_a_whole_right_answer_is_taken_for_one(many: Callable[[str], Many]) -> None:
    """What keeps the tests above honest: the stand-in can be believed as well."""
    running = answering(many("telegram-bot"))
    try:
        running.reply("c", json.dumps({**BOT, "pid": running.pid}).encode() + b"\n")
        assert running.ask(10).code == 0
        running.reply("c", json.dumps({**BOT, "pid": running.pid, "last_receive_s": 1e6}).encode() + b"\n")
        assert running.ask(10).code == 1
    finally:
        running.one.kill()
