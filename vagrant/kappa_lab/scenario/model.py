"""A drill as data: traffic, steps, what must hold after, and how long each stage may take."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final

from kappa_lab.faults.kind import Value

SERVICE: Final = ("moves", "returns", "undisturbed", "stops", "any")
"""What the faults of a drill may do to the service, as users see it:

- `moves`        it stops, and another node takes it over
- `returns`      it stops, and comes back wherever the cluster wants it
- `undisturbed`  it stays where it is, and nobody waits longer than UNDISTURBED_S
- `stops`        it stays away until the faults are healed, and comes back then; nobody may take over before
- `any`          all of these may happen, as in a storm: what holds always must hold, and it is back at the end
"""


@dataclass(frozen=True)
class Traffic:
    users: int
    rate_per_s: float
    """What all users do together, in updates a second."""
    updates_before: int
    half_way_before: int
    """So many users are in the middle of registering a place when the first fault comes."""
    updates_after: int
    updates_at_least: int


@dataclass(frozen=True)
class Bounds:
    """Seconds after which a stage of the drill is called failed."""

    traffic_s: float
    answer_s: float
    rejoin_s: float
    drain_s: float


@dataclass(frozen=True)
class Inject:
    """`fault`, of the kinds in kappa_lab.faults, hits `on` (of ROLES, a node's name, or "" for no node)."""

    fault: str
    on: str = ""
    given: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class WaitFor:
    """`predicate`, of those in kappa_lab.predicates, holds within `within_s`; with `not_for_s` it must *not* hold for
    so long, which is how a drill shows that something does not happen."""

    predicate: str
    within_s: float = 0.0
    not_for_s: float = 0.0
    given: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Heal:
    """Undo the latest fault of this kind; "all": every one that is still there, the latest first."""

    fault: str = "all"


Step = Inject | WaitFor | Heal


@dataclass(frozen=True)
class Expect:
    """What must hold besides the invariants. Roles are those at the first fault.

    `fenced`: exactly these are proven off, before anyone acts in their place; `may_be_fenced`: of these nothing is
    asked, but that if they are taken over from they were off before. Nobody else may be shot.
    """

    service: str
    fenced: tuple[str, ...] = ()
    may_be_fenced: tuple[str, ...] = ()
    strangers: bool = False
    """Somebody who is no node of the cluster polls, or holds the virtual IP: that is the fault itself."""
    predicted: str = ""
    """The kind of recovery in `kappa-lab predict` whose worst case the measured RTO must stay below."""


@dataclass(frozen=True)
class Scenario:
    name: str
    purpose: str
    tags: tuple[str, ...]
    traffic: Traffic
    steps: tuple[Step, ...]
    expect: Expect
    bounds: Bounds


def slower(scenario: Scenario, factor: float) -> Scenario:
    """The same drill where everything takes so many times as long: its bounds, and how long its steps wait.

    How long something must *not* happen is as it was: that is what the drill is about.
    """
    bounds = Bounds(**{part.name: getattr(scenario.bounds, part.name) * factor for part in fields(Bounds)})
    steps = tuple(
        replace(step, within_s=step.within_s * factor) if isinstance(step, WaitFor) else step for step in scenario.steps
    )
    return replace(scenario, bounds=bounds, steps=steps)
