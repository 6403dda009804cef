"""What `kappa-lab storm` does."""

from pathlib import Path
from typing import Final

from kappa_lab import lab
from kappa_lab.faults import KINDS
from kappa_lab.progress import say
from kappa_lab.storm import sheet, trials
from kappa_lab.storm.plan import Plan, draw
from kappa_lab.storm.run import PLAN, possible, run

MINUTES: Final = 2.0
COMMAND: Final = "kappa-lab storm"


def chosen(file: Path | None, seed: int, faults: int | None, minutes: float | None) -> Plan:
    """The plan of this file, or of this seed."""
    if file:
        return sheet.read(file, KINDS)
    return draw(seed, possible(), faults=faults, minutes=minutes if faults or minutes else MINUTES)


def let_loose(plan: Plan, shrink_minutes: float) -> bool:
    """Did every invariant hold? Where one did not, the storm is shrunk for so many minutes (0: not at all)."""
    last_s = plan.strikes[-1].at_s if plan.strikes else 0
    say(f"Storm {plan.seed}: {len(plan.strikes)} faults, planned for {last_s / 60:.1f} min.")
    with lab.sole_user():
        outcome, folder = run(plan)
        if outcome.held:
            return True
        say(f"The same again: {COMMAND} --plan {folder / PLAN}")
        if not outcome.broken:
            return False
        if shrink_minutes:
            shrink(folder, shrink_minutes)
        else:
            say(f"The fewest faults that do it: {COMMAND} --again {folder}")
    return False


def shrink(folder: Path, minutes: float) -> None:
    found = trials.shrink(folder, minutes)
    say(f"\nThe shortest storm found that fails has {len(found.strikes)} fault(s) ({folder / trials.SHORTEST}):")
    for strike in found.strikes:
        on = f" on {strike.on}" if strike.on else ""
        say(f"  {strike.at_s:6.1f} s  {strike.fault}{on}, healed after {strike.heal_after_s:g} s")
