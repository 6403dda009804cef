"""The judge judged: with one of its checks broken in a copy, the test that guards it goes red.

One for each law that a drill is to prove; that every other check is guarded shows in the tests themselves, where each
known violation must be found in words of its own.
"""

from pathlib import Path

import pytest

from tests.sabotage import Edit, red

JUDGE = "vagrant/kappa_lab/judge"
VERDICT = "tests/unit/judge/test_judge_verdict.py::test_a_violation_is_found_and_named"

LAWS = {
    "two pollers": (
        Edit(f"{JUDGE}/polling.py", "        if common := shared(first, second):\n", "        if common := None:\n"),
        f"{VERDICT}[old_polls_once]",
    ),
    "two holders": (
        Edit(f"{JUDGE}/address.py", "    if held_twice:\n", "    if held_twice > 60:\n"),
        f"{VERDICT}[both_hold_the_address]",
    ),
    "fenced too late": (
        Edit(f"{JUDGE}/fencing.py", "        if t < off.done\n", "        if t < off.t - 60\n"),
        f"{VERDICT}[fenced_too_late]",
    ),
    "a fence agent that lies": (
        Edit(f"{JUDGE}/fencing.py", 'if entry.ok and entry.after == "off"', 'if entry.action == "off"'),
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
