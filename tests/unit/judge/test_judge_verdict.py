"""Each known violation, put into a clean history, is found and named, and breaks its own invariant and no other."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kappa_lab.judge import INVARIANTS, Verdict, judge
from tests.histories import NODES, History, Plan, build

Breaks = Callable[[History], None]

WHOLE, TRAFFIC, TIMELINE = "evidence whole", "traffic was real", "timeline whole"
POLLER, HOLDER, FENCED = "one poller", "one holder of the virtual IP", "fenced before taken over"
LOST, TWICE, ORDER, BACK = "nothing lost", "nothing twice", "order kept", "came back"
SURVIVES, SERVICE, PREDICTED = "a dialogue survives", "service as expected", "within its prediction"
SERVER, EPOCH = "one server on the virtual IP", "one writer's epoch"


def broken(verdict: Verdict) -> set[str]:
    return {finding.name for finding in verdict.findings if not finding.held}


def judged(history: History, tmp_path: Path) -> Verdict:
    return judge(history.write(tmp_path / "history"))


# -- a clean history


def test_a_clean_history_passes_with_its_figures(history: History, tmp_path: Path) -> None:
    verdict = judged(history, tmp_path)
    assert verdict.violations == ()
    assert verdict.passed
    assert [finding.name for finding in verdict.findings] == list(INVARIANTS)
    timeline, figures = verdict.timeline, verdict.figures
    assert (timeline.membership_lost, timeline.fenced, timeline.rejoined) == (1.312, 2.402, 6.0)
    assert 2.53 <= (timeline.vip_up or 0) <= 2.64  # to the watcher's round
    assert 2.91 <= (timeline.bot_active or 0) < (timeline.first_answer or 0) < 3.1
    assert verdict.rto_s == timeline.first_answer
    assert figures.updates_sent == len(history.of("update")) >= 100
    assert (figures.poll_overlap_s, figures.vip_overlap_s) == (0.0, 0.0)
    assert (figures.updates_lost, figures.records_duplicated) == (0, 0)
    assert verdict.answers is not None
    assert verdict.answers.answered == figures.updates_sent
    assert 0.005 < (verdict.answers.p50_before_s or 0) <= (verdict.answers.p99_before_s or 0) < 0.3
    assert (verdict.answers.longest_gap_s or 0) > 2.5


@pytest.mark.parametrize("seed", range(5))
def test_clean_histories_pass_whatever_the_seed(seed: int, tmp_path: Path) -> None:
    assert judged(build(seed, Plan(users=21, traffic_s=20)), tmp_path).violations == ()


def test_the_statement_of_an_invariant_is_the_prose_beside_its_check(history: History, tmp_path: Path) -> None:
    for finding in judged(history, tmp_path).findings:
        assert finding.statement == (INVARIANTS[finding.name].__doc__ or "").splitlines()[0]
        assert len(finding.statement) > 30


def test_a_violation_from_outside_fails_a_clean_drill(history: History, tmp_path: Path) -> None:
    verdict = judged(history, tmp_path).with_violation("The drill did not run to its end.")
    assert not verdict.passed
    assert verdict.violations == ("The drill did not run to its end.",)


# -- how to break one


def begin(history: History, after: float, node: str, method: str = "getUpdates") -> None:
    history.insert(
        history.telegram, {"e": "begin", "t": history.fault + after, "id": f"x{after}", "node": node, "method": method}
    )


def drop(lines: list[dict[str, Any]], gone: Callable[[dict[str, Any]], bool]) -> None:
    lines[:] = [line for line in lines if not gone(line)]


def shift(lines: list[dict[str, Any]], by: float) -> None:
    for line in lines:
        line["t"] += by


def one_answer(history: History, after: float, mac: str) -> None:
    rounds = [line for line in history.wire if line["e"] == "probe" and line["t"] >= history.fault + after]
    answer = {"e": "answer", "t": rounds[0]["t"] + 0.003, "round": rounds[0]["round"], "mac": mac}
    history.insert(history.wire, answer)


def off(history: History) -> dict[str, Any]:
    return next(line for line in history.power if line["action"] == "off")


def old_polls_once(h: History) -> None:
    begin(h, 3.5, "10.77.0.11")


def old_polls_for_long(h: History) -> None:
    for n in range(5):
        begin(h, 4.0 + n, "node1")


def old_answers_late(h: History) -> None:
    begin(h, 5.0, "node1", "sendMessage")


def stranger_polls(h: History) -> None:
    begin(h, -3.0, "10.77.0.99")


def cut_was_no_cut(h: History) -> None:
    begin(h, 2.0, "node1", "sendMessage")


def fault_hit_a_passive_node(h: History) -> None:
    h.drill["active"] = "node3"


def nobody_takes_over(h: History) -> None:
    t = h.fault + 1.0
    drop(h.telegram, lambda line: line["t"] > t and line["e"] in ("begin", "end", "reply", "answered"))


def both_hold_the_address(h: History) -> None:
    for n in range(10):
        one_answer(h, 4.0 + n / 10, NODES["node1"]["mac"])


def address_comes_back(h: History) -> None:
    for line in h.wire:
        if line["e"] == "answer" and 4.0 < line["t"] - h.fault < 4.3:
            line["mac"] = NODES["node1"]["mac"]


def stranger_holds_the_address(h: History) -> None:
    one_answer(h, 7.0, "02:42:0A:4D:00:63")


def address_goes_down_again(h: History) -> None:
    drop(h.wire, lambda line: line["e"] == "answer" and 4.0 < line["t"] - h.fault < 6.0)


def address_never_up_elsewhere(h: History) -> None:
    drop(h.wire, lambda line: line["e"] == "answer" and line["t"] > h.fault + 1)


def address_not_held_before(h: History) -> None:
    drop(h.wire, lambda line: line["e"] == "answer" and line["t"] < h.fault + 1)


def never_fenced(h: History) -> None:
    drop(h.power, lambda line: line["action"] == "off")
    drop(h.cluster, lambda line: line["e"] == "fenced")


def fence_agent_lied(h: History) -> None:
    off(h).update(ok=False, after="on", reason="not proven off in time")


def fence_of_unknown_end(h: History) -> None:
    off(h).update(after="unknown")


def cluster_not_told(h: History) -> None:
    for line in h.cluster:
        if line["e"] == "fenced":
            line["result"] = "Timeout"


def fenced_too_late(h: History) -> None:
    shift([line for line in h.power if line["t"] > h.fault], 0.4)


def fenced_slowly(h: History) -> None:
    off(h)["ms"] = 900.0
    shift([line for line in h.power if line["action"] == "on"], 1.0)


def fenced_before_the_fault(h: History) -> None:
    off(h)["t"] = h.fault - 1.0


def another_node_shot(h: History) -> None:
    h.power.append({**off(h), "t": h.fault + 6.0, "plug": "node3"})


def never_answered(h: History) -> None:
    update = h.of("update")[20]["update_id"]
    drop(h.telegram, lambda line: line["e"] == "answered" and line["update_id"] == update)


def handed_and_not_answered(h: History) -> None:
    never_answered(h)
    drop(h.telegram, lambda line: line["e"] == "confirm")


def never_handed(h: History) -> None:
    handed_and_not_answered(h)
    for line in h.of("end"):
        line["handed"] = []


def place_not_stored(h: History) -> None:
    h.records["places"].pop(3)


def dialogue_failed(h: History) -> None:
    line = h.of("dialogue")[-1]
    line.update(state="failed", why="no answer after 30 s")


def dialogue_left_open(h: History) -> None:
    h.telegram.remove(h.of("dialogue")[-1])


def work_left(h: History) -> None:
    h.records["pending_updates"] = 2


def replies_left(h: History) -> None:
    h.records["unsent_replies"] = 1


def nothing_finished(h: History) -> None:
    drop(h.telegram, lambda line: line["e"] == "dialogue")


def half_way(h: History) -> dict[str, Any]:
    """The last thing that one of those did before the fault who were in the middle then."""
    last = {(u["user"], u["dialogue"]): u for u in h.of("update") if u["t"] < h.fault}
    return next(u for u in last.values() if u["step"] in ("location", "category", "subcategory"))


def half_way_and_never_finished(h: History) -> None:
    walk = half_way(h)
    own = [d for d in h.of("dialogue") if (d["user"], d["dialogue"]) == (walk["user"], walk["dialogue"])]
    h.telegram.remove(own[-1])


def half_way_and_asked_again(h: History) -> None:
    walk = half_way(h)
    own = [u for u in h.of("update") if (u["user"], u["dialogue"]) == (walk["user"], walk["dialogue"])]
    own[-1]["step"] = "location"


def nobody_half_way(h: History) -> None:
    for update in h.of("update"):
        if update["t"] < h.fault:
            update["step"] = "menu"


def place_stored_twice(h: History) -> None:
    place = h.records["places"][2]
    others = {line["update_id"] for line in h.of("update")} - {p["updateId"] for p in h.records["places"]}
    own = [u for u in h.of("update") if u["update_id"] in others and u["update_id"] < place["updateId"]]
    walk = next(u for u in h.of("update") if u["update_id"] == place["updateId"])
    same = [u for u in own if (u["user"], u["dialogue"]) == (walk["user"], walk["dialogue"])]
    h.records["places"].append({**place, "_id": "again", "updateId": same[-1]["update_id"]})


def update_stored_twice(h: History) -> None:
    h.records["places"].append({**h.records["places"][2], "_id": "again", "text": "something else"})


def place_under_a_wrong_update(h: History) -> None:
    h.records["places"][2]["updateId"] = h.of("update")[0]["update_id"]


def replies_repeated(h: History) -> None:
    for n in range(2):
        h.insert(h.telegram, {"e": "repeat", "t": h.fault + 3.2 + n, "user": 4, "node": "node2"})


def answered_out_of_order(h: History) -> None:
    first, second = [u for u in h.of("update") if u["user"] == 5][:2]
    swap = {first["update_id"]: second["update_id"], second["update_id"]: first["update_id"]}
    for line in h.of("answered"):
        line["update_id"] = swap.get(line["update_id"], line["update_id"])


def never_back(h: History) -> None:
    drop(h.cluster, lambda line: line["e"] == "online")


def back_before_it_was_off(h: History) -> None:
    next(line for line in h.cluster if line["e"] == "online")["t"] = h.fault + 0.5


def lost_again(h: History) -> None:
    h.cluster.append({"e": "member_lost", "t": h.fault + 8.0, "node": "node1", "by": "node3"})


def bot_moves_again(h: History) -> None:
    last = h.of("begin")[-1]["t"] - h.fault
    begin(h, last + 0.1, "node3")
    h.cluster[-1]["node"] = "node3"


def cluster_says_otherwise(h: History) -> None:
    h.cluster[-1]["node"] = None


def cluster_says_nothing_at_the_end(h: History) -> None:
    h.cluster.pop()


def few_users(h: History) -> None:
    for line in h.telegram:
        if line.get("user") == 20:
            line["user"] = 19
            line["dialogue"] = f"20-{line.get('dialogue')}"


def few_updates(h: History) -> None:
    kept = {line["update_id"] for line in h.of("update")[-99:]}
    drop(h.telegram, lambda line: line["e"] in ("update", "answered") and line["update_id"] not in kept)


def nobody_during(h: History) -> None:
    answer = next(line["t"] for line in h.of("reply", since=h.fault) if line["node"] in ("node2", "10.77.0.12"))
    gone = {line["update_id"] for line in h.of("update") if h.fault <= line["t"] < answer}
    drop(h.telegram, lambda line: line["e"] in ("update", "answered") and line["update_id"] in gone)


def lost_unseen(h: History) -> None:
    drop(h.cluster, lambda line: line["e"] == "member_lost")


def journal_has_no_start(h: History) -> None:
    h.telegram.pop(0)


def journal_has_no_finish(h: History) -> None:
    h.telegram.pop()


def journal_begins_late(h: History) -> None:
    h.insert(h.telegram, {**h.telegram.pop(0), "t": h.fault + 0.1})


def journal_ends_early(h: History) -> None:
    last = h.of("update")[-1]["t"]
    h.telegram[-1]["t"] = last - 0.01
    h.telegram.sort(key=lambda line: line["t"])


def journal_starts_twice(h: History) -> None:
    h.insert(h.telegram, {"e": "start", "t": h.fault + 1.0})


def watcher_has_no_start(h: History) -> None:
    h.wire.pop(0)


def watcher_has_no_finish(h: History) -> None:
    h.wire.pop()


def watcher_sleeps(h: History) -> None:
    drop(h.wire, lambda line: 0.5 < line["t"] - h.fault < 1.8)


def watcher_never_asks(h: History) -> None:
    h.wire[:] = [h.wire[0], h.wire[-1]]


def journal_clock_steps_back(h: History) -> None:
    shift(h.telegram[900:], -0.2)


def wire_clock_steps_back(h: History) -> None:
    shift(h.wire[-30:], -0.3)


def broker_clock_steps_back(h: History) -> None:
    h.power.append({**h.power[1], "action": "status", "plug": "node2", "t": h.power[-1]["t"] - 9.0})


def drill_clock_steps_back(h: History) -> None:
    h.drill["finished"] = h.fault - 1.0


def node_never_up(h: History) -> None:
    drop(h.cluster, lambda line: line["node"] == "node3")
    for line in h.cluster:
        if line.get("by") == "node3":
            line["by"] = "node2"


def nothing_expected(h: History) -> None:
    h.drill["expect"] = None


def expectation_not_known(h: History) -> None:
    h.drill["expect"]["service"] = "dances"


def fault_hit_no_node(h: History) -> None:
    h.drill["faults"][0]["nodes"] = ["node1", "node9"]


def same_mac(h: History) -> None:
    h.drill["nodes"] = {**NODES, "node3": {**NODES["node3"], "mac": NODES["node2"]["mac"].upper()}}


def same_address(h: History) -> None:
    h.drill["nodes"] = {**NODES, "node3": {**NODES["node3"], "lan": NODES["node2"]["lan"]}}


BROKEN: list[tuple[Breaks, set[str], str]] = [
    (old_polls_once, {POLLER}, r"node1 and node2 both polled Telegram, for 0\.5\d\d s"),
    (old_polls_for_long, {POLLER}, r"node1 still acted after node2 had taken over .* requests begun: 5"),
    (old_answers_late, {POLLER}, r"requests begun: 1, the first sendMessage 5\.000 s after the fault"),
    (stranger_polls, {POLLER}, r"10\.77\.0\.99, which is no node of this cluster, polled Telegram"),
    (cut_was_no_cut, {POLLER}, r"node1 was to have no power, yet it began sendMessage 2\.000 s after"),
    (
        fault_hit_a_passive_node,
        {TRAFFIC, POLLER, HOLDER, SERVER, BACK},
        r"The fault hit node3, but it was node1 that polled Telegram",
    ),
    (
        nobody_takes_over,
        {TIMELINE, LOST, TRAFFIC, BACK, SERVICE, PREDICTED, HOLDER},
        r"The service was to move, but no user received anything from another node",
    ),
    (both_hold_the_address, {HOLDER}, r"more than one holder \(node1, node2\) for .* more than one answered: 10"),
    (address_comes_back, {HOLDER}, r"more than one holder .*: they answered in turns"),
    (stranger_holds_the_address, {HOLDER}, r"02:42:0A:4D:00:63, which is no node of this cluster, answered"),
    (address_goes_down_again, {HOLDER}, r"nobody answered for it for 2\.\d s"),
    (address_never_up_elsewhere, {HOLDER, SERVER, TIMELINE}, r"vip_up is not known"),
    (address_not_held_before, {HOLDER, SERVER}, r"Nobody answered for the virtual IP before the fault"),
    (never_fenced, {FENCED, TIMELINE}, r"node1 was not fenced: .* the broker was not asked"),
    (
        fence_agent_lied,
        {FENCED},
        r"left it on \(not proven off in time\)\. The cluster was told that it is off all the same",
    ),
    (fence_of_unknown_end, {FENCED}, r"the last left it unknown"),
    (cluster_not_told, {FENCED, TIMELINE}, r"was not told that node1 is fenced; it was told: Timeout, Timeout"),
    (fenced_too_late, {FENCED}, r"node2 answered for the virtual IP .* before node1 was proven off"),
    (fenced_slowly, {FENCED}, r"node2 polled Telegram .* before node1 was proven off"),
    (fenced_before_the_fault, {FENCED}, r"node1 was not fenced"),
    (another_node_shot, {FENCED, BACK}, r"node3 was switched off by node2 .* though nothing was wrong with it"),
    (never_answered, {LOST}, r"was never answered, though node1 had confirmed it to Telegram"),
    (handed_and_not_answered, {LOST}, r"was never answered; it was handed to node1"),
    (never_handed, {LOST}, r"was never answered; it was never handed to any node"),
    (place_not_stored, {LOST}, r"The place 'Bache \d+-\d+ junto a la plaza' of user \d+ is not in MongoDB"),
    (dialogue_failed, {LOST}, r"Dialogue \d+ of user \d+ failed: no answer after 30 s"),
    (dialogue_left_open, {LOST}, r"Dialogue \d+ of user \d+ was begun and never finished"),
    (work_left, {LOST}, r"2 updates were stored but not worked on"),
    (replies_left, {LOST}, r"1 replies were still unsent"),
    (nothing_finished, {LOST, SURVIVES}, r"No dialogue was finished"),
    (half_way_and_never_finished, {LOST, SURVIVES}, r"User \d+ was half-way \(at the \w+\) .* never finished dialogue"),
    (half_way_and_asked_again, {SURVIVES}, r"User \d+ had to repeat location in dialogue \d+"),
    (nobody_half_way, {SURVIVES}, r"Nobody was half-way through a registration at the fault"),
    (place_stored_twice, {TWICE}, r"The place 'Bache .*' is stored more than once"),
    (update_stored_twice, {TWICE}, r"The place 'something else' is stored more than once \(update \d+\)"),
    (place_under_a_wrong_update, {TWICE}, r"is stored under update 5001, which is no update of its dialogue"),
    (replies_repeated, {TWICE}, r"User 4 received 2 replies again"),
    (answered_out_of_order, {ORDER}, r"In chat 700000005, update \d+ was answered before update \d+"),
    (never_back, {BACK, TIMELINE}, r"node1 did not come back"),
    (back_before_it_was_off, {BACK, TIMELINE}, r"node1 did not come back"),
    (lost_again, {BACK}, r"node1 was lost again 8\.000 s after the fault, after it had come back"),
    (
        bot_moves_again,
        {BACK, POLLER, HOLDER},
        r"The bot moved more than once after one fault: node2, then node3 polled",
    ),
    (cluster_says_otherwise, {BACK}, r"At the end the cluster said that the bot runs on no node"),
    (cluster_says_nothing_at_the_end, {BACK}, r"At the end the cluster said that the bot runs on no node"),
    (few_users, {TRAFFIC}, r"Too few users talked to the bot: 19; 20 are the least"),
    (few_updates, {TRAFFIC, SURVIVES}, r"Too few updates were sent: 99; 100 are the least"),
    (nobody_during, {TRAFFIC}, r"No user did anything between fault and first answer"),
    (lost_unseen, {TIMELINE}, r"membership_lost is not known"),
    (journal_has_no_start, {WHOLE}, r"telegram\.jsonl has no start"),
    (journal_has_no_finish, {WHOLE}, r"telegram\.jsonl has no finish"),
    (journal_begins_late, {WHOLE}, r"telegram\.jsonl starts 0\.100 s after the fault: it did not see the fault"),
    (journal_ends_early, {WHOLE}, r"telegram\.jsonl finishes .* before the last thing that was measured"),
    (journal_starts_twice, {WHOLE}, r"telegram\.jsonl starts 2 times"),
    (watcher_has_no_start, {WHOLE}, r"wire\.jsonl has no start"),
    (watcher_has_no_finish, {WHOLE}, r"wire\.jsonl has no finish"),
    (watcher_sleeps, {WHOLE}, r"The watcher did not ask for 1\.[34] s"),
    (watcher_never_asks, {WHOLE, HOLDER, SERVER, TIMELINE}, r"wire\.jsonl has no round"),
    (journal_clock_steps_back, {WHOLE}, r"The clock of telegram\.jsonl ran backwards, by 0\.\d+ s"),
    (wire_clock_steps_back, {WHOLE}, r"The clock of wire\.jsonl ran backwards, by 0\.[23]\d\d s"),
    (broker_clock_steps_back, {WHOLE}, r"The clock of power\.jsonl ran backwards"),
    (drill_clock_steps_back, {WHOLE}, r"The clock of drill\.json ran backwards: finished is"),
    (node_never_up, {WHOLE}, r"node3 never came up"),
    (
        expectation_not_known,
        {SERVICE},
        r"Not judged: service as expected, because it is expected .* 'dances'",
    ),
    (fault_hit_no_node, {WHOLE}, r"A fault hit 'node9', which drill\.json does not list among the nodes"),
    (same_mac, {WHOLE, SERVER, HOLDER}, r"the same MAC"),
    (same_address, {WHOLE, POLLER, BACK}, r"the same address"),
]


@pytest.mark.parametrize(("breaks", "of", "says"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_violation_is_found_and_named(
    breaks: Breaks, of: set[str], says: str, history: History, tmp_path: Path
) -> None:
    breaks(history)
    verdict = judged(history, tmp_path)
    assert not verdict.passed
    assert any(re.search(says, sentence) for sentence in verdict.violations), verdict.violations
    assert broken(verdict) == of, verdict.violations
