"""The judge judged: with one of its checks broken in a copy, the test that guards it goes red.

One for each law that a drill is to prove; that every other check is guarded shows in the tests themselves, where each
known violation must be found in words of its own.
"""

from pathlib import Path

import pytest

from tests.sabotage import Edit, red

JUDGE = "vagrant/kappa_lab/judge"
DRILLS = "tests/unit/judge/test_judge_drills.py::test_a_violation_in_each_kind_of_drill_is_found_and_named"
VERDICT = "tests/unit/judge/test_judge_verdict.py::test_a_violation_is_found_and_named"

LAWS = {
    "two pollers": (
        Edit(f"{JUDGE}/polling.py", "first.node == second.node or not late:", "first.node == second.node or late:"),
        f"{VERDICT}[old_polls_once]",
    ),
    "two holders": (
        Edit(f"{JUDGE}/address.py", "    if held_twice:\n", "    if held_twice > 60:\n"),
        f"{VERDICT}[both_hold_the_address]",
    ),
    "fenced too late": (
        Edit(f"{JUDGE}/fencing.py", "proofs[0].done <= new.span.start:", "proofs[0].done - 60 <= new.span.start:"),
        f"{VERDICT}[fenced_too_late]",
    ),
    "a fence agent that lies": (
        Edit(f"{JUDGE}/turns.py", 'if entry.ok and entry.after == "off"', 'if entry.action == "off"'),
        f"{VERDICT}[fence_agent_lied]",
    ),
    "updates lost": (
        Edit(f"{JUDGE}/updates.py", "if update.update_id not in answered]", "if update.update_id < 0]"),
        f"{VERDICT}[never_answered]",
    ),
    "places twice": (
        Edit(f"{JUDGE}/updates.py", "        seen_updates.add(place.updateId)\n", "        seen_updates.discard(0)\n"),
        f"{VERDICT}[update_stored_twice]",
    ),
    "a turn that comes back without proof": (
        Edit(f"{JUDGE}/turns.py", "(number and proven(runs[number - 1], run)):", "number:"),
        f"{DRILLS}[storm-first_goes_on_after_the_second_took_over]",
    ),
    "the second take-over of a storm": (
        Edit(f"{JUDGE}/turns.py", "return list(pairwise(runs))", "return list(pairwise(runs))[:1]"),
        f"{DRILLS}[storm-second_is_proven_off_too_late]",
    ),
    "writes past the lease": (
        Edit(f"{JUDGE}/lease.py", "if not event.guarded and BOTS.intersection(event.into):", "if not event.into:"),
        f"{DRILLS}[power_cut-unguarded_write]",
    ),
    "two writers' epochs": (
        Edit(f"{JUDGE}/lease.py", "if epoch != standing.epoch:", "if epoch < 0:"),
        f"{DRILLS}[power_cut-wrote_late]",
    ),
    "one who serves without the address": (
        Edit(f"{JUDGE}/serving.py", "and not _holds(answer, held)", "and not held"),
        f"{DRILLS}[power_cut-another_serves]",
    ),
    "a disturbed service": (
        Edit(f"{JUDGE}/expecting.py", "and wait > UNDISTURBED_S]", "and wait > 60]"),
        f"{DRILLS}[passive_lost-users_wait]",
    ),
    "a take-over before the heal": (
        Edit(f"{JUDGE}/expecting.py", "if poll and poll.began < healed:", "if poll and poll.began < 0:"),
        f"{DRILLS}[stops_until_healed-taken_over_before_the_heal]",
    ),
    "a recovery beyond its prediction": (
        Edit(f"{JUDGE}/expecting.py", "beyond = measured > prediction.worst_s", "beyond = measured > 3600"),
        f"{DRILLS}[bot_restart-beyond_the_prediction]",
    ),
    "more repeats than faults": (
        Edit(f"{JUDGE}/updates.py", "if count > faults * REPEATED_REPLIES:", "if count > 3600:"),
        f"{DRILLS}[storm-more_repeats_than_faults]",
    ),
    "passing by default": (
        Edit(
            f"{JUDGE}/verdict.py",
            "return bool(self.findings) and all(finding.held is True for finding in self.findings)",
            "return all(finding.held is not False for finding in self.findings)",
        ),
        "tests/unit/report/test_report_summary.py::test_a_verdict_about_nothing_is_no_pass",
    ),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_judge_without_this_check_is_found_out(law: str, tmp_path: Path) -> None:
    edit, guard = LAWS[law]
    red(tmp_path, [edit], [guard])
