"""Without evidence there is no passing: a file missing, empty, cut off, misshapen or not text fails a drill by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from kappa_lab.judge import Verdict, judge
from kappa_lab.judge.evidence import FILES
from kappa_lab.judge.history import Drill, Fault, Reply, Switched
from kappa_lab.judge.reading import MisshapenError, shape
from tests.histories import History


@pytest.fixture
def folder(history: History, tmp_path: Path) -> Path:
    return history.write(tmp_path / "history")


def failed_with(verdict: Verdict, sentence: str) -> None:
    assert not verdict.passed
    assert any(sentence in violation for violation in verdict.violations), verdict.violations


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_fails_by_name(name: str, folder: Path) -> None:
    (folder / name).unlink()
    failed_with(judge(folder), f"{name} is missing.")


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file_fails_by_name(name: str, folder: Path) -> None:
    (folder / name).write_text("\n")
    failed_with(judge(folder), f"{name} is empty.")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_fails_by_name(name: str, folder: Path) -> None:
    text = (folder / name).read_text()
    (folder / name).write_text(text[:-9])
    failed_with(judge(folder), name)
    assert any("whole JSON" in violation for violation in judge(folder).violations)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".jsonl")])
def test_a_last_line_that_does_not_end_fails_even_when_it_is_whole(name: str, folder: Path) -> None:
    text = (folder / name).read_text()
    (folder / name).write_text(text[:-1])
    failed_with(judge(folder), f"{name} is cut off: its last line does not end.")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_which_nothing_can_be_read_fails_by_name(name: str, folder: Path) -> None:
    (folder / name).write_text("{\n")
    failed_with(judge(folder), f"{name} is not whole JSON." if name.endswith(".json") else f"{name} line 1 is not")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_text_fails_by_name(name: str, folder: Path) -> None:
    (folder / name).write_bytes(b"\xff\xfe\x00" * 40)
    failed_with(judge(folder), f"{name} is not text (UTF-8).")


def test_a_file_that_is_a_folder_fails_by_name(folder: Path) -> None:
    (folder / "wire.jsonl").unlink()
    (folder / "wire.jsonl").mkdir()
    failed_with(judge(folder), "wire.jsonl cannot be read: Is a directory.")


def test_no_folder_at_all_fails(tmp_path: Path) -> None:
    verdict = judge(tmp_path / "nothing")
    assert not verdict.passed
    assert verdict.drill == "nothing"
    assert not any(finding.held for finding in verdict.findings)
    for name in FILES:
        failed_with(verdict, f"{name} is missing.")


def test_what_cannot_be_judged_is_not_called_broken_and_not_called_held(folder: Path) -> None:
    (folder / "records.json").unlink()
    verdict = judge(folder)
    by_name = {finding.name: finding for finding in verdict.findings}
    assert by_name["nothing lost"].held is None
    assert by_name["nothing twice"].measured == "not judged"
    assert by_name["one poller"].held is True
    assert verdict.figures.updates_lost is None
    assert verdict.figures.records_duplicated is None
    assert verdict.figures.updates_sent is not None
    failed_with(verdict, "Not judged: nothing lost, because records.json could not be read.")


def test_a_drill_that_stopped_before_its_fault_fails(history: History, tmp_path: Path) -> None:
    history.drill.update(active=None, faults=[])
    verdict = judge(history.write(tmp_path / "history"))
    failed_with(verdict, "drill.json names no fault")
    assert verdict.fault is None
    assert verdict.rto_s is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"e":"update","t":1.0,"update_id":4}', "telegram.jsonl line 1: chat_id is missing."),
        ('{"e":"update","t":"1","update_id":4,"chat_id":1,"user":1}', "line 1: t is not a number."),
        (
            '{"e":"update","t":NaN,"update_id":4,"chat_id":1,"user":1}',
            "line 1: t is not a time or a length that can be.",
        ),
        (
            '{"e":"update","t":1e300,"update_id":4,"chat_id":1,"user":1}',
            "line 1: t is not a time or a length that can be.",
        ),
        ('{"e":"update","t":1.0,"update_id":true,"chat_id":1,"user":1}', "line 1: update_id is not a whole number."),
        ('{"e":"reply","t":1.0,"id":1,"node":7,"chat_id":1,"method":"x"}', "line 1: node is not text."),
        ('{"e":"end","t":1,"id":1,"node":"a","method":"x","status":200,"handed":7}', "line 1: handed is not a list."),
        ('{"e":"confirm","t":1.0,"node":"a","update_ids":[1,"2"]}', "line 1: update_ids[1] is not a whole number."),
        ("[1, 2]", "line 1: it is not an object."),
        ("[" * 100_000, "line 1 is not whole JSON."),
        ('{"e":"update","t":1', "line 1 is not whole JSON."),
    ],
)
def test_a_line_that_is_not_what_it_should_be_fails_by_number(line: str, says: str, folder: Path) -> None:
    file = folder / "telegram.jsonl"
    file.write_text(line + "\n" + file.read_text())
    failed_with(judge(folder), says)


def test_many_faults_of_one_file_are_named_and_counted(folder: Path) -> None:
    file = folder / "wire.jsonl"
    file.write_text("{}\nnonsense\n" * 10 + file.read_text())
    violations = [violation for violation in judge(folder).violations if "wire.jsonl" in violation]
    assert violations[:3] == [f"wire.jsonl line {n} is not whole JSON." for n in (2, 4, 6)]
    assert violations[3] == "7 more faults in wire.jsonl of this kind."


def test_witnesses_may_say_more_than_is_asked(history: History, tmp_path: Path) -> None:
    for lines in (history.telegram, history.wire, history.cluster):
        lines.insert(1, {"e": "remark", "t": lines[0]["t"], "words": ["anything"]})
        lines[0]["more"] = {"of": "it"}
    history.drill["weather"] = "fine"
    assert judge(history.write(tmp_path / "history")).violations == ()


def test_strangers_in_the_audit_from_before_the_drill_do_not_count(history: History, tmp_path: Path) -> None:
    off = next(line for line in history.power if line["action"] == "off")
    history.power.insert(0, {**off, "t": history.drill["started"] - 60.0, "plug": "node3"})
    assert judge(history.write(tmp_path / "history")).violations == ()


# -- shapes


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Fault, {"kind": "power-cut", "node": "node1", "t": 1}, "done is missing"),
        (Fault, {"kind": "power-cut", "node": None, "t": 1, "done": 2}, "node is not text"),
        (Fault, [], "it is not an object"),
        (Switched, {"t": 1, "action": "off", "ok": 1, "ms": 2}, "ok is not true or false"),
        (Drill, {"drill": "", "started": 1, "finished": 2, "nodes": {"a": {"lan": ""}}}, "nodes.a.mac is missing"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_path(kind: Any, value: object, says: str) -> None:
    with pytest.raises(MisshapenError) as raised:
        shape(kind, value)
    assert str(raised.value) == says


def test_a_number_or_a_name_may_tell_one_from_another() -> None:
    line: dict[str, object] = {"t": 1, "id": 4, "node": "a", "chat_id": 5, "method": "m"}
    assert shape(Reply, line).id == 4
    assert shape(Reply, {**line, "id": "four"}).id == "four"
    with pytest.raises(MisshapenError, match="id is not a whole number"):
        shape(Reply, {**line, "id": [4]})


def test_files_named_in_the_report_are_those_that_are_read(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert json.loads((folder / "drill.json").read_text())["drill"] == "power-cut"
