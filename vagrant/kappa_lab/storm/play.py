"""Let a plan loose on a standing lab: each fault at its moment, or as soon as the lab is fit for it, and heal it.

One thread a fault does it, waits, and heals it; the storm's own thread starts them in their order. What `plan` asks
for on paper is asked here of the lab: a fault that may take a node waits until all nodes are back, one that hits the
active node waits until there is one. When a storm is late it catches up, and its order stays.

A fault that finds nothing to break (the process was dead already) tries again for a while, and once more when all
others have come. Then it is counted as missed: it is no failure of the cluster's, and none of the faults that it
withstood either.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kappa_lab.cluster import Status, describe
from kappa_lab.errors import LabError
from kappa_lab.faults.kind import Fault, Target
from kappa_lab.lab import group_on
from kappa_lab.storm.plan import Areas, Card, Plan, Strike, card_of, may_come
from kappa_lab.topology import NODES, Node, node

NAMES = frozenset(one.name for one in NODES)
FENCING = ("fence-kappa", "fence-kappa-2")


@dataclass(frozen=True)
class Patience:
    """Seconds after which a storm stops waiting."""

    fit: float = 150.0
    """For the lab to be fit for the next fault: longer, and the cluster does not recover."""
    hit: float = 15.0
    """For a fault to find what it breaks."""
    hold: float = 5.0
    """For a fault to have happened, before the next may come beside it."""
    heal: float = 150.0
    between: float = 1.0
    """From one fault to the next when the storm is late."""
    tend: float = 15.0
    """For a cluster that remembers failures, when all is healed, to recover without its operator."""
    look: float = 0.5
    """Between two looks at the cluster."""


@dataclass(eq=False)
class Blow:
    """A fault of the plan as it happened. `t` is taken before it, `done` after it (epoch seconds)."""

    number: int
    strike: Strike
    card: Card
    nodes: tuple[str, ...]
    t: float
    lasts: bool = True
    """It is there until it is healed."""
    done: float | None = None
    healing: float | None = None
    """When its healing began; `healed` is when that was done."""
    healed: float | None = None
    trouble: str = ""
    """Why it did not happen, or could not be healed."""
    thread: threading.Thread | None = None
    happened: threading.Event = field(default_factory=threading.Event)
    """It is known whether it did."""
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def hit(self) -> bool:
        return self.done is not None


class World(Protocol):
    """The lab that a storm comes over."""

    def see(self, avoid: frozenset[str]) -> Status | None:
        """What the cluster says of itself; of those in `avoid`, who may be cut off from it, none is asked first."""
        ...

    def tend(self, seen: Status) -> None:
        """What an operator does when a cluster has given up after failures whose causes are mended. Raises LabError."""
        ...

    def say(self, text: str) -> None:
        """Tell whoever watches."""
        ...


class Storm:
    """`blows` holds all that happened so far, also where `play` raised."""

    def __init__(self, plan: Plan, areas: Areas, world: World, active: str, patience: Patience | None = None) -> None:
        self._plan, self._areas, self._world = plan, areas, world
        self._patience = patience or Patience()
        self.blows: list[Blow] = []
        self._undone: list[Blow] = []
        """Those that found nothing to break, and of which nothing is left."""
        self.tended = 0
        """How often the operator had to help."""
        self._active = active
        self._ending = threading.Event()

    def play(self) -> None:
        """The whole plan, and everything healed. Raises LabError when the lab does not become fit for the next fault,
        or a fault cannot be healed; heals the rest first."""
        began = time.monotonic()
        try:
            self._come(enumerate(self._plan.strikes, 1), began)
            self._wait_for_heals()
            self._come([(blow.number, blow.strike) for blow in self._vain()], began)
        except LabError:
            self._ending.set()
            self._wait_for_heals()
            raise
        self._wait_for_heals()
        if stuck := [blow for blow in self.blows if blow.hit and blow.healed is None]:
            raise LabError("; ".join(f"{self._name(blow)} could not be healed: {blow.trouble}" for blow in stuck))

    def _come(self, strikes: Iterable[tuple[int, Strike]], began: float) -> None:
        """Each at its moment, or when the one before has come."""
        latest = began - self._patience.between
        for number, strike in strikes:
            moment = max(began + strike.at_s, latest + self._patience.between)
            time.sleep(max(0.0, moment - time.monotonic()))
            self._strike(number, strike, began)
            latest = time.monotonic()

    @property
    def missed(self) -> list[str]:
        """What found nothing to break, and why."""
        return [f"{self._name(blow)}: {blow.trouble}" for blow in self._vain()]

    def _vain(self) -> list[Blow]:
        """A blow of each that found nothing to break, also of one that took its time to say so."""
        came = {blow.number for blow in self.blows if blow.hit or not blow.over.is_set()}
        vain = {blow.number: blow for blow in (*self.blows, *self._undone) if blow.number not in came}
        return [vain[number] for number in sorted(vain)]

    def _strike(self, number: int, strike: Strike, began: float) -> None:
        """Wait until the lab is fit, and begin. A fault that finds nothing to break is tried again, on whom it means by
        then."""
        card = card_of(strike, self._areas)
        give_up, tries, trouble = 0.0, 0, ""
        while True:
            tries += 1
            waited, nodes, late = self._wait_until_fit(number, card)
            fault = card.kind.make(Target(nodes, node(self._active)), {**card.kind.parameters, **strike.given})
            blow = Blow(number, strike, card, tuple(one.name for one in nodes), time.time(), fault.lasts)
            name = f"fault-{number}"
            blow.thread = threading.Thread(target=self._carry_out, args=(blow, fault), name=name, daemon=True)
            blow.thread.start()
            self.blows.append(blow)
            blow.happened.wait(self._patience.hold)
            if blow.hit or not blow.happened.is_set():
                late = f"; waited {waited:.0f} s: {late}" if waited >= 1 else ""
                late += f"; tried {tries} times: {trouble}" if tries > 1 else ""
                self._world.say(f"{self._name(blow)}, {time.monotonic() - began:.0f} s into the storm{late}")
                return
            # what was half done is undone before it is tried again
            blow.over.wait(self._patience.heal)
            self.blows.remove(blow)
            trouble = blow.trouble
            give_up = give_up or time.monotonic() + self._patience.hit
            if time.monotonic() > give_up:
                self._undone.append(blow)
                self._world.say(f"{self._name(blow)}: missed. {blow.trouble}")
                return
            time.sleep(self._patience.look)

    def _carry_out(self, blow: Blow, fault: Fault) -> None:
        try:
            fault.inject()
            blow.done = time.time()
        except LabError as error:
            blow.trouble = str(error)
        finally:
            blow.happened.set()
        try:
            if blow.hit:
                self._ending.wait(blow.strike.heal_after_s)
            self._heal(blow, fault)
        finally:
            blow.over.set()

    def _heal(self, blow: Blow, fault: Fault) -> None:
        """Again until it works: what is to be mended may be off, or coming back, at this moment. What was half done is
        undone too."""
        end = time.monotonic() + self._patience.heal
        blow.healing = time.time()
        while True:
            try:
                fault.heal()
            except LabError as error:
                blow.trouble = blow.trouble or str(error)
                if not blow.hit or time.monotonic() > end:
                    return
                time.sleep(self._patience.look)
            else:
                blow.healed = time.time()
                return

    def _wait_for_heals(self) -> None:
        for blow in self.blows:
            if blow.over.wait(blow.strike.heal_after_s + 2 * self._patience.heal) and blow.thread:
                blow.thread.join()

    def _wait_until_fit(self, number: int, card: Card) -> tuple[float, tuple[Node, ...], str]:
        """Seconds waited, who will be hit, and what was waited for last."""
        began, tend_at, why_late = time.monotonic(), self._patience.tend, ""
        while True:
            standing = [blow for blow in self.blows if not blow.over.is_set()]
            seen = self._world.see(frozenset(name for b in standing if b.card.takes_a_node for name in b.nodes))
            if seen is not None:
                self._active = group_on(seen) or self._active
            nodes, why = self._fit(number, card, standing, seen)
            waited = time.monotonic() - began
            if not why:
                return waited, nodes, why_late
            why_late = why
            if waited > self._patience.fit:
                what = f"fault {number} of {len(self._plan.strikes)}, {_named(card, nodes)}"
                raise LabError(
                    f"After {waited:.0f} s the lab is still not fit for {what}: {why}. "
                    f"Last seen: {describe(seen)} {_still_there(standing)}".strip()
                )
            if waited > tend_at and seen is not None and seen.failures and not standing:
                self._tend(seen)
                tend_at = waited + self._patience.tend
            time.sleep(self._patience.look)

    def _tend(self, seen: Status) -> None:
        try:
            self._world.tend(seen)
        except LabError:
            return  # again later, if it is still needed
        self.tended += 1
        self._world.say("  the operator has the cluster forget its failures")

    def _fit(
        self, number: int, card: Card, standing: Sequence[Blow], seen: Status | None
    ) -> tuple[tuple[Node, ...], str]:
        """Whom the fault would hit now, and why it must not; "" where it may."""
        if not may_come(card, [blow.card for blow in standing]):
            return (), f"{', '.join(blow.card.kind.name for blow in standing)} must be over first"
        if seen is None:
            return (), "no node answers crm_mon"
        names = whom(card.on, seen, self._active, number)
        nodes = tuple(node(name) for name in names)
        return nodes, unfit(card, names, seen)

    def _name(self, blow: Blow) -> str:
        return f"fault {blow.number} of {len(self._plan.strikes)}: {_named(blow.card, [node(n) for n in blow.nodes])}"


def whom(on: str, seen: Status, active: str, number: int) -> tuple[str, ...]:
    """The nodes that a role means now. Of two passive nodes that are there, each has its turn."""
    others = sorted(NAMES - {active})
    if on == "passive":
        there = [name for name in others if name in seen.online] or others
        return (there[number % len(there)],)
    if on == "dc":
        return (seen.dc,) if seen.dc else ()
    named = {"": (), "active": (active,), "passives": tuple(others), "all": tuple(sorted(NAMES))}
    return named.get(on, (on,))


def unfit(card: Card, names: Sequence[str], seen: Status) -> str:
    """Why the cluster, as it is seen, cannot be hit by this fault yet; "" where it can."""
    routers = seen.running.get("router", frozenset())
    if not seen.quorum:
        return "the cluster has no quorum"
    if card.on == "dc" and not names:
        return "the cluster has no DC"
    if missing := sorted(set(names) - seen.online):
        return f"not online: {', '.join(missing)}"
    if card.takes_a_node or card.alone:
        if missing := sorted(NAMES - (seen.online & routers)):
            return f"not back, or without a router: {', '.join(missing)}"
        if missing := [name for name in FENCING if not seen.running.get(name)]:
            return f"not ready: {', '.join(missing)}"
    if (card.on == "active" or card.alone) and group_on(seen) is None:
        return "no node has the whole group"
    if card.area == "router" and (missing := sorted(set(names) - routers)):
        return f"no router on {', '.join(missing)}"
    return ""


def _named(card: Card, nodes: Sequence[Node]) -> str:
    role = f" ({card.on})" if card.on not in ("", *NAMES) else ""
    return card.kind.name + (f" on {'+'.join(one.name for one in nodes)}{role}" if nodes else role)


def _still_there(standing: Sequence[Blow]) -> str:
    return (
        f"Not healed yet: {', '.join(_named(b.card, [node(n) for n in b.nodes]) for b in standing)}."
        if standing
        else ""
    )
