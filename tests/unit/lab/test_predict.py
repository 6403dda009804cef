"""Predictions: the arithmetic by hand, and what must be true of any configuration."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from kappa_lab import faults, scenario
from kappa_lab.errors import LabError
from kappa_lab.paths import ROOT
from kappa_lab.predict import KINDS, bound, everything
from kappa_lab.predict.cib import read as read_cib
from kappa_lab.predict.corosync import read as read_corosync
from kappa_lab.predict.durations import seconds
from kappa_lab.scenario import Inject
from tests.predict_inputs import CIB, COROSYNC, changed, given, predicted, prop, two_nodes

START_BOT = 20
STARTS = 15 + 20 + START_BOT
BOT_START = 'id="bot-start-interval-0s" interval="0s" name="start"'
STOPS = 30 + 20 + 15
PAUSE = 2


@pytest.mark.parametrize(
    ("kind", "worst_s"),
    [
        ("node-lost", 1 + 1.5 + PAUSE + 20 + STARTS),
        ("level-1-dead", 1 + 1.5 + PAUSE + 20 + 20 + STARTS),
        ("bot-dead", 6 + 10 + PAUSE + 30 + 20),
        ("bot-deaf", 20 + 13 + 15 + PAUSE + 30 + 3 + 20),
        ("nginx-dead", 7 + 10 + PAUSE + 30 + 20 + 20 + 20),
        ("address-deleted", 5 + 10 + PAUSE + STOPS + STARTS),
        ("router-dead", 10 + 10 + PAUSE + STOPS + 20 + 30 + STARTS),
        ("planned-move", PAUSE + STOPS + STARTS),
        ("bot-frozen", 6 + 10 + PAUSE + 30 + START_BOT),
        ("nginx-frozen", 7 + 10 + PAUSE + 30 + 20 + 20 + START_BOT),
        ("router-frozen", 10 + 10 + PAUSE + STOPS + 20 + 30 + STARTS),
        ("start-fails", 6 + 10 + PAUSE + 30 + START_BOT + PAUSE + STOPS + STARTS),
        ("nginx-start-fails", 7 + 10 + PAUSE + 20 + 20 + PAUSE + STOPS + STARTS),
        ("crash-loop", 3 * (6 + 10) + 2 * (PAUSE + 30 + START_BOT) + PAUSE + STOPS + STARTS),
        ("uplink-lost", 5 + 2 * (5 + 10) + 10 + PAUSE + STOPS + STARTS),
        ("primary-lost", 11.5 + 11.5 + 5),
        ("primary-steps-down", 10 + 11.5 + 11.5 + 5),
    ],
)
def test_the_worst_case_is_the_sum_by_hand(kind: str, worst_s: float) -> None:
    assert predicted(kind).worst_s == pytest.approx(worst_s)


def test_every_kind_is_predicted_and_every_fault_that_names_one_has_it() -> None:
    assert [one.kind for one in everything(given())] == list(KINDS)
    for fault in faults.KINDS.values():
        if fault.predicted:
            assert predicted(fault.predicted).worst_s is not None, fault.name
    for name in scenario.names():
        if kind := scenario.load(name).expect.predicted:
            assert predicted(kind).worst_s is not None
    with pytest.raises(LabError, match="no prediction for 'flood'"):
        predicted("flood")


def answered_by_a_recovery() -> Iterator[tuple[str, str]]:
    """Drills of one fault, as it comes by default, that the active node may be hit by and recovers from by itself."""
    for name in scenario.names():
        drill = scenario.load(name)
        hits = [step for step in drill.steps if isinstance(step, Inject)]
        kind = faults.KINDS[hits[0].fault]
        alone = len(hits) == 1 and not hits[0].given and hits[0].on in ("", "active", "dc")
        if alone and kind.predicted and drill.expect.service not in ("undisturbed", "stops"):
            yield name, kind.predicted


def test_every_drill_whose_recovery_can_be_predicted_is_held_to_it() -> None:
    known = dict(answered_by_a_recovery())
    assert {"power-cut", "power-cut-dc", "primary-steps-down", "bot-out-of-memory"} <= set(known)
    assert {name: scenario.load(name).expect.predicted for name in known} == known


def test_what_was_measured_in_drills_lies_between_nothing_and_the_worst() -> None:
    for kind, measured in (("node-lost", 4.8), ("node-lost", 6.1), ("level-1-dead", 6.4)):
        one = predicted(kind)
        assert one.typical_s is not None
        assert one.worst_s is not None
        assert 0 < one.typical_s < one.worst_s
        assert measured < one.worst_s


@pytest.mark.parametrize(("kind", "least", "most"), [("planned-move", 1.1, 1.8), ("node-lost", 4.3, 6.4)])
def test_what_is_typical_is_what_is_measured(kind: str, least: float, most: float) -> None:
    """The shortest and the longest of the lab's undisturbed recoveries, in the README's table and in drills."""
    one = predicted(kind)
    assert one.typical_s is not None
    assert least <= one.typical_s <= most
    assert one.typical_s == pytest.approx(sum(part.typical_s for part in one.parts))


def test_a_planned_move_names_all_that_happens_in_its_order_and_each_part_says_where_it_is_from() -> None:
    parts = predicted("planned-move").parts
    assert [part.name for part in parts] == [
        "Pacemaker's own pause", "stop bot", "stop web", "stop vip", "start vip", "start web",
        "what is left of the bot's lease", "start bot",
    ]  # fmt: skip
    for part in parts:
        assert part.typical_s > 0 or part.name == "what is left of the bot's lease", part.name  # it was given back
        assert "not measured" not in part.source, part.name


def test_an_operation_is_never_typically_longer_than_it_may_be() -> None:
    hasty = changed(CIB, (f'{BOT_START} timeout="20s"', f'{BOT_START} timeout="200ms"'))
    start = predicted("planned-move", hasty).parts[-1]
    assert (start.name, start.typical_s, start.worst_s) == ("start bot", 0.2, 0.2)


def test_an_idle_lease_is_waited_for_only_as_far_as_nothing_else_took_longer() -> None:
    assert predicted("node-lost", lease_s=60).worst_s == pytest.approx(60 + 20)
    assert predicted("node-lost", lease_s=59.5).worst_s == pytest.approx(59.5 + 20)
    assert predicted("node-lost", lease_s=10).worst_s == predicted("node-lost", lease_s=0).worst_s


def test_a_bot_without_its_router_does_not_give_the_lease_back() -> None:
    short, long = predicted("router-dead", lease_s=0).typical_s, predicted("router-dead", lease_s=60).typical_s
    assert short is not None
    assert long is not None
    assert long > short
    assert predicted("nginx-dead", lease_s=60).typical_s == predicted("nginx-dead", lease_s=0).typical_s


def test_nothing_takes_over_where_nothing_can_fence() -> None:
    bare = re.sub(r"<primitive class=\"stonith\".*?</primitive>", "", CIB, flags=re.DOTALL)
    bare = re.sub(r"<fencing-topology>.*</fencing-topology>", "", bare, flags=re.DOTALL)
    for kind in ("node-lost", "level-1-dead"):
        assert predicted(kind, bare).worst_s is None
        assert predicted(kind, bare).never
    assert predicted("bot-dead", bare).worst_s is not None


def test_a_missing_resource_is_said_and_not_guessed() -> None:
    assert "no web server" in predicted("nginx-dead", changed(CIB, ('type="nginx"', 'type="apache"'))).never
    assert "no bot" in predicted("bot-deaf", changed(CIB, ('type="telegram-bot"', 'type="other"'))).never


def test_what_hangs_takes_longer_than_what_died_but_no_longer_than_the_timeouts_allow() -> None:
    for hangs, died in (("bot-frozen", "bot-dead"), ("nginx-frozen", "nginx-dead"), ("router-frozen", "router-dead")):
        slow, quick = predicted(hangs), predicted(died)
        assert slow.worst_s == quick.worst_s
        assert slow.typical_s is not None
        assert quick.typical_s is not None
        assert slow.typical_s > quick.typical_s + 1


def test_where_a_failed_start_is_not_fatal_it_is_tried_as_often_as_the_threshold_says() -> None:
    patient = changed(CIB, prop("start-failure-is-fatal", "false"))
    once = 6 + 10 + PAUSE + 30 + START_BOT + PAUSE + STOPS + STARTS
    assert predicted("start-fails", patient).worst_s == pytest.approx(once + 2 * (PAUSE + 30 + START_BOT))
    without = changed(patient, ('name="migration-threshold" value="3"', 'name="migration-threshold" value="INFINITY"'))
    assert "no migration-threshold" in predicted("start-fails", without).never
    assert "no migration-threshold" in predicted("crash-loop", without).never


def test_failures_that_are_forgiven_too_soon_never_reach_the_threshold() -> None:
    forgiving = changed(CIB, ('name="failure-timeout" value="60s"', 'name="failure-timeout" value="3s"'))
    assert "failure-timeout forgives" in predicted("crash-loop", forgiving).never
    never_forgiven = changed(CIB, ('name="failure-timeout" value="60s"', 'name="failure-timeout" value="0"'))
    assert predicted("crash-loop", never_forgiven).worst_s == predicted("crash-loop").worst_s


def test_a_lost_uplink_is_measured_as_often_as_the_agent_is_told() -> None:
    told = '<nvpair id="u" name="results" value="{}"/>'
    router = '<nvpair id="uplink-instance_attributes-router"'
    once, often = (predicted("uplink-lost", changed(CIB, (router, told.format(n) + router))) for n in (1, 100))
    assert once.worst_s == pytest.approx(5 + 10 + PAUSE + STOPS + STARTS)
    assert often.worst_s == pytest.approx(5 + (15 + 5 + 10) + 10 + PAUSE + STOPS + STARTS)  # dampen is sooner
    with pytest.raises(LabError, match="results of uplink is 'many'; it must be a whole number"):
        predicted("uplink-lost", changed(CIB, (router, told.format("many") + router)))


def test_an_attribute_that_no_rule_goes_by_moves_nothing() -> None:
    assert (
        "no location rule goes by kappa-telegram"
        in predicted("uplink-lost", changed(CIB, ('attribute="kappa-telegram"', 'attribute="weather"'))).never
    )
    assert "no uplink" in predicted("uplink-lost", changed(CIB, ('type="uplink"', 'type="ping"'))).never


def test_a_lost_data_tier_moves_the_group_where_a_rule_goes_by_it() -> None:
    ruled = changed(CIB, ('attribute="kappa-telegram"', 'attribute="kappa-router"'))
    assert predicted("data-tier-lost", ruled).worst_s == pytest.approx(5 + 2 * 15 + 10 + PAUSE + STOPS + STARTS)
    slow, quick = (predicted("data-tier-lost", ruled, lease_s=lease).typical_s for lease in (60, 0))
    assert slow is not None
    assert quick is not None
    assert slow > quick  # without the data tier the bot cannot give its lease back


def test_an_election_takes_what_the_replica_set_was_told() -> None:
    short = bound(read_cib(CIB), read_corosync(COROSYNC), "primary-lost", election_s=2)
    assert short.worst_s == pytest.approx(2.3 + 2.3 + 5)
    with pytest.raises(LabError, match="--election is -1"):
        bound(read_cib(CIB), read_corosync(COROSYNC), "primary-lost", election_s=-1)


def test_who_steps_down_has_another_stand_at_once() -> None:
    lost, stepped = predicted("primary-lost"), predicted("primary-steps-down")
    assert lost.typical_s is not None
    assert stepped.typical_s is not None
    assert stepped.typical_s == pytest.approx(lost.typical_s - 10)  # nobody has to wait that it is missed


def test_the_head_start_counts_only_where_two_nodes_are_all() -> None:
    three, two = predicted("node-lost").worst_s, predicted("node-lost", corosync=two_nodes()).worst_s
    assert three is not None
    assert two == pytest.approx(three + 2)


def test_an_operation_that_says_nothing_takes_the_default() -> None:
    silent = changed(CIB, (f'{BOT_START} timeout="20s"', BOT_START))
    assert predicted("node-lost", silent).worst_s == pytest.approx(79.5 - 20 + 20)
    value = '<nvpair id="p" name="timeout" value="33s"/>'
    default = f'<op_defaults><meta_attributes id="o">{value}</meta_attributes></op_defaults>'
    silent = changed(silent, ("<rsc_defaults>", f"{default}<rsc_defaults>"))
    assert predicted("node-lost", silent).worst_s == pytest.approx(79.5 - 20 + 33)


def test_a_device_without_a_limit_of_its_own_has_the_clusters() -> None:
    unlimited = changed(CIB, ('name="pcmk_reboot_timeout"', 'name="pcmk_list_timeout"'))
    assert predicted("node-lost", unlimited).worst_s == pytest.approx(79.5 + 20)


def test_a_delay_of_a_device_counts() -> None:
    delayed = changed(CIB, ('name="pcmk_host_check" value="static-list"', 'name="pcmk_delay_max" value="7s"'))
    assert predicted("node-lost", delayed).worst_s == pytest.approx(79.5 + 7)


def test_a_watchdog_as_third_level_is_its_own_time() -> None:
    watchdog = changed(
        CIB,
        prop("stonith-watchdog-timeout", "10s"),
        (
            '<clone id="router-clone">',
            '<primitive class="stonith" id="wd" type="fence_watchdog"/><clone id="router-clone">',
        ),
        ('devices="fence-kappa-2"', 'devices="wd"'),
    )
    assert predicted("level-1-dead", watchdog).worst_s == pytest.approx(99.5 - 10)


def test_a_promoted_bot_is_promoted_where_it_already_runs() -> None:
    head, bot, rest = CIB.partition('<primitive class="ocf" id="bot"')
    body, _, tail = rest.partition("</primitive>")
    body = body.replace(f'{BOT_START} timeout="20s"', f'{BOT_START[:-7]}"promote" timeout="25s"')
    meta = '<meta_attributes id="m"><nvpair id="n" name="promotable" value="true"/></meta_attributes>'
    own = f'<clone id="bot-clone">{meta}{bot}{body}</primitive></clone>'
    promotable = head + tail.replace("</group>", f"</group>{own}", 1)
    promotable = changed(
        promotable, ("<constraints>", '<constraints><rsc_order id="kb" first="kappa" then="bot-clone"/>')
    )
    names = [part.name for part in predicted("node-lost", promotable).parts]
    assert names[-4:] == ["start vip", "start web", "what is left of the bot's lease", "promote bot"]


def test_the_tokens_of_more_than_two_nodes_are_longer_unless_told_otherwise() -> None:
    plain = "totem {\nversion: 2\n}\nnodelist {\n" + "node {\nname: n\n}\n" * 4 + "}\n"
    found = read_corosync(plain)
    assert found.token_s == pytest.approx(3 + 2 * 0.65)
    assert found.consensus_s == pytest.approx(1.2 * found.token_s)
    assert len(found.nodes) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20", 20), ("20s", 20), ("500ms", 0.5), ("2min", 120), ("1h", 3600), ("PT1M30S", 90), (" 7 S ", 7)],
)
def test_times_as_pacemaker_writes_them(text: str, expected: float) -> None:
    assert seconds(text, "it") == pytest.approx(expected)


TIMES = [(m.start(), m.end(), int(m[1])) for m in re.finditer(r"(?<==\")(\d+)s(?=\")", CIB)]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@drawn(st.sampled_from(TIMES), st.integers(0, 500), st.floats(0, 200), st.integers(0, 5000))
def test_a_longer_time_never_shortens_a_prediction(
    where: tuple[int, int, int], more: int, lease_s: float, token_ms: int
) -> None:
    start, end, now = where
    longer = f"{CIB[:start]}{now + more}s{CIB[end:]}"
    slower = changed(COROSYNC, ("token: 1000", f"token: {1000 + token_ms}"))
    for kind in KINDS:
        before = predicted(kind, lease_s=lease_s)
        for after in (
            predicted(kind, longer, lease_s=lease_s),
            predicted(kind, corosync=slower, lease_s=lease_s),
            predicted(kind, lease_s=lease_s + more),
        ):
            if before.worst_s is None:
                assert kind == "data-tier-lost"  # no rule goes by it here
                continue
            if after.worst_s is None:  # what never ends is longer than anything
                assert kind == "crash-loop"
                continue
            assert after.worst_s >= before.worst_s - 1e-6, kind
            assert after.worst_s == pytest.approx(sum(part.worst_s for part in after.parts))
            assert all(0 <= part.typical_s <= part.worst_s for part in after.parts if "lease" not in part.name)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@drawn(st.text(max_size=200), st.integers(0, len(CIB)), st.integers(0, len(COROSYNC)))
def test_garbage_is_one_sentence(noise: str, at: int, there: int) -> None:
    for cib, corosync in (
        (noise, COROSYNC), (CIB[:at] + noise + CIB[at:], COROSYNC), (CIB[:at], COROSYNC),
        (CIB, noise), (CIB, COROSYNC[:there] + noise + COROSYNC[there:]), (CIB, COROSYNC[:there]),
    ):  # fmt: skip
        try:
            for kind in KINDS:
                bound(read_cib(cib), read_corosync(corosync), kind)
        except LabError as error:
            assert "\n" not in str(error)


def test_the_node_with_the_fewest_levels_decides() -> None:
    start = CIB.index('<fencing-level devices="fence-kappa-2"')
    second = CIB[start : CIB.index("/>", start) + 2]
    fewer = changed(CIB, (second, second.replace("|node3)$", ")$")))
    one_level = changed(CIB, (second, ""))
    for cib in (fewer, one_level):
        assert predicted("node-lost", cib).worst_s == pytest.approx(79.5)
        assert "no second level" in predicted("level-1-dead", cib).never


@pytest.mark.parametrize("weak", ['kind="Optional"', 'symmetrical="false"'])
def test_what_need_not_wait_is_not_restarted(weak: str) -> None:
    order = 'kind="Optional" symmetrical="false"'
    parts = {part.name for part in predicted("router-dead", changed(CIB, (order, weak))).parts}
    assert "stop uplink" not in parts
    strict = {part.name for part in predicted("router-dead", changed(CIB, (order, ""))).parts}
    assert {"stop uplink", "start uplink"} <= strict


def test_the_fixture_has_the_operations_and_properties_of_the_script_that_it_mirrors() -> None:
    script = (ROOT / "crm_configs" / "kappa.pcs.sh").read_text()
    written = sorted(re.findall(r"op (\w+) interval=(\w+) timeout=(\w+)", script))
    mirrored = [
        (op.get("name"), op.get("interval"), op.get("timeout")) for op in ElementTree.fromstring(CIB).iter("op")
    ]
    assert sorted(map(str, mirrored)) == sorted(map(str, written))
    line = re.search(r"p property set ((?:\S+=\S+[\s\\]+)+)", script)
    assert line is not None
    assert dict(one.split("=") for one in line[1].replace("\\", "").split()) == read_cib(CIB).properties
    devices = read_cib(CIB).devices
    limits = re.findall(r"pcmk_(?:reboot|off)_timeout=(\w+)", script)
    assert limits == [one.parameters[f"pcmk_{action}_timeout"] for one in devices for action in ("reboot", "off")]
