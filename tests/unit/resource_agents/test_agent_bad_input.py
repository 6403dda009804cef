"""Parameter sets, environments, broken hosts and records, at each agent; a set that fails is shrunk to what matters.

Whatever comes: a legal exit code, one reason, no traceback, no hang past the deadline, and a stop of something stopped
is success. Everything runs in namespaces of its own (network, processes, mounts), where all but a scratch directory is
read-only: an agent that is given nonsense as root may do as told.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resource_agents import cli
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.parameters import Parameter
from tests.unit.resource_agents.many import Many, complete, judge, walk
from tests.unit.resource_agents.nonsense import (
    ABSURD,
    ACTIONS,
    FILES,
    LEVELS,
    NAMES,
    NUMBERS,
    PATHS,
    PROGRAMS,
    RECORDS,
    STATES,
    TEXTS,
    TIMES,
)  # fmt: skip
from tests.unit.resource_agents.running import PREFIX

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

AGENTS = tuple(cli.AGENTS)


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


# --- what comes in ----------------------------------------------------------------------------------------------------

anything = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")),
    st.sampled_from(ABSURD),
)


def values(parameter: Parameter, scratch: Path) -> "st.SearchStrategy[str]":
    """Values for one parameter: right, on the edge, and absurd. Paths stay within the scratch directory and devices."""
    if parameter.kind == "path":
        inside = st.sampled_from([f"{scratch}/{name}" for name in FILES])
        return inside | st.sampled_from(PATHS)
    if parameter.kind == "program":
        inside = st.sampled_from([f"{scratch}/{name}" for name in PROGRAMS])
        return inside | st.sampled_from(NAMES)
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


def environments(scratch: Path) -> "st.SearchStrategy[dict[str, str]]":
    numbers = st.sampled_from(LEVELS) | anything
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


# --- the agents, thousands of times -----------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", AGENTS)
def test_whatever_parameters_environment_and_host(many: Callable[[str], Many], agent: str) -> None:
    one = many(agent)

    @thorough(400)
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


@pytest.mark.parametrize("agent", AGENTS)
def test_whatever_the_state_files_hold(many: Callable[[str], Many], agent: str) -> None:
    one = many(agent)
    assert "pid" in RECORDS
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
        kind=st.sampled_from(RECORDS),
        content=contents,
        action=st.sampled_from(["monitor", "stop", "demote", "reload-agent"]),
        level=st.sampled_from(["0", "10", "20"]),
    )
    @example(kind="pid", content=b"\xff", action="stop", level="0")
    def whatever(kind: str, content: bytes, action: str, level: str) -> None:
        one.record(kind).write_bytes(content)
        for step in (action, "stop"):
            limit = {} if step == "stop" else {"OCF_RESKEY_CRM_meta_timeout": "300"}
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
    for kind in RECORDS:
        place = one.record(kind, "record-is-a-directory", "default")
        place.symlink_to(one.scratch / what)
        try:
            for action in ("monitor", "stop", "demote"):
                judge(one.run([action], environment), [action])
        finally:
            place.unlink(missing_ok=True)


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
