"""Drills as data: what is wrong in a file is named by file, line and key."""

from pathlib import Path

import pytest

from kappa_lab import faults, predicates, scenario
from kappa_lab.errors import LabError
from kappa_lab.scenario import Bounds, Heal, Inject, Traffic, WaitFor
from kappa_lab.scenario.lines import Lines

GOOD = """\
# A drill that says everything.
name = "all-of-it"
purpose = "It has every key that there is."
tags = ["node", "ci"]

[traffic]
users = 30

[[steps]]
fault = "freeze-and-thaw"
on = "passive"
frozen_s = 3

[[steps]]
wait_for = "answered"
elsewhere = true
within_s = 20

[[steps]]
wait_for = "resource-failed"
resource = "bot"
not_for_s = 2.5

[[steps]]
heal = "freeze-and-thaw"

[expect]
service = "moves"
fenced = ["active"]
may_be_fenced = ["passives", "node3"]
predicted = "node-lost"

[bounds]
rejoin_s = 33
"""


def written(folder: Path, text: str, name: str = "all-of-it") -> Path:
    file = folder / f"{name}.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", scenario.names())
def test_every_drill_that_ships_is_valid(name: str) -> None:
    found = scenario.load(name)
    assert found.name == name
    assert found.traffic.users >= 20
    assert found.traffic.updates_at_least >= 100
    assert name in scenario.words(found)


def test_a_drill_is_read_as_it_is_written(tmp_path: Path) -> None:
    found = scenario.read(written(tmp_path, GOOD))
    assert found.steps == (
        Inject("freeze-and-thaw", "passive", {"frozen_s": 3.0}),
        WaitFor("answered", within_s=20, given={"elsewhere": True}),
        WaitFor("resource-failed", not_for_s=2.5, given={"resource": "bot", "on": ""}),
        Heal("freeze-and-thaw"),
    )
    assert found.tags == ("node", "ci")
    assert found.expect == scenario.Expect("moves", ("active",), ("passives", "node3"), False, "node-lost")
    assert found.traffic == Traffic(30, 16.0, 60, 3, 40, 150)
    assert found.bounds == Bounds(60, 60, 33, 90)


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    text = 'name = "short"\npurpose = "p"\ntags = ["node"]\n[[steps]]\nfault = "power-cut"\non = "dc"\n'
    found = scenario.read(written(tmp_path, text + '[expect]\nservice = "any"\n', "short"))
    assert found.traffic == Traffic(24, 16.0, 60, 3, 40, 150)
    assert found.bounds == Bounds(60, 60, 75, 90)
    assert found.expect == scenario.Expect("any")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("users = 30", "users = 3", 7, "traffic.users is 3; it must be a number, 20 or more"),
        ("users = 30", "users = true", 7, "traffic.users is True"),
        ("users = 30", 'users = "24"', 7, "traffic.users is '24'"),
        ("users = 30", "rate_per_s = nan", 7, "traffic.rate_per_s is nan"),
        ("users = 30", "userz = 30", 7, "traffic.userz is not a key of a drill; known here: half_way_before"),
        ("rejoin_s = 33", "rejoin_s = 0", 34, "bounds.rejoin_s is 0"),
        ("rejoin_s = 33", "rejoin_s = inf", 34, "bounds.rejoin_s is inf"),
        ('name = "all-of-it"', 'name = "other"', 2, "it must be the file's own, 'all-of-it'"),
        ('"node", "ci"', '"node", "moon"', 4, "tags has 'moon'; it must be a list of bot, router"),
        ('"node", "ci"', '"ci"', 4, "tags names no area"),
        ('tags = ["node", "ci"]', "", 1, "tags is missing; it must be a list of"),
        ('"freeze-and-thaw"\non', '"flood"\non', 10, "steps[1].fault is 'flood'; it must be one of power-cut"),
        ('on = "passive"', 'on = "moon"', 11, "steps[1].on is 'moon'; it must be one of active, passive, dc"),
        ('on = "passive"', "", 9, "steps[1].on is missing; it must be one of active"),
        ("frozen_s = 3", "frozen = 3", 12, "steps[1].frozen is not a parameter of freeze-and-thaw; known here: fault"),
        ("frozen_s = 3", 'frozen_s = "3"', 12, "steps[1].frozen_s is '3'; it must be a number"),
        ('"answered"', '"quiet"', 15, "steps[2].wait_for is 'quiet'; it must be one of answered"),
        ("elsewhere = true", "elsewhere = 1", 16, "steps[2].elsewhere is 1; it must be true or false"),
        ("elsewhere = true", "where = 1", 16, "steps[2].where is not a parameter of answered"),
        ("within_s = 20", "", 14, "steps[2].within_s is missing; it must be a number of seconds (or not_for_s"),
        ("within_s = 20", "within_s = 20\nnot_for_s = 1", 17, "steps[2].within_s and not_for_s are both there"),
        ("within_s = 20", "within_s = -1", 17, "steps[2].within_s is -1; it must be a number, 0.1 or more"),
        ('resource = "bot"', "", 19, "steps[3].resource is missing; resource-failed needs it"),
        ('resource = "bot"', 'resource = "bot"\non = "moon"', 22, "steps[3].on is 'moon'; it must be one of active"),
        ('heal = "freeze', 'heal = "power-cut" # "freeze', 25, "steps[4].heal is 'power-cut', a fault that no step"),
        ('heal = "freeze', 'heal = "flood" # "freeze', 25, "steps[4].heal is 'flood'; it must be one of power-cut"),
        ('heal = "freeze-and-thaw"', 'heel = "all"', 24, "steps[4] says neither what breaks nor what is waited for"),
        ('heal = "freeze-and-thaw"', 'heal = "all"\nfault = "x"', 24, "steps[4] has fault and heal; it must"),
        ('service = "moves"', 'service = "flies"', 28, "expect.service is 'flies'; it must be one of moves, returns"),
        ('service = "moves"', "", 27, "expect.service is missing"),
        ('fenced = ["active"]\nmay', 'fenced = ["boss"]\nmay', 29, "expect.fenced has 'boss'; it must be a list"),
        ('"passives", "node3"', '"node4"', 30, "expect.may_be_fenced has 'node4'"),
        ('"node-lost"', '"doom"', 31, "expect.predicted is 'doom'; it must be one of node-lost"),
        ("[bounds]", "[bound]", 33, "bound is not a key of a drill"),
        ('[expect]\nservice = "moves"', '[traffic.expect]\nservice = "x"', 27, "traffic.expect is not a key of"),
        ("[traffic]", "[traffic", 6, "is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_drill_is_refused_by_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(LabError) as caught:
        scenario.read(written(tmp_path, GOOD.replace(old, new)))
    assert said in str(caught.value)
    assert f"all-of-it.toml:{line}: " in str(caught.value) or f"line {line}" in str(caught.value)


def test_a_drill_without_a_fault_is_none(tmp_path: Path) -> None:
    head, _, tail = GOOD.partition("[[steps]]")
    with pytest.raises(LabError, match=r"all-of-it.toml:1: steps is missing; a drill has at least one \[\[steps\]\]"):
        scenario.read(written(tmp_path, head + "[expect]" + tail.partition("[expect]")[2]))
    with pytest.raises(LabError, match=r"all-of-it.toml:1: expect is missing; it must be a table"):
        scenario.read(written(tmp_path, GOOD.partition("[expect]")[0]))
    only_waits = head + '[[steps]]\nwait_for = "moved"\nwithin_s = 1\n[expect]' + tail.partition("[expect]")[2]
    with pytest.raises(LabError, match="steps has no fault; a drill needs at least one"):
        scenario.read(written(tmp_path, only_waits))


@pytest.mark.parametrize("healed", ["all", "freeze-and-thaw"])
def test_nothing_is_healed_before_it_was_broken(tmp_path: Path, healed: str) -> None:
    text = GOOD.replace("[[steps]]\nfault", f'[[steps]]\nheal = "{healed}"\n[[steps]]\nfault')
    with pytest.raises(LabError, match=rf"all-of-it.toml:10: steps\[1\].heal is '{healed}', a fault that no step"):
        scenario.read(written(tmp_path, text))


def test_a_fault_that_is_no_nodes_matter_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = faults.Kind("nowhere", "p", lambda target, given: faults.Fault(lambda: None), on=())
    monkeypatch.setattr(faults, "KINDS", {**faults.KINDS, "nowhere": nowhere})
    text = GOOD.replace('heal = "freeze-and-thaw"', 'heal = "all"').replace("freeze-and-thaw", "nowhere")
    with pytest.raises(LabError, match=r"all-of-it.toml:11: steps\[1\].on is there, but nowhere is no node's matter"):
        scenario.read(written(tmp_path, text))
    found = scenario.read(written(tmp_path, text.replace('on = "passive"\nfrozen_s = 3\n', "")))
    assert found.steps[0] == Inject("nowhere")


def test_a_pattern_must_be_one(tmp_path: Path) -> None:
    text = GOOD.replace('"resource-failed"\nresource = "bot"', '"log"\npattern = "("')
    with pytest.raises(LabError, match=r"all-of-it.toml:21: steps\[3\].pattern is no regular expression"):
        scenario.read(written(tmp_path, text))


def test_an_unknown_drill_names_the_known_ones() -> None:
    with pytest.raises(LabError, match=r"no drill 'flood'.*freeze-and-thaw.*level-1-dead"):
        scenario.load("flood")


def test_every_predicate_says_what_it_needs_of_what_it_has() -> None:
    for name, kind in predicates.KINDS.items():
        assert kind.name == name
        assert set(kind.needed) <= set(kind.parameters)
        assert kind.purpose


def test_lines_are_found_whatever_the_file_looks_like() -> None:
    lines = Lines(
        'a.b = 1\n"quoted" = 2\ntext = """\n[no.table]\nno_key = 3\n"""\nmany = [\n  {x = 1},\n]\n'
        "[ t ] # comment\n  k=1\n[[l]]\n[[l]]\nk = 2\n[t.u]\nk = 3\n"
    )
    assert [lines.of((), key) for key in ("a", "quoted", "text", "many")] == [1, 2, 3, 7]
    assert lines.of(("t",), "k") == 11
    assert (lines.of(("l", 1), "k"), lines.of(("l", 2), "k")) == (12, 14)
    assert lines.of(("t", "u"), "k") == 16
    assert lines.of(("many", 1), "x") == 7
    assert lines.of((), "no_key") == 1
