"""One lab, many drills, one report. A lab that a drill has left broken is taken down, and the next drill has a new one.

Nothing is left behind, however it ends. An interrupted drill leaves no report; an interrupted run keeps the report of
the drills that had ended.
"""

import contextlib
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kappa_lab import cluster, environment, faults, judge, lab, predict, report
from kappa_lab.drill import evidence
from kappa_lab.drill.play import Play
from kappa_lab.drill.record import Record
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.judge import Verdict
from kappa_lab.paths import DRILLS, STATE
from kappa_lab.predict.cib import read as read_cib
from kappa_lab.predict.corosync import read as read_corosync
from kappa_lab.progress import say, step
from kappa_lab.report import run as run_report
from kappa_lab.scenario import Inject, Scenario
from kappa_lab.topology import ELECTION_S, NODES

TRIES: int = 2
"""A lab that does not come up so often in a row ends the run: it is no drill's matter."""


def run(plan: Sequence[tuple[Scenario, int]], start: Callable[[str], None] | None = None) -> bool:
    """Run each scenario with its seed, in one lab; leave histories and report in build/drills. True when all passed.

    `start` brings a lab up, in the name that it is given; without it that is a lab of containers.
    The lab is taken down at the end, whatever happened. Raises LabError when no lab came up, or when the only drill
    did not come as far as its fault; its report says so too, so that `latest` never shows an older drill that passed.
    """
    if standing := lab.marked():
        say(f"A lab brought up by {standing} is standing here; a drill wants a fresh one.")
        lab.down(quiet=True)
    plan = possible(plan)
    alone = len(plan) == 1
    folder = new_folder(plan[0][0].name if alone else "run")
    (DRILLS / "latest").unlink(missing_ok=True)
    stand = Stand(start) if start else Stand()
    verdicts: list[tuple[str, Verdict]] = []
    unable = 0
    try:
        for number, (scenario, seed) in enumerate(plan, start=1):
            say(f"Drill {scenario.name}{'' if alone else f' ({number} of {len(plan)})'}: {scenario.purpose}")
            place = folder if alone else folder / f"{number:0{max(2, len(str(len(plan))))}d}-{scenario.name}"
            verdict, failure, reached = one(stand, scenario, seed, place)
            verdicts.append((place.name, verdict))
            unable = 0 if reached or stand.up else unable + 1
            tell(verdict, alone)
            if not alone:
                run_report.write(folder, verdicts, len(plan))
                point_latest(folder)
            if failure and not reached and (alone or unable == TRIES):
                point_latest(folder)
                raise failure
            if number < len(plan) and not verdict.passed:
                stand.take_down()
    finally:
        with uninterrupted():
            lab.down(quiet=True)
            if not verdicts:
                shutil.rmtree(folder, ignore_errors=True)
    point_latest(folder)
    if not alone:
        say(run_report.summary(folder))
    say(f"\nReport: {DRILLS / 'latest' / 'report.html'}")
    return all(verdict.passed for _, verdict in verdicts)


def possible(plan: Sequence[tuple[Scenario, int]]) -> list[tuple[Scenario, int]]:
    """Less the drills that this machine cannot do, each of which is named. LabError when none is left."""
    left, why = [], ""
    for scenario, seed in plan:
        kinds = (faults.KINDS[step.fault] for step in scenario.steps if isinstance(step, Inject))
        if why_not := next(filter(None, (kind.possible() for kind in kinds)), ""):
            why = f"Drill {scenario.name} is skipped: {why_not}"
            say(why)
        else:
            left.append((scenario, seed))
    if not left:
        raise LabError(why)
    return left


def tell(verdict: Verdict, alone: bool) -> None:
    if alone or not verdict.passed:
        say("\n" + report.summary(verdict) + "\n")
        return
    rto = f"RTO {verdict.rto_s:.1f} s" if verdict.rto_s is not None else "nobody waited for the service to come back"
    say(f"  PASSED; {rto}\n")


@dataclass
class Stand:
    """The lab that drills are run in: brought up for the first, kept while it is whole."""

    start: Callable[[str], None] = field(default_factory=lambda: lab.up)
    up: bool = False
    environment: dict[str, str | int] = field(default_factory=dict)

    def bring_up(self, by: str) -> evidence.Before:
        """See that a lab stands that is whole; how long its nodes' logs are now."""
        if self.up:
            lab.ready()
            evidence.rotate()
            return evidence.Before.now()
        self.start(by)
        self.up = True
        with step("asking for versions"):
            self.environment = environment.describe()
        return evidence.Before()

    def take_down(self) -> None:
        with step("taking the lab down; the next drill has a new one"):
            lab.down(quiet=True)
        self.up = False


def one(stand: Stand, scenario: Scenario, seed: int, folder: Path) -> tuple[Verdict, LabError | None, bool]:
    """Run one drill; its verdict, what kept it from its end, and whether it came to its fault."""
    folder.mkdir(exist_ok=True)
    record = Record(scenario, seed, time.time())
    before = evidence.Before()
    failure: LabError | None = None
    try:
        try:
            before = stand.bring_up(f"the drill {scenario.name}")
            record.started = time.time()
            record.environment = stand.environment
            record.prediction = predicted(scenario)
            with cluster.LogFollower(STATE / "log", folder / "cluster.jsonl") as follower:
                Play(record, follower).run()
            if follower.failed:
                raise LabError(follower.failed)
        except LabError as error:
            failure = error
        except Exception as error:
            # one fault's defect is not to cost the drills that come after it
            (folder / "traceback.txt").write_text(traceback.format_exc())
            failure = LabError(f"The lab's own code failed: {type(error).__name__}: {error}.", "See traceback.txt.")
        with step("collecting the evidence"):
            evidence.collect(folder, record.started)
            record.write(folder)
            evidence.keep_logs(folder, before)
        with step("judging"):
            verdict = judge.judge(folder)
            if failure:
                verdict = verdict.with_violation(f"The drill did not run to its end: {failure}")
            report.write(verdict, folder, folder)
        if not failure and verdict.passed:
            tidy()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return verdict, failure, bool(record.hits)


def tidy() -> None:
    """What the cluster remembers of this drill's failures is not to weigh on the next."""
    seen = cluster.status()
    if seen and seen.failures:
        with contextlib.suppress(LabError):
            lab.forget_failures(seen)


def predicted(scenario: Scenario) -> predict.Prediction | None:
    """What `kappa-lab predict` says of the cluster as it stands."""
    if not scenario.expect.predicted:
        return None
    node = NODES[0]
    cib = docker("exec", node.container, "cibadmin", "--query", doing="Reading the cluster's configuration")
    return predict.bound(
        read_cib(cib, "the cluster's CIB"), read_corosync(cluster.corosync_conf(node), f"{node.name}'s corosync.conf"),
        scenario.expect.predicted, election_s=ELECTION_S,
    )  # fmt: skip


def new_folder(name: str) -> Path:
    DRILLS.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = DRILLS / f"{stamp}-{name}"
    number = 1
    while folder.exists():
        number += 1
        folder = DRILLS / f"{stamp}-{name}-{number}"
    folder.mkdir()
    return folder


def point_latest(folder: Path) -> None:
    half = DRILLS / ".latest"
    half.unlink(missing_ok=True)
    half.symlink_to(folder.name)
    half.rename(DRILLS / "latest")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Clean up to the end: a second Ctrl-C must not leave half a lab."""
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
