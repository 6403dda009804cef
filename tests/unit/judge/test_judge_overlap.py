"""Faults that overlap, as in a storm: what one has ended runs again when that one is healed, whatever else is."""

import functools
import re
from pathlib import Path
from typing import Any

import pytest

from kappa_lab.judge import Verdict, judge
from tests import histories
from tests.histories import History, Plan, Reign, Story, Tell, back, build, expect, fault

Line = dict[str, Any]
PLAN = Plan(users=20, fault=6.0, traffic_s=30.0, online=6.0)
POLLER, FENCED, SERVICE, WHOLE = "one poller", "fenced before taken over", "service as expected", "evidence whole"

BUTTON: Line = {"healing": 1.0, "healed": 2.0}
"""The drill switches the node on before its bot acts again, 2.4 s after the fault."""
LATE: Line = {"healing": 2.6, "healed": 3.0}
PASSING = fault("telegram-429", t=0.1, done=0.2, healing=1.0, healed=1.2)
"""It has nothing to do with any node, and is over before anybody can have taken over."""
STANDING = {**PASSING, "healing": 16.0, "healed": 16.1}


def switched_on(_plan: Plan, own: Line, others: tuple[Line, ...] = ()) -> Story:
    """The active node loses its power, and has it again before the others have missed it; the bot starts there."""
    return Story(
        name="switched-on",
        faults=(fault("power-cut", "node1", ends_node=True, **own), *others),
        expect=expect("any", may_be_fenced=["node1", "node2", "node3"]),
        reigns=(Reign("node1", -99.0, 0.0), Reign("node1", 2.4)),
        holds=(Reign("node1", -99.0, 0.1), Reign("node1", 2.2)),
        cluster=(*back("node1", 4.0), *back("node3", 7.0)),
    )


def with_fault(tell: Tell, *others: Line) -> Tell:
    """The same story with other faults beside its own."""

    def told(plan: Plan) -> Story:
        story = tell(plan)
        return Story(**{**vars(story), "faults": (*story.faults, *others)})

    return told


def story(own: Line, *others: Line) -> History:
    return build(7, PLAN, functools.partial(switched_on, own=own, others=others))


def judged(history: History, tmp_path: Path) -> Verdict:
    return judge(history.write(tmp_path / "history"))


def broken(verdict: Verdict) -> set[str]:
    return {finding.name for finding in verdict.findings if not finding.held}


def older(history: History, *steps: tuple[str, float, float]) -> History:
    """As it was written when only the drill's steps said when a healing began."""
    for hit in history.drill["faults"]:
        del hit["healing"]
    zero = history.fault
    history.drill["steps"] += [
        {"what": what, "t": zero + t, "ended": zero + ended, "ok": True, "why": ""} for what, t, ended in steps
    ]
    return history


CUT_TOO = fault("power-cut", "node3", t=0.3, on="passive", ends_node=True)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(lambda: story(BUTTON), id="alone"),
        pytest.param(lambda: story(BUTTON, STANDING), id="beside one that stands on"),
        pytest.param(lambda: story(BUTTON, {**CUT_TOO, **LATE}), id="beside one of its kind that is healed later"),
        pytest.param(
            lambda: story(LATE, {**fault("level-1-dead", "node1", t=0.2, ends_node=True), **BUTTON}),
            id="by what heals another that ended the same node",
        ),
        pytest.param(lambda: older(story(BUTTON), ("heal power-cut", 1.0, 2.01)), id="older: in its own step"),
        pytest.param(lambda: older(story(BUTTON), ("whole", 0.9, 9.0)), id="older: while all was made whole"),
        pytest.param(
            lambda: older(
                story(BUTTON, {**CUT_TOO, **LATE}), ("heal power-cut", 2.6, 3.0), ("heal power-cut", 1.0, 2.0)
            ),
            id="older: beside a step for another of its kind",
        ),
    ],
)  # fmt: skip
def test_a_node_runs_again_from_when_its_own_healing_begins(history: Any, tmp_path: Path) -> None:
    verdict = judged(history(), tmp_path)
    assert verdict.violations == ()
    assert verdict.passed


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(lambda: story(LATE, PASSING), id="another was healed"),
        pytest.param(lambda: story(LATE, {**CUT_TOO, **BUTTON}), id="another of its kind, of another node"),
        pytest.param(
            lambda: story(LATE, {**fault("rings-cut", "node1", t=0.3), **BUTTON}), id="another of the same node's"
        ),
        pytest.param(lambda: story({"healing": None, "healed": None}, PASSING), id="it never was"),
        pytest.param(
            lambda: older(story(LATE, PASSING), ("heal telegram-429", 1.0, 1.2), ("heal power-cut", 2.6, 3.0)),
            id="older: another was healed",
        ),
        pytest.param(
            lambda: older(
                story(LATE, {**CUT_TOO, **BUTTON, "healed": 4.0}),
                ("heal power-cut", 1.0, 4.0), ("heal power-cut", 2.6, 3.0),
            ),
            id="older: steps for two of its kind, one within the other",
        ),
        pytest.param(
            lambda: older(story(LATE, PASSING), ("whole", 0.5, 2.0), ("heal power-cut", 2.6, 3.0)),
            id="older: all else was made whole before",
        ),
    ],
)  # fmt: skip
def test_that_another_fault_is_healed_excuses_nothing_that_the_dead_does(history: Any, tmp_path: Path) -> None:
    verdict = judged(history(), tmp_path)
    assert broken(verdict) == {POLLER}
    assert any(
        re.search(r"node1 was to have no power, yet it began getUpdates 2\.4", said) for said in verdict.violations
    )


def unseen(history: History) -> History:
    """Nobody said that node1 was lost or shot, and no broker was asked for it, until it was back."""
    zero = history.fault
    history.power[:] = [line for line in history.power if line["plug"] != "node1" or line["t"] < zero]
    gone = ("member_lost", "fenced")
    history.cluster[:] = [line for line in history.cluster if line["e"] not in gone or line["node"] != "node1"]
    return history


@pytest.mark.parametrize("healing", [1.0, 2.0])
def test_that_another_fault_is_healed_excuses_no_take_over_from_a_node_that_lives_perhaps(
    healing: float, tmp_path: Path
) -> None:
    beside = {**PASSING, "healing": healing, "healed": healing + 0.1}
    verdict = judged(unseen(build(7, PLAN, with_fault(histories.storm, beside))), tmp_path)
    assert broken(verdict) == {FENCED}
    assert any("node1 was never proven off for it" in said for said in verdict.violations)


def cut_while_it_moves(_plan: Plan, until: float) -> Story:
    """The bot acts until then and stops without a word; the power goes while another node begins in its place."""
    cut = fault("power-cut", "node1", t=5.0, done=5.9, healing=14.0, healed=14.5, ends_node=True)
    return Story(
        name="cut-while-it-moves",
        faults=(fault("majority-lost", healing=2.0, healed=2.5), cut),
        expect=expect("any", may_be_fenced=["node1", "node2", "node3"]),
        reigns=(Reign("node1", -99.0, until), Reign("node3", 5.6)),
        holds=(Reign("node1", -99.0, until), Reign("node3", 5.4)),
        cluster=(*back("node1", 16.0), *back("node3", 7.0)),
    )


@pytest.mark.parametrize(
    ("until", "lost_at", "red"),
    [
        pytest.param(0.9, None, False, id="its lease had lapsed"),
        pytest.param(4.5, None, True, id="it still had its lease"),
        pytest.param(0.9, 5.2, True, id="it had been missed"),
    ],
)
def test_a_hand_over_on_its_way_when_the_old_one_dies_needs_no_fencing(
    until: float, lost_at: float | None, red: bool, tmp_path: Path
) -> None:
    history = unseen(build(7, PLAN, functools.partial(cut_while_it_moves, until=until)))
    if lost_at is not None:
        line = {"e": "member_lost", "t": history.fault + lost_at, "node": "node1", "by": "node2"}
        history.cluster[:] = sorted([*history.cluster, line], key=lambda one: float(one["t"]))
    verdict = judged(history, tmp_path)
    assert (FENCED in broken(verdict)) is red
    assert any("node1 was never proven off for it" in said for said in verdict.violations) is red


def test_a_node_that_was_fenced_returns_while_faults_stand(tmp_path: Path) -> None:
    """The fence agent switches it on: it may be active again before its fault, or any other, is healed."""
    verdict = judged(
        build(7, PLAN, with_fault(histories.storm, STANDING, {**PASSING, "kind": "primary-killed"})), tmp_path
    )
    assert verdict.violations == ()


EARLIER = fault("telegram-429", t=0.1, done=0.15, healing=0.2, healed=0.3)
OVER = fault("bot-killed", "node1", t=0.1, healing=3.0, healed=3.0, lasts=False)


@pytest.mark.parametrize(
    "beside", [EARLIER, OVER], ids=["healed before the last came", "there was nothing to heal of it"]
)
def test_a_service_that_stops_comes_back_with_what_stopped_it(beside: Line, tmp_path: Path) -> None:
    tell = with_fault(histories.stops_until_healed, beside)
    clean = judged(build(7, PLAN, tell), tmp_path / "clean")
    assert clean.violations == ()
    assert 1.6 <= (clean.rto_s or 0) <= 1.9
    late = build(7, PLAN, tell)
    for hit in late.drill["faults"][:2]:
        hit.update(healing=late.fault + 9.8, healed=late.fault + 9.9)
    verdict = judged(late, tmp_path / "late")
    assert broken(verdict) == {SERVICE}
    assert any("Nobody was to take over before the heal (9.800 s" in said for said in verdict.violations)


def test_a_healing_that_begins_before_its_fault_has_happened_is_no_evidence(tmp_path: Path) -> None:
    verdict = judged(story({"healing": 0.1, "healed": 2.0}), tmp_path)
    assert WHOLE in broken(verdict)
    assert any(re.search(r"faults\[0\]\.healing is 0\.100 s before faults\[0\]\.done", v) for v in verdict.violations)


def lost_later(other: Line) -> History:
    """A node is back after its power cut; another fault comes and goes, and then node3 loses it once more."""
    history = story(BUTTON, {**other, "healing": 12.5, "healed": 12.6})
    history.cluster.append({"e": "member_lost", "t": history.fault + 12.0, "node": "node1", "by": "node3"})
    return history


@pytest.mark.parametrize(
    ("other", "red"),
    [
        pytest.param(fault("rings-cut", "node1", t=11.0), False, id="its own rings were cut"),
        pytest.param(fault("rings-cut", "node3", t=11.0), False, id="those of the one that lost it were cut"),
        pytest.param(fault("power-cut", "node2", t=11.0), True, id="a third node had a fault"),
        pytest.param(fault("telegram-429", t=11.0), True, id="Telegram had a fault"),
    ],
)
def test_only_a_fault_of_its_own_or_of_who_lost_it_excuses_a_node_that_is_lost_again(
    other: Line, red: bool, tmp_path: Path
) -> None:
    said = [line for line in judged(lost_later(other), tmp_path).violations if "lost again" in line]
    assert bool(said) == red
