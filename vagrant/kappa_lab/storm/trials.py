"""Shrink a storm that failed: shorter ones of its faults, each in a fresh lab, until none can be left out.

Each trial is a storm of its own in the folder of the one that failed (`trials/01`, `trials/02` …): plan, history,
report, outcome. Whoever is interrupted goes on where he stopped, for what was tried is read from there. A trial counts
as failing when it breaks something that the whole storm broke; what else it breaks is another matter.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.faults import KINDS
from kappa_lab.progress import say
from kappa_lab.storm import sheet
from kappa_lab.storm.plan import Plan
from kappa_lab.storm.run import PLAN, Outcome, in_fresh_lab, read_outcome
from kappa_lab.storm.shrink import Part, shortest

TRIALS: Final = "trials"
KEPT: Final = "kept.json"
SHORTEST: Final = "shortest.toml"

Try = Callable[[Plan, Path], Outcome]


def in_the_lab(plan: Plan, folder: Path) -> Outcome:
    return in_fresh_lab(plan, folder)[0]


def shrink(folder: Path, minutes: float, attempt: Try = in_the_lab) -> Plan:
    """The shortest part found in so many minutes of the storm that failed in `folder`; kept there as shortest.toml.

    Raises LabError when none broke anything there.
    """
    whole = sheet.read(folder / PLAN, KINDS)
    outcome = read_outcome(folder)
    if outcome is None or not outcome.broken:
        raise LabError(f"No storm broke anything in {folder}: there is nothing to shrink.")
    # nothing that came after the storm broke off has a part in it
    faults = min(outcome.came + len(outcome.missed) + 1, len(whole.strikes))
    broken = set(outcome.broken)
    end = time.monotonic() + 60 * minutes

    def fails(part: Part) -> bool | None:
        if time.monotonic() > end:
            say(f"\n{minutes:g} min are over; what was tried is kept, and the search can go on later.")
            return None
        number = 1 + len(list((folder / TRIALS).glob("*")))
        place = folder / TRIALS / f"{number:02d}"
        say(f"\nTrial {number}: {len(part)} of {faults} faults ({', '.join(whole.strikes[n].fault for n in part)})")
        place.mkdir(parents=True)
        trial = whole.only(part)
        sheet.write(trial, place / PLAN)
        found = attempt(trial, place)
        (place / KEPT).write_text(json.dumps(part) + "\n")
        failed = bool(broken & set(found.broken))
        say(f"  {'fails too: ' + ', '.join(found.broken) if failed else 'holds'}")
        return failed

    part = shortest(faults, fails, told(folder, broken))
    found = whole.only(part)
    sheet.write(found, folder / SHORTEST)
    return found


def told(folder: Path, broken: set[str]) -> list[tuple[Part, bool]]:
    """What earlier trials have shown."""
    known = []
    for place in sorted((folder / TRIALS).glob("*")):
        try:
            part = tuple(int(number) for number in json.loads((place / KEPT).read_text()))
        except (OSError, ValueError, TypeError):
            continue  # it was interrupted
        if outcome := read_outcome(place):
            known.append((part, bool(broken & set(outcome.broken))))
    return known
