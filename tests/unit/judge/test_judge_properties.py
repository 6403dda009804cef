"""Wherever and however often a violation is put into a history, it is found; and nothing makes the judge fall over."""

import copy
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kappa_lab.judge import Verdict, judge
from kappa_lab.judge.address import overlap as address_overlap
from kappa_lab.judge.evidence import FILES, Poll
from kappa_lab.judge.history import Holder
from kappa_lab.judge.polling import LEAST
from kappa_lab.judge.polling import overlap as poll_overlap
from tests.histories import NODES, History

few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
many = settings(max_examples=200, deadline=None)


def judged(history: History) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        return judge(history.write(Path(folder)))


def broken(verdict: Verdict) -> set[str]:
    return {finding.name for finding in verdict.findings if not finding.held}


# -- one poller, one holder: on bare requests and answers


def polls(*began: tuple[str, float]) -> list[Poll]:
    found = [Poll(node, t, t + 0.5, 200, ()) for node, t in began]
    return sorted(found, key=lambda poll: poll.began)


moments = st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=12)


@many
@given(before=moments, after=moments)
def test_a_clean_takeover_shares_nothing(before: list[float], after: list[float]) -> None:
    assert poll_overlap(polls(*(("old", t) for t in before), *(("new", 101 + t) for t in after))) == 0.0


@many
@given(before=moments, after=moments, late=st.floats(min_value=0, max_value=100))
def test_one_late_request_is_found_wherever_it_is(before: list[float], after: list[float], late: float) -> None:
    t = 101 + min(after) + late
    found = poll_overlap(polls(*(("old", t) for t in before), *(("new", 101 + u) for u in after), ("old", t)))
    last = 101 + max(after)
    assert found >= LEAST
    assert abs(found - max(LEAST, min(t, last) - (101 + min(after)))) < 1e-6


@many
@given(old=st.sets(st.integers(0, 60), min_size=1), new=st.sets(st.integers(0, 60), min_size=1))
def test_two_holders_overlap_exactly_when_their_turns_do(old: set[int], new: set[int]) -> None:
    answers = [Holder(n / 10, n, "old") for n in old] + [Holder(n / 10 + 0.001, n, "new") for n in new]
    answers.sort(key=lambda answer: answer.t)
    apart = max(old) < min(new) or max(new) < min(old)
    found = address_overlap(answers, 0.1)
    assert (found == 0.0) == apart
    if old & new:
        assert found >= 0.1


# -- whole histories


@few
@given(data=st.data())
def test_requests_of_the_old_node_are_found_wherever_they_are(pristine: History, data: st.DataObject) -> None:
    history = copy.deepcopy(pristine)
    new = next(line["t"] for line in history.of("begin", since=history.fault) if line["node"] == "node2")
    last = max(line["t"] for line in history.of("begin") if line["method"] == "getUpdates")
    # the very last poll of all would also say that the bot had moved back
    t = data.draw(st.floats(min_value=new, max_value=last, exclude_max=True))
    node = data.draw(st.sampled_from(["node1", NODES["node1"]["lan"]]))
    history.insert(history.telegram, {"e": "begin", "t": t, "id": -1, "node": node, "method": "getUpdates"})
    verdict = judged(history)
    assert broken(verdict) == {"one poller"}
    assert (verdict.figures.poll_overlap_s or 0) >= max(LEAST, t - new - 0.001)


@few
@given(data=st.data())
def test_every_lost_update_is_counted(pristine: History, data: st.DataObject) -> None:
    history = copy.deepcopy(pristine)
    ids = [line["update_id"] for line in history.of("update")]
    # the last answers before the fault are the node's proof of life; any others may go
    gone = set(data.draw(st.lists(st.sampled_from(ids[5:]), min_size=1, max_size=40, unique=True)))
    history.telegram = [e for e in history.telegram if not (e["e"] == "answered" and e["update_id"] in gone)]
    verdict = judged(history)
    assert "nothing lost" in broken(verdict)
    assert verdict.figures.updates_lost == len(gone)


@few
@given(data=st.data())
def test_every_surplus_place_is_counted(pristine: History, data: st.DataObject) -> None:
    history = copy.deepcopy(pristine)
    places = history.records["places"]
    again = data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=10))
    history.records["places"] = data.draw(st.permutations([*places, *again]))
    verdict = judged(history)
    assert broken(verdict) == {"nothing twice"}
    assert verdict.figures.records_duplicated == len(again)


@few
@given(data=st.data())
def test_every_missing_place_is_counted(pristine: History, data: st.DataObject) -> None:
    history = copy.deepcopy(pristine)
    places = history.records["places"]
    gone = data.draw(st.sets(st.integers(0, len(places) - 1), min_size=1))
    history.records["places"] = [place for n, place in enumerate(places) if n not in gone]
    verdict = judged(history)
    assert broken(verdict) == {"nothing lost"}
    assert verdict.figures.updates_lost == len(gone)


@few
@given(early=st.floats(min_value=0.001, max_value=2.0))
def test_a_proof_that_comes_too_late_is_found_however_late(pristine: History, early: float) -> None:
    history = copy.deepcopy(pristine)
    first = next(line["t"] for line in history.wire if line["e"] == "answer" and line["t"] > history.fault + 1)
    off = next(line for line in history.power if line["action"] == "off")
    off["t"] = first + early - off["ms"] / 1000
    history.power[-1]["t"] = off["t"] + 1
    assert "fenced before taken over" in broken(judged(history))


@few
@given(seed=st.integers())
def test_the_order_of_the_clusters_lines_says_nothing(pristine: History, seed: int) -> None:
    history = copy.deepcopy(pristine)
    random.Random(seed).shuffle(history.cluster)
    random.Random(seed).shuffle(history.records["places"])
    verdict = judged(history)
    assert verdict.violations == ()
    assert verdict.timeline == judged(pristine).timeline


@few
@given(data=st.data())
def test_a_journal_out_of_order_never_passes(pristine: History, data: st.DataObject) -> None:
    history = copy.deepcopy(pristine)
    name = data.draw(st.sampled_from(["telegram", "wire"]))
    # a web answer's line waits for the watcher's round: its place says nothing
    history.wire = [line for line in history.wire if line["e"] != "served"]
    lines: list[dict[str, Any]] = getattr(history, name)
    n = data.draw(st.integers(0, len(lines) - 2))
    later = [m for m in range(n + 1, len(lines)) if lines[m]["t"] > lines[n]["t"] + 0.06]
    if later:
        lines.insert(n, lines.pop(later[0]))
        assert any("ran backwards" in violation for violation in judged(history).violations)


@few
@given(data=st.data())
def test_a_file_cut_anywhere_never_passes(pristine: History, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pristine.write(Path(name))
        file = folder / data.draw(st.sampled_from(FILES))
        text = file.read_text().rstrip("\n")
        kept = text[: data.draw(st.integers(0, len(text) - 1))]
        if file.name == "power.jsonl":
            kept = kept.rstrip("\n")  # whole lines of the audit may be enough, if they prove the node off
        file.write_text(kept)
        assert not judge(folder).passed


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_in_the_folder_the_judge_does_not_fall_over(pristine: History, data: st.DataObject) -> None:
    """Random JSON in random places of random files: a verdict all the same."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )
    history = copy.deepcopy(pristine)
    for _ in range(data.draw(st.integers(1, 4))):
        lines = data.draw(
            st.sampled_from([history.telegram, history.wire, history.lease, history.power, history.cluster])
        )
        line = data.draw(st.sampled_from(lines))
        if line:
            line[data.draw(st.sampled_from(sorted(line)))] = data.draw(anything)
    target = data.draw(
        st.sampled_from([history.drill, history.records, history.drill["faults"][0], history.drill["expect"]])
    )
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(anything)
    verdict = judged(history)
    assert verdict.passed == (not verdict.violations and all(f.held for f in verdict.findings))
    json.dumps([finding.violations for finding in verdict.findings])
