"""A storm on paper: which fault comes when, on whom, and when it is healed. Drawn from a seed, and from nothing else.

What a storm of a sane operator keeps to, so that what fails is the cluster's doing and not the storm's:

- Every area is hit about as often as any other, and every kind of an area before one of them comes again.
- Two faults of one area do not stand together: the second would break what is broken already.
- At most OVERLAP faults stand together.
- Faults that may take a node away (it is fenced, cut off, restarted, put out of service) come one at a time: three
  nodes lose their quorum with the second. A fault that stops what fences counts among them, so that a node is not lost
  while nobody could fence it for longer than that one fault lasts.
- A fault that hits several nodes at once is rare, and comes and goes alone.
- What heals does so MOST_S after the fault at the latest.

These hold on paper, by the times below; whoever plays the plan makes them hold for the lab, where things take as long
as they take. A plan written by hand may break them on purpose.
"""

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kappa_lab.faults.kind import Kind, Value

Areas = Mapping[str, Sequence[Kind]]

OVERLAP: Final = 3
PACE_S: Final = 4.5
"""From one fault to the next, in the mean."""
LEAST_GAP_S: Final = 0.3
LONGEST_GAP: Final = 2.5
"""No gap is longer than so many mean ones."""
SILENCE_S: Final = 10.0
"""A part of a storm has no longer gaps than this."""
LEAST_S: Final = 1.0
MOST_S: Final = 8.0
"""A fault is healed between so many seconds after it came."""
GETS_OVER_S: Final = 3.0
"""What the cluster is given on paper to get over a fault after it was healed."""
NODE_COMES_BACK_S: Final = 12.0
"""A node that is taken by a fault comes back so long after it."""
TAKES_A_NODE: Final = frozenset({"node", "fencing", "operator"})
"""Areas whose faults take a node away, or fencing, whatever their kinds say."""
SEVERAL: Final = frozenset({"passives", "all"})
RARE: Final = 0.2
"""The chance of a fault on several nodes at once to be among its area's when these are shuffled."""
AHEAD: Final = 2
"""How many rounds of all areas are looked through for a fault that may come now."""


@dataclass(frozen=True)
class Strike:
    """One fault of a storm: `at_s` seconds after the storm's beginning, healed `heal_after_s` after it was done."""

    at_s: float
    fault: str
    on: str = ""
    heal_after_s: float = LEAST_S
    given: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """`seed` is the traffic's as well."""

    seed: int
    strikes: tuple[Strike, ...]
    users: int = 24
    rate_per_s: float = 8.0

    def only(self, kept: Sequence[int]) -> "Plan":
        """The same storm with these of its faults. What was long apart comes closer: silence breaks nothing."""
        shorter: list[Strike] = []
        shift = previous = 0.0
        for strike in (self.strikes[number] for number in kept):
            shift += max(0.0, strike.at_s - previous - SILENCE_S)
            previous = strike.at_s
            shorter.append(dataclasses.replace(strike, at_s=round(strike.at_s - shift, 1)))
        return dataclasses.replace(self, strikes=tuple(shorter))


@dataclass(frozen=True)
class Card:
    """A kind of fault, and where it would hit."""

    area: str
    kind: Kind
    on: str

    @property
    def takes_a_node(self) -> bool:
        return self.area in TAKES_A_NODE or self.kind.fences != "never"

    @property
    def alone(self) -> bool:
        return self.on in SEVERAL

    def until_s(self, strike: Strike) -> float:
        """When this fault is over, on paper."""
        over = strike.at_s + strike.heal_after_s + sum(seconds for _, seconds in durations(strike.given))
        back = strike.at_s + NODE_COMES_BACK_S if self.takes_a_node else 0.0
        return round(max(over + GETS_OVER_S, back), 1)


def durations(given: Mapping[str, Value]) -> Iterator[tuple[str, float]]:
    """The parameters that say how long a fault lasts."""
    for name, value in given.items():
        if name.endswith("_s") and not name.endswith("per_s") and isinstance(value, float):
            yield name, value


def draw(seed: int, areas: Areas, *, faults: int | None = None, minutes: float | None = None) -> Plan:
    """The storm of this seed: so many faults, or as many as come in so many minutes; with both, at that pace."""
    dice = random.Random(f"storm {seed}")  # noqa: S311  repeatable is what it must be
    pace_s = 60 * minutes / faults if faults and minutes else PACE_S
    deck = _deck(areas, dice)
    waiting: list[Card] = []
    drawn: list[tuple[Card, Strike]] = []
    at_s = 0.0
    while faults is None or len(drawn) < faults:
        at_s = round(at_s + min(max(dice.expovariate(1 / pace_s), LEAST_GAP_S), LONGEST_GAP * pace_s), 1)
        while len(waiting) < AHEAD * len(areas):
            waiting.append(next(deck))
        while (card := _first_that_may(waiting, drawn, at_s)) is None:
            at_s = round(min(over for over in (c.until_s(s) for c, s in drawn) if over > at_s), 1)
        if faults is None and at_s > 60 * (minutes or 0):
            break
        waiting.remove(card)
        drawn.append((card, _strike(card, at_s, dice)))
    return Plan(seed, tuple(strike for _, strike in drawn))


def broken_rules(plan: Plan, areas: Areas) -> list[str]:
    """A sentence for each way in which a plan does not keep to what a sane operator's storm keeps to."""
    cards = [card_of(strike, areas) for strike in plan.strikes]
    said = []
    for number, (card, strike) in enumerate(zip(cards, plan.strikes, strict=True)):
        standing = [
            (other, earlier)
            for other, earlier in zip(cards[:number], plan.strikes[:number], strict=True)
            if other.until_s(earlier) > strike.at_s
        ]
        said += [f"{strike.fault} at {strike.at_s:g} s: {why}" for why in _against(card, [c for c, _ in standing])]
    return said


def card_of(strike: Strike, areas: Areas) -> Card:
    area, kind = next((area, kind) for area, kinds in areas.items() for kind in kinds if kind.name == strike.fault)
    return Card(area, kind, strike.on)


def _against(card: Card, standing: Sequence[Card]) -> list[str]:
    """Why this fault may not come while those stand."""
    said = []
    if len(standing) >= OVERLAP:
        said.append(f"{len(standing)} others stand already.")
    if any(other.area == card.area for other in standing):
        said.append(f"another fault of {card.area} stands.")
    if card.takes_a_node and (other := next((o for o in standing if o.takes_a_node), None)):
        said.append(f"{other.kind.name} may have taken a node already.")
    if standing and (card.alone or any(other.alone for other in standing)):
        said.append("a fault on several nodes comes alone.")
    return said


def may_come(card: Card, standing: Sequence[Card]) -> bool:
    """May this fault come while those stand? Whoever plays a plan asks again, with what stands in truth."""
    return not _against(card, standing)


def _first_that_may(waiting: Sequence[Card], drawn: Sequence[tuple[Card, Strike]], at_s: float) -> Card | None:
    standing = [card for card, strike in drawn if card.until_s(strike) > at_s]
    if waiting[0].alone:  # it would wait for ever if others still came
        return None if standing else waiting[0]
    return next((card for card in waiting if may_come(card, standing)), None)


def _strike(card: Card, at_s: float, dice: random.Random) -> Strike:
    given = {name: round(seconds * dice.uniform(0.4, 1), 1) for name, seconds in durations(card.kind.parameters)}
    return Strike(at_s, card.kind.name, card.on, round(dice.uniform(LEAST_S, MOST_S), 1), given)


def _deck(areas: Areas, dice: random.Random) -> Iterator[Card]:
    """Cards without end: rounds in which each area has one, in any order; an area's own come in turn."""
    hands: dict[str, Iterator[Card]] = {
        area: _hand(area, kinds, dice) for area, kinds in areas.items() if _drawn(kinds)
    }
    if not hands:
        raise ValueError("there is no kind of fault that a storm may draw")
    while True:
        order = list(hands)
        dice.shuffle(order)
        for area in order:
            yield next(hands[area])


def _drawn(kinds: Sequence[Kind]) -> list[Kind]:
    return [kind for kind in kinds if kind.storm]


def _hand(area: str, kinds: Sequence[Kind], dice: random.Random) -> Iterator[Card]:
    """An area's faults without end: each kind once, on one of the roles that it can hit, and then all again."""
    roles = {kind.name: _roles(kind, dice) for kind in _drawn(kinds)}
    while True:
        shuffled = _drawn(kinds)
        dice.shuffle(shuffled)
        for kind in shuffled:
            only_several = bool(kind.on) and SEVERAL.issuperset(kind.on)
            if len(shuffled) > 1 and only_several and dice.random() > RARE:
                continue
            yield Card(area, kind, next(roles[kind.name]))


def _roles(kind: Kind, dice: random.Random) -> Iterator[str]:
    """Where a kind hits, without end: each role in turn, those of several nodes rarely."""
    while True:
        roles = [role for role in kind.on or ("",) if role not in SEVERAL or dice.random() < RARE]
        dice.shuffle(roles)
        yield from roles or kind.on[:1]
