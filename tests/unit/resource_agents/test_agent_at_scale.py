"""Twenty thousand parameter sets and more at each agent, with environments, hosts and records of every sad kind.

What starts nothing runs by the hundred in one process, from the agent's guarded run on. Others, and all that may start
something, get a process each: forked past the interpreter's start, or wholly real. Of a set that fails the message has
the smallest part that still does.

KAPPA_THOROUGH=3 in the environment makes it three times as many; KAPPA_SEED draws others.
"""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from resource_agents import cli
from tests.unit.resource_agents.many import Many, complete, judge, patient, walk
from tests.unit.resource_agents.nonsense import ACTIONS, Case, Nonsense, smallest

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]

THOROUGH = int(os.environ.get("KAPPA_THOROUGH") or 1)
SEED = int(os.environ.get("KAPPA_SEED") or 20260)
TOGETHER, AT_ONCE = 20_000, 500
FORKED, REAL = 1500, 250
# Stop of uplink writes its attributes away, with a program; each of the others starts none.
QUIET = ["monitor"] * 12 + ["validate-all"] * 8 + ["reload-agent"] * 4 + ["meta-data", "demote", "notify", "stop"]
STOPS = ["stop"] * 6
# What is no time counts as the one that is advertised; there is nothing here that needs it.
TIMEOUTS = ["150", "300", "20000", "", "0", "-1", "ten", "1.5", "9" * 30]
SHORT = ["150", "200", "300"]

every_agent = pytest.mark.parametrize("agent", cli.AGENTS)


def nonsense(one: Many, seed: int) -> Nonsense:
    return Nonsense(one.agent, one.scratch, complete(one.agent, one.scratch), seed, one.life())


def draw(drawn: Nonsense, actions: list[str], timeouts: list[str]) -> Case:
    case = drawn.case(actions, timeouts)
    return replace(case, environment=patient(case.environment)) if case.words[:1] == ["stop"] else case


def hold(one: Many, case: Case, real: bool = False) -> None:
    """It ends as it must in a process of its own."""
    judge(one.alone(case, real=real), case.words, case.level)


def fails(one: Many, case: Case) -> bool:
    try:
        hold(one, case)
    except AssertionError:
        return True
    return False


@every_agent
def test_thousands_that_start_nothing(many: Callable[[str], Many], agent: str) -> None:
    one = many(agent)
    drawn = nonsense(one, SEED)
    actions = QUIET if agent == "uplink" else QUIET + STOPS
    codes: dict[int, int] = {}
    for _ in range(0, TOGETHER * THOROUGH, AT_ONCE):
        cases = [draw(drawn, actions, TIMEOUTS) for _ in range(AT_ONCE)]
        ended = one.batch(cases)
        for case, end in zip(cases, ended, strict=False):
            try:
                judge(end, case.words, case.level)
            except AssertionError as wrong:
                least = smallest(case, lambda less: fails(one, less))
                raise AssertionError(f"{least}: {wrong}") from None
            assert end.code is not None
            codes[end.code] = codes.get(end.code, 0) + 1
        assert len(ended) == len(cases), f"hung, or took its process with it: {cases[len(ended)]}"
        assert one.count() == 0, "something was left running"
    print(f"{agent}: {sum(codes.values())} sets, exit codes {dict(sorted(codes.items()))}")
    # Were all of them refused at the first parameter, this would say nothing.
    assert codes[0] > sum(codes.values()) // 10
    assert codes[6] > 0
    assert codes[7] > sum(codes.values()) // 20


@every_agent
@pytest.mark.parametrize("real", [False, True])
def test_hundreds_in_a_process_each(many: Callable[[str], Many], agent: str, real: bool) -> None:
    one = many(agent)
    drawn = nonsense(one, SEED + 1 + real)
    for _ in range((REAL if real else FORKED) * THOROUGH):
        case = draw(drawn, ACTIONS, SHORT)
        try:
            if case.record and case.words[:1] not in (["start"], ["promote"]):
                hold(one, case, real=real)
            else:
                walk(one, case.words, case.environment, real=real)
        except AssertionError as wrong:
            least = smallest(case, lambda less: fails(one, less))
            raise AssertionError(f"{least}: {wrong}") from None
