"""A storm from its beginning to its end: a fresh lab, users, the plan let loose, everything healed, the verdict.

The history is a drill's (see `kappa_lab.drill`), with the plan beside it (`plan.toml`) and what became of it
(`storm.json`): how many faults came, which were missed, and what was broken.
"""

import contextlib
import dataclasses
import json
import shutil
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from kappa_lab import cluster, judge, lab, report
from kappa_lab.drill import evidence
from kappa_lab.drill.play import Play
from kappa_lab.drill.record import Hit, Record, Stage
from kappa_lab.drill.session import Stand, new_folder, point_latest, uninterrupted
from kappa_lab.errors import LabError
from kappa_lab.faults import AREAS
from kappa_lab.judge import Verdict, moments
from kappa_lab.judge.evidence import LackingError, read
from kappa_lab.judge.verdict import Timeline
from kappa_lab.paths import DRILLS, STATE
from kappa_lab.progress import say, step
from kappa_lab.scenario import Bounds, Expect, Inject, Scenario, Traffic
from kappa_lab.storm import sheet
from kappa_lab.storm.plan import Areas, Plan
from kappa_lab.storm.play import Blow, Storm

PLAN: Final = "plan.toml"
OUTCOME: Final = "storm.json"
BROKE_OFF: Final = "came to its end"
"""What is broken when a storm breaks off, beside the names of invariants."""
MISSED: Final = 0.1
"""A storm that misses a larger share of its faults shows less than it says."""
BOUNDS: Final = Bounds(traffic_s=120, answer_s=120, rejoin_s=180, drain_s=45)


def possible(areas: Areas = AREAS) -> Areas:
    """The kinds that this machine can do."""
    return {area: tuple(k for k in kinds if k.storm and not k.possible()) for area, kinds in areas.items()}


@dataclass
class Outcome:
    """What became of a storm; storm.json."""

    seed: int
    faults: int
    """In its plan."""
    came: int = 0
    missed: list[str] = field(default_factory=list)
    tended: int = 0
    """So often its operator had to have the cluster forget failures."""
    lasted_s: float = 0.0
    outages_s: list[float] = field(default_factory=list)
    """The times in which users waited and none was answered."""
    broken: list[str] = field(default_factory=list)
    """Names of invariants, BROKE_OFF among them; a storm held when there are none."""
    violations: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return not self.broken and not self.violations

    def write(self, folder: Path) -> None:
        (folder / OUTCOME).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def read_outcome(folder: Path) -> Outcome | None:
    """What became of the storm of this folder, or None where it did not come to an outcome."""
    try:
        return Outcome(**json.loads((folder / OUTCOME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def run(plan: Plan) -> tuple[Outcome, Path]:
    """Let a plan loose in a fresh lab; what became of it, and the folder of its history and report, which is `latest`.

    The lab is taken down at the end, whatever happened. Raises LabError when no lab came up; that, and a storm that is
    interrupted, leaves no folder.
    """
    folder = new_folder(f"storm-{plan.seed}")
    sheet.write(plan, folder / PLAN)
    (DRILLS / "latest").unlink(missing_ok=True)
    outcome, verdict = in_fresh_lab(plan, folder)
    point_latest(folder)
    # its faults have been said as they came
    say("\n" + report.summary(dataclasses.replace(verdict, faults=(), timeline=Timeline())))
    say("\n" + told(outcome))
    say(f"\nReport: {DRILLS / 'latest' / 'report.html'}")
    return outcome, folder


def in_fresh_lab(plan: Plan, folder: Path) -> tuple[Outcome, Verdict]:
    """The same with a folder of the caller's, and nothing told at the end."""
    if standing := lab.marked():
        say(f"A lab brought up by {standing} is standing here; a storm wants a fresh one.")
        lab.down(quiet=True)
    scenario = as_scenario(plan)
    record = Record(scenario, plan.seed, time.time())
    outcome = Outcome(plan.seed, len(plan.strikes))
    try:
        failure = weathered(plan, record, outcome, folder)
        if failure and not record.hits:
            raise failure
        with step("judging"):
            verdict = judged(folder, outcome, failure)
            report.write(verdict, folder, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        with uninterrupted():
            lab.down(quiet=True)
    outcome.write(folder)
    return outcome, verdict


def weathered(plan: Plan, record: Record, outcome: Outcome, folder: Path) -> LabError | None:
    """Bring the lab up, go through the storm, and gather the evidence; what kept it from its end, or None."""
    stand, before = Stand(), evidence.Before()
    failure: LabError | None = None
    try:
        before = stand.bring_up(f"the storm {plan.seed}")
        record.started, record.environment = time.time(), stand.environment
        with cluster.LogFollower(STATE / "log", folder / "cluster.jsonl") as follower:
            Weather(plan, record, follower, outcome).run()
        if follower.failed:
            raise LabError(follower.failed)
    except LabError as error:
        failure = error
    with step("collecting the evidence"):
        evidence.collect(folder, record.started)
        record.write(folder)
        evidence.keep_logs(folder, before)
    return failure


def judged(folder: Path, outcome: Outcome, failure: LabError | None) -> Verdict:
    verdict = judge.judge(folder)
    if failure:
        verdict = verdict.with_violation(f"The storm did not run to its end: {failure}")
    if len(outcome.missed) > MISSED * outcome.faults:
        verdict = verdict.with_violation(
            f"Of {outcome.faults} faults {len(outcome.missed)} found nothing to break, the first: {outcome.missed[0]}"
        )
    with contextlib.suppress(LackingError):
        outcome.outages_s = [round(outage.length, 1) for outage in moments.outages(read(folder))]
    outcome.broken = [finding.name for finding in verdict.findings if finding.held is not True]
    outcome.broken += [BROKE_OFF] if failure else []
    outcome.violations = list(verdict.violations)
    return verdict


def told(outcome: Outcome) -> str:
    """The outcome in a few lines, for people."""
    lines = [
        f"Storm {outcome.seed}: {outcome.came} of {outcome.faults} faults came in {outcome.lasted_s / 60:.1f} min "
        f"({outcome.lasted_s / max(1, outcome.came):.1f} s a fault), {len(outcome.missed)} found nothing to break; "
        f"the operator had to help {outcome.tended} times.",
        f"Outages in which users waited: {len(outcome.outages_s)}, {max(outcome.outages_s, default=0):.1f} s at the "
        f"longest, {sum(outcome.outages_s) / 60:.1f} min in all.",
        "Every invariant held." if outcome.held else f"Broken: {', '.join(outcome.broken) or 'see above'}.",
    ]
    return "\n".join(lines)


def as_scenario(plan: Plan) -> Scenario:
    """A storm as the drill that its history is one of."""
    faults = len(plan.strikes)
    return Scenario(
        name=f"storm-{plan.seed}",
        purpose=f"{faults} faults at random moments, of seed {plan.seed}; what always holds must hold in any of them.",
        tags=("storm",),
        traffic=Traffic(plan.users, plan.rate_per_s, 60, 3, 60, 200),
        steps=tuple(Inject(strike.fault, strike.on, dict(strike.given)) for strike in plan.strikes),
        expect=Expect("any", may_be_fenced=("all",)),
        bounds=BOUNDS,
    )


def hit_by(blow: Blow, ended: float) -> Hit:
    """A blow as the judge reads of it. One that failed did so when its healing began; one that neither failed nor came
    may have come until the storm `ended`."""
    kind = blow.card.kind
    return Hit(
        kind.name, blow.card.on, blow.nodes, blow.t, blow.done or blow.healing or ended,
        healing=blow.healing, healed=blow.healed, ends_node=kind.ends_node, lasts=blow.lasts,
    )  # fmt: skip


class Weather(Play):
    """A drill whose steps are a storm's."""

    def __init__(self, plan: Plan, record: Record, follower: cluster.LogFollower, outcome: Outcome) -> None:
        super().__init__(record, follower)
        self._plan, self._outcome = plan, outcome

    def run(self) -> None:
        bounds, traffic = self.record.scenario.bounds, self.record.scenario.traffic
        self._look()
        self._resolve_roles()
        self.follower.note(e="active", node=self.scene.active)
        with self.stage("traffic", f"{traffic.users} users talk to the bot on {self.scene.active}"):
            self.users.start(bounds.traffic_s)
        broke_off: LabError | None = None
        try:
            self.storm()
        except LabError as error:
            broke_off = error
        # what a storm that broke off leaves is judged as well, as far as the lab comes
        with contextlib.suppress(LabError) if broke_off else contextlib.nullcontext():
            with self.stage("whole", "waiting until the lab is whole again"):
                self._wait_whole(bounds.rejoin_s, threading.Thread(), [])
            with self.stage("traffic after", "traffic goes on"):
                self.users.go_on(bounds.traffic_s)
            with self.stage("drain", "users finish what they began"):
                self.users.finish(bounds.drain_s)
            now = cluster.wait_for(lab.WHOLE, lab.is_whole, bounds.rejoin_s)
            self.follower.note(e="active", node=now.where("bot"))
        if broke_off:
            raise broke_off

    def storm(self) -> None:
        stage = Stage("storm", time.time())
        self.record.stages.append(stage)
        storm = Storm(self._plan, AREAS, self, self.scene.active)
        try:
            storm.play()
            stage.ok = True
        except LabError as error:
            stage.why = str(error)
            raise
        finally:
            stage.ended = time.time()
            self.record.hits = [hit_by(blow, stage.ended) for blow in storm.blows]
            self._outcome.came = sum(blow.hit for blow in storm.blows)
            self._outcome.missed, self._outcome.tended = storm.missed, storm.tended
            self._outcome.lasted_s = round(stage.ended - stage.t, 1)

    # -- the storm's world

    def see(self, avoid: frozenset[str]) -> cluster.Status | None:
        return cluster.status(last=avoid)

    def tend(self, seen: cluster.Status) -> None:
        lab.forget_failures(seen)

    def say(self, text: str) -> None:
        say(f"  {text}")
