"""Tens of thousands of parameter sets, environments, broken hosts and hostile answers, at each agent.

Whatever comes: a legal exit code, one reason, no traceback, no hang past the deadline, and a stop of something stopped
is success. Everything runs in namespaces of its own (network, processes, mounts), where all but a scratch directory is
read-only: an agent that is given nonsense as root may do as told.
"""

import json
import marshal
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import bson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resource_agents import cli
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.parameters import Parameter
from tests.unit.resource_agents.running import LEGAL, PREFIX, until

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
AGENTS = tuple(cli.AGENTS)
# They are agents that keep a program; the programs' answers are what their deeper levels live on.
ANSWERED = ("telegram-bot", "mongos", "nginx")
ROLE_CODES = {0, 8}

NAMESPACES = """
mount --bind "$1" "$1" && mount -o remount,bind,ro / && cd "$1" &&
ip link set lo up && ip link add eth0 type veth peer name eth0-end && ip addr add 192.0.2.1/24 dev eth0 &&
ip link set eth0 up && ip link set eth0-end up &&
mount -t tmpfs -o size=16k full full && mount -t tmpfs ro ro && mkdir ro/below && mount -o remount,ro ro &&
{ cat /dev/zero >full/filler 2>/dev/null || true; } && shift && exec "$@"
"""


def thorough(examples: int) -> settings:
    """Without a clock, for a busy machine; in a gate always the same cases, so that its verdict is repeatable.

    KAPPA_THOROUGH=10 in the environment makes it ten times as many.
    """
    return settings(
        max_examples=examples * int(os.environ.get("KAPPA_THOROUGH") or 1),
        deadline=None,
        database=None,
        derandomize=bool(os.environ.get("CI")),
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True)
class Ended:
    code: "int | None"
    out: str
    err: str
    seconds: float
    left: int
    """Processes that were there afterwards."""

    @property
    def reasons(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith(PREFIX)]


@dataclass
class Many:
    """One agent in its namespaces, to be run many times."""

    agent: Agent
    scratch: Path
    process: "subprocess.Popen[bytes]"
    port: int = 4711

    def _ask(self, *request: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        marshal.dump(request, self.process.stdin)
        self.process.stdin.flush()
        try:
            return marshal.load(self.process.stdout)
        except EOFError:
            raise AssertionError("the namespace ended: was its first process killed?") from None

    def run(self, words: list[str], environment: dict[str, str], limit_s: float = 30, real: bool = False) -> Ended:
        code, out, err, seconds, left = self._ask("exec" if real else "run", words, environment, limit_s)
        return Ended(code, out.decode(), err.decode(), seconds, left)

    def spawn(self, argv: list[str], record: str = "") -> int:
        return cast(int, self._ask("spawn", argv, record))

    def count(self) -> int:
        return cast(int, self._ask("count"))

    def kill(self) -> int:
        return cast(int, self._ask("kill"))

    def record(self, kind: str, state: str = "state", instance: str = "r") -> Path:
        return self.scratch / state / f"kappa-{self.agent.name}-{instance}.{kind}"


@pytest.fixture(scope="module")
def many(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Many]]:
    for program in ("unshare", "ip", "mount"):
        assert shutil.which(program), f"{program} is missing: install util-linux and iproute2"
    made: dict[str, Many] = {}

    def of(agent: str) -> Many:
        if agent not in made:
            made[agent] = begin(agent, installed, tmp_path_factory.mktemp(agent))
        return made[agent]

    yield of
    for one in made.values():
        one.process.communicate(timeout=20)


def begin(agent: str, root: Path, scratch: Path) -> Many:
    furnish(scratch)
    module = cli.AGENTS[agent]
    launcher = root / cli.AGENT_DIRECTORY / agent
    server = [launcher.read_text().split()[0][2:], "-IS", str(HERE / "fork_server.py"), str(root / cli.LIBRARY)]
    process = subprocess.Popen(
        ["unshare", "-n", "-m", "-p", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-c", NAMESPACES, "sh",
         str(scratch), *server, module, str(launcher)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    code = __import__(f"resource_agents.{module}", fromlist=["AGENT"]).AGENT
    return Many(code, scratch, process)


def furnish(scratch: Path) -> None:
    """Files of every sad kind; the mounts come with the namespaces."""
    scratch.chmod(0o755)
    for name in ("state", "full", "ro", "directory", "record-is-a-directory"):
        (scratch / name).mkdir()
    (scratch / "file").write_text("just a file\n")
    (scratch / "loop").symlink_to("loop")
    (scratch / "dangling").symlink_to("nowhere/at/all")
    (scratch / "binary").write_bytes(bytes(range(256)))
    os.mkfifo(scratch / "fifo")
    for name, text in (
        ("ends", "#!/bin/sh\necho some last words >&2\nexit 3\n"),
        ("succeeds", "#!/bin/sh\nexit 0\n"),
        ("stays", "#!/bin/sh\nexec sleep 1000\n"),
        ("no-interpreter", "#!/no/such/interpreter\n"),
        ("not-a-program", "words\n"),
    ):
        (scratch / name).write_text(text)
        (scratch / name).chmod(0o755)
    (scratch / "hostile").write_text(f"#!/usr/bin/python3 -IS\n{(HERE / 'hostile.py').read_text()}")
    (scratch / "hostile").chmod(0o755)


def judge(ended: Ended, words: list[str], level: int = 0, timeout_s: float = 30) -> None:
    """What must hold of every end."""
    action = words[0] if words else ""
    assert ended.code is not None, f"still at it after {ended.seconds:.1f} s"
    assert ended.code in LEGAL, ended
    assert ended.seconds < timeout_s + 1, f"took {ended.seconds:.1f} s of {timeout_s} s"
    assert "Traceback" not in ended.err + ended.out, ended.err
    assert "a defect of this agent" not in ended.err, ended.err
    assert len(ended.reasons) == (0 if ended.code in ROLE_CODES else 1), ended
    assert all(reason[len(PREFIX) :].strip() for reason in ended.reasons), ended
    assert not ended.err or ended.err.endswith("\n"), ended.err
    assert bool(ended.out) == (action == "meta-data"), "output is for metadata alone"
    if action == "stop":
        assert ended.code == 0, ended.err
    if action == "meta-data":
        assert (ended.code, ended.err) == (0, "")
    if action == "validate-all" and ended.code == 0 and level == 0:
        assert ended.err == "", "silent on success"


# --- what comes in ----------------------------------------------------------------------------------------------------

anything = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")),
    st.sampled_from(["", " ", "\n", "\x1b[31m", "x" * 5000, "é" * 200, "%s%n", "$(reboot)", "`id`", "; id", "'", '"',
                     "\\", "\udcff", "--", "-1", "nan", "inf", "None", "{}", "../../etc/passwd"]),
)  # fmt: skip
NUMBERS = ["0", "1", "24", "32", "33", "128", "129", "27017", "65535", "65536", "-1", "+5", "1_0", " 1", "٣", "0x10",
           "1e3", "9" * 18, "9" * 19, "9" * 400]  # fmt: skip
TIMES = [
    "0",
    "1",
    "100ms",
    "1s",
    "0.2",
    ".5",
    "5 s",
    "2m",
    "1h",
    "-1s",
    "1.2.3",
    "s",
    "ms",
    "999999999999h",
    "1e9",
    "infinity",
]
TEXTS = ["192.0.2.77", "192.0.2.1", "127.0.0.9", "0.0.0.0", "255.255.255.255", "224.0.0.1", "1.2.3", "01.2.3.4",
         "2001:db8::7", "::1", "::", "fe80::1%lo", "fe80::1", "ff02::1", "::ffff:1.2.3.4", "eth0", "lo", "eth0-end",
         "nosuch0", "eth0:1", "e" * 15, "e" * 16, "root", "nobody", "no-such-user", "kappa0/127.0.0.1:1", "127.0.0.1",
         "127.0.0.1:1", "127.0.0.1:0", "127.0.0.1:x", "[::1]:1", "localhost:1", "localhost", "none", "a,b", ",",
         "http://127.0.0.1:1/", "http://[::1]:1/x", "http://[::1/", "http://127.0.0.1:99999/", "http://u:p@h/",
         "https://127.0.0.1:1/", "ftp://x/", "http://", "http://x y/", "http://127.0.0.1:4711/\r\nX: y", "(", "[a",
         "ok", ".*", "(a+)+$", "--port 1", "--fork", "'unclosed", "trailing\\", "daemon off;", "kappa-x"]  # fmt: skip
FILES = ["state/x", "directory", "file", "file/x", "loop", "loop/x", "dangling", "binary", "full/x", "full/d/x", "ro/x",
         "ro/d/x", "nothing", "missing/x", "", "x" * 300]  # fmt: skip
PROGRAMS = ["ends", "succeeds", "not-a-program", "no-interpreter", "binary", "file", "directory", "loop", "nothing"]
STATES = [
    "state",
    "missing/deep",
    "file",
    "file/x",
    "loop",
    "dangling",
    "full",
    "ro",
    "ro/below",
    "record-is-a-directory",
]
ACTIONS = ["monitor", "monitor", "stop", "stop", "stop", "validate-all", "start", "meta-data", "reload-agent",
           "promote", "demote", "notify"]  # fmt: skip


def values(parameter: Parameter, scratch: Path) -> "st.SearchStrategy[str]":
    """Values for one parameter: right, on the edge, and absurd. Paths stay within the scratch directory and devices."""
    if parameter.kind == "path":
        inside = st.sampled_from([f"{scratch}/{name}" for name in FILES])
        return inside | st.sampled_from(["/dev/null", "/dev/full", "/proc/self/mem", "relative", "~", f"/{'x' * 5000}"])
    if parameter.kind == "program":
        inside = st.sampled_from([f"{scratch}/{name}" for name in PROGRAMS])
        return inside | st.sampled_from(["true", "false", "no-such-program", "./true", "../bin/true", "x" * 5000, "é"])
    if parameter.kind == "integer":
        return st.sampled_from(NUMBERS) | st.integers(-10, 70000).map(str) | anything
    if parameter.kind == "time":
        return st.sampled_from(TIMES) | anything
    if parameter.kind in ("boolean", "select"):
        return st.sampled_from(["true", "NO", "1", "maybe", *parameter.options]) | anything
    return st.sampled_from(TEXTS) | anything


def parameter_sets(agent: Agent, scratch: Path) -> "st.SearchStrategy[dict[str, str]]":
    """Most leave most parameters at their defaults, or right: else nothing gets past the first refusal."""
    several = {f"OCF_RESKEY_{one.name}": values(one, scratch) for one in agent.parameters}
    right = {f"OCF_RESKEY_{name}": st.just(value) for name, value in complete(agent, scratch).items()}
    return st.tuples(
        st.fixed_dictionaries({}, optional=right) | st.fixed_dictionaries(right),
        st.one_of(
            [st.fixed_dictionaries({name: value}) for name, value in several.items()]
            + [st.fixed_dictionaries({}, optional=several), st.just({})]
        ),
    ).map(lambda both: {**both[0], **both[1]})


def complete(agent: Agent, scratch: Path) -> dict[str, str]:
    """Right values of what is required or has a default that this host has not."""
    found = {"ip": "192.0.2.77", "configdb": "kappa0/127.0.0.1:1", "user": "root", "binary": f"{scratch}/ends",
             "config": f"{scratch}/file", "log": f"{scratch}/state/log", "socket": f"{scratch}/state/s",
             "updater": f"{scratch}/succeeds", "telegram_url": "http://127.0.0.1:1",
             "router": "127.0.0.1:1"}  # fmt: skip
    return {name: value for name, value in found.items() if name in {one.name for one in agent.parameters}}


def environments(scratch: Path) -> "st.SearchStrategy[dict[str, str]]":
    numbers = st.sampled_from(["0", "1", "10", "20", "99", "-1", "", "ten", "9" * 30]) | anything
    odd = {
        "OCF_CHECK_LEVEL": numbers,
        "OCF_RESKEY_CRM_meta_interval": st.sampled_from(["0", "10000", "-1", "1.5"]) | anything,
        "OCF_RESKEY_CRM_meta_promoted_max": numbers,
        "OCF_RESKEY_CRM_meta_master_max": numbers,
        "OCF_RESKEY_CRM_meta_clone": numbers,
        "OCF_RESKEY_CRM_meta_globally_unique": st.sampled_from(["true", "false"]) | anything,
        "OCF_RESKEY_CRM_meta_notify_type": st.sampled_from(["pre", "post"]) | anything,
        "OCF_RESOURCE_INSTANCE": st.sampled_from(["r", "r:0", ":", "../x", "a/b", "x" * 500, "\udcff"]) | anything,
        "OCF_EXIT_REASON_PREFIX": st.just(PREFIX),
        "PATH": st.sampled_from(["", "/nowhere", "relative"]),
        "LC_ALL": st.sampled_from(["C", "xx_YY.UTF-8", "tr_TR.UTF-8"]),
    }
    states = st.sampled_from([f"{scratch}/{name}" for name in STATES])
    states |= st.sampled_from(["", "relative", "/dev/null", "/proc/self/nothing", "/" + "x" * 5000, "/" + "x/" * 100])
    # Short ones, for where there is something to wait for; what is no time counts as the advertised one.
    timeouts = st.sampled_from(["150", "200", "300"])
    return st.builds(
        lambda few, state, timeout: {
            **few,
            **({"HA_RSCTMP": state} if state is not None else {}),
            "OCF_RESKEY_CRM_meta_timeout": timeout,
        },
        st.fixed_dictionaries({}, optional=odd),
        st.none() | states,
        timeouts,
    )


def arguments() -> "st.SearchStrategy[list[str]]":
    more = st.lists(anything, max_size=2)
    known = st.tuples(st.sampled_from(ACTIONS), st.just([]) | more).map(lambda both: [both[0], *both[1]])
    return known | known | known | known | known | more


def walk(one: Many, words: list[str], environment: dict[str, str], real: bool = False) -> None:
    """The action, and a stop after what may have started something: nothing is left, and stop says so."""
    action = words[0] if words else ""
    level = 10 if environment.get("OCF_CHECK_LEVEL", "0") not in ("0", "") else 0
    # A stop that has something to end may need longer than these short timeouts; one of something stopped needs none.
    allowed = 30.0 if action == "stop" else int(environment["OCF_RESKEY_CRM_meta_timeout"]) / 1000
    judge(one.run(words, environment, real=real), words, level, allowed)
    if action in ("start", "promote", "demote", "monitor"):
        again = one.run(["stop"], {**environment, "OCF_RESKEY_CRM_meta_timeout": "20000"}, real=real)
        judge(again, ["stop"])
        # What a start forked and gave up may be a moment from its end.
        until(lambda: one.count() == 0, within_s=5)
        shutil.rmtree(one.scratch / "missing", ignore_errors=True)


# --- the agents, thousands of times -----------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", AGENTS)
def test_whatever_parameters_environment_and_host(many: Callable[[str], Many], agent: str) -> None:
    one = many(agent)

    @thorough(1600)
    @given(words=arguments(), environment=environments(one.scratch), parameters=parameter_sets(one.agent, one.scratch))
    def whatever(words: list[str], environment: dict[str, str], parameters: dict[str, str]) -> None:
        walk(one, words, {**environment, **parameters})

    whatever()


@pytest.mark.parametrize("agent", AGENTS)
def test_whatever_as_real_processes(many: Callable[[str], Many], agent: str) -> None:
    one = many(agent)

    @thorough(40)
    @given(words=arguments(), environment=environments(one.scratch), parameters=parameter_sets(one.agent, one.scratch))
    def whatever(words: list[str], environment: dict[str, str], parameters: dict[str, str]) -> None:
        walk(one, words, {**environment, **parameters}, real=True)

    whatever()


KINDS = sorted({kind for file in (HERE.parents[2] / "resource_agents").rglob("*.py")
                for kind in re.findall(r'state_file\("(\w+)"\)', file.read_text())})  # fmt: skip


@pytest.mark.parametrize("agent", AGENTS)
def test_whatever_the_state_files_hold(many: Callable[[str], Many], agent: str) -> None:
    one = many(agent)
    assert "pid" in KINDS
    one.kill()
    bystander = one.spawn(["/bin/sleep", "1000"])
    number = st.sampled_from([0, 1, 2, bystander, -1, 99999999, 10**30]) | st.integers()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    like_a_record = st.builds(
        lambda pid, start, life, end: f"{pid}\n{start}\n{life}{end}".encode(),
        number,
        number,
        st.sampled_from([f"{boot}/0", f"{boot}/1", boot, "", "x"]) | st.text(max_size=10),
        st.sampled_from(["\n", "", "\n\n0\n"]),
    )
    contents = (
        st.binary(max_size=200) | like_a_record | st.sampled_from([b"", b"\0" * 70000, b"\xff" * 10, b"\n" * 100])
    )
    environment = {"HA_RSCTMP": str(one.scratch / "state"), "OCF_RESOURCE_INSTANCE": "r"}
    environment |= {f"OCF_RESKEY_{name}": value for name, value in complete(one.agent, one.scratch).items()}

    @thorough(400)
    @given(
        kind=st.sampled_from(KINDS),
        content=contents,
        action=st.sampled_from(["monitor", "stop", "demote", "reload-agent"]),
        level=st.sampled_from(["0", "10", "20"]),
    )
    @example(kind="pid", content=b"\xff", action="stop", level="0")
    def whatever(kind: str, content: bytes, action: str, level: str) -> None:
        one.record(kind).write_bytes(content)
        limit = {} if action == "stop" else {"OCF_RESKEY_CRM_meta_timeout": "300"}
        for step in (action, "stop"):
            ended = one.run([step], {**environment, **limit, "OCF_CHECK_LEVEL": level})
            judge(ended, [step], int(level))
            assert ended.left == 1, "a process that was never ours was ended"
        one.record(kind).unlink(missing_ok=True)

    try:
        whatever()
    finally:
        assert one.kill() == 1


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("what", ["directory", "loop", "fifo", "file/x"])
def test_a_state_file_that_cannot_be_read(many: Callable[[str], Many], agent: str, what: str) -> None:
    one = many(agent)
    environment = {"HA_RSCTMP": str(one.scratch / "record-is-a-directory"), "OCF_RESKEY_CRM_meta_timeout": "500"}
    environment |= {f"OCF_RESKEY_{name}": value for name, value in complete(one.agent, one.scratch).items()}
    for kind in KINDS:
        place = one.record(kind, "record-is-a-directory", "default")
        place.symlink_to(one.scratch / what)
        try:
            for action in ("monitor", "stop", "demote"):
                judge(one.run([action], environment), [action])
        finally:
            place.unlink(missing_ok=True)


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


@pytest.mark.parametrize("agent", AGENTS)
def test_the_namespaces_keep_this_machine_out_of_it(many: Callable[[str], Many], agent: str) -> None:
    """Should they not hold, none of this may run on a machine that someone needs."""
    one = many(agent)
    children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children").read_text().split()
    assert len(children) == 1
    for kind in ("net", "pid", "mnt"):
        assert Path(f"/proc/{children[0]}/ns/{kind}").readlink() != Path(f"/proc/self/ns/{kind}").readlink()
    mounts = Path(f"/proc/{children[0]}/mountinfo").read_text().splitlines()
    root = [line.split() for line in mounts if line.split()[4] == "/"]
    assert all("ro" in words[5].split(",") for words in root), root
