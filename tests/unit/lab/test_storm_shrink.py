"""The search for the shortest part of a storm that fails, against oracles that know what they are looking for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kappa_lab.storm.shrink import Part, search, shortest

cases = st.integers(1, 60).flatmap(
    lambda faults: st.tuples(
        st.just(faults), st.sets(st.integers(0, faults - 1), min_size=1, max_size=min(5, faults)).map(frozenset)
    )
)


@given(case=cases)
@settings(max_examples=300, deadline=None)
def test_it_finds_exactly_what_is_needed(case: tuple[int, frozenset[int]]) -> None:
    faults, needed = case
    assert shortest(faults, lambda part: needed <= set(part)) == tuple(sorted(needed))


@given(st.integers(1, 40), st.randoms(use_true_random=False), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_whatever_the_answers_are_it_ends_and_the_found_part_failed(faults: int, dice: object, often: float) -> None:
    """Also where nothing makes sense: each part is asked for once and is shorter than what failed before."""
    asked: dict[Part, bool] = {}
    best = tuple(range(faults))

    def fails(part: Part) -> bool:
        nonlocal best
        assert part not in asked
        assert part
        assert len(part) < len(best)
        assert set(part) < set(best)
        asked[part] = dice.random() < often  # type: ignore[attr-defined]
        best = part if asked[part] else best
        return asked[part]

    found = shortest(faults, fails)
    assert found == best
    assert len(asked) <= 5 * faults**2 + 10
    for gone in found if len(found) > 1 else ():
        assert asked[tuple(number for number in found if number != gone)] is False


@given(case=cases)
@settings(max_examples=100, deadline=None)
def test_one_culprit_among_many_is_found_in_few_trials(case: tuple[int, frozenset[int]]) -> None:
    faults, needed = case
    trials = 0

    def fails(part: Part) -> bool:
        nonlocal trials
        trials += 1
        return min(needed) in part

    shortest(faults, fails)
    assert trials <= 2 * faults.bit_length()


@given(case=cases, cut=st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_interrupted_and_taken_up_again_it_finds_the_same(case: tuple[int, frozenset[int]], cut: int) -> None:
    """Nothing that was tried is tried again, and what was found by then is a part that fails."""
    faults, needed = case
    told: list[tuple[Part, bool]] = []

    def until_the_end_of_time(part: Part) -> bool | None:
        if len(told) >= cut:
            return None
        told.append((part, needed <= set(part)))
        return told[-1][1]

    assert needed <= set(shortest(faults, until_the_end_of_time))
    before = {part for part, _ in told}

    def goes_on(part: Part) -> bool:
        assert part not in before
        return needed <= set(part)

    assert shortest(faults, goes_on, told) == tuple(sorted(needed))


def test_the_latest_faults_are_tried_first() -> None:
    trying = search(8)
    assert next(trying) == (4, 5, 6, 7)
    assert trying.send(True) == (6, 7)


@pytest.mark.parametrize("faults", [0, 1])
def test_of_nothing_and_of_one_there_is_nothing_shorter(faults: int) -> None:
    def fails(part: Part) -> bool:
        raise AssertionError(part)

    assert shortest(faults, fails) == tuple(range(faults))
