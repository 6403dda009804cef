"""Dampening of a node attribute, and its record."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resource_agents.host.attributes import Held, read, write

STEPS = st.lists(st.tuples(st.sampled_from("012"), st.floats(0, 20)), max_size=40)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(1, 5), st.floats(0, 60))
def test_it_changes_when_and_only_when_it_is_due(steps: list[tuple[str, float]], results: int, dampen_s: float) -> None:
    held, now = Held("0"), 0.0
    row: list[str] = []  # the measurements since the held one was last seen, and when the first of them was
    first = 0.0
    for measured, later in steps:
        now += later
        if measured == held.value:
            row = []
        else:
            first = first if row else now
            row.append(measured)
        agree = len(row) >= results and len(set(row[-results:])) == 1
        due = bool(row) and (agree or now - first >= dampen_s)
        assert held.changed(measured, now, results, dampen_s) == due
        if due:
            held, row = Held(measured), []


@given(st.sampled_from("01?-"), st.sampled_from("01?-"), st.integers(0, 999), st.integers(0, 10**9))
@settings(max_examples=20, deadline=None)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, value: str, other: str, seen: int, since: int
) -> None:
    path = str(tmp_path_factory.mktemp("record") / "sub" / "record")
    write(path, {"kappa-x": Held(value, other, seen, since)})
    again = read(path)
    assert again
    assert again["kappa-x"].line() == Held(value, other, seen, since).line()


def test_what_is_unknown_is_written_at_once() -> None:
    assert Held().changed("1", 0.0, 1000, 1e9)


def test_a_record_is_never_waited_for_or_written_through_a_link(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is not a record"):
        read(str(tmp_path / "pipe"))
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write(str(tmp_path / "link"), {})
    assert (tmp_path / "target").read_text() == "", "the link was replaced, what it leads to is untouched"
