"""What the docker driver takes for a proof, and how it fares with an engine that hangs, lies or changes."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonith.power.driver import DriverError, State
from stonith.power.drivers.docker import Docker, judge
from tests.unit.stonith import fake_engine
from tests.unit.stonith.fake_engine import Container, Engine


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with fake_engine.running(tmp_path_factory.mktemp("e") / "s") as running:
        yield running


@pytest.fixture
def engine(one_engine: Engine) -> Engine:
    one_engine.reset()
    one_engine.add("box")
    return one_engine


@pytest.fixture
def docker(engine: Engine) -> Docker:
    return Docker(str(engine.path))


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def seen(**about: Any) -> State:
    return judge(Container("box", **about).inspect(), "box").state


def test_what_runs_or_may_run_again_is_on() -> None:
    assert {seen(), seen(status="paused"), seen(status="restarting")} == {State.ON}


def test_what_has_exited_or_never_ran_is_off() -> None:
    assert {seen(status="exited", pid=0), seen(status="created", pid=0)} == {State.OFF}


NO_PROOF: dict[str, dict[str, Any]] = {
    "dead": {"status": "dead", "pid": 0},
    "removing": {"status": "removing", "pid": 0},
    "exited with a process left": {"status": "exited", "pid": 77},
    "exited and running": {"status": "exited", "pid": 0, "overrides": {"Running": True}},
    "exited and paused": {"status": "exited", "pid": 0, "overrides": {"Paused": True}},
    "exited and restarting": {"status": "exited", "pid": 0, "overrides": {"Restarting": True}},
    "running without a process": {"overrides": {"Pid": 0}},
    "no status": {"status": "exited", "pid": 0, "overrides": {"Status": None}},
    "pid is false": {"status": "exited", "overrides": {"Pid": False}},
    "pid is text": {"status": "exited", "overrides": {"Pid": "0"}},
    "no start": {"status": "exited", "pid": 0, "overrides": {"StartedAt": ""}},
    "a flag is missing": {"status": "exited", "pid": 0, "overrides": {"Paused": None}},
    "a flag is a number": {"status": "exited", "pid": 0, "overrides": {"Running": 0}},
    "a status of the future": {"status": "hibernated", "pid": 0},
    "an id that is none": {"status": "exited", "pid": 0, "id": "box"},
}


@pytest.mark.parametrize("about", NO_PROOF.values(), ids=NO_PROOF)
def test_what_proves_nothing_is_unknown(about: dict[str, Any]) -> None:
    assert seen(**about) is State.UNKNOWN


@pytest.mark.parametrize(
    "answer", [None, [], {}, "exited", 0, {"State": None}, {"State": {}}, {"State": "exited"}], ids=str
)
def test_an_answer_that_is_no_container_is_unknown(answer: object) -> None:
    assert judge(answer, "box").state is State.UNKNOWN


def test_another_container_is_not_the_machine() -> None:
    ended = Container("box", status="exited", pid=0)
    assert judge(ended.inspect(), "box", ended.id).state is State.OFF
    assert judge(ended.inspect(), "box", "f" * 64).state is State.UNKNOWN
    assert judge(ended.inspect(), "bo").state is State.UNKNOWN


def test_an_id_that_begins_like_the_name_is_not_the_machine(engine: Engine, docker: Docker) -> None:
    engine.add("stranger", id="beef" + "0" * 60, status="exited", pid=0)
    assert docker.status("beef", soon()).state is State.UNKNOWN


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 5) | st.sampled_from(["", "exited", "created", "running", "x", "0"]),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
KEYS = ["Status", "Running", "Paused", "Restarting", "Dead", "Pid", "StartedAt"]


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(
    overrides=st.dictionaries(st.sampled_from(KEYS), anything), status=st.sampled_from(["running", "paused", "exited"])
)
def test_no_answer_makes_off_of_what_could_run(overrides: dict[str, Any], status: str) -> None:
    answer = Container("box", status=status, pid=0 if status == "exited" else 7, overrides=overrides).inspect()
    state, told = judge(answer, "box").state, answer["State"]
    if state is State.OFF:
        assert told["Status"] in ("exited", "created")
        assert [told[key] for key in ("Running", "Paused", "Restarting", "Dead")] == [False] * 4
        assert told["Pid"] == 0
        assert type(told["Pid"]) is int
    if state is State.ON:
        assert told["Running"] is True


GARBAGE = {
    "not http": b"hello\r\n\r\n",
    "not json": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nexit",
    "a list": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "an empty object": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "cut short": b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"Id":"',
    "deep": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100000,
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "headers without an end": b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 200,
    "nothing": b"",
    "not utf-8": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe",
    "an error": b'HTTP/1.1 500 Oops\r\nContent-Length: 18\r\n\r\n{"message": "bad"}',
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_unknown_and_no_exception(engine: Engine, docker: Docker, raw: bytes) -> None:
    engine.raw["json"] = raw
    assert docker.status("box", soon()).state is State.UNKNOWN
    if raw != GARBAGE["a list"]:
        with pytest.raises(DriverError):
            docker.list(soon())


def test_an_answer_without_an_end_is_cut_off(engine: Engine, docker: Docker) -> None:
    engine.raw["json"] = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (5 << 20)
    assert docker.status("box", soon()).state is State.UNKNOWN


def test_an_engine_that_hangs_keeps_the_deadline(engine: Engine, docker: Docker) -> None:
    engine.hang_s = 20
    began = time.monotonic()
    sight = docker.status("box", soon(0.2))
    assert sight.state is State.UNKNOWN
    assert "in time" in sight.evidence
    assert time.monotonic() - began < 3


def test_a_socket_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    sight = Docker(str(tmp_path / "none.sock")).status("box", soon())
    assert sight.state is State.UNKNOWN
    assert str(tmp_path / "none.sock") in sight.evidence


@pytest.mark.parametrize(
    ("api", "spoken"),
    [(("1.41", "1.12"), "1.41"), (("1.51", "1.24"), "1.41"), (("1.52", "1.44"), "1.44"), (("1.30", "1.12"), "1.30")],
)
def test_it_speaks_a_version_that_the_engine_has(engine: Engine, api: tuple[str, str], spoken: str) -> None:
    engine.api = api
    docker = Docker(str(engine.path))
    assert docker.list(soon()) == {"box"}
    assert docker._version == spoken


def test_another_engine_behind_the_same_socket_is_spoken_to_anew(engine: Engine, docker: Docker) -> None:
    assert docker.status("box", soon()).state is State.ON
    engine.api = ("1.52", "1.44")
    assert docker.status("box", soon()).state is State.ON


def test_list_has_the_names_of_all_whatever_they_do(engine: Engine, docker: Docker) -> None:
    engine.add("ended", status="exited", pid=0)
    assert docker.list(soon()) == {"box", "ended"}


def test_a_cut_is_a_kill_of_that_very_unit(engine: Engine, docker: Docker) -> None:
    unit = engine.containers["box"].id
    assert "204" in docker.off("box", unit, soon())
    assert engine.switching() == [f"POST /containers/{unit}/kill?signal=SIGKILL"]
    assert "409" in docker.off("box", unit, soon())
    with pytest.raises(DriverError, match="404"):
        docker.off("box", "f" * 64, soon())


def test_a_start_is_of_that_very_unit_and_its_refusal_is_told(engine: Engine, docker: Docker) -> None:
    box = engine.add("box", status="exited", pid=0)
    assert "204" in docker.on("box", box.id, soon())
    assert "304" in docker.on("box", box.id, soon())
    engine.raw["start"] = b'HTTP/1.1 500 x\r\nContent-Length: 20\r\n\r\n{"message":"no net"}'
    with pytest.raises(DriverError, match="no net"):
        docker.on("box", box.id, soon())
