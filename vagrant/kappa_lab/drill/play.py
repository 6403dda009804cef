"""Play one drill: users before, its steps, healing what is left, users after."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from kappa_lab import cluster, faults, lab, predicates, roles
from kappa_lab.drill.evidence import JOURNALS, TELEGRAM
from kappa_lab.drill.record import Hit, Record, Stage
from kappa_lab.drill.users import Users, wait
from kappa_lab.errors import LabError
from kappa_lab.faults import Fault, Target
from kappa_lab.progress import step as shown
from kappa_lab.scenario import Heal, Inject, Step, WaitFor
from kappa_lab.topology import node

NEVER_EVERY_S: Final = 0.25
PATIENCE_S: Final = 5.0
"""So long the cluster has, after everything is healed, to become whole without an operator's help."""


@dataclass
class Live:
    """A fault that was injected and not healed yet."""

    hit: Hit
    fault: Fault


class Play:
    """One drill in a lab that is whole. `run` raises LabError when it does not come to its end; what happened until
    then is in the record."""

    def __init__(self, record: Record, follower: cluster.LogFollower) -> None:
        self.record, self.follower = record, follower
        self.users = Users(record.scenario.traffic, record.seed)
        self.live: list[Live] = []
        self.scene = predicates.Scene(
            predicates.Replies(JOURNALS / TELEGRAM), "", None, record.started, record.started
        )  # fmt: skip

    def run(self) -> None:
        scenario, bounds = self.record.scenario, self.record.scenario.bounds
        self._look()
        self.follower.note(e="active", node=self.scene.active)
        try:
            with self.stage("traffic", f"{scenario.traffic.users} users talk to the bot on {self.scene.active}"):
                self.users.start(bounds.traffic_s)
            for step in scenario.steps:
                self.take(step)
            self.mend()
        except Exception:
            self.heal_what_can_be()
            raise
        with self.stage("traffic after", "traffic goes on"):
            self.users.go_on(bounds.traffic_s)
        with self.stage("drain", "users finish what they began"):
            self.users.finish(bounds.drain_s)
        now = cluster.wait_for(lab.WHOLE, lab.is_whole, bounds.rejoin_s)
        self.follower.note(e="active", node=now.where("bot"))

    def take(self, step: Step) -> None:
        """One step. Raises LabError when it cannot be taken."""
        match step:
            case Inject():
                self.inject(step)
            case WaitFor():
                self.wait_for(step)
            case Heal():
                self.heal(step.fault)

    @contextlib.contextmanager
    def stage(self, what: str, said: str) -> Iterator[Stage]:
        """A step, shown as it goes and kept in the record as it went."""
        stage = Stage(what, time.time())
        self.record.stages.append(stage)
        try:
            with shown(said):
                yield stage
            stage.ok = True
        except Exception as error:
            stage.why = str(error) or type(error).__name__
            raise
        finally:
            stage.ended = time.time()

    # -- faults --

    def inject(self, step: Inject) -> None:
        kind = faults.KINDS[step.fault]
        if not self.record.hits:
            self._look()
            self._resolve_roles()
        target = self._target(step.on)
        hit = Hit(kind.name, step.on, tuple(n.name for n in target.nodes), 0.0, ends_node=kind.ends_node)
        fault = kind.make(target, {**kind.parameters, **step.given})
        where = f": {', '.join(hit.nodes)}" if hit.nodes else ""
        hit.lasts = fault.lasts
        self.live.append(Live(hit, fault))
        self.scene.logs = predicates.lengths()
        hit.t = time.time()
        self.record.hits.append(hit)
        if len(self.record.hits) == 1:
            self.scene.first = hit.t
        try:
            with self.stage(f"fault {kind.name}", f"{kind.name}{where}"):
                fault.inject()
        finally:
            hit.done = self.scene.latest = time.time()

    def _look(self) -> None:
        """Who has the group now, and who is the DC."""
        seen = cluster.status()
        holder = seen.where("bot") if seen else None
        if seen is None or holder is None:
            raise LabError("No node runs the bot; there is no active node to do anything to.")
        self.scene.active, self.scene.dc = holder, seen.dc

    def _resolve_roles(self) -> None:
        """Names for the roles that the drill's end will be judged by."""
        active, dc, expect = self.scene.active, self.scene.dc, self.record.scenario.expect
        self.record.active, self.record.dc = active, dc
        self.record.fenced = roles.resolve_all(expect.fenced, active, dc)
        self.record.may_be_fenced = roles.resolve_all(expect.may_be_fenced, active, dc)

    def _target(self, on: str) -> Target:
        """Whom a fault hits now: later ones find the group, and the DC, where the ones before have driven them."""
        active, dc = self.scene.active, self.scene.dc
        if len(self.record.hits) > 0 and (seen := cluster.status()):
            active, dc = seen.where("bot") or active, seen.dc or dc
        return Target(tuple(node(name) for name in roles.resolve(on, active, dc)), node(active))

    def heal(self, which: str) -> None:
        """The latest of this kind that is there, or all, the latest first."""
        wanted = [live for live in reversed(self.live) if which in ("all", live.hit.kind)]
        for live in wanted if which == "all" else wanted[:1]:
            with self.stage(f"heal {live.hit.kind}", f"healing {live.hit.kind}"):
                self._heal(live)

    def _heal(self, live: Live) -> None:
        live.hit.healing = live.hit.healing or time.time()  # what was half healed may run since it was first tried
        live.fault.heal()
        live.hit.healed = time.time()
        self.live.remove(live)

    def heal_what_can_be(self) -> None:
        """After a drill that failed: what is left must not outlive it."""
        for live in reversed(list(self.live)):
            with contextlib.suppress(Exception):  # why the drill failed is known; what it left goes with the lab
                self._heal(live)

    # -- waiting --

    def wait_for(self, step: WaitFor) -> None:
        kind = predicates.KINDS[step.predicate]
        given = {**kind.parameters, **step.given}
        told = ", ".join(f"{key} = {value}" for key, value in step.given.items() if value != kind.parameters[key])
        what = f"{kind.name} ({told})" if told else kind.name

        def holds() -> bool:
            return kind.holds(self.scene, given)

        if step.not_for_s:
            with self.stage(f"not {what}", f"for {step.not_for_s:g} s it must not be: {what}"):
                self._never(what, holds, step.not_for_s)
        else:
            with self.stage(f"wait_for {what}", f"waiting: {what}"):
                wait(what, holds, step.within_s)

    @staticmethod
    def _never(what: str, holds: Callable[[], bool], for_s: float) -> None:
        end = time.monotonic() + for_s
        while time.monotonic() < end:
            if holds():
                raise LabError(f"It was not to be within {for_s:g} s, but is: {what}.")
            time.sleep(NEVER_EVERY_S)

    # -- whole again --

    def mend(self) -> None:
        """Heal what is left, the latest first, and wait until the lab is whole. Both at once: what heals may take its
        time, and a node that comes back is to be seen when it does."""
        bounds = self.record.scenario.bounds
        if expected := set(self.record.fenced):
            with self.stage("fenced", f"fenced: {', '.join(sorted(expected))}"):
                wait(f"{', '.join(sorted(expected))} proven off", self._all_fenced, bounds.answer_s)
        failures: list[Exception] = []
        healing = threading.Thread(target=self._heal_left, args=(failures,), name="healing", daemon=True)
        left = ", ".join(live.hit.kind for live in reversed(self.live))
        with self.stage("whole", "waiting until the lab is whole again" + (f", healing {left}" if left else "")):
            healing.start()
            self._wait_whole(bounds.rejoin_s, healing, failures)

    def _heal_left(self, failures: list[Exception]) -> None:
        try:
            for live in reversed(list(self.live)):
                self._heal(live)
        except Exception as error:
            failures.append(error)  # raised by whoever waits

    def _all_fenced(self) -> bool:
        every = self.record.fenced
        return all(predicates.KINDS["fenced"].holds(self.scene, {"on": name}) for name in every)

    def _wait_whole(self, bound_s: float, healing: threading.Thread, failures: list[Exception]) -> None:
        away = set(roles.NAMES)  # of those whom nothing hit it is to be shown too that they live
        patient_until: float | None = None

        def holds(seen: cluster.Status) -> bool:
            nonlocal patient_until
            for name in sorted(away):
                if back(seen, name):
                    self.follower.note(e="online", node=name)
                    away.remove(name)
            if failures:
                raise failures[0]
            if healing.is_alive():
                return False
            if lab.is_whole(seen) and not away:
                return True
            patient_until = patient_until or time.monotonic() + PATIENCE_S
            if seen.failures and time.monotonic() > patient_until:
                # what failed too often waits for an operator, who has mended its cause by now
                lab.forget_failures(seen)
                patient_until = time.monotonic() + bound_s
            return False

        cluster.wait_for(lab.WHOLE, holds, bound_s)


def back(seen: cluster.Status, name: str) -> bool:
    return name in seen.online and name in seen.running.get("router", frozenset())
