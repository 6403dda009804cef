"""What the bench makes of its measurements. Its figures are not tested."""

import json

import pytest

from tests.bench import bot
from tests.bench.bot import Measured, Round, findings, percentile, spread, table


def rounds(*seconds: float, updates: int = 1000, **cpu: float) -> list[Round]:
    return [Round(updates, each, {"bot": 0.9 * each, "telegram": 0.3 * each, "mongod": 0.2 * each, **cpu})
            for each in seconds]  # fmt: skip


def measured() -> Measured:
    return Measured(
        load=0.1,
        ours=rounds(4.0, 5.0, 10.0),
        peer=rounds(10.0, 8.0, 12.5),
        concurrent=rounds(5.0, 4.0, 2.0),
        answers_ms={"ours": [float(n) for n in range(1, 201)], "peer": [50.0, 10.0]},
        promotes_ms=[20.0, 140.0, 30.0, 25.0],
        standby_rss_mb=[50.0, 52.0, 51.0],
        drains=rounds(40.0, 25.0, 20.0, updates=10_000),
    )


def test_figures_are_medians() -> None:
    found = findings(measured())
    assert (found["updates_per_s"], found["updates_per_s_peer"], found["ratio"]) == (200.0, 100.0, 2.0)
    assert found["ratio_concurrent"] == 0.8
    assert found["ratio_spread"] == [1.25, 2.5]
    assert (found["promote_ms"], found["standby_rss_mb"], found["drain_10k_s"]) == (27.5, 51.0, 25.0)
    assert (found["answer_p50_ms"], found["answer_p99_ms"]) == (100.0, 198.0)
    assert (found["answer_p50_ms_peer"], found["answer_p99_ms_peer"]) == (10.0, 50.0)
    assert found["cpu_share"] == {"bot": 0.9, "telegram": 0.3, "mongod": 0.2}
    assert all(goal["met"] for goal in found["goals"])
    assert json.loads(json.dumps(found)) == found


def test_a_backlog_of_another_size_is_reckoned_to_ten_thousand() -> None:
    made = measured()
    made.drains = rounds(2.0, updates=400)
    found = findings(made)
    assert (found["drain_10k_s"], found["drain_updates"]) == (50.0, 400)


@pytest.mark.parametrize(
    ("change", "unmet"),
    [
        ({"ours": rounds(10.0, 10.0, 11.2)}, set()),
        ({"ours": rounds(11.2, 11.2, 11.2)}, {"throughput, × peer"}),
        ({"promotes_ms": [151.0]}, {"promotion to first getUpdates, ms"}),
        # It prints as 90.0, and is above it.
        ({"standby_rss_mb": [90.04]}, {"memory of a standby, MiB"}),
    ],
)
def test_a_goal_that_is_not_met_is_said_to_be_so(change: dict[str, object], unmet: set[str]) -> None:
    made = measured()
    for name, value in change.items():
        setattr(made, name, value)
    found = findings(made)
    assert {goal["goal"] for goal in found["goals"] if not goal["met"]} == unmet
    assert sum("NOT MET" in line for line in table(found)) == len(unmet)


def test_a_busy_machine_is_said_to_have_been_busy() -> None:
    made = measured()
    assert not any("busy" in line for line in table(findings(made)))
    made.load = 2.0
    assert any("busy with something else: load 2 " in line for line in table(findings(made)))


def test_the_middle_half_and_percentiles() -> None:
    assert spread([3.0]) == [3.0, 3.0]
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == [2.0, 6.0]
    assert percentile([5.0], 99) == 5.0
    assert [percentile([4.0, 1.0, 3.0, 2.0], percent) for percent in (25, 50, 99, 100)] == [1.0, 2.0, 4.0, 4.0]


def test_what_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bot, "find_mongod", lambda: None)
    assert bot.main([]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "KAPPA_MONGOD" in said
