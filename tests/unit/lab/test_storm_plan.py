"""A storm on paper: the same seed gives the same storm, and every storm is one that a sane operator would let loose."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kappa_lab.errors import LabError
from kappa_lab.faults import AREAS, KINDS
from kappa_lab.faults.kind import Fault, Kind, Target
from kappa_lab.storm import plan as plans
from kappa_lab.storm import sheet
from kappa_lab.storm.plan import Plan, Strike, broken_rules, draw


def nothing(_target: Target, _given: object) -> Fault:
    return Fault(lambda: None)


def kind(name: str, **more: object) -> Kind:
    return Kind(name, "Nothing at all.", nothing, **more)  # type: ignore[arg-type]


INVENTED = {
    "bot": (kind("bot-killed"), kind("bot-frozen", parameters={"frozen_s": 5.0, "times": 3}), kind("no", storm=False)),
    "router": (kind("router-killed"),),
    "mongodb": (kind("primary-killed", on=()), kind("majority-lost", on=())),
    "nginx": (kind("nginx-killed", on=("active",)), kind("port-taken", on=("active",), fences="maybe")),
    "vip": (kind("address-deleted", on=("active",)),),
    "node": (
        kind("power-cut", on=("active", "passive", "passives", "dc", "all"), fences="always", ends_node=True),
        kind("cold-start", on=("all",), fences="never", ends_node=True),
    ),
    "fencing": (kind("levels-dead", on=()),),
    "operator": (kind("standby"), kind("rolling-restart", on=())),
}

seeds = st.integers(0, 2**32)


@given(seed=seeds)
@settings(max_examples=60, deadline=None)
def test_a_drawn_storm_keeps_to_the_rules(seed: int) -> None:
    drawn = draw(seed, INVENTED, faults=80)
    assert len(drawn.strikes) == 80
    assert broken_rules(drawn, INVENTED) == []
    moments = [strike.at_s for strike in drawn.strikes]
    assert moments == sorted(moments)
    for strike in drawn.strikes:
        assert plans.LEAST_S <= strike.heal_after_s <= plans.MOST_S
        named = plans.card_of(strike, INVENTED).kind
        assert named.storm
        assert strike.on in (named.on or ("",))


def test_the_rules_are_not_kept_by_chance() -> None:
    """Each rule is broken by a plan made for it, and said."""
    rules = {
        "another fault of bot stands": [Strike(1, "bot-killed", "active"), Strike(2, "bot-frozen", "active")],
        "standby may have taken a node": [Strike(1, "standby", "passive"), Strike(9, "power-cut", "active")],
        "levels-dead may have taken a node": [Strike(1, "levels-dead"), Strike(9, "port-taken", "active")],
        "several nodes comes alone": [Strike(1, "power-cut", "passives"), Strike(9, "bot-killed", "active")],
        "3 others stand": [
            Strike(1, "bot-killed", "active"), Strike(1, "router-killed", "active"), Strike(1, "primary-killed"),
            Strike(2, "address-deleted", "active"),
        ],
    }  # fmt: skip
    for said, strikes in rules.items():
        broken = broken_rules(Plan(1, tuple(strikes)), INVENTED)
        assert any(said in sentence for sentence in broken), (said, broken)


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_a_seed_says_it_all(seed: int) -> None:
    assert draw(seed, INVENTED, faults=40) == draw(seed, INVENTED, faults=40)
    assert draw(seed, INVENTED, faults=20).strikes == draw(seed, INVENTED, faults=40).strikes[:20]
    assert draw(seed, INVENTED, faults=40).strikes != draw(seed + 1, INVENTED, faults=40).strikes
    assert draw(seed, INVENTED, faults=40).seed == seed


def test_the_seed_is_the_same_in_every_process_and_year() -> None:
    """Plans of old reports can be drawn again: nothing of this process, such as its hash of texts, takes part."""
    first = [
        (strike.at_s, strike.fault, strike.on, strike.heal_after_s) for strike in draw(7, INVENTED, faults=4).strikes
    ]
    assert first == FIRST_OF_7


@pytest.mark.parametrize("seed", range(5))
def test_every_area_and_every_kind_is_hit(seed: int) -> None:
    drawn = draw(seed, INVENTED, faults=120)
    areas = Counter(plans.card_of(strike, INVENTED).area for strike in drawn.strikes)
    assert set(areas) == set(INVENTED)
    assert min(areas.values()) >= 120 / len(INVENTED) / 2
    hit = Counter(strike.fault for strike in drawn.strikes)
    assert set(hit) == {one.name for kinds in INVENTED.values() for one in kinds if one.storm}
    assert hit["rolling-restart"] > 2
    roles = Counter(strike.on for strike in drawn.strikes)
    assert min(roles["active"], roles["passive"], roles["dc"]) >= 10
    assert 0 < roles["all"] + roles["passives"] < 12


def test_a_short_storm_hits_every_area() -> None:
    for seed in range(20):
        areas = {plans.card_of(strike, INVENTED).area for strike in draw(seed, INVENTED, faults=16).strikes}
        assert areas == set(INVENTED)


def test_200_faults_are_planned_for_20_minutes() -> None:
    for seed in range(10):
        assert draw(seed, INVENTED, faults=200).strikes[-1].at_s < 20 * 60


def test_faults_overlap() -> None:
    drawn = draw(1, INVENTED, faults=50)
    together = sum(
        earlier.at_s + earlier.heal_after_s > later.at_s
        for earlier, later in zip(drawn.strikes, drawn.strikes[1:], strict=False)
    )
    assert together >= 15


def test_minutes_are_the_storms_length() -> None:
    drawn = draw(3, INVENTED, minutes=3)
    assert 120 < drawn.strikes[-1].at_s <= 180
    assert draw(3, INVENTED, minutes=6).strikes[: len(drawn.strikes)] == drawn.strikes
    assert draw(3, INVENTED, faults=30, minutes=20).strikes[-1].at_s > 400


def test_how_long_a_fault_lasts_is_drawn_too() -> None:
    drawn = [strike for strike in draw(1, INVENTED, faults=200).strikes if strike.fault == "bot-frozen"]
    lengths = {strike.given["frozen_s"] for strike in drawn}
    assert len(lengths) > 3
    assert all(isinstance(length, float) and 2 <= length <= 5 for length in lengths)
    assert all("times" not in strike.given for strike in drawn)


def test_parts_of_a_storm_keep_its_order_and_lose_its_silence() -> None:
    whole = Plan(1, tuple(Strike(20.0 * n, "bot-killed", "active", 1.0 + n) for n in range(6)))
    part = whole.only((1, 2, 5))
    assert [strike.heal_after_s for strike in part.strikes] == [2.0, 3.0, 6.0]
    gaps = [b.at_s - a.at_s for a, b in zip(part.strikes, part.strikes[1:], strict=False)]
    assert all(0 < gap <= plans.SILENCE_S + 0.01 for gap in gaps)
    close = Plan(1, (Strike(1.0, "bot-killed"), Strike(2.0, "router-killed"), Strike(3.5, "bot-killed")))
    assert [strike.at_s for strike in close.only((0, 2)).strikes] == [1.0, 3.5]


def test_the_real_kinds_make_a_storm() -> None:
    for seed in range(5):
        drawn = draw(seed, AREAS, faults=60)
        assert broken_rules(drawn, AREAS) == []
        assert {strike.fault for strike in drawn.strikes} <= set(KINDS)


# -- as a file


@given(seed=seeds, faults=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_a_plan_survives_its_file(seed: int, faults: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    kinds = {one.name: one for area in INVENTED.values() for one in area}
    file = tmp_path_factory.getbasetemp() / "plan.toml"
    drawn = draw(seed, INVENTED, faults=faults)
    sheet.write(drawn, file)
    assert sheet.read(file, kinds) == drawn


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('fault = "power-cut"', 'fault = "flood"', "plan.toml: fault 1: fault is 'flood'; it must be one of"),
        ('on = "active"', 'on = "everywhere"', "plan.toml: fault 1: on is 'everywhere'; it must be one of active, "),
        ("at_s = 3.0", "", "plan.toml: fault 1: at_s is missing; it must be a number, 0 or more."),
        ("at_s = 3.0", "at_s = -1", "plan.toml: fault 1: at_s is -1.0; it must be a number, 0 or more."),
        ("at_s = 3.0", "at_s = inf", "plan.toml: fault 1: at_s is inf; it must be a number, 0 or more."),
        ("at_s = 3.0", "at_s = true", "plan.toml: fault 1: at_s is True; it must be a number, 0 or more."),
        ("frozen_s = 2.0", 'frozen_s = "long"', "plan.toml: fault 2: frozen_s is 'long'; it must be a number."),
        ("frozen_s = 2.0", "thawed_s = 2.0", "plan.toml: fault 2: thawed_s: there is no such key here."),
        ("users = 24", "users = 0", "plan.toml: users is 0; it must be a whole number, 1 or more."),
        ("users = 24", "people = 24", "plan.toml: people: there is no such key here."),
        ("seed = 1", "seed = ", "plan.toml is not TOML: "),
        ("[[faults]]", "[[fault]]", "plan.toml has no [[faults]]: there is nothing to let loose."),
    ],
)
def test_a_wrong_plan_is_refused_by_name(old: str, new: str, said: str, tmp_path: Path) -> None:
    whole = sheet.text(
        Plan(1, (Strike(3.0, "power-cut", "active"), Strike(5.0, "freeze-and-thaw", "passive", 2.0, {"frozen_s": 2.0})))
    )
    file = tmp_path / "plan.toml"
    file.write_text(whole)
    assert len(sheet.read(file, KINDS).strikes) == 2
    assert old in whole
    file.write_text(whole.replace(old, new))
    with pytest.raises(LabError) as refused:
        sheet.read(file, KINDS)
    assert str(refused.value).startswith(said)


def test_a_plan_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"No such file"):
        sheet.read(tmp_path / "plan.toml", KINDS)


def test_by_hand_any_node_can_be_named_and_the_order_is_made(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[[faults]]\nat_s = 9\nfault = "rings-cut"\non = "node3"\n'
        '[[faults]]\nat_s = 2\nfault = "power-cut"\non = "active"\n'
    )
    assert [(s.at_s, s.on) for s in sheet.read(file, KINDS).strikes] == [(2.0, "active"), (9.0, "node3")]


FIRST_OF_7 = [
    (2.3, "levels-dead", "", 3.2),
    (10.2, "address-deleted", "active", 5.4),
    (20.8, "standby", "passive", 5.0),
    (21.2, "primary-killed", "", 2.0),
]
