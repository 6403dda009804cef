"""A short storm over a real lab, as a user lets it loose; and one over a bot that is broken, found out."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from kappa_lab.faults import KINDS
from kappa_lab.paths import ROOT
from kappa_lab.storm import sheet
from kappa_lab.storm.plan import Plan, Strike
from kappa_lab.storm.run import read_outcome
from tests.cluster.test_drills import ACKNOWLEDGES_BEFORE_STORING
from tests.lab_runs import COMMAND, environment, left_behind
from tests.sabotage import apply, copy_tree

THOROUGH = int(os.environ.get("KAPPA_THOROUGH") or 1) > 1
BOUND_S = 1500 if THOROUGH else 580

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(BOUND_S + 20)]

FAULTS = 13


def storm(root: Path, reports: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "storm", *arguments],
        cwd=root, env=environment(root, reports), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=BOUND_S, check=False,
    )  # fmt: skip


def test_every_invariant_holds_in_a_short_storm(tmp_path: Path) -> None:
    ran = storm(ROOT, tmp_path, "--seed", "1", "--faults", str(FAULTS))
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    folder = tmp_path / "latest"
    outcome = read_outcome(folder)
    assert outcome is not None
    assert outcome.held
    assert outcome.came + len(outcome.missed) == outcome.faults == FAULTS
    assert outcome.came >= FAULTS - 1
    report = json.loads((folder / "report.json").read_text())
    assert report["passed"] is True
    assert report["invariants"]["updates_sent"] >= 200
    plan = sheet.read(folder / "plan.toml", KINDS)
    assert (plan.seed, len(plan.strikes)) == (1, FAULTS)
    assert f"fault {FAULTS} of {FAULTS}: " in ran.stdout
    assert left_behind() == []


def test_a_storm_over_a_broken_bot_is_red(tmp_path: Path) -> None:
    """And, where there is time for another lab, it is shrunk to the one fault that does it."""
    root = copy_tree(tmp_path / "copy")
    apply(root, [ACKNOWLEDGES_BEFORE_STORING])
    plan = tmp_path / "plan.toml"
    sheet.write(Plan(3, (Strike(0.5, "router-killed", "passive"), Strike(1.5, "bot-killed", "active"))), plan)
    ran = storm(root, tmp_path / "drills", "--plan", str(plan), *(["--shrink"] if THOROUGH else []))
    assert ran.returncode == 1, f"{ran.stdout}\n{ran.stderr}"
    folder = tmp_path / "drills" / "latest"
    outcome = read_outcome(folder)
    assert outcome is not None
    assert "nothing lost" in outcome.broken
    assert any("was never answered" in sentence for sentence in outcome.violations)
    if THOROUGH:
        assert [strike.fault for strike in sheet.read(folder / "shortest.toml", KINDS).strikes] == ["bot-killed"]
        assert "The shortest storm found that fails has 1 fault(s)" in ran.stdout
    assert left_behind() == []
