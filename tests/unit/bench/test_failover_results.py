"""The figures of the recovery bench: statistics, the file's form, slices merged, the picture."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from tests.bench.failover import __main__ as bench
from tests.bench.failover import outage, plot, results


def sample(rto_s: float, lost: int = 0, twice: int = 0, sent: int = 100) -> dict[str, float]:
    return {"rto_s": rto_s, "updates_sent": sent, "updates_lost": lost, "records_duplicated": twice}


# When it served again


def test_an_outage_ends_where_the_longest_stretch_without_service_does() -> None:
    served = [99.0, 100.1, 100.2, 107.5, 107.6, 108.9]
    assert outage.ended(served, 100.0, 0.6) == 107.5


def test_an_outage_begins_with_the_fault_even_when_nothing_was_served_after_it() -> None:
    assert outage.ended([99.9, 104.0], 100.0, 0.6) == 104.0


def test_what_has_not_ended_or_never_was_is_no_outage() -> None:
    assert outage.ended([99.0, 100.1, 100.2], 100.0, 0.6) is None
    assert outage.ended([], 100.0, 0.6) is None
    assert outage.ended([100.3, 100.6, 100.9], 100.0, 0.6) is None


def test_the_order_of_what_was_seen_does_not_matter() -> None:
    assert outage.ended([108.0, 107.5, 100.1], 100.0, 0.6) == 107.5


# Statistics


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 21)]
    assert results.percentile(values, 95) == 19.0
    assert results.percentile(values, 50) == 10.0
    assert results.percentile([7.0], 95) == 7.0


def test_losses_are_counted_over_all_repetitions() -> None:
    of = results.summed([sample(4.0, lost=3), sample(2.0, twice=1), sample(9.0, lost=1, sent=50)])
    assert of["rto_s"] == {"min": 2.0, "median": 4.0, "p95": 9.0, "max": 9.0}
    assert (of["updates_lost"], of["records_duplicated"], of["updates_sent"], of["repetitions"]) == (4, 1, 250, 3)


def test_the_faults_come_in_every_part_of_the_monitors_period() -> None:
    moments = sorted(bench.wanted_moments("bot-dead", 10))
    parts = [int((t - bench.FIRST_S) / (bench.PERIOD_S / 10)) for t in moments]
    assert parts == list(range(10))


def test_what_no_monitor_finds_need_not_wait_for_one() -> None:
    assert bench.wanted_moments("node-lost", 3) == [bench.FIRST_S] * 3


def test_both_configurations_meet_the_same_moments() -> None:
    assert bench.wanted_moments("bot-dead", 10) == bench.wanted_moments("bot-dead", 10)
    assert bench.wanted_moments("bot-dead", 10) != bench.wanted_moments("nginx-dead", 10)


# The file


def both() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for fault in results.FAULTS:
        found = results.plus(found, "stock", fault, sample(9.5, lost=6))
        found = results.plus(found, "ours", fault, sample(3.5))
    return found


def test_the_file_has_each_fault_of_each_configuration(tmp_path: Path) -> None:
    results.write(both(), tmp_path / "bench" / "failover.json")
    found = json.loads((tmp_path / "bench" / "failover.json").read_text())
    assert set(found) == {"stock", "ours"}
    for of in found.values():
        assert list(of) == ["bot-dead", "nginx-dead", "address-deleted", "planned-move", "node-lost"]
        for one in of.values():
            assert set(one["rto_s"]) == {"min", "median", "p95", "max"}
            assert isinstance(one["updates_lost"], int) and isinstance(one["records_duplicated"], int)


def test_slices_are_merged_into_one_file_and_a_repetition_added_to_those_before() -> None:
    found = results.plus({}, "ours", "node-lost", sample(4.0))
    found = results.plus(found, "stock", "bot-dead", sample(8.0, lost=2))
    found = results.plus(found, "ours", "node-lost", sample(6.0))
    assert found["ours"]["node-lost"]["repetitions"] == 2
    assert found["ours"]["node-lost"]["rto_s"]["median"] == 5.0
    assert found["stock"]["bot-dead"]["updates_lost"] == 2


def test_what_is_measured_anew_does_not_touch_the_rest() -> None:
    found = results.with_samples(both(), "stock", "bot-dead", [])
    assert "bot-dead" not in found["stock"]
    assert "bot-dead" in found["ours"] and "node-lost" in found["stock"]


def test_a_file_that_is_none_of_the_benchs_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "failover.json"
    assert results.read(file) == {}
    file.write_text('{"updates_per_s": 3}')
    with pytest.raises(ValueError, match="something else"):
        results.read(file)


def test_no_half_file_is_left(tmp_path: Path) -> None:
    results.write(both(), tmp_path / "failover.json")
    assert [file.name for file in tmp_path.iterdir()] == ["failover.json"]


# What people see


def test_the_table_says_what_was_lost() -> None:
    lines = results.table(both())
    assert len(lines) == 2 + 2 * len(results.FAULTS)
    assert "| the bot's process dies | stock | 9.5 | 9.5 | 9.5 | 9.5 | 6 of 100 | 0 | 1 |" in lines
    assert any(line.startswith("| Nginx dies* |") for line in lines)


def test_the_picture_is_xml_with_a_dot_for_each_repetition() -> None:
    found = results.plus(both(), "stock", "bot-dead", sample(11.0, twice=2))
    tree = ElementTree.fromstring(plot.drawing(found))
    dots = [one for one in tree.iter() if one.tag.endswith("circle")]
    assert len(dots) == 2 * len(results.FAULTS) + 1
    words = [one.text for one in tree.iter() if one.tag.endswith("text")]
    assert "6 of 200, 2 stored twice" in words
    width = float(tree.attrib["viewBox"].split()[2])
    assert all(plot.LEFT <= float(dot.attrib["cx"]) <= width - plot.RIGHT for dot in dots)


def test_a_picture_of_one_slice_has_empty_lanes() -> None:
    ElementTree.fromstring(plot.drawing(results.plus({}, "ours", "node-lost", sample(0.4))))
    ElementTree.fromstring(plot.drawing({}))


# What is asked for


def test_an_unknown_fault_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.parsed(["--faults", "bot-dead,meteorite"])
    assert "there is no fault meteorite" in capsys.readouterr().err


def test_a_slice_is_asked_for_by_name() -> None:
    given = bench.parsed(["--only", "stock", "--faults", "node-lost,bot-dead", "--repetitions", "3"])
    assert (given.only, given.faults, given.repetitions) == ("stock", ["node-lost", "bot-dead"], 3)
