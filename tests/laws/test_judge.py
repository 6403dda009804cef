"""The judge judged: with one of its checks broken in a copy, the test that guards it goes red."""

from pathlib import Path

import pytest

from tests.sabotage import Edit, red

JUDGE = "vagrant/kappa_lab/judge"
VERDICT = "tests/unit/judge/test_judge_verdict.py::test_a_violation_is_found_and_named"
EVIDENCE = "tests/unit/judge/test_judge_evidence.py"

LAWS = {
    "two pollers": (
        Edit(f"{JUDGE}/polling.py", "        if common := shared(first, second):\n", "        if common := None:\n"),
        f"{VERDICT}[old_polls_once]",
    ),
    "an old node that still acts": (
        Edit(f"{JUDGE}/polling.py", "if begin.t >= new.began]", "if begin.t > new.began + 1e9]"),
        f"{VERDICT}[old_answers_late]",
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
    "places lost": (
        Edit(f"{JUDGE}/updates.py", "if dialogue.marker not in texts]", "if dialogue.marker in texts and not texts]"),
        f"{VERDICT}[place_not_stored]",
    ),
    "places twice": (
        Edit(f"{JUDGE}/updates.py", "        seen_updates.add(place.updateId)\n", "        seen_updates.discard(0)\n"),
        f"{VERDICT}[update_stored_twice]",
    ),
    "a hole in the watch": (
        Edit(f"{JUDGE}/tolerances.py", "WATCHER_HOLE: Final = 1.0", "WATCHER_HOLE: Final = 60.0"),
        f"{VERDICT}[watcher_sleeps]",
    ),
    "a clock that steps back": (
        Edit(f"{JUDGE}/witnesses.py", "        if back > CLOCK_STEP:\n", "        if back > 60:\n"),
        f"{VERDICT}[journal_clock_steps_back]",
    ),
    "a missing file": (
        Edit(f"{JUDGE}/evidence.py", "    if value is None:\n        raise", "    if value is 0:\n        raise"),
        f"{EVIDENCE}::test_a_missing_file_fails_by_name",
    ),
    "a file cut off": (
        Edit(f"{JUDGE}/reading.py", '    if not text.endswith("\\n"):', '    if not text.endswith(("\\n", "}")):'),
        f"{EVIDENCE}::test_a_last_line_that_does_not_end_fails_even_when_it_is_whole",
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
