"""A repetition reads of Telegram's journal what was written in its time, and only whole lines of it."""

import json
from pathlib import Path

from tests.bench.failover.journal import Slice


def write(file: Path, *events: dict[str, object], end: str = "\n") -> None:
    with file.open("a") as journal:
        journal.write("\n".join(json.dumps(event, separators=(",", ":")) for event in events) + end)


def update(number: int) -> dict[str, object]:
    return {"e": "update", "t": 1.0, "update_id": number}


def answered(number: int, t: float, node: str) -> dict[str, object]:
    return {"e": "answered", "t": t, "update_id": number, "node": node}


def test_what_was_there_before_is_another_repetitions(tmp_path: Path) -> None:
    file = tmp_path / "telegram.jsonl"
    write(file, update(1), answered(1, 5.0, "node1"), update(2))
    journal = Slice(file)
    assert (journal.answered(), journal.unanswered(), journal.first_update()) == ([], 0, None)
    write(file, update(7), update(8), answered(7, 9.0, "node2"))
    assert (journal.answered(), journal.unanswered(), journal.first_update()) == ([9.0], 1, 7)
    assert len(journal.lines) == 3


def test_a_line_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "telegram.jsonl"
    write(file, update(1))
    journal = Slice(file)
    write(file, update(2), end="")
    assert journal.unanswered() == 0
    write(file, end="\n")
    assert journal.unanswered() == 1


def test_answers_of_another_node_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "telegram.jsonl"
    write(file, update(1))
    journal = Slice(file)
    write(file, answered(2, 9.0, "node1"), answered(3, 12.0, "node3"))
    assert journal.answered(besides="node1") == [12.0]
