"""The users of a drill: their traffic, and what they did and received since it began."""

import time
from collections.abc import Callable

from kappa_lab import lab
from kappa_lab.errors import LabError
from kappa_lab.scenario import Traffic


def wait(what: str, holds: Callable[[], bool], bound_s: float, every_s: float = 0.25) -> None:
    end = time.monotonic() + bound_s
    while not holds():
        if time.monotonic() > end:
            raise LabError(f"After {bound_s:.0f} s, still not: {what}.")
        time.sleep(every_s)


def counted(what: str) -> int:
    value = lab.telegram("GET", "/traffic").get(what)
    if not isinstance(value, int):
        raise LabError(f"The Telegram lab server does not count {what}.")
    return value


class Users:
    """Traffic that runs from `start` until `finish`; counts are of this drill alone."""

    def __init__(self, traffic: Traffic, seed: int) -> None:
        self._traffic, self._seed = traffic, seed
        self._before = 0

    def start(self, bound_s: float) -> None:
        """Let them talk; return when enough was answered and some are in the middle of a registration."""
        wait("the traffic of the drill before has ended", lambda: not counted("running"), bound_s)
        self._before = counted("updates_answered")
        plan = {
            "users": self._traffic.users, "rate_per_s": self._traffic.rate_per_s, "seed": self._seed,
            "languages": ["es", "en"],
        }  # fmt: skip
        lab.telegram("POST", "/traffic", plan)
        wait("traffic before the fault", self._enough_before, bound_s)

    def _enough_before(self) -> bool:
        enough = self.answered() >= self._traffic.updates_before
        return enough and counted("dialogues_half_way") >= self._traffic.half_way_before

    def answered(self) -> int:
        return counted("updates_answered") - self._before

    def go_on(self, bound_s: float) -> None:
        """Return when enough was answered after now, and in all."""
        at_least = max(self.answered() + self._traffic.updates_after, self._traffic.updates_at_least)
        wait("traffic after the fault", lambda: self.answered() >= at_least, bound_s)

    def finish(self, bound_s: float) -> None:
        """No new dialogue; return when every open one is finished."""
        lab.telegram("POST", "/traffic/stop", {"timeout_s": bound_s})
        wait("every open dialogue is finished", lambda: counted("dialogues_open") == 0, bound_s)
