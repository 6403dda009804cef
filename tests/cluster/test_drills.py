"""The drills themselves, run as a user runs them; and drills over a project broken on purpose, which must go red."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kappa_lab import scenario
from kappa_lab.paths import ROOT
from tests.lab_runs import COMMAND, environment, left_behind
from tests.sabotage import Edit, apply, copy_tree

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

TIMELINE = ["membership_lost", "fenced", "vip_up", "bot_active", "first_answer", "rejoined"]


def run(
    root: Path, reports: Path, *what: str, timeout: float = 800, **settings: str
) -> subprocess.CompletedProcess[str]:
    """`kappa-lab drill run`, with the code in `root`, and with these in its environment."""
    return subprocess.run(
        [*COMMAND, "drill", "run", *what],
        cwd=root, env={**environment(root, reports), **settings}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def drill(root: Path, name: str, reports: Path) -> tuple[subprocess.CompletedProcess[str], Any]:
    """Run one drill; return how it ended and its report, which lies directly in `latest`."""
    ran = run(root, reports, name)
    report = reports / "latest" / "report.json"
    assert report.exists(), f"no report:\n{ran.stdout}\n{ran.stderr}"
    return ran, json.loads(report.read_text())


GATE = [name for name in scenario.names() if "ci" in scenario.load(name).tags]


@pytest.mark.timeout(1500)
def test_the_gates_drills_hold_in_one_lab(tmp_path: Path) -> None:
    """All of them, one after the other, in a lab that is brought up once; of each, all that its report is to say."""
    ran = run(ROOT, tmp_path, "--tag", "ci", timeout=1400)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert ran.stdout.count("three nodes form a cluster") == 1
    latest = tmp_path / "latest"
    assert {"power-cut", "freeze-and-thaw"} <= set(GATE)
    for number, name in enumerate(GATE, start=1):
        folder = latest / f"{number:02d}-{name}"
        report = json.loads((folder / "report.json").read_text())
        assert (report["drill"], report["passed"], report["violations"]) == (name, True, [])
        holds(report, scenario.load(name))
        assert "<svg" in (folder / "report.html").read_text()
    assert left_behind() == []


def test_nodes_of_debian_13_with_pacemaker_3_hold_too(tmp_path: Path) -> None:
    settings = tmp_path / "lab.toml"
    settings.write_text('release = "trixie"\n')
    names = ("power-cut", "freeze-and-thaw", "bot-killed")
    ran = run(ROOT, tmp_path / "reports", *names, KAPPA_LAB_SETTINGS=str(settings))
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    for number, name in enumerate(names, start=1):
        report = json.loads((tmp_path / "reports" / "latest" / f"{number:02d}-{name}" / "report.json").read_text())
        assert (report["drill"], report["passed"], report["violations"]) == (name, True, [])
        assert report["environment"]["pacemaker"].startswith("Pacemaker 3.")
    assert left_behind() == []


def holds(report: Any, drill: scenario.Scenario) -> None:
    invariants = report["invariants"]
    assert invariants["updates_sent"] >= 100
    assert [invariants[key] for key in ("updates_lost", "records_duplicated")] == [0, 0]
    if not drill.expect.strangers:
        assert [invariants[key] for key in ("poll_overlap_s", "vip_overlap_s")] == [0, 0]
    if drill.expect.service == "moves" and drill.expect.fenced == ("active",):
        timeline = report["timeline"]
        assert all(isinstance(timeline[moment], float) and timeline[moment] > 0 for moment in TIMELINE), timeline
        assert timeline["fenced"] <= timeline["bot_active"] <= timeline["first_answer"]
        assert report["rto_s"] == timeline["first_answer"]


# A bot that tells Telegram "I have it" and stores it a second later: what it holds when the power goes is lost.
ACKNOWLEDGES_BEFORE_STORING = Edit(
    "kappa_bot/polling.py",
    "        await self._store(updates)\n",
    "        asyncio.get_running_loop().call_later(1, asyncio.ensure_future, self._store(updates))\n",
)
# A fence agent that says yes and does nothing.
LYING_FENCE_AGENT = Edit(
    "stonith/agent/actions.py",
    "    try:\n        return _ACTIONS[",
    '    if settings.action in ("off", "reboot"):\n        return OK\n    try:\n        return _ACTIONS[',
)
NO_FENCING = Edit("crm_configs/kappa.pcs.sh", "stonith-enabled=true", "stonith-enabled=false")
NODE3_NEVER_COMES_UP = Edit(
    "vagrant/images/node/init", "\ncorosync -f &\n", '\n[ "$(hostname)" != node3 ] || exit 1\ncorosync -f &\n'
)
SOON_GIVEN_UP = Edit(
    "vagrant/kappa_lab/lab.py", "def membership(bound_s: float = 90)", "def membership(bound_s: float = 20)"
)


@pytest.mark.parametrize(
    ("edit", "name", "said"),
    [
        pytest.param(ACKNOWLEDGES_BEFORE_STORING, "power-cut", "nothing lost", id="acknowledges-before-storing"),
        pytest.param(LYING_FENCE_AGENT, "freeze-and-thaw", "holder of the virtual IP", id="lying-fence-agent"),
        pytest.param(NO_FENCING, "freeze-and-thaw", "holder of the virtual IP", id="no-fencing"),
    ],
)
def test_a_drill_over_a_broken_project_is_red(edit: Edit, name: str, said: str, tmp_path: Path) -> None:
    """Not only red, but for the right reason: the invariant that was broken is the one that is named."""
    root = copy_tree(tmp_path / "copy")
    apply(root, [edit])
    ran, report = drill(root, name, tmp_path / "drills")
    assert ran.returncode == 1, f"{ran.stdout}\n{ran.stderr}"
    assert report["passed"] is False
    assert report["violations"]
    broken = [line for line in ran.stdout.splitlines() if said in line]
    assert any("BROKEN" in line for line in broken), ran.stdout
    assert left_behind() == []


def test_a_drill_in_which_a_node_never_came_up_fails_and_says_so(tmp_path: Path) -> None:
    root = copy_tree(tmp_path / "copy")
    apply(root, [NODE3_NEVER_COMES_UP, SOON_GIVEN_UP])
    ran, report = drill(root, "power-cut", tmp_path / "drills")
    assert ran.returncode == 2, f"{ran.stdout}\n{ran.stderr}"
    assert "still not: three nodes online with quorum. Last seen: online: node1, node2;" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert report["passed"] is False
    assert report["rto_s"] is None
    assert any("three nodes online" in sentence for sentence in report["violations"])
    assert left_behind() == []
