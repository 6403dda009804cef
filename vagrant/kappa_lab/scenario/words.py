"""A drill in words, as `kappa-lab drill show` says it."""

from collections.abc import Iterator, Mapping
from typing import Final

from kappa_lab import faults, predicates
from kappa_lab.faults import Value
from kappa_lab.scenario.model import Heal, Inject, Scenario, Step, WaitFor

SERVICE: Final[Mapping[str, str]] = {
    "moves": "the service stops, and another node takes it over",
    "returns": "the service stops, and comes back wherever the cluster wants it",
    "undisturbed": "the service stays where it is, and nobody waits for it",
    "stops": "the service stays away until the faults are healed, and comes back then; nobody takes over before",
    "any": "whatever happens to the service, it is back at the end",
}


def words(scenario: Scenario) -> str:
    """All that the drill does and asks for; no line break at the end."""
    traffic, expect, bounds = scenario.traffic, scenario.expect, scenario.bounds
    lines = [
        f"{scenario.name} [{', '.join(scenario.tags)}]",
        f"  {scenario.purpose}",
        "",
        f"Traffic: {traffic.users} users, {traffic.rate_per_s:g} updates a second; {traffic.updates_before} answered, "
        f"{traffic.half_way_before} users half-way, before the first fault; "
        f"{traffic.updates_after} answered after all is healed, {traffic.updates_at_least} in all.",
        "",
        "Steps:",
        *(f"  {number}. {_step(step)}" for number, step in enumerate(scenario.steps, start=1)),
        "  Then all that is left is healed, the lab is whole again, and every dialogue comes to its end.",
        "",
        "Must hold, besides what always must:",
        *(f"  - {sentence}" for sentence in _expected(scenario)),
        "",
        f"Bounds: traffic {bounds.traffic_s:g} s, answer {bounds.answer_s:g} s, whole again {bounds.rejoin_s:g} s, "
        f"dialogues ended {bounds.drain_s:g} s.",
        f"Prediction: {expect.predicted or 'none'}.",
    ]
    return "\n".join(lines)


def _step(step: Step) -> str:
    match step:
        case Inject():
            where = f" on {step.on}" if step.on else ""
            return f"{step.fault}{where}{_given(step.given, faults.KINDS[step.fault].parameters)}: " + (
                faults.KINDS[step.fault].purpose
            )
        case WaitFor():
            kind = predicates.KINDS[step.predicate]
            how = f"for {step.not_for_s:g} s it must not be that" if step.not_for_s else "wait until"
            within = f", within {step.within_s:g} s" if step.within_s else ""
            return f"{how} {kind.purpose}{_given(step.given, kind.parameters)}{within}"
        case Heal():
            return f"heal {'all that is there' if step.fault == 'all' else step.fault}"


def _given(given: Mapping[str, Value], defaults: Mapping[str, Value]) -> str:
    said = [f"{key} = {value}" for key, value in given.items() if value != defaults[key]]
    return f" ({', '.join(said)})" if said else ""


def _expected(scenario: Scenario) -> Iterator[str]:
    expect = scenario.expect
    yield SERVICE[expect.service]
    yield f"proven off before anyone acts in its place: {', '.join(expect.fenced) or 'nobody'}"
    if expect.may_be_fenced:
        yield f"may be shot: {', '.join(expect.may_be_fenced)}"
    if expect.strangers:
        yield "somebody who is no node of the cluster polls or holds the virtual IP: that is the fault"
    if expect.predicted:
        yield f"the RTO is below the worst case that is predicted for {expect.predicted}"
