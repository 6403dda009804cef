"""The queue of updates: kept until confirmed, whatever was handed to whom."""

from hypothesis import given
from hypothesis import strategies as st

from kappa_lab.telegram.updates import CALLBACK_LIFETIME_S, MESSAGE_LIFETIME_S, UpdateQueue

FIRST = 1000


def filled(count: int) -> UpdateQueue:
    queue = UpdateQueue(FIRST)
    for number in range(count):
        queue.push("message", {"n": number}, f"chat {number % 3}")
    return queue


def ids(queue: UpdateQueue, offset: int = 0, limit: int = 100) -> list[int]:
    return [update.update_id for update in queue.take(offset, limit)]


def test_ids_grow_by_one() -> None:
    assert ids(filled(4)) == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3]


def test_taking_changes_nothing() -> None:
    queue = filled(3)
    assert ids(queue) == ids(queue) == [FIRST, FIRST + 1, FIRST + 2]
    assert len(queue) == 3


def test_a_higher_offset_forgets_what_lies_before_it() -> None:
    queue = filled(5)
    assert queue.confirm(FIRST + 2) == [FIRST, FIRST + 1]
    assert ids(queue) == [FIRST + 2, FIRST + 3, FIRST + 4]


def test_a_negative_offset_keeps_the_last_and_forgets_the_rest() -> None:
    queue = filled(5)
    assert queue.confirm(-2) == [FIRST, FIRST + 1, FIRST + 2]
    assert ids(queue) == [FIRST + 3, FIRST + 4]
    assert queue.confirm(-10) == []


def test_an_offset_beyond_reason_confirms_nothing_and_starts_from_the_beginning() -> None:
    queue = filled(2)
    assert queue.confirm(FIRST + 2 + 10 + 1) == []
    assert ids(queue, FIRST + 13) == [FIRST, FIRST + 1]


def test_an_offset_a_little_ahead_is_believed() -> None:
    queue = filled(2)
    assert queue.confirm(FIRST + 2 + 10) == [FIRST, FIRST + 1]
    assert ids(queue, FIRST + 12) == []


def test_the_head_of_an_empty_queue_is_what_comes_next() -> None:
    queue = filled(2)
    queue.confirm(FIRST + 2)
    assert queue.head == queue.tail == FIRST + 2


def test_what_nobody_fetches_expires_and_somebody_is_told() -> None:
    now, expired = [0.0], list[int]()
    queue = UpdateQueue(FIRST, expired.extend, lambda: now[0])
    queue.push("message", {}, "chat 1")
    queue.push("callback_query", {}, "user 1")
    now[0] = CALLBACK_LIFETIME_S - 1
    assert ids(queue) == [FIRST, FIRST + 1]
    now[0] = CALLBACK_LIFETIME_S
    assert ids(queue) == [FIRST]
    now[0] = MESSAGE_LIFETIME_S
    assert ids(queue) == []
    assert expired == [FIRST + 1, FIRST]


def test_a_lane_gives_its_updates_in_order() -> None:
    queue = filled(6)
    assert queue.lanes() == ["chat 0", "chat 1", "chat 2"]
    first = queue.first_of("chat 0")
    assert first is not None and first.update_id == FIRST
    queue.drop(FIRST)
    second = queue.first_of("chat 0")
    assert second is not None and second.update_id == FIRST + 3
    queue.clear()
    assert queue.lanes() == []


@given(st.integers(0, 30), st.lists(st.tuples(st.integers(0, 45), st.integers(1, 100)), max_size=20))
def test_nothing_is_forgotten_but_by_an_offset_above_it(count: int, requests: list[tuple[int, int]]) -> None:
    queue = filled(count)
    confirmed = 0
    for beyond, limit in requests:
        offset = FIRST + beyond
        if offset <= queue.tail + 10:
            confirmed = max(confirmed, offset)
        queue.confirm(offset)
        queue.take(offset, limit)
        assert ids(queue) == [n for n in range(FIRST, FIRST + count) if n >= confirmed][:100]
