"""A dialogue survives: whoever was in the middle of registering a place goes on where they were."""

from collections import Counter

from kappa_lab.judge.evidence import Evidence, of
from kappa_lab.judge.history import Dialogue, Key, Update
from kappa_lab.judge.polling import since
from kappa_lab.judge.reading import some
from kappa_lab.judge.updates import Walk
from kappa_lab.judge.verdict import Seen

HALF_WAY = frozenset({"location", "category", "subcategory"})
"""Steps after which the bot remembers something of a place that is not registered yet."""


def half_way(evidence: Evidence) -> dict[Walk, str]:
    """Who was in the middle of registering a place at the fault, and after which step."""
    fault = evidence.fault.t
    over = {(event.user, event.dialogue) for event in of(evidence.telegram, Dialogue) if _ended(event, fault)}
    last: dict[Walk, str] = {}
    for update in sorted(of(evidence.telegram, Update), key=lambda update: update.t):
        if update.dialogue is not None and update.step is not None and update.t < fault:
            last[update.user, update.dialogue] = update.step
    return {walk: step for walk, step in last.items() if walk not in over and step in HALF_WAY}


def _ended(event: Dialogue, by: float) -> bool:
    return event.t < by and event.state in ("finished", "failed")


def dialogues_survive(evidence: Evidence) -> Seen:
    """Who was half-way through registering a place at the fault finishes it with the next messages.

    Each of them was told in the end that the place is registered, having done no step of the dialogue twice. There was
    at least one: with nobody half-way, nothing is shown.
    """
    fault, walks = evidence.fault, half_way(evidence)
    finished = {
        (event.user, event.dialogue): event.t for event in of(evidence.telegram, Dialogue) if event.state == "finished"
    }
    violations = [
        f"User {user} was half-way (at the {step}) when the fault came, and never finished dialogue {dialogue}."
        for (user, dialogue), step in walks.items()
        if (user, dialogue) not in finished
    ]
    violations += [
        f"User {user} had to repeat {', '.join(again)} in dialogue {dialogue}."
        for (user, dialogue), again in _done_again(evidence, walks).items()
    ]
    if not walks:
        violations.append("Nobody was half-way through a registration at the fault: nothing is shown of it.")
    done = {walk: finished[walk] for walk in walks if walk in finished}
    when = f", the first {since(fault, min(done.values()))}" if done else ""
    return Seen(
        f"{len(walks)} users were half-way, {len(done)} of them finished{when}", some(violations, "broken dialogues")
    )


def _done_again(evidence: Evidence, walks: dict[Walk, str]) -> dict[tuple[Key, Key], list[str]]:
    steps: dict[Walk, Counter[str]] = {}
    for update in of(evidence.telegram, Update):
        if update.dialogue is not None and update.step is not None and (update.user, update.dialogue) in walks:
            steps.setdefault((update.user, update.dialogue), Counter())[update.step] += 1
    again = {walk: [step for step, count in counted.items() if count > 1] for walk, counted in steps.items()}
    return {walk: repeated for walk, repeated in again.items() if repeated}
