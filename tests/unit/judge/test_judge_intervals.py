"""The interval logic that every "at most one" rests on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_lab.judge.intervals import Interval, holes, hull, shared

moment = st.floats(min_value=0, max_value=1e6)
interval = st.tuples(moment, moment).map(lambda pair: Interval(min(pair), max(pair)))


def test_an_interval_cannot_end_before_it_starts() -> None:
    with pytest.raises(ValueError, match="cannot end"):
        Interval(2.0, 1.0)


@given(interval, interval)
def test_what_two_share_is_in_both_whoever_is_asked_first(one: Interval, other: Interval) -> None:
    common = shared(one, other)
    assert common == shared(other, one)
    if common is None:
        assert one.end < other.start or other.end < one.start
    else:
        assert max(one.start, other.start) == common.start <= common.end == min(one.end, other.end)


def test_touching_is_a_meeting_of_no_length() -> None:
    assert shared(Interval(0, 2), Interval(2, 3)) == Interval(2, 2)
    assert shared(Interval(0, 1.999), Interval(2, 3)) is None


@given(st.lists(moment))
def test_the_hull_covers_all_and_no_more(moments: list[float]) -> None:
    covered = hull(moments)
    assert covered == (Interval(min(moments), max(moments)) if moments else None)


def test_holes_are_where_neighbours_are_too_far_apart() -> None:
    assert holes([3.0, 0.0, 1.0, 2.0], 1.0) == []
    assert holes([3.5, 0.0, 1.0], 1.0) == [Interval(1.0, 3.5)]
