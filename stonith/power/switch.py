"""Switch machines, one switch at a time each, and conclude nothing that was not seen. The same for every driver.

The rules, all of them here:
- Off is proven by a sight of the machine's own unit, after the request came. Unknown proves nothing; nor does time.
- What is to be switched off is what ran when the request came. If two ask for the same at once, the first is served,
  and the second finds its instance proven off and is done: it does not shoot what has been started since.
  That another run is seen now is proof only if that run began with a boot: memory that was saved and woken is the same
  machine still.
- A machine that is on is not started. One whose state is unknown is not started either.
- Nothing is begun after the deadline of whoever asked.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stonith.power.brake import Brake, Limits
from stonith.power.driver import Driver, DriverError, Sight, State

POLL_S = 0.02
"""Between two looks at a machine that was just switched."""
AGAIN_S = 1.0
"""A switch that did not take after this is asked for again."""


@dataclass(frozen=True)
class Outcome:
    """What came of a request, for the reply and the audit alike."""

    ok: bool
    before: Sight
    after: Sight
    reason: str = ""
    """Why it is not ok; or, if it is, what is worth saying."""
    switched: bool = False
    """Whether this request has switched the machine: cut what is now proven to run no more, or started it."""


NOT_SEEN = Sight(State.UNKNOWN, "not looked at")


class Switch:
    """The switches of one hypervisor's machines, by plug."""

    def __init__(
        self,
        driver: Driver,
        machines: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        brake: Brake | None = None,
        units: Mapping[str, str] | None = None,
    ) -> None:
        """`machines`: the driver's name of each plug's machine; `units`: its id, where the name alone is not enough."""
        self._units = dict(units or {})
        self._brake = brake or Brake(Limits(starts=0))
        self._driver = driver
        self._machines = dict(machines)
        self._turn = {plug: threading.Lock() for plug in machines}
        self._seen_off: dict[tuple[str, str], float] = {}
        """When each plug's unit was last looked at and proven off."""
        self._clock = clock
        self._sleep = sleep

    def machine(self, plug: str) -> str:
        return self._machines[plug]

    def trouble(self, deadline: float) -> str:
        """Why the hypervisor cannot be asked now; empty when it can."""
        try:
            self._driver.list(deadline)
        except DriverError as error:
            return str(error) or "the hypervisor cannot be asked"
        return ""

    def status(self, plug: str, deadline: float) -> Outcome:
        sight = self._look(plug, deadline)
        known = sight.state is not State.UNKNOWN
        return Outcome(known, sight, sight, "" if known else f"the state of {plug} is unknown: {sight.evidence}")

    def off(self, plug: str, deadline: float) -> Outcome:
        """Ok only if what ran when this was called is proven to run no more."""
        came = self._clock()
        first = self._look(plug, deadline)
        if first.state is State.OFF:
            self._seen_off[plug, first.unit] = came
            return Outcome(True, first, first, "was off already")
        if not self._take_turn(plug, deadline):
            return Outcome(
                False, first, NOT_SEEN, f"{plug} is being switched by another request, which did not end in time"
            )
        try:
            return self._cut(plug, first, came, deadline)
        finally:
            self._turn[plug].release()

    def _cut(self, plug: str, first: Sight, came: float, deadline: float) -> Outcome:
        machine, said, cut_at = self._machines[plug], "nothing was asked of the hypervisor", None
        now = first
        while True:
            looked, last = self._clock(), now
            now = self._look(plug, deadline, first.unit)
            if now.state is State.UNKNOWN and self._clock() >= deadline:
                now = last  # a look that ran out of time must not hide what was seen by the one before
            if not first.run and now.unit:  # this is the first that is known of what runs
                first = Sight(first.state, first.evidence, now.unit, now.run)
            switched = cut_at is not None
            if now.state is State.OFF:
                self._seen_off[plug, now.unit] = looked
                if switched:
                    self._brake.switched("off", plug)
                return Outcome(True, first, now, switched=switched)
            ended = self._seen_off.get((plug, now.unit), -math.inf) > came or (now.booted and now.run != first.run)
            if now.state is State.ON and ended:
                why = f"instance {first.instance} ended; {plug} has been started anew since"
                return Outcome(True, first, now, why, switched)
            if self._over(deadline):
                return Outcome(False, first, now, f"{plug} is not proven off in time: {now.evidence}; {said}")
            if cut_at is None and (refusal := self._brake.refusal("off", plug)):
                return Outcome(False, first, now, refusal)
            if first.unit and (cut_at is None or self._clock() >= cut_at + AGAIN_S):
                cut_at = self._clock()  # without a unit it would not be known what is cut
                try:
                    said = self._driver.off(machine, first.unit, deadline)
                except DriverError as error:
                    said = str(error)
            else:
                self._sleep(POLL_S)

    def on(self, plug: str, deadline: float) -> Outcome:
        """Ok only if the machine is seen running."""
        first = self._look(plug, deadline)
        if first.state is State.ON:
            return Outcome(True, first, first, "was on already")
        if not self._take_turn(plug, deadline):
            return Outcome(
                False, first, NOT_SEEN, f"{plug} is being switched by another request, which did not end in time"
            )
        try:
            return self._start(plug, first, deadline)
        finally:
            self._turn[plug].release()

    def _start(self, plug: str, first: Sight, deadline: float) -> Outcome:
        said = ""
        while True:
            now = self._look(plug, deadline)
            if now.state is State.ON:
                return Outcome(True, first, now, switched=bool(said))
            if self._over(deadline):
                why = f"{plug} is not seen running in time: {now.evidence} {said}".rstrip()
                return Outcome(False, first, now, why, switched=bool(said))
            if now.state is State.UNKNOWN:
                self._sleep(POLL_S)
            elif said:
                why = f"{plug} was started ({said}) and is off again: {now.evidence}"
                return Outcome(False, first, now, why, switched=True)
            elif refusal := self._brake.refusal("on", plug):
                return Outcome(False, first, now, refusal)
            else:
                try:
                    said = self._driver.on(self._machines[plug], now.unit, deadline) or "started"
                except DriverError as error:
                    return Outcome(False, first, now, str(error))
                self._brake.switched("on", plug)

    def start_refused(self, plug: str) -> str:
        """Why a start of `plug` would be refused now, if it would be."""
        return self._brake.refusal("on", plug)

    def _take_turn(self, plug: str, deadline: float) -> bool:
        return self._turn[plug].acquire(timeout=max(0.0, deadline - self._clock()))

    def _over(self, deadline: float) -> bool:
        """No time is left for another look; one that is begun all the same would hide what was seen by the last."""
        return self._clock() + 2 * POLL_S >= deadline

    def _look(self, plug: str, deadline: float, unit: str = "") -> Sight:
        """Look once. A sight without an identity, or with another's, says nothing of this machine."""
        unit = unit or self._units.get(plug, "")
        sight = self._driver.status(self._machines[plug], deadline, unit)
        if sight.state is not State.UNKNOWN and (not sight.unit or not sight.run or (unit and sight.unit != unit)):
            return Sight(State.UNKNOWN, f"seen without its identity: {sight.evidence}")
        return sight
